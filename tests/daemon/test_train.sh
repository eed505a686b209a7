#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `focald train` as people use it: what it learns, what it leaves, how it stops and goes on, what is
# wrong with a set. FOCALD, FOCALD_SOURCE: the program, its source.
. "$(dirname "$0")/promises.sh"

# Three sounds, ten clips each: a folder a class, so that folds 1 to 5 have two of each.
"$python" - "$work/set" <<'PY'
import math, os, random, struct, sys, wave
random.seed(4)
rate = 16000
def tone(n):
    f, p = random.uniform(300, 500), random.uniform(0, 6)
    return [0.5 * math.sin(2 * math.pi * f * i / rate + p) for i in range(n)]
def noise(n):
    return [random.uniform(-0.5, 0.5) for _ in range(n)]
def clicks(n):
    step = random.randint(1500, 2500)
    return [0.9 if i % step < 8 else 0.0 for i in range(n)]
for name, make in (('tone', tone), ('noise', noise), ('clicks', clicks)):
    os.makedirs(f'{sys.argv[1]}/{name}')
    for k in range(10):
        x = make(random.randint(20000, 40000))
        with wave.open(f'{sys.argv[1]}/{name}/{k}.wav', 'wb') as w:
            w.setparams((1, 2, rate, 0, 'NONE', ''))
            w.writeframes(b''.join(struct.pack('<h', int(32767 * v)) for v in x))
PY

cat >"$work/small.conf" <<'CONF'
[network]
image = 32
embed_dim = 8
depths = 1,1
focal_levels = 2,2
focal_windows = 3,3
head_dim = 16
drop_path = 0.2
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
keep_probability = 0.1
remove_probability = 0.1
own_probability = 0.2
[run]
batch = 6
threads = 1
epochs = 6
explain_every = 2
CONF

# start ARGUMENT…: a run in the background, whose process is $pid.
start() {
    "$FOCALD" train --quiet "$@" 2>"$work/background" &
    pid=$!
}

train() {
    "$FOCALD" train --quiet --data "$work/set" --train-folds 1-4 --valid-folds 5 \
        --config "$work/small.conf" "$@"
}

# The word of each line of the error, which is one.
refused() {
    [ "$(wc -l <"$work/err")" = 1 ] || { cat "$work/err"; return 1; }
    for word in "$@"; do
        grep -q -e "$word" "$work/err" || { cat "$work/err"; return 1; }
    done
}

same_state() {
    cmp "$1/state.safetensors" "$2/state.safetensors"
    cmp "$1/last/model.safetensors" "$2/last/model.safetensors"
    cmp "$1/best/model.safetensors" "$2/best/model.safetensors"
}

# waits until the run in $1 has logged $2 epochs
await_epochs() {
    for _ in $(seq 600); do
        [ "$(cat "$1/log.jsonl" 2>/dev/null | wc -l)" -ge "$2" ] && return 0
        sleep 0.05
    done
    return 1
}

it_learns_and_eval_says_what_its_log_says() {
    train --epochs 40 --out "$work/long"
    for file in train.conf state.safetensors log.jsonl curves.png cache lock; do
        [ -f "$work/long/$file" ]
    done
    "$FOCALD" eval --quiet --data "$work/set" --folds 5 --model "$work/long/best" \
        --json "$work/best.json" >/dev/null
    "$python" - "$work/long/log.jsonl" "$work/best.json" <<'PY'
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
best = [l for l in lines if l['best']][-1]
j = json.load(open(sys.argv[2]))
assert [l['epoch'] for l in lines] == list(range(1, 41))
assert abs(best['valid_accuracy'] - j['accuracy']) < 1e-12, (best, j['accuracy'])
assert best['fid_i'] is None or abs(best['fid_i'] - j['fid_i']) < 1e-12
assert j['accuracy'] >= 5 / 6, j['accuracy']
assert lines[-1]['class_loss'] < lines[0]['class_loss'] / 2
PY
}

the_same_seed_gives_the_same_weights_and_another_others() {
    train --out "$work/a"
    train --out "$work/b"
    train --seed 2 --out "$work/c"
    train --set run.checkpoint_activations=yes --out "$work/checkpointed"
    same_state "$work/a" "$work/b"
    cmp "$work/a/last/model.safetensors" "$work/checkpointed/last/model.safetensors"
    ! cmp -s "$work/a/last/model.safetensors" "$work/c/last/model.safetensors"
}

# Of clips of 12 s all begin with the same 6 s of noise; two short ones of each class validate.
a_class_that_is_told_apart_late_in_its_clips_is_learnt() {
    "$python" - "$work" <<'PY'
import math, os, random, struct, sys, wave
rate = 16000
random.seed(5)
noise = [random.uniform(-0.5, 0.5) for _ in range(6 * rate)]
def tone(n):
    f = random.uniform(300, 500)
    return [0.5 * math.sin(2 * math.pi * f * i / rate) for i in range(n)]
def clicks(n):
    step = random.randint(1500, 2500)
    return [0.9 if i % step < 8 else 0.0 for i in range(n)]
def write(path, x):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with wave.open(path, 'wb') as w:
        w.setparams((1, 2, rate, 0, 'NONE', ''))
        w.writeframes(b''.join(struct.pack('<h', int(32767 * v)) for v in x))
for name, make in (('tone', tone), ('clicks', clicks)):
    for k in range(6):
        write(f'{sys.argv[1]}/late/{name}/{k}.wav', noise + make(6 * rate))
    for k in range(2):
        write(f'{sys.argv[1]}/short/{name}/{k}.wav', make(5 * rate))
PY
    "$FOCALD" train --data "$work/late" --train-folds 1-5 --data "$work/short" --valid-folds 1-2 \
        --config "$work/small.conf" --epochs 40 --set masking.own_probability=0 \
        --set masking.keep_probability=0 --set masking.remove_probability=0 --out "$work/late.run" 2>"$work/err"
    grep -q '12 of the clips that train are longer than 5 s' "$work/err"
    if grep -q 'that validate are longer' "$work/err"; then return 1; fi
    "$python" - "$work/late.run/log.jsonl" <<'PY'
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
assert lines[-1]['valid_accuracy'] == 1, lines[-1]
PY
    "$FOCALD" train --data "$work/short" --train-folds 1-2 --data "$work/late" --valid-folds 1-5 \
        --config "$work/small.conf" --epochs 1 --out "$work/late.valid" 2>"$work/err"
    grep -q '12 of the clips that validate are longer than 5 s' "$work/err"
    teach "$work/late" 1 "$work/late.teacher"
    "$FOCALD" train --data "$work/late" --teacher "$work/late.teacher" --train-folds 1-5 \
        --data "$work/short" --valid-folds 1-2 \
        --config "$work/small.conf" --epochs 1 --out "$work/late.taught" 2>"$work/err"
    grep -q '12 of the clips that train by a teacher are longer than 5 s: their first 5 s do' "$work/err"
    if grep -q 'are drawn' "$work/err"; then return 1; fi
}

