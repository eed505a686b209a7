#!/bin/sh
# a_header_compiles_alone: every header of the tree, with nothing included before it.
# usage: headers.sh SOURCE_ROOT CC [CC_ARG...]
root=$1
shift
failed=0
for header in $(cd "$root" && find base dsp model ipc daemon viewers -name '*.h' 2>/dev/null | sort); do
    if ! printf '#include "%s"\nextern int unused;\n' "$header" |
        "$@" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -I"$root" \
            $(pkg-config --cflags jansson libzmq cairo) -x c -; then
        echo "$header does not compile alone"
        failed=1
    fi
done
exit $failed
