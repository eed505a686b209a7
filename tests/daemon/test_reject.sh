#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Unknown sounds, from training without them to the threshold: `focald train` with classes left out,
# `focald reject`, and what `classify` and `eval` then say. FOCALD: the program.
. "$(dirname "$0")/promises.sh"

# Five sounds, ten clips each: a folder a class, so that folds 1 to 5 have two of each.
"$python" - "$work/set" <<'PY'
import math, os, random, struct, sys, wave
random.seed(4)
rate = 16000
def tone(low, high):
    def make(n):
        f, p = random.uniform(low, high), random.uniform(0, 6)
        return [0.5 * math.sin(2 * math.pi * f * i / rate + p) for i in range(n)]
    return make
def noise(n):
    return [random.uniform(-0.5, 0.5) for _ in range(n)]
def clicks(n):
    step = random.randint(1500, 2500)
    return [0.9 if i % step < 8 else 0.0 for i in range(n)]
def sweep(n):
    f = random.uniform(500, 900)
    return [0.5 * math.sin(2 * math.pi * f * (i / rate) ** 2) for i in range(n)]
for name, make in (('low tone', tone(300, 500)), ('high tone', tone(3000, 5000)),
                   ('noise', noise), ('clicks', clicks), ('sweep', sweep)):
    os.makedirs(f'{sys.argv[1]}/{name}')
    for k in range(10):
        x = make(random.randint(20000, 40000))
        with wave.open(f'{sys.argv[1]}/{name}/{k}.wav', 'wb') as w:
            w.setparams((1, 2, rate, 0, 'NONE', ''))
            w.writeframes(b''.join(struct.pack('<h', int(32767 * v)) for v in x))
# what a teacher says of each of the 50 clips
head = {'embedding': ('F32', [50, 3]), 'scores': ('F32', [50, 2])}
out, at = {}, 0
for key, (dtype, shape) in head.items():
    n = 4 * shape[0] * shape[1]
    out[key] = {'dtype': dtype, 'shape': shape, 'data_offsets': [at, at + n]}
    at += n
