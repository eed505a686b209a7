#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# focalctl doctor as a user runs it: with a real focald, without one, and with what goes wrong.
# usage: test_doctor.sh FOCALCTL FOCALD DEMO
focalctl=$1
focald=$2
demo=$3
if [ "$(id -u)" = 0 ]; then # permissions mean nothing to root
    [ -z "$DOCTOR_AS_NOBODY" ] || exit 1
    setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$focald" -a -x "$focalctl" \
        -a -r "$demo/dog.ogg" -a -r "$0" ||
        { echo 'skipped: only root may read this tree'; exit 77; }
    DOCTOR_AS_NOBODY=1 exec setpriv --reuid 65534 --regid 65534 --clear-groups "$0" "$@"
fi
dir=$(mktemp -d)
trap 'kill $pid 2>/dev/null; chmod -R u+rwx "$dir"; rm -rf "$dir"' EXIT
export HOME="$dir" XDG_RUNTIME_DIR="$dir/run" XDG_CONFIG_HOME="$dir/config" XDG_CACHE_HOME="$dir/cache"
export XDG_DATA_HOME="$dir/share" JACK_NO_START_SERVER=1
unset FOCALD_DATA FOCALD_CONTROL DBUS_SESSION_BUS_ADDRESS
mkdir -m 700 "$dir/run"
mkdir -p "$dir/config/focald"
failures=0
pid=

promise() {
    (set -e; "$1") >"$dir/log" 2>&1
    if [ $? = 0 ]; then
        echo "ok   $1"
    else
        echo "FAIL $1"
        sed 's/^/     /' "$dir/log" "$dir/out"
        failures=$((failures + 1))
    fi
}
# doctor STATUS [OPTION...]
doctor() {
    wanted=$1
    shift
    got=0
    "$focalctl" "$@" doctor >"$dir/out" 2>"$dir/err" || got=$?
    [ "$got" = "$wanted" ] || { echo "exit status $got instead of $wanted"; return 1; }
    [ ! -s "$dir/err" ] || { cat "$dir/err"; return 1; }
}
# says PATTERN: one line of the output is like that
says() { grep -qE -- "$1" "$dir/out" || { echo "no line like $1"; return 1; }; }
says_not() { ! grep -qE -- "$1" "$dir/out" || { echo "a line like $1"; return 1; }; }
every_fault_has_a_mend() {
    ! grep -E '^(warn|fail) ' "$dir/out" | grep -vE '; mend: .{8}' || return 1
    ! grep -vE '^(ok|warn|fail) +[a-z]+ +[^ ]' "$dir/out"
}

# focald answers from its start on, the source may still be about to open its file
until_plays() {
    for i in $(seq 300); do
        "$focalctl" streams | grep -q 'playing .*dog.ogg' && return 0
        sleep 0.1
    done
    "$focalctl" streams
    return 1
}