what_learnt_on_small_images_goes_on_with_larger_ones() {
    sed '/^image/d' "$work/small.conf" >"$work/anysize.conf"
    for image in 0 48; do
        "$FOCALD" train --quiet --data "$work/set" --train-folds 1-4 --valid-folds 5 \
            --config "$work/anysize.conf" --from "$work/a/best" --set network.image=$image \
            --set optimizer.rate=1e-9 --set optimizer.base_rate=0 --set optimizer.average=0 \
            --epochs 1 --out "$work/from$image"
    done
    "$python" - "$work" <<'PY'
import json, struct, sys
def read(path):
    b = open(path + '/model.safetensors', 'rb').read()
    n = struct.unpack('<Q', b[:8])[0]
    head = json.loads(b[8:8 + n])
    return {k: struct.unpack(f'<{(t["data_offsets"][1] - t["data_offsets"][0]) // 4}f',
                             b[8 + n + t['data_offsets'][0]:8 + n + t['data_offsets'][1]])
            for k, t in head.items() if k != '__metadata__' and t['dtype'] == 'F32'}
work = sys.argv[1]
before = read(work + '/a/best')
for image, size in ((0, 32), (48, 48)):
    model = f'{work}/from{image}/last'
    assert json.load(open(model + '/config.json'))['image_size'] == size
    after = read(model)
    assert after.keys() == before.keys() and len(before) > 20
    for k in before:
        if 'running' not in k:
            assert max(abs(a - b) for a, b in zip(after[k], before[k])) < 1e-6, k
PY
}

# Of another number of classes it is all but the classifier's last weights.
what_is_taken_of_a_model_is_told() {
    "$FOCALD" train --data "$work/set" --train-folds 1-4 --valid-folds 5 --from "$work/a/best" \
        --set network.image=32 --set classes.leave_out=tone --set network.head_dim=16 \
        --set network.embed_dim=16 --set network.depths=1,1 --epochs 1 --out "$work/taken" 2>"$work/err"
    all=$("$python" - "$work/taken/last/model.safetensors" <<'PY'
import json, struct, sys
b = open(sys.argv[1], 'rb').read()
n = struct.unpack('<Q', b[:8])[0]
print(len([k for k in json.loads(b[8:8 + n]) if k != '__metadata__']))
PY
)
    grep -q "$((all - 1)) of $all weights are those of .*/a/best" "$work/err"
    grep -q 'geometry is that of .*/a/best: \[network\] embed_dim, depths do not count' "$work/err"
    sed 's/"embed_dim": 8/"embed_dim": 12/' "$work/a/best/config.json" >"$work/other.json"
    status 1 train --from "$work/a/best" --set network.config="$work/other.json" \
        --set network.head_dim=8 --out "$work/x" 2>"$work/err"
    refused "a/best: none of its weights"
    rm -rf "$work/x"
}

# Adam's first step is the rate for every weight, whatever its gradient: from it each tensor tells
# the rate of its part.
each_part_learns_at_its_own_rate_and_what_is_frozen_not_at_all() {
    vit='--set network.kind=vit --set network.hidden_size=24 --set network.layers=2'
    # $vit: words
    train $vit --epochs 1 --out "$work/vit"
    for from in a vit; do
        train --from "$work/$from/best" --set network.freeze=1 --set network.layer_decay=0.5 \
            --set network.drop_path=0 --set optimizer.kind=adam --set optimizer.schedule=constant \
            --set optimizer.rate=1e-2 --set optimizer.weight_decay=0 --set optimizer.max_norm=0 \
            --set optimizer.average=0 --set run.batch=24 --epochs 1 --out "$work/$from.parts"
        "$python" - "$work/$from" <<'PY'
import json, struct, sys
def read(path):
    b = open(path + '/model.safetensors', 'rb').read()
    n = struct.unpack('<Q', b[:8])[0]
    head = json.loads(b[8:8 + n])
    return {k: struct.unpack(f'<{(t["data_offsets"][1] - t["data_offsets"][0]) // 4}f',
                             b[8 + n + t['data_offsets'][0]:8 + n + t['data_offsets'][1]])
            for k, t in head.items() if k != '__metadata__'}
before, after = read(sys.argv[1] + '/best'), read(sys.argv[1] + '.parts/last')
assert before.keys() == after.keys()
parts = {'embeddings': 0, 'stages.0': 0.25, 'layer.0': 0.25, 'stages.1': 0.5, 'layer.1': 0.5,
         ' layernorm': 0.5, ' classifier': 1}
seen = {}
for k in before:
    if 'running' in k:
        continue
    names = [p for p in parts if p in ' ' + k]
    assert len(names) == 1, k
    want = 1e-2 * parts[names[0]]
    most = max(abs(x - y) for x, y in zip(before[k], after[k]))
    assert most <= want * 1.0001 + 1e-6, (k, most, want)
    seen[names[0]] = max(seen.get(names[0], 0), most / want if want > 0 else 1)
assert len(seen) >= 4 and min(seen.values()) > 0.99, seen
PY
    done
}

