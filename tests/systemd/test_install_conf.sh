#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installing anew keeps configuration that was changed, and replaces what was not.
# usage: test_install_conf.sh INSTALL_CONF
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export DESTDIR="$dir"
fail() { echo "$*"; exit 1; }
put() { sh "$1" /etc/focald /usr/share/focald/conf "$dir/a.conf" "$dir/b.conf" >"$dir/said" || fail "status $?"; }
holds() { [ "$(cat "$dir/etc/focald/$1")" = "$2" ] || fail "$1: $(cat "$dir/etc/focald/$1"), not $2"; }

echo one >"$dir/a.conf"
echo two >"$dir/b.conf"
put "$1"
holds a.conf one && holds b.conf two && [ ! -s "$dir/said" ] || fail "said: $(cat "$dir/said")"
[ "$(stat -c %a "$dir/etc/focald/a.conf")" = 644 ] || fail "not for all to read"
echo 'private = yes' >>"$dir/etc/focald/a.conf"
put "$1"
holds a.conf 'one
private = yes' && holds a.conf.new one && holds b.conf two
grep -q "a.conf.new" "$dir/said" || fail "not told"
[ ! -e "$dir/etc/focald/b.conf.new" ] || fail "what nobody changed has a second"
echo one >"$dir/etc/focald/a.conf"
put "$1"
holds a.conf one
[ ! -e "$dir/etc/focald/a.conf.new" ] || fail "a.conf.new stays without need"

echo 'one, in other words' >"$dir/a.conf"
put "$1"
holds a.conf 'one, in other words' && [ ! -s "$dir/said" ] || fail "said: $(cat "$dir/said")"
[ ! -e "$dir/etc/focald/a.conf.new" ] || fail "what nobody changed is taken for changed"
echo mine >"$dir/etc/focald/a.conf"
put "$1"
echo 'one, in better words' >"$dir/a.conf"
put "$1"
holds a.conf mine && holds a.conf.new 'one, in better words'
