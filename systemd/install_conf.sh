#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Configuration that somebody changed stays: the new file lies beside it as NAME.new. Changed is what
# is not as it was installed last, of which SHIPPED has a copy.
# usage: install_conf.sh DIR SHIPPED FILE… (by meson install, with DESTDIR)
set -e
dir=${DESTDIR:-}$1
shipped=${DESTDIR:-}$2
shift 2
mkdir -p "$dir" "$shipped"
for file; do
    name=$(basename "$file")
    to=$dir/$name
    if [ -e "$to" ] && ! cmp -s "$file" "$to" && ! cmp -s "$shipped/$name" "$to"; then
        echo "$to is not as it came with focald and stays; the new one is $to.new"
        to=$to.new
    else
        rm -f "$to.new"
    fi
    install -m 644 "$file" "$to"
    install -m 644 "$file" "$shipped/$name"
done
