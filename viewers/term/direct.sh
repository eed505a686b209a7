#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# direct.sh DIRECT.TI: the entries of that file as a C header, in the form that $TERMINFO takes.
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
tic -x -o "$dir" "$1"
echo '/* made from direct.ti; see terminfo(5) for the form */'
for name in xterm tmux; do
    echo "static const char terminfo_$name[] ="
    infocmp -x -A "$dir" -Q2 -q "focal-$name" | sed 's/.*/    "&"/'
    echo '    ;'
done
