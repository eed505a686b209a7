#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# focalctl as a user runs it, against a real publisher.
# usage: test_focalctl.sh FOCALCTL TALKER
focalctl=$1
talker=$2
dir=$(mktemp -d)
failed=0
passed=0
export XDG_RUNTIME_DIR="$dir"
unset FOCALD_DATA FOCALD_CONTROL

check() { # check PROMISE COMMAND...
    promise=$1
    shift
    if "$@" >"$dir/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok $promise"
    else
        failed=$((failed + 1))
        echo "not ok $promise"
        cat "$dir/log" "$dir/out" "$dir/err" 2>/dev/null
    fi
}
# run STATUS ARGUMENT...: focalctl gives that exit status; its output goes to out and err
run() {
    expected=$1
    shift
    "$focalctl" "$@" >"$dir/out" 2>"$dir/err"
    status=$?
    [ $status -eq "$expected" ] || { echo "focalctl $*: status $status instead of $expected"; return 1; }
}
# no escape and nothing that some terminals take for one
is_harmless() {
    ! LC_ALL=C grep -q "$(printf '\033\|\302[\200-\237]')" "$dir/out" ||
        { echo "a control character in out"; return 1; }
}
has() { grep -qF -- "$1" "$dir/$2" || { echo "no \"$1\" in $2"; return 1; }; }
one_line() { [ "$(wc -l <"$dir/$1")" -eq 1 ] || { echo "$1 is not one line"; return 1; }; }

no_daemon() {
    run 1 --name focald-none status && one_line err && has "/focald-none/control" err &&
        has "systemctl status focald" err && run 1 --name focald-none listen && one_line err &&
        run 1 --control "ipc://$dir/none" get && one_line err && has "ipc://$dir/none" err
}
bad_usage() {
    run 2 && run 2 dance && has "dance: no such command" err && run 2 set quantile &&
        run 2 get a b && has "b: is one word too many" err && run 2 --color status &&
        has "--color: no such option" err && run 2 --timeout soon status && run 2 --name
}
help() {
    run 0 --help && has "usage: focalctl" out && run 0 --version && has "focalctl " out
}
status_table() {
    run 0 status && has "focald 0.1.0, up 1 d 02:03:04, backend cuda in tf32, the GPU failed 2 times" out &&
        has "model home (0123456789ab)" out && has "kitchen" out && has "running" out
}
json_lines() {
    run 0 --json status && one_line out && has '"uptime_s":93784' out && run 0 streams --json &&
        one_line out && has '"channels":2' out
}
streams_table() { run 0 streams && has "system:capture_1" out && has "48000" out; }
parameters() {
    run 0 get && has "quantile = 0.9" out && run 0 set quantile 0.75 && has "quantile = 0.75" out &&
        run 0 get quantile && has "quantile = 0.75" out && run 1 set quantile high && one_line err &&
        has "quantile = high: must be 0 to 1" err && run 1 set loudness 3 && has "allowed" err
}
reload() {
    run 0 reload && has "changed: top_k" out || return 1
    begin=$(date +%s)
    run 1 --control tcp://127.0.0.1:9 reload && one_line err && [ $(($(date +%s) - begin)) -lt 30 ]
}
info() {
    run 0 info kitchen && has "model.name: home" out && has "labels: rooster, dog" out &&
        has "a    key: 1" out && is_harmless && run 1 info attic && one_line err && has "attic" err
}
# listen_for SECONDS ARGUMENT...
listen_for() {
    seconds=$1
    shift
    timeout -s INT "$seconds" "$focalctl" listen "$@" >"$dir/out" 2>"$dir/err"
    status=$?
    [ $status -eq 0 ] || [ $status -eq 124 ] || { echo "listen: status $status"; return 1; }
}
listening() {
    listen_for 1 && grep -qE '^[0-9:.]{10}  kitchen +dog .*bark 90 %, rooster 10 %$' "$dir/out" &&
        grep -qE '^[0-9:.]{10}  kitchen +unknown, nearest to dog .*bark 90 %$' "$dir/out" &&
        grep -qE '^[0-9:]{8}\.0  kitchen +>> dog' "$dir/out" &&
        grep -qE '^[0-9:]{8}\.5  kitchen +<< dog .*ended after 1.5 s, peak 90 %$' "$dir/out" &&
        [ "$(grep -c 'JACK  server went away' "$dir/out")" -eq 1 ] && is_harmless &&
        [ ! -s "$dir/err" ]
}
listening_json() {
    listen_for 1 --json label/ && [ "$(wc -l <"$dir/out")" -gt 5 ] &&
        ! grep -qv '^{"v":1,"topic":"label","stream":"kitchen",.*}$' "$dir/out"
}
keygen() {
    run 0 keygen "$dir/key" && [ "$(stat -c %a "$dir/key")" = 600 ] && has "key.pub" out &&
        run 1 keygen "$dir/key" && one_line err && has "is there already" err &&
        run 1 keygen "$dir/none/key" && one_line err
}
closed_pipe() { "$focalctl" listen | head -n 2 | grep -c kitchen; }

check no_daemon_is_one_line_with_the_mend no_daemon
check bad_usage_says_what_is_wrong bad_usage
check help_and_version_are_there help
check keygen_writes_a_pair_and_overwrites_nothing keygen
"$talker" "$dir/focald" &
pid=$!
tries=0
until "$focalctl" get >/dev/null 2>&1 || [ $tries -ge 100 ]; do
    tries=$((tries + 1))
    sleep 0.05
done
check status_is_a_table status_table
check json_is_one_object_a_line json_lines
check streams_are_a_table streams_table
check parameters_are_read_and_set parameters
check reload_tells_what_changed reload
check info_names_model_and_labels info
check listening_prints_what_is_heard listening
check listening_with_json_prints_headers listening_json
check a_closed_pipe_ends_listening closed_pipe
kill -TERM $pid
wait $pid
check the_publisher_leaves_no_sockets [ ! -e "$dir/focald" ]
rm -rf "$dir"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
