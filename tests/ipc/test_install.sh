#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# libfocal_is_what_others_can_build_on: the header compiles alone as C and as C++, and the library
# shows no symbol but its own.
# usage: test_install.sh FOCAL_H LIBFOCAL
header_dir=$(dirname "$1")
library=$2
for compiler in "${CC:-cc} -std=c11" "${CC:-cc} -std=c99" "${CXX:-c++} -std=c++11 -x c++"; do
    name=${compiler%% *}
    command -v "$name" >/dev/null || { echo "skipped: no $name"; continue; }
    printf '#include <focal.h>\nint main(void) { struct focal *f; return focal_open(&f, 0); }\n' |
        $compiler -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$header_dir" \
            $([ "${compiler##* }" = c++ ] || echo -x c) - || exit 1
done
strange=$(nm -D --defined-only "$library" | awk '{print $3}' | grep -v '^focal_')
[ -z "$strange" ] || { echo "symbols that are not focal_*: $strange"; exit 1; }