text = json = __import__('json').dumps(out).encode()
with open(sys.argv[1] + '/../teacher.safetensors', 'wb') as f:
    f.write(struct.pack('<Q', len(text)) + text +
            struct.pack('<%df' % (at // 4), *(random.random() for _ in range(at // 4))))
PY

cat >"$work/small.conf" <<'CONF'
[network]
image = 32
embed_dim = 8
depths = 1,1
focal_levels = 2,2
focal_windows = 3,3
head_dim = 16
[loss]
margin = 0.1
scale = 10
[optimizer]
rate = 3e-3
warmup_epochs = 0.5
average = 0.9
[augment]
mixup_probability = 0.2
[masking]
time_frames = 4
frequency_bins = 4
[run]
batch = 6
threads = 1
epochs = 3
valid_every = 3
explain_every = 0
CONF

train() {
    "$FOCALD" train --data "$work/set" --train-folds 1-3 --valid-folds 4-5 \
        --config "$work/small.conf" "$@"
}

reject() {
    "$FOCALD" reject --quiet --threads 1 "$@"
}

# One line that holds every word.
one_line() {
    [ "$(wc -l <"$work/err")" = 1 ] || { cat "$work/err"; return 1; }
    for word in "$@"; do
        grep -q -e "$word" "$work/err" || { cat "$work/err"; return 1; }
    done
}

classes_that_are_left_out_are_not_learnt() {
    train --set classes.leave_out=Noise --out "$work/noise" 2>"$work/err"
    grep -q '4 classes, 24 clips train, 16 validate, 4 are of classes left out' "$work/err"
    printf 'clicks\nhigh tone\nlow tone\nsweep\n' | cmp - "$work/noise/best/labels.txt"
    train --quiet --set classes.leave_out=clicks --out "$work/clicks"
    train --quiet --set classes.leave_out='sweep, high_tone' --out "$work/two"
    printf 'clicks\nlow tone\nnoise\n' | cmp - "$work/two/best/labels.txt"
    train --quiet --out "$work/all"
    # a list of labels, in its order, without them; an alias of one is one of them
    printf 'sweep\nnoise\nclicks\n' >"$work/labels.txt"
    train --labels "$work/labels.txt" --set classes.skip_unknown=yes --alias 'low tone=Clicks' \
        --set classes.leave_out=clicks --epochs 1 --out "$work/listed" 2>"$work/err"
    grep -q '2 classes, 12 clips train, 8 validate, 8 are of classes left out' "$work/err"
    printf 'sweep\nnoise\n' | cmp - "$work/listed/best/labels.txt"
}

# keep_unlabelled: their clips train what copies the teacher, and validate nothing.
what_is_left_out_may_still_copy_the_teacher() {
    train --teacher "$work/teacher.safetensors" --set classes.leave_out=noise --epochs 1 \
        --out "$work/without" 2>"$work/err"
    grep -q ' 24 clips train, 16 validate' "$work/err"
    train --teacher "$work/teacher.safetensors" --set classes.leave_out=noise --epochs 1 \
        --set classes.keep_unlabelled=yes --out "$work/with" 2>"$work/err"
    grep -q ' 30 clips train, 16 validate, 4 are' "$work/err"
}

a_class_to_leave_out_that_there_is_not_is_told() {
    status 1 train --quiet --set classes.leave_out='noise, nose' --out "$work/x" 2>"$work/err"
    one_line leave_out nose
    status 1 train --quiet --set classes.leave_out='noise,Noise' --out "$work/x" 2>"$work/err"
    one_line leave_out twice
    status 1 train --quiet --set classes.leave_out='noise,clicks,sweep,low tone' --out "$work/x" \
        2>"$work/err"
    one_line '1 class'
}

# train.conf as it was before the key was there
runs_that_are_older_than_the_key_go_on() {
    cp -r "$work/all" "$work/old"
    grep -v '^leave_out' "$work/all/train.conf" >"$work/old/train.conf"
    "$FOCALD" train --quiet --resume "$work/old"
    sed 's/^leave_out.*/leave_out = noise/' "$work/all/train.conf" >"$work/old/train.conf"
    status 1 "$FOCALD" train --quiet --resume "$work/old" 2>"$work/err"
    one_line 'another network'
}

# 16 + 16 + 12 clips that are known, 4 + 4 + 8 that are not: 25 % of 16 are 4
the_table_and_the_json_agree_and_count_every_clip() {
    reject --false-names 0.25 --json "$work/r.json" "$work/noise" "$work/clicks" "$work/two" \
        >"$work/table"
    "$python" - "$work/r.json" "$work/table" <<'PY'
import json, sys
j, table = json.load(open(sys.argv[1])), open(sys.argv[2]).read()
assert [r['known'] for r in j['runs']] == [16, 16, 12], j['runs']
assert [r['unknown'] for r in j['runs']] == [4, 4, 8], j['runs']
assert [r['left_out'] for r in j['runs']] == [['Noise'], ['clicks'], ['sweep', 'high_tone']]
c = j['classes']
assert {k: (v['known'], v['unknown']) for k, v in c.items()} == {
    'clicks': (8, 4), 'high tone': (8, 4), 'low tone': (12, 0), 'noise': (8, 4), 'sweep': (8, 4)}
assert len(j['scores']) == 4
best = [s for s in j['scores'] if s['score'] == j['reject']['score']][0]
assert best['below'] == j['reject']['below']
assert all(s['known'] == 44 and s['unknown'] == 16 for s in j['scores'])
assert all(s['named_unknown'] <= 4 and s['false_names'] <= 0.25 for s in j['scores'])
assert all(s['recall'] <= best['recall'] <= best['accuracy'] for s in j['scores'])
for part in ('runs', 'classes'):
    rows = j['runs'] if part == 'runs' else c.values()
    total = lambda key, of: sum((r[key] or 0) * r[of] for r in rows)
    assert abs(total('recall', 'known') - best['recall'] * 44) < 1e-9
    assert abs(total('accuracy', 'known') - best['accuracy'] * 44) < 1e-9
    assert sum(r['named_unknown'] for r in rows) == best['named_unknown']
assert '44 clips of known sounds, 16 of unknown ones' in table and '25 %' in table
assert '* ' + j['reject']['score'] in table and '%.2f %%' % (100 * best['recall']) in table
PY
    reject --false-names 0.25 --json - "$work/noise" "$work/clicks" "$work/two" | cmp - "$work/r.json"
    reject --false-names 0.25 --score margin --json - "$work/noise" |
        grep -q '"reject":{"score":"margin"'
}

the_threshold_goes_into_a_model_whole_and_beside_what_is_there() {
    cp -r "$work/all/best" "$work/model"
    sed 's/"scale": 15.0/"scale": 1.5e1/' "$work/all/best/preprocess.json" \
        >"$work/model/preprocess.json"
    reject --false-names 0.25 --model "$work/model" --json "$work/r.json" "$work/noise" \
        "$work/clicks" >"$work/table"
    "$python" - "$work" <<'PY'
import json, sys
read = lambda name: json.load(open(sys.argv[1] + name))
was, now, r = read('/all/best/preprocess.json'), read('/model/preprocess.json'), read('/r.json')
assert now.pop('reject') == r['reject'] and now == was, now
PY
    [ -z "$(ls -A "$work/model" | grep focald)" ]
    before=$(cksum <"$work/model/preprocess.json")
    # no file may grow at all
    told=$( (ulimit -f 0; status 1 reject --score margin --model "$work/model" "$work/noise" \
        --false-names 0.5) 2>&1 >/dev/null)
    [ "${told#*"$work/model/preprocess.json"*File too large}" != "$told" ]
    [ "$before" = "$(cksum <"$work/model/preprocess.json")" ]
    [ -z "$(ls -A "$work/model" | grep focald)" ]
}

# all, which knows the five sounds, and sounds of another set, beside one that it knows
other_sets_serve_as_unknown_sounds() {
    mkdir -p "$work/other/foreign" "$work/other/Noise"
    cp "$work/set/sweep/1.wav" "$work/other/foreign/1.wav"
    cp "$work/set/clicks/2.wav" "$work/other/foreign/2.wav"
    cp "$work/set/noise/3.wav" "$work/other/Noise/3.wav"
    status 1 reject "$work/all" 2>"$work/err"
    one_line "$work/all" leave_out -- --data
    # of a run only the unknown ones count beside its validation clips, of a model all
    reject --false-names 0.5 --data "$work/other" --json - "$work/all" >"$work/run.json" 2>"$work/err"
    reject --false-names 0.5 --data "$work/other" --json - "$work/all/best" >"$work/model.json"
    reject --false-names 0.5 --data "$work/other" --folds 1 --alias foreign=thing \
        --json - "$work/all/best" >"$work/alias.json"
    "$python" - "$work" <<'PY'
import json, sys
run, model, alias = (json.load(open(f'{sys.argv[1]}/{x}.json')) for x in ('run', 'model', 'alias'))
counts = lambda j: (j['runs'][0]['known'], j['runs'][0]['unknown'])
assert counts(run) == (20, 2) and counts(model) == (1, 2) and counts(alias) == (1, 1)
assert model['classes']['foreign']['unknown'] == 2 and alias['classes']['thing']['unknown'] == 1
PY
}

what_does_not_go_together_is_one_line() {
    cp -r "$work/set" "$work/four"
    rm -r "$work/four/clicks"
    "$FOCALD" train --quiet --data "$work/four" --train-folds 1-3 --valid-folds 4 --epochs 1 \
        --config "$work/small.conf" --set classes.leave_out=noise --out "$work/less"
    status 1 reject "$work/noise" "$work/less" 2>"$work/err"
    one_line clicks "$work/less"
    status 1 reject --model "$work/less/best" "$work/noise" 2>"$work/err"
    one_line "$work/less/best"
    train --quiet --epochs 1 --set network.scale=30 --set classes.leave_out=noise --out "$work/scale"
    status 1 reject "$work/noise" "$work/scale" 2>"$work/err"
    one_line 'scale 15' 30
    status 1 reject "$work/nowhere" 2>"$work/err"
    one_line "$work/nowhere"
    mkdir "$work/young"
    cp "$work/noise/train.conf" "$work/young/"
    status 1 reject "$work/young" 2>"$work/err"
    one_line "$work/young" best
    rm -rf "$work/changed"
    cp -r "$work/noise" "$work/changed"
    rm -r "$work/changed/best"
    cp -r "$work/all/best" "$work/changed/best"
    status 1 reject "$work/changed" 2>"$work/err"
    one_line "$work/changed" Noise
    status 1 reject --model "$work/none" "$work/noise" 2>"$work/err"
    one_line "$work/none"
    status 1 reject --json "$work/no/place" "$work/noise" 2>"$work/err"
    one_line "$work/no/place"
    for wrong in "" "--false-names 0.6 x" "--false-names nan x" "--score loud x" "--folds 4 x" \
        "--data x --folds 2-1 x" "--backend tape x"; do
        status 2 "$FOCALD" reject $wrong 2>"$work/err"
        one_line focald
    done
}

for p in classes_that_are_left_out_are_not_learnt what_is_left_out_may_still_copy_the_teacher \
    a_class_to_leave_out_that_there_is_not_is_told runs_that_are_older_than_the_key_go_on \
    the_table_and_the_json_agree_and_count_every_clip \
    the_threshold_goes_into_a_model_whole_and_beside_what_is_there \
    other_sets_serve_as_unknown_sounds what_does_not_go_together_is_one_line; do
    promise $p
done
[ $failures = 0 ]
