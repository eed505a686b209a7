# SPDX-License-Identifier: Apache-2.0
# What the tests of focald's modes share, to be sourced: a home of their own in $work, and promises.
set -u
python=/usr/bin/python3
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export HOME="$work" XDG_CONFIG_HOME="$work/none" XDG_CACHE_HOME="$work/cache"
failures=0

# promise NAME [COMMAND…]: runs the command, or the function of that name, and tells how it went.
promise() {
    name=$1
    [ $# = 1 ] || shift
    # not within `if`, where the shell ignores -e
    (set -e; "$@") >"$work/log" 2>&1
    if [ $? = 0 ]; then
        skipped=$(grep -m1 '^skipped' "$work/log")
        echo "${skipped:+skip $name: }${skipped:-ok   $name}"
    else
        echo "FAIL $name"
        sed 's/^/     /' "$work/log"
        failures=$((failures + 1))
    fi
}

# status WANTED COMMAND…: the exit status must be that.
status() {
    wanted=$1
    shift
    got=0
    "$@" || got=$?
    [ "$got" = "$wanted" ] || { echo "exit status $got, not $wanted: $*"; return 1; }
}
