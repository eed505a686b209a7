#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Configuration that somebody changed stays: the new file lies beside it as NAME.new.
# usage: install_conf.sh DIR FILE… (by meson install, with DESTDIR)
set -e
dir=${DESTDIR:-}$1
shift
mkdir -p "$dir"
for file; do
    to=$dir/$(basename "$file")
    if [ -e "$to" ] && ! cmp -s "$file" "$to"; then
        echo "$to is not as it comes with focald and stays; that is $to.new"
        to=$to.new
    else
        rm -f "$to.new"
    fi
    install -m 644 "$file" "$to"
done