# antialias = auto. What a model has learnt to see is kept, by the paper's recipe too.
a_model_goes_on_with_the_antialiasing_it_began_with() {
    cp -r "$work/a/best" "$work/plain"
    sed -i 's/"antialias": *true/"antialias": false/' "$work/plain/preprocess.json"
    for recipe in '' '--recipe paper'; do
        # $recipe: words
        rm -rf "$work/plain.run"
        train $recipe --from "$work/plain" --epochs 1 --out "$work/plain.run"
        grep -q '"antialias": *false' "$work/plain.run/best/preprocess.json"
    done
    train --from "$work/plain" --set network.antialias=yes --epochs 1 --out "$work/plain.yes"
    grep -q '"antialias": *true' "$work/plain.yes/best/preprocess.json"
    status 1 train --from "$work/plain" --set augment.stretch_time=0.1 --out "$work/z" 2>"$work/err"
    refused "stretch_time" "antialias"
}

# Stopped by a signal and killed, each in a later epoch than the one before, and resumed after each.
a_run_that_was_stopped_and_killed_goes_on_as_if_it_had_not_been() {
    start --data "$work/set" --train-folds 1-4 --valid-folds 5 --config "$work/small.conf" \
        --out "$work/stopped"
    await_epochs "$work/stopped" 1
    kill -TERM $pid
    status 143 wait $pid
    grep -q -e '--resume' "$work/background"
    start --resume "$work/stopped"
    await_epochs "$work/stopped" 3
    kill -KILL $pid
    status 137 wait $pid
    "$FOCALD" train --quiet --resume "$work/stopped"
    same_state "$work/a" "$work/stopped"
    [ "$(wc -l <"$work/stopped/log.jsonl")" = 6 ]
    # once more: there is nothing left to do
    "$FOCALD" train --quiet --resume "$work/stopped"
    same_state "$work/a" "$work/stopped"
}

# The published scheduler is asked for every batch, also in validation (golden/README, train_steps): of
# 24 clips and 6, by 5, five batches learn and two validate.
the_rate_moves_on_with_validation_where_asked() {
    for counted in no yes; do
        train --epochs 4 --set run.batch=5 --set optimizer.schedule=cyclic \
            --set optimizer.step_size=7 --set optimizer.base_rate=1e-4 --set run.valid_every=1 \
            --set optimizer.schedule_validation=$counted --out "$work/rate-$counted"
        "$python" - "$work/rate-$counted/log.jsonl" $counted <<'PY'
import json, math, sys
for line in open(sys.argv[1]):
    e = json.loads(line)
    step = 5 * e['epoch'] + (2 * (e['epoch'] - 1) if sys.argv[2] == 'yes' else 0)
    x = abs(step / 7 - 2 * math.floor(1 + step / 14) + 1)
    want = 1e-4 + (3e-3 - 1e-4) * max(0, 1 - x)
    assert abs(e['rate'] - want) < 1e-12, (e['epoch'], e['rate'], want)
PY
    done
}

# Killed between its first line and its state, at the latest.
a_run_without_a_whole_epoch_says_that_it_begins_anew() {
    for lines in 0 1; do
        rm -rf "$work/anew"
        cp -r "$work/a" "$work/anew"
        rm "$work/anew/state.safetensors" "$work/anew/curves.png"
        head -n $lines "$work/a/log.jsonl" >"$work/anew/log.jsonl"
        "$FOCALD" train --quiet --resume "$work/anew" 2>"$work/err"
        refused "anew/state.safetensors" "begins anew"
        same_state "$work/a" "$work/anew"
    done
    rm "$work/anew/state.safetensors" "$work/anew/curves.png"
    : >"$work/anew/log.jsonl"
    train --out "$work/anew"
    same_state "$work/a" "$work/anew"
}

the_folds_that_do_neither_are_told() {
    "$FOCALD" train --data "$work/set" --config "$work/small.conf" --epochs 1 --out "$work/three" 2>"$work/err"
    grep -q '18 clips train, 6 validate, 6 of .*/set (fold 5) do neither$' "$work/err"
    "$FOCALD" train --data "$work/set" --train-folds 1 --data "$work/set" --valid-folds 3 \
        --config "$work/small.conf" --epochs 1 --out "$work/two-sets" 2>"$work/err"
    grep -q '6 clips train, 6 validate, 18 of .*/set (folds 2,4-5) do neither$' "$work/err"
    "$FOCALD" train --data "$work/set" --train-folds 1-4 --valid-folds 5 \
        --config "$work/small.conf" --epochs 1 --out "$work/whole" 2>"$work/err"
    grep -q '24 clips train, 6 validate$' "$work/err"
}

# stays COMMAND…: fails, and what is below $work/mine is as it was.
stays() {
    before=$(cd "$work/mine" && find . | sort; find . -type f -exec cksum {} +)
    status 1 "$@" 2>"$work/err"
    [ "$before" = "$(cd "$work/mine" && find . | sort; find . -type f -exec cksum {} +)" ]
}

a_run_writes_over_nothing_that_is_not_a_runs() {
    mine="$work/mine"
    mkdir "$mine"
    cp "$work/small.conf" "$mine/train.conf"
    stays "$FOCALD" train -Q -d "$work/set" -c "$mine/train.conf" -o "$mine"
    refused "mine/train.conf" "move it away"
    rm "$mine/train.conf"
    for file in cache best last curves.png; do
        echo "not a model" >"$mine/$file"
        stays train --out "$mine"
        refused "$file" "another directory"
        rm "$mine/$file"
    done
    mkdir "$mine/best"
    echo "a letter" >"$mine/best/letter"
    stays train --out "$mine"
    refused "mine/best" "no model"
    rm -r "$mine/best"
    # what only lies beside it stays
    mkdir "$mine/lost+found"
    for file in train.log small.conf .nfs0001; do echo mine >"$mine/$file"; done
    train --epochs 1 --out "$mine"
    for file in train.log small.conf .nfs0001; do echo mine | cmp - "$mine/$file"; done
    rm -r "$mine"
    cp -r "$work/a" "$mine"
    rm "$mine/state.safetensors"
    stays "$FOCALD" train --quiet --resume "$mine"
    refused "log.jsonl" "6 epochs"
    stays train --out "$mine"
    cp "$work/a/state.safetensors" "$mine"
    rm -r "$mine/last"
    echo "not a model" >"$mine/last"
    stays "$FOCALD" train --quiet --resume "$mine"
    refused "mine/last" "no model"
}

