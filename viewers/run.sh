#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD [OPTION...]: what `make run` does. Starts the focald of that build folder with these
# options of `focald run`, and beside it the recorder and the page where they were built; prints one
# line: where to look. Ctrl-C ends all of them, and so does the end of any.
#
# PORT: of the page (8080). STATE: where recordings and logs are kept
# ($XDG_STATE_HOME/focald, that is ~/.local/state/focald).
set -u
build=$1
shift
state=${STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/focald}
port=${PORT:-8080}
names=()
pids=()

say() { echo "make run: $*" >&2; }

# All are told to end before any is waited for; then the recorder has closed its files.
finish() {
    trap '' INT TERM HUP
    [ ${#pids[@]} = 0 ] || kill -TERM "${pids[@]}" 2>/dev/null
    wait
    exit "$1"
}
trap 'finish 0' INT TERM HUP

# start NAME COMMAND...: should this script be killed, the program is told to end.
start() {
    names+=("$1")
    setpriv --pdeathsig TERM "${@:2}" &
    pids+=($!)
}

# The last line that a program wrote before it ended says why.
fail() {
    line=$(tail -n 1 "$state/$1.log" 2>/dev/null)
    say "${line:-$1 ended at once; see $state/$1.log}"
    finish 1
}

alive() { kill -0 "${pids[-1]}" 2>/dev/null; }

# until_ready WHAT COMMAND...: waits until the command succeeds or the program started last is gone.
until_ready() {
    for ((i = 0; i < 300; i++)); do
        "${@:2}" >/dev/null 2>&1 && return 0
        alive || return 1
        sleep 0.1
    done
    say "$1 does not answer within 30 s"
    finish 1
}

page_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$port"); }

# Where its configuration puts them; if something is wrong with that, focald has said what.
checked=$("$build/daemon/focald" run --check --name focald "$@") || exit $?
sockets=${checked##*sockets in }
export FOCALD_DATA=ipc://$sockets/data FOCALD_CONTROL=ipc://$sockets/control

focald_answers() { "$build/ipc/focalctl" --timeout 1 get; }

# One that is too busy to answer within a second holds its lock all the same.
holds_lock() {
    pid=$(cat "$sockets/lock" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = focald ]
}

if focald_answers >/dev/null 2>&1 || holds_lock; then
    say "a focald runs already, process $(cat "$sockets/lock" 2>/dev/null); look with" \
        "$build/viewers/term/focal-term, or end that one first"
    exit 1
fi
if [ -x "$build/viewers/web/focal-web" ] && page_answers 2>/dev/null; then
    say "port $port is taken; end what uses it, or say make run PORT=8081"
    exit 1
fi
if ! mkdir -p "$state" 2>/dev/null || ! [ -w "$state" ]; then
    say "$state: no place for recordings and logs; say make run STATE=DIRECTORY"
    exit 1
fi

start focald "$build/daemon/focald" run --name focald "$@"
if ! until_ready "focald at $sockets" focald_answers; then
    wait "${pids[-1]}" # it has said why
    finish $?
fi
look="$build/viewers/term/focal-term"
if [ -x "$build/viewers/record/focal-record" ]; then
    start focal-record "$build/viewers/record/focal-record" run --dir "$state/record" \
        >"$state/focal-record.log" 2>&1
    sleep 0.5
    alive || fail focal-record
fi
if [ -x "$build/viewers/web/focal-web" ]; then
    start focal-web "$build/viewers/web/focal-web" --listen "127.0.0.1:$port" \
        --history "$state/record" >"$state/focal-web.log" 2>&1
    until_ready focal-web page_answers || fail focal-web
    look="http://127.0.0.1:$port"
fi
echo "focald listens: look at $look (Ctrl-C ends it)"

wait -n
status=$?
for i in "${!pids[@]}"; do
    kill -0 "${pids[$i]}" 2>/dev/null && continue
    [ "${names[$i]}" = focald ] && finish "$status" # the end of its files, or its own line
    fail "${names[$i]}"
done
finish "$status"
