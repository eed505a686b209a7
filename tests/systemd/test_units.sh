#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What systemd says of the units as they are installed: nothing that it does not know or cannot start,
# and of the system's services that they are no more exposed than it calls OK.
# usage: test_units.sh BUILD
build=$1
command -v systemd-analyze >/dev/null || { echo 'skipped: no systemd-analyze'; exit 77; }
systemd-analyze --help | grep -q -- --offline || { echo 'skipped: systemd is older than 250'; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export XDG_RUNTIME_DIR="$dir/run"
mkdir -m 700 "$dir/run" "$dir/bin" "$dir/system" "$dir/user"
failures=0

# programs are looked for where they were built
for program in daemon/focald viewers/record/focal-record viewers/web/focal-web; do
    [ -x "$build/$program" ] || { echo "$build/$program is not built"; exit 1; }
    ln -s "$build/$program" "$dir/bin/"
done
for unit in focald focal-record focal-web; do
    sed "s|^ExecStart=[^ ]*/|ExecStart=$dir/bin/|" "$build/systemd/$unit.service" \
        >"$dir/system/$unit.service"
    sed "s|^ExecStart=[^ ]*/|ExecStart=$dir/bin/|" "$build/systemd/$unit-user.service" \
        >"$dir/user/$unit.service"
done
promise() {
    if said=$("$2" "$3" 2>&1) && [ -z "$said" ]; then
        echo "ok   $1: $3"
    else
        echo "FAIL $1: $3"
        echo "$said" | sed 's/^/     /'
        failures=$((failures + 1))
    fi
}

# what it does not know it says, and ends well all the same: it may say nothing
knows() {
    mode=--system
    [ "${1%%/*}" = system ] || mode=--user
    systemd-analyze $mode --man=no --recursive-errors=no verify "$dir/$1"
}
is_ok() { systemd-analyze --offline=true --threshold=50 security "$dir/$1" >"$dir/said" || cat "$dir/said"; }
for unit in system/focald system/focal-record system/focal-web user/focald user/focal-record \
    user/focal-web; do
    promise systemd_knows_all_that_a_unit_says knows $unit.service
done
for unit in focald focal-record focal-web; do
    promise a_service_of_the_system_is_little_exposed is_ok system/$unit.service
done
[ $failures = 0 ]