what_cannot_begin_leaves_no_directory() {
    status 1 train --out "$work/set/run" 2>"$work/err"
    refused "set/run" "give a place outside"
    [ ! -e "$work/set/run" ]
    status 1 "$FOCALD" train -Q -d "$work/set" --train-folds 1-4 --valid-folds 7 \
        -c "$work/small.conf" -o "$work/none" 2>"$work/err"
    refused "fold 7"
    [ ! -e "$work/none" ]
}

has_mpi() {
    command -v mpirun >/dev/null && ldd "$FOCALD" | grep -q libmpi
}

# together ARGUMENT…: two processes that share a training.
together() {
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
    # what Open MPI itself leaks is not ours
    ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" mpirun -n 2 "$FOCALD" train "$@"
}

# of mpirun itself there are more lines
one_of_several_processes_tells_what_is_wrong() {
    has_mpi || { echo "skipped: no Open MPI"; return 0; }
    # by all of them, by the first one, and by an option
    for wrong in "--valid-folds 7 --out $work/z" "--valid-folds 5 --out $work/a" \
        "--valid-folds 5 --set a.b=c --out $work/z"; do
        # $wrong: words
        if together -Q --data "$work/set" --train-folds 1-4 --config "$work/small.conf" $wrong \
            2>"$work/err"; then
            return 1
        fi
        [ "$(grep -c '^focald: ' "$work/err")" = 1 ] || { cat "$work/err"; return 1; }
    done
}

