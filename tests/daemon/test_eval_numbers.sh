#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A model that PyTorch trained, on the clips it was chosen on: the accuracies that PyTorch gave
# (tests/data/baseline/README.md), to a clip; and of the models that come with focald what their cards
# say. FOCALD_SHARED or ../shared: where the clips are.
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

# a_model_card_says_what_eval_measures: every row of its table of figures, to a clip.
card() {
    found=$(grep -cE '^\| (esc50|kitchen20|animals-home) \| [0-9]+ \| 0\.' "$models/$1/MODEL_CARD.md")
    [ "$found" = "$2" ] || { echo "$1: $found figures, not $2"; failures=$((failures + 1)); }
    while read -r _ set _ clips _ wanted _ recall _; do
        measured=$("$FOCALD" eval --quiet --accuracy-only --data "$shared/data/$set" --folds 4 \
            --alias bird=chirping_birds --model "$models/$1" --json - |
            /usr/bin/python3 -c 'import json, sys
j = json.load(sys.stdin)
print(j["accuracy"], j["reject"]["recall"])')
        echo "$1, $set: accuracy and recall $measured, the card $wanted $recall"
        /usr/bin/python3 - "$clips" "$wanted" "$recall" $measured <<'PY' || failures=$((failures + 1))
import sys
clips, *figures = map(float, sys.argv[1:])
assert all(abs(a - b) <= 1 / clips + 0.0005 for a, b in zip(figures[:2], figures[2:]))
PY
    done <<ROWS
$(grep -E '^\| (esc50|kitchen20|animals-home) \| [0-9]+ \| 0\.' "$models/$1/MODEL_CARD.md")
ROWS
}

models=$FOCALD_SOURCE/model/pretrained
card home 3
card esc50 1
[ "$failures" = 0 ]
