#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `focald bench` measures what it says, with the small model and for moments only: that the numbers
# hang together, not how large they are.
set -eu
python=/usr/bin/python3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" XDG_CONFIG_HOME="$work/none" XDG_CACHE_HOME="$work/cache" TMPDIR="$work"

"$FOCALD" bench network pipeline latency --json --model "$FOCALD_SOURCE/tests/data/baseline" \
    --seconds 1.5 >"$work/bench.json"
"$python" - "$work/bench.json" <<'PY'
import json, sys
b = json.load(open(sys.argv[1]))
n, p, l = b['network'], b['pipeline'], b['latency']
assert n['model'] == 'baseline' and n['batch'] == 1 and n['threads'] >= 1 and n['rounds'] >= 1
assert abs(n['gflop_s'] - n['gflop_per_window'] / n['ms_per_window'] * 1e3) < 0.01 * n['gflop_s']
assert abs(n['share'] - n['gflop_s'] / n['sgemm_gflop_s']) < 1e-3
assert abs(n['weights_mb'] - 7.7) < 0.3, 'model.safetensors has 7.7 MB'
assert n['resident_mb'] > n['resident_without_model_mb'] > 0
assert p['rate_hz'] == 48000 and p['channels'] == 2 and p['hops'] >= 10
assert abs(p['hop_s'] - 0.499875) < 1e-6
parts = [p[k + '_ms'] for k in ('ingest', 'before', 'after', 'audio', 'total')]
for s in parts + [l[k + '_ms'] for k in ('total', 'network', 'overhead')]:
    assert 0 < s['p50'] <= s['p99'] <= s['max']
assert parts[-1]['p50'] <= 1.5 * sum(s['p50'] for s in parts[:-1]) + 0.1
assert 1 <= l['labels'] <= 4, '5 s for the first window, then one each half second'
assert l['total_ms']['max'] >= l['network_ms']['p50']
PY
[ -z "$(find "$work" -name 'focald-bench-*')" ] # no socket directory is left
"$FOCALD" bench pipeline --seconds 0.3 | grep -q "all but the network .* goal 3 ms"

# training, of one clip a step
"$FOCALD" bench train --json --batch 1 --threads 1 --seconds 0.1 --checkpoint-activations \
    >"$work/train.json"
"$python" - "$work/train.json" <<'PY'
import json, sys
b = json.load(open(sys.argv[1]))
assert sorted(b) == ['train', 'train_checkpointed']
t, c = b['train'], b['train_checkpointed']
for x in (t, c):
    assert x['rounds'] >= 3 and x['batch'] == 1 and x['threads'] == 1
    assert abs(x['gflop_s'] - x['gflop_per_clip'] * x['clips_per_s']) < 0.01 * x['gflop_s']
    assert abs(x['share'] - x['gflop_s'] / x['sgemm_gflop_s']) < 1e-3
    assert abs(x['weights_mb'] - 4 * 27.85) < 0.5, '27.85 million weights'
    assert abs(x['gflop_per_clip'] - 3 * 8.79) < 0.3, 'published: 4.4 G multiply-adds'
assert c['stored_mb'] < 0.3 * t['stored_mb']
assert t['peak_mb'] > 4 * t['weights_mb'] + t['stored_mb']
PY
status=0
"$FOCALD" bench nonsense 2>"$work/err" || status=$?
[ "$status" = 2 ]
grep -q "network, pipeline, latency, train" "$work/err"
status=0
"$FOCALD" bench network --model "$work/nowhere" 2>"$work/err" || status=$?
[ "$status" = 1 ]
grep -q "$work/nowhere" "$work/err"
for json in "" --json; do
    status=0
    "$FOCALD" bench pipeline --seconds 0.1 $json >/dev/full 2>"$work/err" || status=$?
    [ "$status" = 1 ]
    grep -q "cannot write the results: No space left" "$work/err"
done
