#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `focald eval` as people use it: figures, files, what is wrong with a set, interruptions.
# FOCALD, FOCALD_DEMO, FOCALD_SOURCE: the program, the clips, the source.
. "$(dirname "$0")/promises.sh"

# The demo clips as a set: two folds.
mkdir -p "$work/set/audio" "$work/set/meta"
ln -s "$FOCALD_DEMO"/*.ogg "$work/set/audio/"
echo "filename,fold,target,category" >"$work/set/meta/esc50.csv"
n=0
for clip in "$FOCALD_DEMO"/*.ogg; do
    name=$(basename "$clip" .ogg)
    echo "$name.ogg,$((n % 2 + 1)),$n,$name" >>"$work/set/meta/esc50.csv"
    n=$((n + 1))
done
cp -r "$work/set" "$work/bad"
mkdir "$work/out"

eval_set() {
    "$FOCALD" eval --quiet --data "$work/set" "$@"
}

# One line that holds every word; nothing in $work/out.
one_line() {
    [ "$(wc -l <"$work/err")" = 1 ]
    for word in "$@"; do
        grep -q -e "$word" "$work/err" || { cat "$work/err"; return 1; }
    done
    [ -z "$(ls -A "$work/out")" ]
}

figures_agree_between_table_json_and_csv() {
    eval_set --json "$work/a.json" --csv "$work/a.csv" --sweep 0.5,0.9 --per-class >"$work/table"
    "$python" - "$work/a.json" "$work/a.csv" "$work/table" <<'PY'
import csv, json, math, sys
j = json.load(open(sys.argv[1]))
rows = list(csv.DictReader(open(sys.argv[2])))
table = open(sys.argv[3]).read()
assert j['clips'] == j['counted'] == 10 and j['skipped'] == j['silent'] == 0, j
assert j['folds'] == [1, 2] and j['quantile'] == 0.9 and len(j['hash']) == 64
assert [s['quantile'] for s in j['sweep']] == [0.5, 0.9]
assert len(rows) == 20
at = [r for r in rows if r['quantile'] == '0.9']
mean = lambda key: sum(float(r[key]) for r in at) / len(at)
for key in ('fid_i', 'fa', 'ai', 'ad', 'ad_double_softmax', 'ag', 'sps', 'comp', 'kept'):
    assert math.isclose(mean(key), j[key], rel_tol=1e-6, abs_tol=1e-9), (key, mean(key), j[key])
    assert j[key] == j['sweep'][1][key]
assert j['ff'] == j['fa']
correct = sum(r['correct'] == '1' for r in at)
assert j['accuracy'] == correct / 10
for r in at:
    assert math.isclose(float(r['fa']), float(r['p']) - float(r['p_maskout']), abs_tol=1e-8)
    assert (r['predicted_maskin'] == r['explained']) == (r['fid_i'] == '1')
n = len(j['classes'])
assert len(j['confusion']) == n and all(len(row) == n for row in j['confusion'])
assert sum(map(sum, j['confusion'])) == 10
assert sum(j['confusion'][i][i] for i in range(n)) == correct
for name, c in j['per_class'].items():
    assert sum(j['confusion'][j['classes'].index(name)]) == c['clips'] == 1
assert '%.2f %%' % (100 * j['accuracy']) in table and '%.4f' % j['fid_i'] in table
assert max(map(len, table.splitlines())) <= 80, max(table.splitlines(), key=len)
PY
}

the_same_bytes_for_every_batch_and_on_every_run() {
    for batch in 1 5 8 64; do
        XDG_CACHE_HOME="$work/cache$batch" eval_set --json - --batch $batch >"$work/b$batch.json"
        cmp "$work/b1.json" "$work/b$batch.json"
    done
}

csv_goes_to_standard_output_instead_of_the_table() (
    cd "$work/out"
    eval_set --accuracy-only --csv "$work/a.csv" >"$work/table"
    eval_set --accuracy-only --csv - >"$work/b.csv"
    cmp "$work/a.csv" "$work/b.csv"
    [ -z "$(ls -A)" ]
)

# The demo clips are of 44.1 kHz.
resampled_as_the_daemon_does_eval_says_what_classify_says() {
    "$FOCALD" classify --quiet --reject off --json "$FOCALD_DEMO"/*.ogg >"$work/lines"
    eval_set --accuracy-only --resampler best --json "$work/best.json" --csv "$work/best.csv" \
        >"$work/table"
    grep -q 'resampled as the daemon does, best' "$work/table"
    eval_set --accuracy-only --json "$work/paper.json" --csv "$work/paper.csv" >"$work/table"
    "$python" - "$work" <<'PY'
import csv, json, os, sys
work = sys.argv[1]
said = {}
for line in open(work + '/lines'):
    c = json.loads(line)
    assert c['rate_hz'] == 44100 and len(c['windows']) == 1
    said[os.path.basename(c['file'])] = (c['label'], c['p_paper'])
rows = {how: {r['file']: r for r in csv.DictReader(open(f'{work}/{how}.csv'))}
        for how in ('best', 'paper')}
assert len(said) == 10 and all(rows[how].keys() == said.keys() for how in rows)
for file, (label, p) in said.items():
    assert rows['best'][file]['explained'] == label, file
    # the network runs other numbers of windows at once: the last digits
    assert abs(float(rows['best'][file]['p']) - p) < 1e-5, (file, rows['best'][file]['p'], p)
assert any(rows['paper'][f]['p'] != rows['best'][f]['p'] for f in said)
for how in rows:
    assert json.load(open(f'{work}/{how}.json'))['resampler'] == how
PY
}

folds_and_accuracy_alone() {
    eval_set --folds 2 --accuracy-only --json - >"$work/a.json"
    "$python" -c "
import json
j = json.load(open('$work/a.json'))
assert j['clips'] == 5 and j['folds'] == [2] and 'fid_i' not in j and 'quantile' not in j"
}

pictures_and_overlaps_appear_whole() {
    eval_set --sweep 0.3:0.9:0.3 --sanity --sanity-clips 4 --pictures "$work/p" --json "$work/a.json" \
        --overlap "$FOCALD_DEMO/dog.ogg,$FOCALD_DEMO/rain.ogg" >"$work/table"
    "$python" - "$work/p" "$work/a.json" <<'PY'
import json, os, sys
wanted = ['confusion.png'] + ['overlap-1-dog-rain%s' % s for s in (
    '-a.wav', '-b.wav', '-interpretation.wav', '-mixture.wav', '.png')] + ['sanity.png', 'sweep.png']
assert sorted(os.listdir(sys.argv[1])) == sorted(wanted), os.listdir(sys.argv[1])
for name in wanted:
    data = open(os.path.join(sys.argv[1], name), 'rb').read()
    assert data[:4] in (b'\x89PNG', b'RIFF') and len(data) > 5000, name
s = json.load(open(sys.argv[2]))['sanity']
stages = s['stages']
assert s['clips'] == 4 and [x['stage'] for x in stages] == [
    'as trained', 'classifier', 'stage 4', 'stage 3', 'stage 2', 'stage 1', 'embeddings']
assert stages[0]['rank_correlation'] == 1 and stages[0]['labels_kept'] == 1
assert stages[1]['rank_correlation'] == 1 # the map is made before the classifier
assert all(abs(x['rank_correlation']) < 0.9 for x in stages[2:]), stages
PY
    eval_set --accuracy-only --sanity --sanity-clips 4 --json - >"$work/b.json"
    eval_set --accuracy-only --sanity --sanity-clips 4 --json - --seed 2 >"$work/c.json"
    "$python" -c "
import json
a, b, c = (json.load(open('$work/%s.json' % x))['sanity']['stages'] for x in 'abc')
assert a == b and a != c"
}

# Room is for the clips that there are, not for those that were asked for. (A sanitizer's shadow
# does not fit.)
a_sanity_check_of_more_clips_than_there_are_takes_them_all() (
    [ -n "${FOCALD_SANITIZED:-}" ] || ulimit -v 3000000
    eval_set --accuracy-only --sanity --sanity-clips 100000 --threads 2 --json - >"$work/a.json"
    grep -q '"sanity":{"seed":1,"clips":10' "$work/a.json"
)

# Mixed and one after the other: the second source begins in the middle.
concatenated_sounds_follow_each_other() {
    eval_set --accuracy-only --pictures "$work/q" --overlap-mode concat \
        --overlap "$FOCALD_DEMO/dog.ogg,$FOCALD_DEMO/rain.ogg" >"$work/table"
    "$python" -c "
import struct
def read(s):
    b = open('$work/q/overlap-1-dog-rain-%s.wav' % s, 'rb').read()
    at = b.index(b'data') + 8
    return struct.unpack('<%df' % ((len(b) - at) // 4), b[at:])
a, b, m = read('a'), read('b'), read('mixture')
assert len(a) == len(b) == len(m) == 80000
assert not any(a[40000:]) and not any(b[:40000]) and any(a) and any(b)
assert all(abs(x + y - z) < 1e-6 for x, y, z in zip(a, b, m))"
}

a_damaged_clip_is_an_error_or_left_out() {
    echo "no sound" >"$work/text"
    rm -f "$work/bad/audio/dog.ogg"
    cp "$work/text" "$work/bad/audio/dog.ogg"
    status 1 "$FOCALD" eval --data "$work/bad" -Q --json "$work/out/a" --csv "$work/out/b" 2>"$work/err"
    one_line dog.ogg keep-going
    "$FOCALD" eval --data "$work/bad" -Q --keep-going --json "$work/a.json" --csv "$work/a.csv" \
        >"$work/table" 2>"$work/err"
    one_line dog.ogg "left out"
    "$python" -c "
import json
j = json.load(open('$work/a.json'))
assert j['clips'] == 10 and j['counted'] == 9 and j['skipped'] == 1
assert j['skipped_clips'] == ['dog.ogg']"
    grep -q "^dog.ogg,1,dog,failed,,," "$work/a.csv"
    grep -q "1 clip failed and is left out" "$work/table"
    rm "$work/bad/audio/dog.ogg"
    status 1 "$FOCALD" eval --data "$work/bad" -Q --json "$work/out/a" 2>"$work/err"
    one_line dog.ogg "line 6" keep-going
    "$FOCALD" eval --data "$work/bad" -Q -a --keep-going --json - 2>"$work/err" | grep -q '"skipped":1'
    one_line dog.ogg
}

what_is_wrong_with_a_set_is_one_line() {
    out="--json $work/out/a --csv $work/out/b"
    status 1 eval_set $out --folds 5 2>"$work/err"
    one_line "no fold 5" "1-2"
    sed 's/,rooster$/,wolf/' "$work/set/meta/esc50.csv" >"$work/bad/meta/esc50.csv"
    ln -sf "$FOCALD_DEMO/dog.ogg" "$work/bad/audio/dog.ogg"
    status 1 "$FOCALD" eval --data "$work/bad" $out 2>"$work/err"
    one_line "wolf (1 clip)" skip-unknown
    "$FOCALD" eval --data "$work/bad" -Q -a --json - --skip-unknown | grep -q '"unknown":1'
    "$FOCALD" eval --data "$work/bad" -Q -a --json - --alias wolf=rooster | grep -q '"clips":10'
    printf 'filename,fold,category\na.ogg,1\n' >"$work/bad/meta/esc50.csv"
    status 1 "$FOCALD" eval --data "$work/bad" $out 2>"$work/err"
    one_line "line 2 has 2 fields"
    status 1 "$FOCALD" eval --data "$work/nowhere" $out 2>"$work/err"
    one_line nowhere meta/esc50.csv
    status 1 eval_set --json "$work/no/such/place" 2>"$work/err"
    one_line "$work/no/such/place"
    status 1 eval_set --pictures "$work/text" 2>"$work/err"
    one_line "not a directory"
}

# This set's first clip is no sound: that it is not what is told means that none was heard yet.
overlaps_are_read_before_the_first_clip() {
    mkdir -p "$work/noise/clap"
    echo "no sound" >"$work/noise/clap/a.wav"
    status 1 "$FOCALD" eval -Q -a --data "$work/noise" --alias clap=dog --pictures "$work/p2" \
        --overlap "$FOCALD_DEMO/dog.ogg,$work/none" --json "$work/out/a" 2>"$work/err"
    one_line "$work/none"
    status 1 "$FOCALD" eval -Q -a --data "$work/noise" --alias clap=dog --json "$work/out/a" \
        2>"$work/err"
    one_line a.wav
}

# A directory lies where the picture should.
a_picture_that_cannot_be_written_loses_no_figures() {
    mkdir -p "$work/p3/confusion.png"
    status 1 eval_set --accuracy-only --pictures "$work/p3" --json "$work/kept.json" \
        --csv "$work/kept.csv" >"$work/table" 2>"$work/err"
    one_line "$work/p3/confusion.png"
    grep -q '"clips":10' "$work/kept.json"
    [ "$(wc -l <"$work/kept.csv")" = 11 ]
    grep -q accuracy "$work/table"
}

figures_of_nothing_are_not_numbers() {
    mkdir -p "$work/still/dog"
    "$python" -c "
import wave
w = wave.open('$work/still/dog/a.wav', 'wb')
w.setparams((1, 2, 16000, 0, 'NONE', ''))
w.writeframes(bytes(32000))
w.close()"
    "$FOCALD" eval -Q --data "$work/still" --sweep 0.5,0.9 --sanity --pictures "$work/p4" \
        --json "$work/a.json" >"$work/table"
    "$python" - "$work/a.json" "$work/table" <<'PY'
import json, sys
j = json.load(open(sys.argv[1]))
assert j['counted'] == j['silent'] == 1 and j['accuracy'] == 0
for e in [j] + j['sweep']:
    for key in ('fid_i', 'fa', 'fa_median', 'ff', 'ai', 'ad', 'ad_double_softmax', 'ag', 'sps',
                'comp', 'kept'):
        assert e[key] is None, (key, e[key])
for stage in j['sanity']['stages']:
    assert stage['clips'] == 0 and stage['rank_correlation'] is stage['labels_kept'] is None, stage
table = open(sys.argv[2]).read()
assert 'nan' not in table and ' FID-I                   -   ' in table, table
PY
    for picture in confusion sweep sanity; do [ -s "$work/p4/$picture.png" ]; done
}

mistakes_on_the_command_line_exit_with_2() {
    for wrong in "" "--data x --batch 65" "--data x --among some" "--data x --resampler good" "--data x --folds 2-1" \
        "--data x --overlap a,b" "--data x -o p --overlap dog" "--data x -o p --overlap dog," \
        "--data x --overlap-mode loud" "--data x --sweep 0.5 -a" "--data x -j f --csv f" "--data x -j - --csv -"; do
        status 2 "$FOCALD" eval $wrong 2>"$work/err"
        one_line focald
    done
    status 1 eval_set --sweep 0.5,2 2>"$work/err"
    one_line sweep 0.5,2
    "$FOCALD" eval --help | grep -q -- "--sweep"
}

an_interruption_leaves_nothing() {
    for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sed 1d "$work/set/meta/esc50.csv"; done >"$work/rows"
    mkdir -p "$work/long/meta"
    ln -s "$work/set/audio" "$work/long/audio"
    (head -1 "$work/set/meta/esc50.csv"; cat "$work/rows" "$work/rows" "$work/rows") \
        >"$work/long/meta/esc50.csv"
    "$FOCALD" eval --data "$work/long" --json "$work/out/a" --csv "$work/out/b" \
        --sweep 0.1:0.9:0.1 >"$work/table" 2>"$work/progress" &
    pid=$!
    while [ "$(ls -A "$work/out" | wc -l)" -lt 2 ]; do kill -0 $pid; sleep 0.05; done
    kill -TERM $pid
    status 143 wait $pid
    [ -z "$(ls -A "$work/out")" ]
    [ ! -s "$work/table" ]
    grep -q interrupted "$work/progress"
}

for f in figures_agree_between_table_json_and_csv the_same_bytes_for_every_batch_and_on_every_run \
    csv_goes_to_standard_output_instead_of_the_table \
    resampled_as_the_daemon_does_eval_says_what_classify_says folds_and_accuracy_alone \
    pictures_and_overlaps_appear_whole \
    a_sanity_check_of_more_clips_than_there_are_takes_them_all \
    concatenated_sounds_follow_each_other a_damaged_clip_is_an_error_or_left_out \
    what_is_wrong_with_a_set_is_one_line mistakes_on_the_command_line_exit_with_2 \
    overlaps_are_read_before_the_first_clip a_picture_that_cannot_be_written_loses_no_figures \
    figures_of_nothing_are_not_numbers an_interruption_leaves_nothing; do
    promise "$f"
done
[ "$failures" = 0 ]
