#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# libfocal_is_what_others_can_build_on: the header compiles alone as C and as C++, the manual's example
# builds without a warning, and the library shows no symbol but its own.
# usage: test_install.sh FOCAL_H LIBFOCAL LIBFOCAL_3
header_dir=$(dirname "$1")
library=$2
manual=$3
for compiler in "${CC:-cc} -std=c11" "${CC:-cc} -std=c99" "${CXX:-c++} -std=c++11 -x c++"; do
    name=${compiler%% *}
    command -v "$name" >/dev/null || { echo "skipped: no $name"; continue; }
    printf '#include <focal.h>\nint main(void) { struct focal *f; return focal_open(&f, 0); }\n' |
        $compiler -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$header_dir" \
            $([ "${compiler##* }" = c++ ] || echo -x c) - || exit 1
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
sed -n '/^\.Bd -literal/,/^\.Ed/p' "$manual" | sed '/^\./d; s/\\e/\\/g' >"$dir/example.c"
grep -q 'focal_open' "$dir/example.c" || { echo "no example in $manual"; exit 1; }
${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$header_dir" "$dir/example.c" ||
    exit 1
for name in $(nm -D --defined-only "$library" | awk '$3 ~ /^focal_/ {print $3}') \
    $(sed -n '/^struct focal_options/,/^}/p; /^struct focal_message/,/^}/p' "$1" |
        sed 's|/\*.*||' | grep -oE '[a-z_]+[,;]' | tr -d ',;'); do
    grep -qw "$name" "$manual" || { echo "$manual does not name $name"; exit 1; }
done
strange=$(nm -D --defined-only "$library" | awk '{print $3}' | grep -v '^focal_')
[ -z "$strange" ] || { echo "symbols that are not focal_*: $strange"; exit 1; }
