#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What `make run` starts and ends, with a real focald, and stand-ins for recorder and page, which
# tell how they were started and ended.
# usage: test_run.sh RUN.SH FOCALD FOCALCTL DEMO
script=$1 focald=$(realpath "$2") focalctl=$(realpath "$3") demo=$4
if [ "$(id -u)" = 0 ]; then
    # root's sockets are the machine's; the test takes a user's
    setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$focald" -a -r "$demo/dog.ogg" \
        -a -x "$script" 2>/dev/null || { echo 'skipped: only root may read this tree'; exit 77; }
    [ -n "${RUN_AS_NOBODY:-}" ] || {
        export RUN_AS_NOBODY=1
        exec setpriv --reuid 65534 --regid 65534 --clear-groups bash "$0" "$@"
    }
fi
dir=$(mktemp -d)
export HOME=$dir XDG_RUNTIME_DIR=$dir/run XDG_CACHE_HOME=$dir/cache STATE=$dir/state
export XDG_CONFIG_HOME=$dir/none
unset FOCALD_DATA FOCALD_CONTROL XDG_STATE_HOME
mkdir -m 700 "$dir/run"
trap 'rm -rf "$dir"' EXIT
port=$((20000 + RANDOM % 20000))
echo "seed: port $port"
export PORT=$port
failures=0
run=

b=$dir/build
mkdir -p "$b/daemon" "$b/ipc" "$b/viewers/web" "$b/viewers/record"
ln -s "$focald" "$b/daemon/focald"
ln -s "$focalctl" "$b/ipc/focalctl"
cat >"$b/viewers/web/focal-web" <<'S'
#!/usr/bin/python3
import os, signal, socket, sys
log = open(os.environ["STATE"] + "/web.told", "a", 1)
print(*sys.argv[1:], os.environ["FOCALD_DATA"], file=log)
def end(*_):
    print("ended", file=log)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(os.environ["PORT"])))
s.listen()
while True:
    s.accept()[0].close()
