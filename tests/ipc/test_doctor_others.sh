#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# focalctl doctor asked about another user's focald, such as the system's service: by root, and by a
# member of the group that its sockets are open to. Root alone can be several users.
# usage: test_doctor_others.sh FOCALCTL FOCALD DEMO
focalctl=$1
focald=$2
demo=$3
if [ "$(id -u)" != 0 ]; then
    echo 'skipped: only root can be several users'
    exit 77
fi
setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$focald" -a -x "$focalctl" \
    -a -r "$demo/dog.ogg" || { echo 'skipped: only root may read this tree'; exit 77; }
if [ -e /var/lib/focald ] || [ -e /var/cache/focald ]; then
    echo 'skipped: this machine has a service of its own, whose places the doctor would look at'
    exit 77
fi
dir=$(mktemp -d)
pid=
trap 'kill $pid; wait; rm -rf "$dir"' EXIT
unset XDG_RUNTIME_DIR FOCALD_DATA FOCALD_CONTROL DBUS_SESSION_BUS_ADDRESS
export JACK_NO_START_SERVER=1 HOME="$dir"
chmod 755 "$dir"
mkdir "$dir/service"
chown 65534:65534 "$dir/service"
printf '[ipc]\ndir = %s/service/run\n[paths]\ncache = %s/service\n' "$dir" "$dir" >"$dir/focald.conf"
data=ipc://$dir/service/run/data control=ipc://$dir/service/run/control
failures=0

setpriv --reuid 65534 --regid 65534 --clear-groups "$focald" run --config "$dir/focald.conf" \
    --threads 1 --source "file:$demo/dog.ogg" --loop </dev/null >"$dir/log" 2>&1 &
pid=$!
for i in $(seq 300); do
    "$focalctl" --control "$control" get >/dev/null 2>&1 && break
    kill -0 $pid || { cat "$dir/log"; exit 1; }
    sleep 0.1
done

# doctor UID STATUS
doctor() {
    got=0
    setpriv --reuid "$1" --regid 65534 --clear-groups \
        "$focalctl" --data "$data" --control "$control" doctor >"$dir/out" 2>&1 || got=$?
    [ "$got" = "$2" ] || { echo "exit status $got instead of $2"; return 1; }
}
says() { grep -qE -- "$1" "$dir/out" || { echo "no line like $1"; return 1; }; }
promise() {
    if "$1"; then
        echo "ok   $1"
    else
        echo "FAIL $1"
        sed 's/^/     /' "$dir/out"
        failures=$((failures + 1))
    fi
}

a_member_of_the_group_needs_no_runtime_directory() {
    doctor 65533 0 && says '^ok +daemon +focald [0-9.]+ answers' &&
        says '^ok +configuration +user nobody.s focald' && says '^ok +disk +cache /var/cache/focald' &&
        says '^ok +disk +recordings /var/lib/focald/record' && says '^ok +permissions +user nobody.s'
}
root_is_told_of_the_services_places() {
    doctor 0 0 && says '^ok +configuration +.*are good$' &&
        says '^ok +disk +cache /var/cache/focald' && says '^ok +permissions +user nobody.s'
}
its_own_user_is_told_of_its_own() {
    doctor 65534 1 && says '^fail +permissions +XDG_RUNTIME_DIR is not set' &&
        says "^fail +disk +cache $dir: Permission denied"
}
# By the system's files, not by those of who asks.
a_service_s_places_are_those_of_the_system_s_files() {
    mkdir -p "$dir/etc/focald" "$dir/.config/focald"
    printf '[record]\ndir = /srv\n' >"$dir/etc/focald/focal-record.conf"
    printf '[record]\ndir = /tmp\n' >"$dir/.config/focald/focal-record.conf"
    FOCALD_SYSCONFDIR=$dir/etc doctor 65533 0 && says '^ok +disk +recordings /srv: ' &&
        says '^ok +disk +cache /var/cache/focald'
}
promise a_member_of_the_group_needs_no_runtime_directory
promise root_is_told_of_the_services_places
promise a_service_s_places_are_those_of_the_system_s_files
promise its_own_user_is_told_of_its_own
[ $failures = 0 ]