# same_weights RUN RUN FEW NOISE…: all but those whose names end in one of NOISE, and FEW in a
# thousand. What is added to every position before a batch norm has no effect: the gradient of such
# a bias is rounding noise, which Adam makes steps of, and the running mean follows it. So it is
# with single weights of an interpreter whose gradient is next to nothing.
same_weights() {
    "$python" - "$@" <<'PY'
import json, struct, sys
def read(path):
    b = open(path + '/last/model.safetensors', 'rb').read()
    n = struct.unpack('<Q', b[:8])[0]
    head = json.loads(b[8:8 + n])
    out = {}
    for name, t in head.items():
        if name != '__metadata__':
            assert t['dtype'] == 'F32'
            a, z = t['data_offsets']
            out[name] = struct.unpack(f'<{(z - a) // 4}f', b[8 + n + a:8 + n + z])
    return out
one, two = read(sys.argv[1]), read(sys.argv[2])
assert one.keys() == two.keys() and len(one) > 30
few = int(sys.argv[3])
off = sorted((abs(x - y), k) for k in one if not k.endswith(tuple(sys.argv[4:]))
             for x, y in zip(one[k], two[k]))
worst = off[-1 - len(off) * few // 1000]
assert worst[0] < 1e-5, worst
PY
}

two_processes_give_the_weights_of_one_with_twice_the_batch() {
    has_mpi || { echo "skipped: no Open MPI"; return 0; }
    quiet='--set augment.mixup_probability=0 --set masking.own_probability=0.5 --epochs 2'
    # $quiet: words
    train $quiet --set run.batch=8 --out "$work/one"
    together --quiet --data "$work/set" --train-folds 1-4 --valid-folds 5 \
        --config "$work/small.conf" $quiet --set run.batch=4 --out "$work/two"
    same_weights "$work/one" "$work/two" 0 stages.1.layers.0.mlp.fc2.bias \
        classifier.blocks.0.norm.running_mean
}

what_is_wrong_is_told_in_one_line() {
    cp -r "$work/set" "$work/bad"
    mkdir "$work/bad/empty"
    status 1 "$FOCALD" train -Q -d "$work/bad" -c "$work/small.conf" -o "$work/x" 2>"$work/err"
    refused "empty"
    rmdir "$work/bad/empty"
    status 1 "$FOCALD" train -Q -d "$work/bad" --train-folds 1-4 --valid-folds 7 \
        -c "$work/small.conf" -o "$work/x" 2>"$work/err"
    refused "fold 7"
    dd if="$work/bad/tone/1.wav" of="$work/bad/tone/0.wav" bs=244 count=1 2>/dev/null
    status 1 "$FOCALD" train -Q -d "$work/bad" --train-folds 1-4 --valid-folds 5 \
        -c "$work/small.conf" -o "$work/x" 2>"$work/err"
    refused "tone/0.wav"
    status 1 train --out "$work/a" 2>"$work/err"
    refused "--resume"
    status 2 train --set optimizer.rat=1 --out "$work/x" 2>"$work/err"
    refused "did you mean" "rate"
    status 2 train --recipe nothing --out "$work/x" 2>"$work/err"
    refused "paper"
    status 2 "$FOCALD" train --data "$work/set" 2>"$work/err"
    refused "--out"
    status 2 "$FOCALD" train --resume "$work/nowhere" 2>"$work/err"
    refused "train.conf"
}

what_would_learn_nothing_is_refused() {
    # embeddings and two stages; the classifier alone may be trained
    status 1 train --set network.freeze=4 --out "$work/x" 2>"$work/err"
    refused "freeze = 4" "0 to 3" "2 stages"
    train --set network.freeze=3 --epochs 1 --out "$work/frozen"
    status 1 train --set network.kind=vit --set network.hidden_size=24 --set network.layers=1 \
        --set network.freeze=3 --out "$work/x" 2>"$work/err"
    refused "freeze = 3" "0 to 2" "1 layer"
    status 1 train --set run.batch=1 --out "$work/x" 2>"$work/err"
    refused "batch = 1" "2 and more"
    interpreter --set run.batch=1 --epochs 1 --out "$work/piq-single"
    [ ! -e "$work/x" ]
}

# went_on WORD: that it begins anew, and that with this the run goes on.
went_on() {
    [ "$(wc -l <"$work/err")" = 2 ] && grep -q "$1.*the run goes on as it began" "$work/err" ||
        { cat "$work/err"; return 1; }
}

# What an older focald was stopped in the first epoch of.
what_a_new_run_is_refused_for_one_that_is_begun_may_have() {
    train --set network.antialias=no --epochs 1 --out "$work/begun"
    for key in stretch_time=0.1 freeze=9 batch=1; do
        rm -rf "$work/begun.now"
        mkdir "$work/begun.now"
        sed "s/^${key%=*} = .*/${key%=*} = ${key#*=}/" "$work/begun/train.conf" >"$work/begun.now/train.conf"
        "$FOCALD" train --quiet --resume "$work/begun.now" 2>"$work/err"
        went_on "${key%=*}"
    done
}

# Also where the one is no multiple of the other, as 5, which is the default, is not of 2.
what_is_explained_is_what_is_validated_next() {
    train --set run.valid_every=2 --set run.explain_every=3 --epochs 9 --out "$work/sparse"
    "$python" - "$work/sparse/log.jsonl" <<'PY'
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
assert [l['epoch'] for l in lines if l['valid_accuracy'] is not None] == [2, 4, 6, 8, 9]
assert [l['epoch'] for l in lines if l['fid_i'] is not None] == [4, 6, 9]
PY
}

# Its batch norm has means that no clip comes near: of a batch that trains it takes the batch's.
what_a_model_cannot_name_is_not_recognised() {
    cp -r "$work/a/best" "$work/far"
    "$python" - "$work/far/model.safetensors" <<'PY'
import json, struct, sys
with open(sys.argv[1], 'r+b') as f:
    size, = struct.unpack('<Q', f.read(8))
    tensors = json.loads(f.read(size))
    for name, value in (('mean', 3e38), ('var', 1e-10)):
        at = tensors[f'classifier.blocks.0.norm.running_{name}']
        f.seek(8 + size + at['data_offsets'][0])
        f.write(struct.pack('<f', value) * at['shape'][0])
PY
    train --from "$work/far" --epochs 2 --out "$work/far.run" 2>"$work/err"
    [ "$(wc -l <"$work/err")" = 2 ]
    grep -q '6 of 6 clips do not count as recognised, the first: .*/set/clicks/4.wav' "$work/err"
    "$python" - "$work/far.run/log.jsonl" <<'PY'
import json, sys
for line in open(sys.argv[1]):
    e = json.loads(line)
    assert e['valid_accuracy'] == 0 and e['valid_class_accuracy'] == 0 and e['fid_i'] is None, e
PY
    # a clip that is gone is another matter: no weights bring it back
    cp -r "$work/set" "$work/leaving"
    "$FOCALD" train --quiet --data "$work/leaving" --train-folds 1-4 --valid-folds 5 \
        --config "$work/small.conf" --epochs 1000 --out "$work/leaving.run" 2>"$work/err" &
    pid=$!
    await_epochs "$work/leaving.run" 1
    rm "$work/leaving/tone/4.wav"
    status 1 wait $pid
    refused "tone/4.wav" "--resume"
}

# older RUN SET: its state as focald wrote it before samples and teachers were part of a fingerprint.
older() {
    "$python" - "$@" <<'PY'
import hashlib, json, os, struct, sys
run, where = sys.argv[1:]
younger = ('leave_out = \n', 'reject = \n', 'precision = auto\n', 'depthwise = kernels\n')
identity = ''.join(l for l in open(run + '/train.conf') if l not in younger)
def item(text, number):
    return text.encode() + b'\0' + struct.pack('<i', number)
labels = sorted(os.listdir(where))
clips = [(f'{where}/{l}/{k}.wav', i, k % 5 + 1) for i, l in enumerate(labels) for k in range(len(os.listdir(f'{where}/{l}')))]
text = item(identity, 6) + b''.join(item(l, i) for i, l in enumerate(labels))
text += b''.join(item(p, i) for p, i, fold in clips if fold < 5) + b''.join(item(p, i) for p, i, fold in clips if fold == 5)
types = {'F64': (0, 8), 'F32': (1, 4), 'I64': (4, 8), 'U8': (8, 1)}
with open(run + '/state.safetensors', 'r+b') as f:
    size, = struct.unpack('<Q', f.read(8))
    head = json.loads(f.read(size))
    data = bytearray(f.read())
    at = {n: slice(*t['data_offsets']) for n, t in head.items() if n != '__metadata__'}
    data[at['fingerprint']] = hashlib.sha256(text).hexdigest().encode()
    state = hashlib.blake2b(digest_size=32)
    for name in sorted((n for n in at if n != 'hash'), key=lambda n: at[n].start):
        kind, width = types[head[name]['dtype']]
        state.update(name.encode() + b'\0' + struct.pack('<QQ', kind, (at[name].stop - at[name].start) // width))
        state.update(data[at[name]])
    data[at['hash']] = state.digest()
    f.seek(8 + size)
    f.write(data)
PY
}

an_older_runs_state_is_taken() {
    cp -r "$work/a" "$work/older"
    older "$work/older" "$work/set"
    if cmp -s "$work/a/state.safetensors" "$work/older/state.safetensors"; then return 1; fi
    "$FOCALD" train --quiet --resume "$work/older" 2>"$work/err"
    [ ! -s "$work/err" ]
    cmp "$work/a/last/model.safetensors" "$work/older/last/model.safetensors"
    # which image leaves an odd stage
    cp -r "$work/set" "$work/set.older"
    "$FOCALD" train --quiet --data "$work/set.older" --train-folds 1-4 --valid-folds 5 --epochs 1 \
        --config "$work/small.conf" --set network.conv_embed=no --set network.image=36 --out "$work/padded"
    "$FOCALD" train --quiet --resume "$work/padded"
    older "$work/padded" "$work/set.older"
    status 1 "$FOCALD" train --quiet --resume "$work/padded" 2>"$work/err"
    refused "odd size" "begin a new run"
    # longer clips
    "$python" - "$work/set.older/tone/1.wav" <<'PY'
import sys, wave
with wave.open(sys.argv[1]) as r:
    x = r.readframes(r.getnframes())
with wave.open(sys.argv[1], 'wb') as w:
    w.setparams((1, 2, 16000, 0, 'NONE', ''))
    w.writeframes(x * 5)
PY
    "$FOCALD" train --quiet --data "$work/set.older" --train-folds 1-4 --valid-folds 5 --epochs 1 \
        --config "$work/small.conf" --out "$work/longer"
    older "$work/longer" "$work/set.older"
    "$FOCALD" train --quiet --resume "$work/longer" 2>"$work/err"
    refused "only the beginning of 1 longer"
}

yes_has_other_words() {
    for word in true on 1; do
        "$FOCALD" train --dry-run --data "$work/set" --set network.antialias=$word >"$work/out"
        grep -qx 'antialias = yes' "$work/out"
    done
    "$FOCALD" train --dry-run --data "$work/set" --set network.antialias=off | grep -qx 'antialias = no'
    status 2 "$FOCALD" train --dry-run --data "$work/set" --set network.kind=on 2>"$work/err"
    refused "focalnet vit"
}

a_run_keeps_others_out_of_its_directory() {
    start --data "$work/set" --train-folds 1-4 --valid-folds 5 --config "$work/small.conf" \
        --epochs 1000 --out "$work/held"
    await_epochs "$work/held" 1
    status 1 "$FOCALD" train --quiet --resume "$work/held" 2>"$work/err" || { kill $pid; return 1; }
    kill -TERM $pid
    status 143 wait $pid
    refused "another focald"
}

other_clips_than_it_began_with_are_refused() {
    cp -r "$work/a" "$work/other"
    mv "$work/set/tone/9.wav" "$work/9.wav"
    status 1 "$FOCALD" train --quiet --resume "$work/other" 2>"$work/err"
    mv "$work/9.wav" "$work/set/tone/9.wav"
    refused "began with"
}

# teach SET SEED FILE: what a teacher might say of each clip, in the set's order.
teach() {
    "$python" - "$@" <<'PY'
import json, os, random, struct, sys
random.seed(int(sys.argv[2]))
n = sum(len(files) for _, _, files in os.walk(sys.argv[1]))
values = struct.pack(f'<{5 * n}f', *(random.random() for _ in range(5 * n)))
head = json.dumps({'embedding': {'dtype': 'F32', 'shape': [n, 2], 'data_offsets': [0, 8 * n]},
                   'scores': {'dtype': 'F32', 'shape': [n, 3], 'data_offsets': [8 * n, 20 * n]}})
open(sys.argv[3], 'wb').write(struct.pack('<Q', len(head)) + head.encode() + values)
PY
}

# A file that is as it was but for its time is the same.
changed_clips_under_old_names_and_another_teacher_are_refused() {
    cp -r "$work/set" "$work/changed"
    teach "$work/changed" 1 "$work/1.teacher"
    teach "$work/changed" 2 "$work/2.teacher"
    cp "$work/1.teacher" "$work/teacher"
    start --data "$work/changed" --teacher "$work/teacher" --train-folds 1-4 --valid-folds 5 \
        --config "$work/small.conf" --out "$work/taught"
    await_epochs "$work/taught" 1
    kill -KILL $pid
    status 137 wait $pid
    cp "$work/2.teacher" "$work/teacher"
    status 1 "$FOCALD" train --quiet --resume "$work/taught" 2>"$work/err"
    refused "teacher" "began with"
    cp "$work/1.teacher" "$work/teacher"
    cp "$work/set/tone/1.wav" "$work/changed/tone/0.wav"
    status 1 "$FOCALD" train --quiet --resume "$work/taught" 2>"$work/err"
    refused "clips" "began with"
    cp "$work/set/tone/0.wav" "$work/changed/tone/0.wav"
    "$FOCALD" train --quiet --resume "$work/taught"
    "$FOCALD" train --quiet --data "$work/changed" --teacher "$work/teacher" --train-folds 1-4 \
        --valid-folds 5 --config "$work/small.conf" --out "$work/untaught"
    cmp "$work/taught/last/model.safetensors" "$work/untaught/last/model.safetensors"
}

# The rate grows over 40 epochs to where the decay alone blows the weights up.
a_loss_that_is_not_finite_ends_it_and_the_last_good_epoch_stays() {
    wild='--set optimizer.weight_decay=10 --set optimizer.max_norm=0 --set optimizer.rate=1'
    # $wild: words
    status 1 train $wild --epochs 200 --set optimizer.warmup_epochs=40 --out "$work/wild" 2>"$work/err"
    kept=$(wc -l <"$work/wild/log.jsonl")
    [ "$kept" -ge 2 ]
    refused "epoch $((kept + 1)), batch .* not finite" "epoch $kept and the best .* are kept"
    for model in last best; do
        "$FOCALD" eval --quiet --data "$work/set" --folds 5 --model "$work/wild/$model" \
            --json "$work/$model.json" >/dev/null
    done
    "$python" - "$work" <<'PY'
import json, sys
work = sys.argv[1]
lines = [json.loads(l) for l in open(work + '/wild/log.jsonl')]
best = [l for l in lines if l['best']][-1]
for name, line in (('last', lines[-1]), ('best', best)):
    assert abs(json.load(open(f'{work}/{name}.json'))['accuracy'] - line['valid_accuracy']) < 1e-12
PY
    # and again from there, to the same end
    cksum <"$work/wild/state.safetensors" >"$work/state"
    status 1 "$FOCALD" train --quiet --resume "$work/wild" 2>"$work/err2"
    cmp "$work/err" "$work/err2"
    cksum <"$work/wild/state.safetensors" | cmp - "$work/state"
    status 1 train $wild --epochs 200 --set optimizer.schedule=constant --set network.drop_path=0 \
        --out "$work/wilder" 2>"$work/err"
    refused "epoch 1, batch .* not finite" "no epoch is whole"
    [ ! -e "$work/wilder/state.safetensors" ]
}

# No file may grow beyond 4 kB, which the cache, being there, need not: the model cannot be written.
a_full_disk_loses_the_epoch_and_nothing_else() {
    start --data "$work/set" --train-folds 1-4 --valid-folds 5 --config "$work/small.conf" \
        --out "$work/full"
    await_epochs "$work/full" 2
    kill -KILL $pid
    status 137 wait $pid
    before=$(cksum <"$work/full/state.safetensors")
    (ulimit -f 8; status 1 "$FOCALD" train --quiet --resume "$work/full" 2>"$work/err")
    refused "File too large" "full/last"
    [ "$before" = "$(cksum <"$work/full/state.safetensors")" ]
    [ -z "$(find "$work/full" -name '.focald*' -o -name '*.new')" ]
    "$FOCALD" train --quiet --resume "$work/full"
    same_state "$work/a" "$work/full"
}

# An interpreter beside the classifier of `a`, on little, so that it is soon done.
piq="--quiet --recipe piq --data $work/set --train-folds 1 --valid-folds 5 --from $work/a/best \
    --threads 1 --epochs 2 --set optimizer.rate=3e-3 --set piq.keys=9 --set piq.shared_keys=2"

interpreter() {
    # $piq: words
    "$FOCALD" train $piq "$@"
}

an_interpreter_learns_beside_a_classifier_that_stays() {
    interpreter --out "$work/piq"
    "$FOCALD" eval --quiet --data "$work/set" --folds 5 --model "$work/piq/best" --interpreter piq \
        --json "$work/piq.json" >/dev/null
    "$FOCALD" classify --model "$work/piq/last" --interpreter piq --out "$work/heard" \
        "$work/set/tone/9.wav" >/dev/null
    [ -f "$work/heard/9.png" ] && [ -f "$work/heard/9.wav" ] && [ -f "$work/piq/curves.png" ]
    cmp "$work/a/best/preprocess.json" "$work/piq/best/preprocess.json"
    cmp "$work/a/best/labels.txt" "$work/piq/best/labels.txt"
    "$python" - "$work" <<'PY'
import json, math, struct, sys
def read(path):
    b = open(path + '/model.safetensors', 'rb').read()
    n = struct.unpack('<Q', b[:8])[0]
    head = json.loads(b[8:8 + n])
    return {k: b[8 + n + t['data_offsets'][0]:8 + n + t['data_offsets'][1]]
            for k, t in head.items() if k != '__metadata__'}
work = sys.argv[1]
lines = [json.loads(l) for l in open(work + '/piq/log.jsonl')]
best = [l for l in lines if l['best']][-1]
j = json.load(open(work + '/piq.json'))
assert abs(best['fid_i'] - j['fid_i']) < 1e-12 and abs(best['score'] - best['fid_i']) < 1e-12
for l in lines:
    assert l['class_loss'] is None and l['accuracy'] is None
    assert abs(l['loss'] - l['rec_loss'] - 2 * l['vq_loss']) < 1e-9
    assert abs(l['valid_loss'] - l['valid_rec_loss'] - 2 * l['valid_vq_loss']) < 1e-9
assert lines[-1]['rec_loss'] < lines[0]['rec_loss'] and lines[-1]['vq_loss'] < lines[0]['vq_loss']
assert lines[-1]['valid_loss'] < lines[0]['valid_loss']
before, after = read(work + '/a/best'), read(work + '/piq/last')
assert all(after[k] == before[k] for k in before)
assert len([k for k in after if k.startswith('psi.')]) == len(after) - len(before) > 30
assert json.load(open(work + '/piq/last/config.json'))['piq_shared_keys'] == 2
PY
}

an_interpreter_that_was_killed_goes_on_as_if_it_had_not_been() {
    # $piq: words
    start $piq --out "$work/piq-killed"
    await_epochs "$work/piq-killed" 1
    kill -KILL $pid
    status 137 wait $pid
    "$FOCALD" train --quiet --resume "$work/piq-killed"
    same_state "$work/piq" "$work/piq-killed"
}

two_processes_share_an_interpreters_batch_norms() {
    has_mpi || { echo "skipped: no Open MPI"; return 0; }
    interpreter --set optimizer.rate=1e-4 --set run.batch=6 --out "$work/piq-one"
    # $piq: words
    together $piq --set optimizer.rate=1e-4 --set run.batch=3 --out "$work/piq-two"
    same_weights "$work/piq-one" "$work/piq-two" 2 adapter.block.0.bias \
        adapter.block.1.running_mean adapter.block.3.bias adapter.block.4.running_mean
    "$python" - "$work" <<'PY'
import json, sys
one, two = ([json.loads(l) for l in open(f'{sys.argv[1]}/{run}/log.jsonl')]
            for run in ('piq-one', 'piq-two'))
assert len(one) == len(two) == 2
for a, b in zip(one, two):
    for k in ('rec_loss', 'vq_loss'):
        assert abs(a[k] - b[k]) <= 1e-5 * abs(a[k]), (k, a[k], b[k])
PY
}

what_an_interpreter_cannot_do_is_told_in_one_line() {
    status 1 train --recipe piq --out "$work/y" 2>"$work/err"
    refused "--from"
    status 1 interpreter --set piq.keys=4 --out "$work/y" 2>"$work/err"
    refused "keys = 4" "3 classes"
    status 1 interpreter --labels "$work/a/best/labels.txt" --out "$work/y" 2>"$work/err"
    refused "labels"
    status 1 interpreter --set network.config="$work/a/best/config.json" --out "$work/y" \
        2>"$work/err"
    refused "config"
    status 1 interpreter --set classes.leave_out=tone --out "$work/y" 2>"$work/err"
    refused "leave_out"
}

the_configuration_it_prints_gives_the_same_again() {
    train --dry-run --out "$work/x" >"$work/1.conf"
    "$FOCALD" train --config "$work/1.conf" --dry-run --out "$work/x" >"$work/2.conf"
    cmp "$work/1.conf" "$work/2.conf"
    "$FOCALD" train --recipe paper --dry-run --out "$work/x" >"$work/paper.conf"
    for line in 'depths = 2,2,18,2' 'margin = 0.2' 'scale = 30' 'rate = 0.0002' 'base_rate = 1e-08' \
        'step_size = 65000' 'weight_decay = 2e-06' 'max_norm = 5' 'drop_probability = 0.75' \
        'batch = 16' 'epochs = 100' 'kind = adam' 'schedule = cyclic' \
        'drop_path = 0.1' 'schedule_validation = yes'; do
        grep -qxF "$line" "$work/paper.conf" || { echo "no $line"; return 1; }
    done
    "$FOCALD" train --recipe piq --dry-run --out "$work/x" >"$work/piq.conf"
    for line in 'interpreter = piq' 'keys = 1024' 'shared_keys = 0' 'adapter = yes' 'reduce = yes' \
        'threshold = 0.35' 'kind = adam' 'rate = 0.0002' 'weight_decay = 2e-06' 'max_norm = 5' \
        'batch = 6' 'epochs = 100' 'drop_probability = 0' 'mixup_probability = 0'; do
        grep -qxF "$line" "$work/piq.conf" || { echo "no $line"; return 1; }
    done
}

a_configuration_that_its_file_could_not_give_again_is_refused() {
    long=$("$python" -c "print('a=b' + ', a=b' * 200)")
    train --alias "$long" --dry-run >"$work/1.conf"
    "$FOCALD" train --config "$work/1.conf" --dry-run >"$work/2.conf"
    cmp "$work/1.conf" "$work/2.conf"
    for rate in 3.1622776601683795e-4 0.1 2e-4; do
        train --set optimizer.rate=$rate --dry-run >"$work/1.conf"
        "$FOCALD" train --config "$work/1.conf" --dry-run >"$work/2.conf"
        cmp "$work/1.conf" "$work/2.conf"
        "$python" -c "assert float('$(sed -n 's/^rate = //p' "$work/1.conf")') == $rate"
    done
    grep -qx 'rate = 0.0002' "$work/1.conf"
    status 2 train --alias 'a=b ;c' --out "$work/x" 2>"$work/err"
    refused "\[classes\] aliases"
    status 2 train --set "network.from=a
b" --out "$work/x" 2>"$work/err"
    refused "\[network\]"
}

no_two_sets_have_the_same_name() {
    printf '[data 2]\ndir = %s\n[data 3]\ndir = %s\n' "$work/set" "$work/set" >"$work/sets.conf"
    "$FOCALD" train --config "$work/sets.conf" --data one --data two --dry-run >"$work/4.conf"
    [ "$(grep '^\[data ' "$work/4.conf" | sort -u | wc -l)" = 4 ]
}

the_manual_names_every_key_and_its_default() {
    train --dry-run --out "$work/x" --recipe paper >/dev/null
    "$FOCALD" train --dry-run --data "$work/set" >"$work/keys.conf"
    "$python" - "$work/keys.conf" "$FOCALD_SOURCE/man/focald-train.1" <<'PY'
import re, sys
section, keys = '', {}
for line in open(sys.argv[1]):
    if line.startswith('['):
        section = line.strip('[]\n').split()[0]
    elif '=' in line:
        key, value = line.rstrip('\n').split(' = ') if ' = ' in line else (line.split(' =')[0], '')
        keys[section, key] = value if section != 'data' else ''
section, told = '', {}
for line in open(sys.argv[2]):
    m = re.match(r'\.Sy \[(\w+)', line)
    section = m.group(1) if m else section
    m = re.match(r'\.It Cm (\w+)(?: \((.*)\))?$', line)
    if m and section:
        told[section, m.group(1)] = m.group(2) or ''
def number(x):
    try:
        return float(x)
    except ValueError:
        return x
assert keys.keys() == told.keys(), keys.keys() ^ told.keys()
for k in keys:
    assert number(keys[k]) == number(told[k]), (k, keys[k], told[k])
PY
}

for p in it_learns_and_eval_says_what_its_log_says \
    the_same_seed_gives_the_same_weights_and_another_others \
    a_class_that_is_told_apart_late_in_its_clips_is_learnt \
    what_learnt_on_small_images_goes_on_with_larger_ones \
    each_part_learns_at_its_own_rate_and_what_is_frozen_not_at_all \
    what_is_taken_of_a_model_is_told a_model_goes_on_with_the_antialiasing_it_began_with \
    a_run_that_was_stopped_and_killed_goes_on_as_if_it_had_not_been \
    the_rate_moves_on_with_validation_where_asked \
    a_run_without_a_whole_epoch_says_that_it_begins_anew \
    the_folds_that_do_neither_are_told a_run_writes_over_nothing_that_is_not_a_runs what_cannot_begin_leaves_no_directory one_of_several_processes_tells_what_is_wrong \
    two_processes_give_the_weights_of_one_with_twice_the_batch what_is_wrong_is_told_in_one_line \
    what_would_learn_nothing_is_refused what_a_new_run_is_refused_for_one_that_is_begun_may_have \
    what_is_explained_is_what_is_validated_next what_a_model_cannot_name_is_not_recognised \
    an_older_runs_state_is_taken yes_has_other_words \
    a_run_keeps_others_out_of_its_directory other_clips_than_it_began_with_are_refused \
    changed_clips_under_old_names_and_another_teacher_are_refused \
    a_loss_that_is_not_finite_ends_it_and_the_last_good_epoch_stays \
    a_full_disk_loses_the_epoch_and_nothing_else \
    an_interpreter_learns_beside_a_classifier_that_stays \
    an_interpreter_that_was_killed_goes_on_as_if_it_had_not_been \
    two_processes_share_an_interpreters_batch_norms \
    what_an_interpreter_cannot_do_is_told_in_one_line the_configuration_it_prints_gives_the_same_again \
    a_configuration_that_its_file_could_not_give_again_is_refused no_two_sets_have_the_same_name \
    the_manual_names_every_key_and_its_default; do
    promise $p
done
[ $failures = 0 ]