S
cat >"$b/viewers/record/focal-record" <<'S'
#!/bin/bash
echo "$@" >>"$STATE/record.told"
trap 'echo ended >>"$STATE/record.told"; exit 0' TERM
[ ! -e "$STATE/no-record" ] || { echo 'focal-record: the disk is full' >&2; exit 1; }
while :; do sleep 0.1; done
S
chmod +x "$b"/viewers/*/focal-*

promise() {
    # not within `if`, where the shell ignores -e
    (set -e; trap 'echo "$run" >"$dir/last"' EXIT; "$1") >"$dir/log" 2>&1
    if [ $? = 0 ]; then
        echo "ok   $1"
    else
        echo "FAIL $1"
        sed 's/^/     /' "$dir/log" "$dir/out" "$dir/err"
        failures=$((failures + 1))
    fi
    last=$(cat "$dir/last")
    [ -z "$last" ] || pkill -KILL -s "$last" # what a failed promise left, and nothing else
}
# begin: in a process group of its own, as a terminal gives it
begin() {
    rm -f "$STATE"/*.told
    : >"$dir/out" # what an earlier one said is not this one's, though it begins late
    # what runs in the background has SIGINT ignored otherwise
    env --default-signal=INT setsid bash "$script" "$b" --source "file:$demo/dog.ogg" --loop --threads 1 "$@" \
        >"$dir/out" 2>"$dir/err" &
    run=$!
}
until_true() { # until_true COMMAND...
    for ((i = 0; i < 600; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    echo "not within 60 s: $*"
    return 1
}
gone() { ! pgrep -s "$run" >/dev/null; }
has() { grep -qF -- "$1" "$2" || { echo "no \"$1\" in $2"; return 1; }; }

one_line_tells_where_to_look_and_interrupt_ends_all() {
    for how in INT TERM; do
        begin
        until_true has "http://127.0.0.1:$port" "$dir/out"
        [ "$(grep -c 'look at' "$dir/out")" = 1 ]
        has "--listen 127.0.0.1:$port --history $STATE/record ipc://$XDG_RUNTIME_DIR/focald/data" \
            "$STATE/web.told"
        has "run --dir $STATE/record" "$STATE/record.told"
        "$focalctl" get quantile
        if [ $how = INT ]; then kill -INT -- "-$run"; else kill -TERM "$run"; fi
        until_true gone
        wait "$run"
        has ended "$STATE/record.told"
        has ended "$STATE/web.told"
        [ ! -e "$XDG_RUNTIME_DIR/focald" ]
    done
}
without_viewers_the_daemon_runs_alone() {
    mv "$b/viewers" "$b/hidden"
    begin
    until_true has 'focald listens' "$dir/out" || { mv "$b/hidden" "$b/viewers"; return 1; }
    mv "$b/hidden" "$b/viewers"
    has focal-term "$dir/out"
    kill -TERM "$run"
    until_true gone
}
sockets_are_where_the_configuration_puts_them() {
    mkdir -p "$XDG_CONFIG_HOME/focald" "$dir/own place"
    chmod 700 "$dir/own place"
    printf '[ipc]\ndir = %s\n' "$dir/own place" >"$XDG_CONFIG_HOME/focald/focald.conf"
    begin
    until_true has 'look at' "$dir/out" || { rm -r "$XDG_CONFIG_HOME"; return 1; }
    rm -r "$XDG_CONFIG_HOME"
    has "ipc://$dir/own place/data" "$STATE/web.told"
    kill -TERM "$run"
    until_true gone
    [ ! -e "$dir/own place/control" ]
}
a_second_one_is_told_in_one_line() {
    begin
    until_true has 'look at' "$dir/out"
    first=$run
    status=0
    bash "$script" "$b" --source "file:$demo/dog.ogg" >"$dir/out2" 2>"$dir/err2" || status=$?
    [ $status = 1 ]
    [ "$(cat "$dir/out2" "$dir/err2" | wc -l)" = 1 ]
    has 'runs already' "$dir/err2"
    "$focalctl" get quantile # the first one goes on
    kill -TERM "$first"
    until_true gone
}
a_taken_port_is_told_in_one_line() {
    /usr/bin/python3 -c "import socket,time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', $port))
s.listen()
time.sleep(60)" &
    holder=$!
    until_true bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
    status=0
    bash "$script" "$b" --source "file:$demo/dog.ogg" >"$dir/out" 2>"$dir/err" || status=$?
    kill $holder
    [ $status = 1 ]
    [ "$(cat "$dir/out" "$dir/err" | wc -l)" = 1 ]
    has "port $port is taken" "$dir/err"
    [ ! -e "$XDG_RUNTIME_DIR/focald" ]
}
a_viewer_that_ends_says_why_and_ends_all() {
    mkdir -p "$STATE"
    touch "$STATE/no-record"
    begin
    status=0
    wait "$run" || status=$?
    rm "$STATE/no-record"
    [ $status = 1 ]
    has 'the disk is full' "$dir/err"
    until_true gone
}
a_daemon_that_cannot_start_says_why() {
    begin --quantile 7
    status=0
    wait "$run" || status=$?
    [ $status != 0 ]
    has quantile "$dir/err"
    until_true gone
}
killed_it_leaves_nothing_behind() {
    begin
    until_true has 'look at' "$dir/out"
    kill -KILL "$run"
    until_true gone
}

for p in one_line_tells_where_to_look_and_interrupt_ends_all without_viewers_the_daemon_runs_alone \
    sockets_are_where_the_configuration_puts_them a_second_one_is_told_in_one_line \
    a_taken_port_is_told_in_one_line a_viewer_that_ends_says_why_and_ends_all \
    a_daemon_that_cannot_start_says_why killed_it_leaves_nothing_behind; do
    promise $p
done
[ $failures = 0 ]
