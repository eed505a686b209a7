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
    train --quiet --epochs 24 --out "$work/all"
    # a list of labels, in its order, without them; an alias of one is one of them
    printf 'sweep\nnoise\nclicks\n' >"$work/labels.txt"
    train --labels "$work/labels.txt" --set classes.skip_unknown=yes --alias 'low tone=Clicks' \
        --set classes.leave_out=clicks --epochs 1 --out "$work/listed" 2>"$work/err"
    grep -q '2 classes, 12 clips train, 8 validate, 8 are of classes left out' "$work/err"
    printf 'sweep\nnoise\n' | cmp - "$work/listed/best/labels.txt"
}

# keep_unlabelled: clips of classes that are not listed train what copies the teacher; a class that is
# left out is to be unheard of.
what_is_left_out_does_not_copy_the_teacher() {
    printf 'sweep\nnoise\nclicks\n' >"$work/labels.txt"
    train --teacher "$work/teacher.safetensors" --labels "$work/labels.txt" --epochs 1 \
        --set classes.keep_unlabelled=yes --out "$work/all_heard" 2>"$work/err"
    grep -q ' 30 clips train, 12 validate' "$work/err"
    train --teacher "$work/teacher.safetensors" --labels "$work/labels.txt" --epochs 1 \
        --set classes.keep_unlabelled=yes --set classes.leave_out=noise --out "$work/unheard" \
        2>"$work/err"
    grep -q ' 24 clips train, 8 validate, 4 are' "$work/err"
    # the high and the low tone are no classes of it either, but it has heard them
    reject --false-names 0.5 --json "$work/unheard.json" "$work/unheard"
    "$python" - "$work/unheard.json" <<'PY'
import json, sys
j = json.load(open(sys.argv[1]))
assert (j['runs'][0]['known'], j['runs'][0]['unknown']) == (8, 4), j['runs']
assert [name for name, c in j['classes'].items() if c['unknown'] > 0] == ['noise'], j['classes']
PY
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
    cp "$work/set/noise"/* "$work/other/Noise/"
    ln -s "$work/set/low tone" "$work/set/high tone" "$work/other/"
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
assert counts(run) == (20, 2) and counts(model) == (30, 2) and counts(alias) == (6, 1)
assert model['classes']['foreign']['unknown'] == 2 and alias['classes']['thing']['unknown'] == 1
PY
}

# Of clips of 48 kHz, whose half rate is where resamplers differ. The threshold is for the daemon, and by default they come as to it.
the_daemon_s_resampler_is_what_a_threshold_is_chosen_by() {
    mkdir -p "$work/fast set"
    for class in "low tone" "high tone" noise clicks sweep; do
        mkdir "$work/fast set/$class"
        for k in 0 1; do
            "$python" - "$work/set/$class/$k.wav" "$work/fast set/$class/$k.wav" <<'PY'
import sys, wave
with wave.open(sys.argv[1]) as r, wave.open(sys.argv[2], 'wb') as w:
    x = r.readframes(r.getnframes())
    w.setparams((1, 2, 48000, 0, 'NONE', ''))
    w.writeframes(b''.join(3 * x[i:i + 2] for i in range(0, len(x), 2)))
PY
        done
    done
    for how in "" "--resampler best" "--resampler paper"; do
        reject --false-names 0.5 --data "$work/fast set" $how --alias noise=hiss --alias clicks=ticks \
            --json - "$work/all/best" >"$work/by$how.json"
    done
    cmp "$work/by.json" "$work/by--resampler best.json"
    grep -q '"resampler":"best"' "$work/by.json"
    grep -q '"resampler":"paper"' "$work/by--resampler paper.json"
    "$python" - "$work" <<'PY'
import json, sys
best, paper = (json.load(open(f'{sys.argv[1]}/by{x}.json')) for x in ('', '--resampler paper'))
assert [s['below'] for s in best['scores']] != [s['below'] for s in paper['scores']]
PY
}

names_of_any_bytes_are_told_and_steer_no_terminal() {
    odd=$(printf 'ho\377wl\033[31m')
    mkdir -p "$work/odd/$odd"
    cp "$work/set/sweep/1.wav" "$work/odd/$odd/1.wav"
    ln -s "$work/set/low tone" "$work/odd/"
    ln -s "$work/all/best" "$work/$odd"
    reject --false-names 0.5 --data "$work/odd" --json "$work/odd.json" "$work/$odd" >"$work/table"
    "$python" - "$work" <<'PY'
import json, sys
work = sys.argv[1]
j = json.load(open(work + '/odd.json'))
name = 'ho\ufffdwl\x1b[31m'
assert j['runs'][0]['run'] == work + '/' + name, j['runs']
assert j['classes'][name]['unknown'] == 1, j['classes']
table = open(work + '/table', encoding='utf-8').read()
assert '\x1b' not in table and table.count('ho\ufffdwl?[31m') == 2, table
PY
}

# By their own ways classify and eval name what was counted: with the threshold in each run's model,
# as many of its known clips and of its unknown ones.
classify_and_eval_agree_with_what_was_promised() {
    cp -r "$work/all/best" "$work/agreed"
    reject --false-names 0.25 --model "$work/agreed" --json "$work/r.json" \
        "$work/noise" "$work/clicks" "$work/two" >"$work/table"
    for run in noise clicks two; do
        cp -r "$work/$run" "$work/agreed-$run"
        cp "$work/agreed/preprocess.json" "$work/agreed-$run/best/"
        "$FOCALD" classify --quiet --json --threads 1 --model "$work/agreed-$run/best" \
            "$work/set"/*/[3489].wav >"$work/agreed-$run/lines"
        "$FOCALD" classify --quiet --threads 1 --model "$work/agreed-$run/best" \
            "$work/set"/*/[3489].wav >"$work/agreed-$run/text"
        "$FOCALD" eval --quiet --accuracy-only --threads 1 --model "$work/agreed-$run/best" \
            --data "$work/set" --folds 4-5 --unknown "$work/set" --unknown-folds 4-5 \
            --json "$work/agreed-$run/eval.json" --csv "$work/agreed-$run/eval.csv" \
            --per-class >"$work/table"
        grep -q ' is unknown$' "$work/table"
    done
    "$python" - "$work" <<'PY'
import csv, json, os, sys
work = sys.argv[1]
r = json.load(open(work + '/r.json'))
for run, want in zip(('noise', 'clicks', 'two'), r['runs']):
    at = f'{work}/agreed-{run}/'
    labels = open(at + 'best/labels.txt').read().split('\n')
    clips = [json.loads(l) for l in open(at + 'lines')]
    truth = [os.path.basename(os.path.dirname(c['file'])) for c in clips]
    known = [(c, t) for c, t in zip(clips, truth) if t in labels]
    unknown = [c for c, t in zip(clips, truth) if t not in labels]
    assert (len(known), len(unknown)) == (want['known'], want['unknown'])
    assert all((c['label'] is None) == c['unknown'] for c in clips)
    assert all((c['score'] < r['reject']['below']) == c['unknown'] for c in clips)
    assert all(len(c['top']) == len(labels) - 1 for c in clips)
    named_right = sum(c['label'] == t for c, t in known)
    assert abs(named_right / len(known) - want['recall']) < 1e-9, (run, named_right)
    assert sum(not c['unknown'] for c in unknown) == want['named_unknown'], run
    text = open(at + 'text').read().splitlines()
    assert len(text) == len(clips)
    assert all((' unknown ' in l and 'nearest to' in l) == c['unknown'] for l, c in zip(text, clips))
    e = json.load(open(at + 'eval.json'))
    for key in ('known', 'unknown', 'named_unknown'):
        assert e['reject'][key] == want[key], (run, key, e['reject'], want)
    for key in ('accuracy', 'recall', 'named_wrong', 'false_names'):
        assert abs(e['reject'][key] - want[key]) < 1e-9, (run, key, e['reject'], want)
    assert {k: e['reject'][k] for k in ('score', 'below')} == r['reject']
    rows = list(csv.DictReader(open(at + 'eval.csv')))
    assert sum(x['correct'] == '1' and x['unknown'] == '0' for x in rows) == named_right
    assert abs(sum(v['recall'] * v['clips'] for v in e['per_class'].values()) - named_right) < 1e-9
PY
    "$FOCALD" classify --quiet --json --reject off --model "$work/agreed-noise/best" \
        "$work/set/noise/3.wav" | grep -q '"label":"[a-z ]*","unknown":false,"score":null'
    status 1 "$FOCALD" classify --reject loud "$work/set/noise/3.wav" 2>"$work/err"
    one_line auto off loud
    status 1 "$FOCALD" eval --quiet --data "$work/set" --unknown "$work/set" --accuracy-only \
        --model "$work/two/best" 2>"$work/err"
    one_line 'no threshold' reject
    status 1 "$FOCALD" eval --quiet --data "$work/set" --unknown "$work/set" --accuracy-only \
        --model "$work/agreed" 2>"$work/err"
    one_line 'knows all classes'
    status 2 "$FOCALD" eval --quiet --data "$work/set" --unknown-folds 4 2>"$work/err"
    one_line unknown-folds
}

# The threshold goes along: out, in, and into a training that is told of it.
export_import_and_train_carry_the_threshold() {
    "$FOCALD" export "$work/agreed" "$work/exported"
    "$FOCALD" import "$work/exported" "$work/imported"
    cmp "$work/agreed/preprocess.json" "$work/imported/preprocess.json"
    train --quiet --epochs 1 --set 'network.reject=margin 0.25' --out "$work/told"
    "$python" -c "
import json
assert json.load(open('$work/told/last/preprocess.json'))['reject'] == {'score': 'margin', 'below': 0.25}"
    for wrong in margin 'margin x' 'loud 0.5' 'cosine 3'; do
        status 1 train --quiet --set "network.reject=$wrong" --out "$work/x" 2>"$work/err"
        one_line '\[network\]' reject
    done
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
    # before the models are opened
    status 1 reject --json "$work/set" "$work/nowhere" 2>"$work/err"
    one_line "$work/set" directory
    for wrong in "" "--false-names 0.6 x" "--false-names nan x" "--score loud x" "--resampler good x" "--folds 4 x" \
        "--data x --folds 2-1 x" "--backend tape x"; do
        status 2 "$FOCALD" reject $wrong 2>"$work/err"
        one_line focald
    done
}

for p in classes_that_are_left_out_are_not_learnt what_is_left_out_does_not_copy_the_teacher \
    a_class_to_leave_out_that_there_is_not_is_told runs_that_are_older_than_the_key_go_on \
    the_table_and_the_json_agree_and_count_every_clip \
    the_threshold_goes_into_a_model_whole_and_beside_what_is_there \
    other_sets_serve_as_unknown_sounds \
    the_daemon_s_resampler_is_what_a_threshold_is_chosen_by names_of_any_bytes_are_told_and_steer_no_terminal \
    classify_and_eval_agree_with_what_was_promised \
    export_import_and_train_carry_the_threshold what_does_not_go_together_is_one_line; do
    promise $p
done
[ $failures = 0 ]