without_a_daemon_it_says_how_to_start_one() {
    doctor 1 --name focald-none
    says '^fail +sockets .*/run/focald-none/data is not there.*mend: .*focald run'
    says '^fail +daemon .*mend: '
    says '^ok +configuration .*model [a-z]* are good$'
    says '^ok +disk +cache .* GB free$'
    says '^ok +disk +recordings .*/share/focald/record: .* GB free$'
    every_fault_has_a_mend
}
json_says_the_same() {
    doctor 1 --json --name focald-none
    [ "$(wc -l <"$dir/out")" = 1 ]
    /usr/bin/python3 - "$dir/out" <<'P'
import json, sys
said = json.load(open(sys.argv[1]))
assert said["ok"] is False
assert {"check", "verdict", "text", "mend"} == set(said["checks"][0])
assert {"sockets", "daemon", "server", "configuration", "disk", "permissions"} <= \
    {c["check"] for c in said["checks"]}
assert all(c["verdict"] in ("ok", "warn", "fail") for c in said["checks"])
assert all(c["mend"] for c in said["checks"] if c["verdict"] != "ok")
P
}
a_stale_socket_is_called_stale() {
    mkdir "$dir/run/focald"
    /usr/bin/python3 -c "import socket, sys
for name in ('data', 'control'):
    socket.socket(socket.AF_UNIX).bind(sys.argv[1] + '/' + name)" "$dir/run/focald"
    doctor 1
    says "^fail +sockets .*/run/focald/data is stale.*mend: .*rm $dir/run/focald/data"
    says "^fail +sockets .*/run/focald/control is stale"
    rm "$dir/run/focald/data"
    echo >"$dir/run/focald/data"
    doctor 1
    says "^fail +sockets .*/run/focald/data is there and not a socket; mend: move it away"
    every_fault_has_a_mend
    rm -r "$dir/run/focald"
}
a_closed_directory_is_called_closed() {
    mkdir "$dir/run/focald"
    touch "$dir/run/focald/data"
    chmod 0 "$dir/run/focald"
    doctor 1 --data "ipc://$dir/run/focald/data" --control "ipc://$dir/run/focald/control"
    chmod 700 "$dir/run/focald"
    says "^fail +sockets .*permission denied; mend: be in the group that owns $dir/run/focald"
    every_fault_has_a_mend
    rm -r "$dir/run/focald"
}
a_disk_that_may_not_be_written_fails() {
    mkdir -p "$dir/share/focald"
    chmod 500 "$dir/share/focald"
    doctor 1 --name focald-none
    chmod 700 "$dir/share/focald"
    says "^fail +disk .*share/focald: Permission denied; mend: give it to this user"
    XDG_DATA_HOME=/proc doctor 1 --name focald-none
    says '^fail +disk .*/proc'
}
places_are_those_of_the_configuration() {
    mkdir -p "$dir/elsewhere/closed" "$dir/config/focald/focal-record.conf.d"
    printf '[paths]\ncache = %s/elsewhere/cache\n' "$dir" >"$dir/config/focald/focald.conf"
    printf '[record]\ndir = %s/first\n' "$dir" >"$dir/config/focald/focal-record.conf"
    printf '[record]\ndir = %s/elsewhere/closed/record\n[label dog]\ndir = x\n' "$dir" \
        >"$dir/config/focald/focal-record.conf.d/own.conf"
    chmod 500 "$dir/elsewhere/closed"
    doctor 1 --name focald-none
    rm -r "$dir/config/focald/focald.conf" "$dir/config/focald/focal-record.conf.d"
    says "^ok +disk +cache $dir/elsewhere/cache: .* GB free$"
    says "^fail +disk +recordings $dir/elsewhere/closed: Permission denied"
    says_not '/share/focald'
    printf 'no section\n' >"$dir/config/focald/focal-record.conf"
    doctor 1 --name focald-none
    rm "$dir/config/focald/focal-record.conf"
    says '^warn +disk .*recordings.*focal-record.conf:1: .*; mend: '
}
a_wrong_configuration_is_told_by_its_line() {
    printf '[analysis]\nquantile = 3\n' >"$dir/config/focald/focald.conf"
    doctor 1 --name focald-none
    rm "$dir/config/focald/focald.conf"
    says '^fail +configuration .*focald.conf:2: .*quantile.*mend: '
}
a_model_that_is_not_there_is_told() {
    printf '[model]\ndir = %s/nothing\n' "$dir" >"$dir/config/focald/focald.conf"
    doctor 1 --name focald-none
    rm "$dir/config/focald/focald.conf"
    says '^fail +configuration .*/nothing'
}
a_missing_runtime_directory_is_told() {
    (unset XDG_RUNTIME_DIR; doctor 1 --name focald-none)
    says '^fail +permissions +XDG_RUNTIME_DIR is not set.*mend: log in'
    XDG_RUNTIME_DIR="$dir/nothing" doctor 1 --name focald-none
    says '^fail +permissions +runtime directory .*/nothing: No such file'
    chmod 777 "$dir/run"
    doctor 1 --name focald-none
    chmod 700 "$dir/run"
    says "^warn +permissions .*others may write in it; mend: chmod 700 $dir/run"
}
start() {
    "$focald" run --threads 1 "$@" </dev/null >"$dir/focald.log" 2>&1 &
    pid=$!
    for i in $(seq 300); do
        "$focalctl" get >/dev/null 2>&1 && return 0
        kill -0 $pid || return 1
        sleep 0.1
    done
    return 1
}
with_a_daemon_all_is_well() {
    start --source "file:$demo/dog.ogg" --loop
    until_plays
    doctor 0
    says '^ok +sockets .*/run/focald/data listens$'
    says '^ok +daemon +focald [0-9.]+ answers'
    says '^ok +daemon +it publishes at ipc://'
    hash=$("$focalctl" --json status | grep -oE '"hash":"[0-9a-f]{16}' | cut -c 9-)
    [ -n "$hash" ]
    says "^ok +model +in use: [a-z]*, hash $hash, 74 labels, on the cpu"
    says '^ok +source +stream main: playing .*dog.ogg'
    says_not '^fail '
    doctor 0 --json
    grep -q '^{"ok":true,' "$dir/out"
}
a_source_that_waits_fails_with_its_problem() {
    start --source jack:2
    sleep 4 # a source has three seconds before it counts as a problem
    doctor 1
    says '^fail +source +stream main: .*mend: '
    says '^fail +server +jack does not answer.*mend: jackd'
}
a_source_that_takes_any_server_needs_one() {
    start --source auto
    sleep 4
    doctor 1
    says '^fail +server +neither PipeWire nor JACK answers; mend: '
    says_not 'nothing here needs it'
}
a_daemon_that_does_not_answer_fails() {
    start --source "file:$demo/dog.ogg" --loop
    kill -STOP $pid
    doctor 1 --timeout 0.5
    says '^fail +daemon .*does not answer within 0.5 s; mend: '
    kill -CONT $pid
}

for name in without_a_daemon_it_says_how_to_start_one json_says_the_same \
    a_stale_socket_is_called_stale a_closed_directory_is_called_closed \
    a_disk_that_may_not_be_written_fails places_are_those_of_the_configuration \
    a_wrong_configuration_is_told_by_its_line \
    a_model_that_is_not_there_is_told a_missing_runtime_directory_is_told; do
    promise $name
done
# these start a daemon, which ends with the subshell's promise
for name in with_a_daemon_all_is_well a_source_that_waits_fails_with_its_problem \
    a_source_that_takes_any_server_needs_one \
    a_daemon_that_does_not_answer_fails; do
    eval "${name}_and_ends() { trap 'kill -CONT \$pid; kill -TERM \$pid; wait \$pid' EXIT; $name; }"
    promise ${name}_and_ends
done
[ $failures = 0 ]
