#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The page in a real Chromium, against a real focald and focal-record.
# usage: test_browser.sh BUILD_DIR SOURCE_ROOT FOCALD FOCAL_RECORD FOCAL_WEB FOCALCTL
build=$1
here=$2/tests/viewers/web
skip() {
    echo "skipped: $*"
    exit 77
}
command -v node >/dev/null || skip "no node (apt install nodejs)"
command -v npm >/dev/null || skip "no npm (apt install npm)"
chromium=${CHROMIUM:-/usr/bin/chromium}
[ -x "$chromium" ] || skip "no chromium (apt install chromium)"
[ "$(node -p 'process.versions.node.split(".")[0] >= 18')" = true ] || skip "node is older than 18"
/usr/bin/python3 -c 'import zmq' 2>/dev/null || skip "no zmq for python3 (apt install python3-zmq)"
modules=$build/node
mkdir -p "$modules" || exit 1
if ! cmp -s "$here/package-lock.json" "$modules/installed"; then
    cp "$here/package.json" "$here/package-lock.json" "$modules/"
    (cd "$modules" && npm ci --no-audit --no-fund >npm.log 2>&1) ||
        skip "playwright-core cannot be had: $(tail -1 "$modules/npm.log")"
    cp "$here/package-lock.json" "$modules/installed"
fi
exec node "$here/browser.mjs" "$modules" "$chromium" "$build/screenshots" "$@"
