#!/bin/sh
# a_header_compiles_alone: every header of the tree, with nothing included before it.
# usage: headers.sh SOURCE_ROOT CC [CC_ARG...]
root=$1
shift
failed=0
standin=$root/tests/fake_cuda/include
for header in $(cd "$root" && find base dsp model ipc daemon viewers -name '*.h' 2>/dev/null | sort); do
    case $header in
        model/cuda/*) [ -d "$standin" ] || continue ;;
    esac
    case $header in
        model/cuda/kernels/*) continue ;; # C++, of the kernels
    esac
    if ! printf '#include "%s"\nextern int unused;\n' "$header" |
        "$@" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -I"$root" -I"$standin" \
            $(pkg-config --cflags jansson libzmq cairo) -x c -; then
        echo "$header does not compile alone"
        failed=1
    fi
done
exit $failed
