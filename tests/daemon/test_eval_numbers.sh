#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A model that PyTorch trained, on the clips it was chosen on: the accuracies that PyTorch gave
# (tests/data/baseline/README.md), to a clip. FOCALD_SHARED or ../shared: where the clips are.
set -u
shared=${FOCALD_SHARED:-$FOCALD_SOURCE/../shared}
[ -d "$shared/data/esc50/audio" ] || { echo "skipped: no $shared/data/esc50"; exit 77; }
failures=0

# accuracy SET CLIPS WANTED
accuracy() {
    found=$("$FOCALD" eval --quiet --accuracy-only --data "$shared/data/$1" --folds 4 \
        --model "$FOCALD_SOURCE/tests/data/baseline" \
        --alias bird=chirping_birds --json - |
        /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["accuracy"])')
    echo "$1: $found, PyTorch $3"
    # what was published has three digits
    /usr/bin/python3 -c "assert abs($found - $3) <= 1 / $2 + 0.0005" || failures=$((failures + 1))
}

accuracy esc50 400 0.595
accuracy kitchen20 160 0.625
accuracy animals-home 213 0.864
[ "$failures" = 0 ]
