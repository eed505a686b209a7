#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `focald classify` as people use it: JSON lines, files, what cannot be read, exit statuses.
# FOCALD, FOCALD_DEMO: the program and the clips.
. "$(dirname "$0")/promises.sh"

# tone FILE SECONDS [nan]: a mono 16-bit WAV (nan: float with one NaN).
tone() {
    "$python" - "$@" <<'PY'
import math, struct, sys
path, seconds, nan = sys.argv[1], float(sys.argv[2]), len(sys.argv) > 3
n = round(seconds * 16000)
x = [0.5 * math.sin(2 * math.pi * 440 * i / 16000) for i in range(n)]
if nan:
    x[100] = math.nan
    data = struct.pack('<%df' % n, *x)
    form = struct.pack('<HHIIHH', 3, 1, 16000, 64000, 4, 32)
else:
    data = struct.pack('<%dh' % n, *(round(v * 32767) for v in x))
    form = struct.pack('<HHIIHH', 1, 1, 16000, 32000, 2, 16)
body = b'WAVEfmt ' + struct.pack('<I', len(form)) + form + b'data' + struct.pack('<I', len(data)) + data
open(path, 'wb').write(b'RIFF' + struct.pack('<I', len(body)) + body)
PY
}

json_has_every_field() {
    "$FOCALD" classify --json --top-k 3 "$FOCALD_DEMO/dog.ogg" "$FOCALD_DEMO/rooster.ogg" >"$work/a.json"
    "$python" - "$work/a.json" "$FOCALD_DEMO" <<'PY'
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
assert [l['file'] for l in lines] == [sys.argv[2] + n for n in ('/dog.ogg', '/rooster.ogg')]
assert [l['label'] for l in lines] == ['dog', 'rooster']
for l in lines:
    assert len(l['top']) == 3 and l['top'][0]['label'] == l['label'], l
    assert l['top'][0]['p'] == l['p'] and l['top'][0]['p_paper'] == l['p_paper']
    assert 1 >= l['top'][0]['p'] >= l['top'][1]['p'] >= l['top'][2]['p'] >= 0
    assert 0 < l['p_paper'] < 0.131, 'softmax of 74 cosines'
    w, = l['windows']
    assert w['start_s'] == 0 and abs(w['end_s'] - 5) < 0.01 and w['silence'] is False
    assert w['label'] == l['label'] and abs(w['p'] - l['p']) < 1e-6
    assert l['model'] == 'baseline' and len(l['hash']) == 64
    assert l['rate_hz'] == 44100 and l['channels'] == 1 and l['bad_samples'] == 0
PY
}

without_json_it_is_a_line_a_clip() {
    "$FOCALD" classify "$FOCALD_DEMO/dog.ogg" "$FOCALD_DEMO/rooster.ogg" >"$work/out" 2>"$work/err"
    [ "$(wc -l <"$work/out")" = 2 ]
    grep -q "dog.ogg  *dog  *[0-9]* %" "$work/out"
    [ ! -s "$work/err" ] # quiet when piped
}

silence_has_the_label_null() {
    "$python" -c "
import struct
b = b'WAVEfmt ' + struct.pack('<IHHIIHH', 16, 1, 1, 8000, 16000, 2, 16) + b'data' + struct.pack('<I', 16000) + bytes(16000)
open('$work/silent.wav', 'wb').write(b'RIFF' + struct.pack('<I', len(b)) + b)"
    "$FOCALD" classify --json "$work/silent.wav" >"$work/a.json"
    "$python" -c "
import json
l = json.load(open('$work/a.json'))
assert l['label'] is None and l['p'] is None and l['top'] == []
assert l['windows'][0]['label'] is None and l['windows'][0]['silence'] is True"
    "$FOCALD" classify "$work/silent.wav" | grep -q silence
}

a_clip_that_fails_is_named_and_the_others_are_done() {
    tone "$work/empty.wav" 0
    echo "no sound" >"$work/text.wav"
    status 1 "$FOCALD" classify --json "$work/missing.wav" "$work/empty.wav" "$FOCALD_DEMO/dog.ogg" \
        "$work/text.wav" >"$work/out" 2>"$work/err"
    [ "$(wc -l <"$work/out")" = 1 ]
    [ "$(wc -l <"$work/err")" = 3 ]
    for name in missing empty text; do
        [ "$(grep -c "$work/$name.wav" "$work/err")" = 1 ]
    done
}

nan_samples_are_told_and_taken_as_zero() {
    tone "$work/nan.wav" 2 nan
    "$FOCALD" classify --json "$work/nan.wav" >"$work/out" 2>"$work/err"
    grep -q '"bad_samples":1' "$work/out"
    grep -q "nan.wav: 1 sample is NaN" "$work/err"
}

# overflowing DIR: a model that opens, and whose sums are beyond float32.
overflowing() {
    cp -r "$FOCALD_SOURCE/tests/data/baseline" "$1"
    "$python" - "$1/model.safetensors" <<'PY'
import json, struct, sys
data = bytearray(open(sys.argv[1], 'rb').read())
size, = struct.unpack('<Q', data[:8])
begin, end = json.loads(data[8:8 + size])['classifier.blocks.1.w.weight']['data_offsets']
data[8 + size + begin:8 + size + end] = struct.pack('<f', 3e38) * ((end - begin) // 4)
open(sys.argv[1], 'wb').write(data)
PY
}

a_result_that_is_not_finite_fails_its_clip() {
    overflowing "$work/overflowing"
    tone "$work/zero.wav" 0.0000625 # one sample
    for form in "" --json "--out $work/none"; do
        # shellcheck disable=SC2086
        status 1 "$FOCALD" classify $form --model "$work/overflowing" "$FOCALD_DEMO/dog.ogg" "$work/zero.wav" \
            >"$work/out" 2>"$work/err"
        [ "$(wc -l <"$work/out")" = 1 ]
        grep -q zero.wav "$work/out"
        [ "$(wc -l <"$work/err")" = 1 ]
        grep -q "dog.ogg: model overflowing: .* not finite" "$work/err"
    done
    [ ! -e "$work/none/dog.wav" ] && [ ! -e "$work/none/dog.png" ]
}

out_writes_sound_and_picture_of_the_clip_s_length() {
    "$FOCALD" classify --json --out "$work/out1" "$FOCALD_DEMO/dog.ogg" >"$work/a.json"
    "$python" - "$work/a.json" "$work/out1" <<'PY'
import json, os, struct, sys
l, d = json.load(open(sys.argv[1])), sys.argv[2]
assert sorted(os.listdir(d)) == ['dog.png', 'dog.wav'], os.listdir(d)
assert l['wav'] == d + '/dog.wav' and l['png'] == d + '/dog.png'
wav = open(l['wav'], 'rb').read()
at = wav.index(b'data')
assert struct.unpack('<I', wav[at + 4:at + 8])[0] == 4 * round(l['duration_s'] * 16000)
kind, channels, rate = struct.unpack('<HHI', wav[20:28])
assert (kind, channels, rate) == (3, 1, 16000)
assert open(l['png'], 'rb').read(8) == b'\x89PNG\r\n\x1a\n'
assert os.stat(l['wav']).st_mode & 0o777 == 0o666 & ~os.umask(0)
PY
}

the_same_clip_gives_the_same_files() {
    "$FOCALD" classify --out "$work/out2" "$FOCALD_DEMO/dog.ogg" >/dev/null
    "$FOCALD" classify --out "$work/out3" "$FOCALD_DEMO/dog.ogg" >/dev/null
    cmp "$work/out2/dog.wav" "$work/out3/dog.wav"
    cmp "$work/out2/dog.png" "$work/out3/dog.png"
}

clips_of_one_name_do_not_meet() {
    mkdir "$work/x" "$work/y"
    tone "$work/x/a.wav" 1
    tone "$work/y/a.wav" 2
    tone "$work/y/a-2.wav" 3
    "$FOCALD" classify --out "$work/out4" "$work/x/a.wav" "$work/y/a.wav" "$work/y/a-2.wav" >/dev/null
    [ "$(ls "$work/out4" | tr '\n' ' ')" = "a-2-2.png a-2-2.wav a-2.png a-2.wav a.png a.wav " ]
}

an_input_is_never_overwritten() {
    mkdir "$work/same"
    tone "$work/same/bell.wav" 1
    cp "$work/same/bell.wav" "$work/bell.copy"
    "$FOCALD" classify --out "$work/same" "$work/same/bell.wav" >/dev/null
    cmp "$work/same/bell.wav" "$work/bell.copy"
    [ -f "$work/same/bell-2.wav" ]
    [ -f "$work/same/bell-2.png" ]
    [ "$(ls -A "$work/same" | wc -l)" = 3 ]
}

what_cannot_be_written_is_told_and_leaves_nothing() {
    echo "a file" >"$work/file"
    status 1 "$FOCALD" classify --out "$work/file" "$FOCALD_DEMO/dog.ogg" 2>"$work/err" >"$work/out"
    grep -q -- "--out $work/file: is not a directory" "$work/err"
    status 1 "$FOCALD" classify --out "$work/no/such" "$FOCALD_DEMO/dog.ogg" 2>"$work/err" >"$work/out"
    grep -q "$work/no/such" "$work/err"
    mkdir -p "$work/taken/dog.png" # only the last renaming fails
    status 1 "$FOCALD" classify --json --out "$work/taken" "$FOCALD_DEMO/dog.ogg" 2>"$work/err" >"$work/out"
    [ "$(wc -l <"$work/err")" = 1 ]
    grep -q "$work/taken/dog.png" "$work/err"
    [ "$(ls -A "$work/taken" | wc -l)" = 2 ] # dog.png/ and dog.wav: no temporary file
    if [ -c /dev/full ]; then
        status 1 "$FOCALD" classify --json "$FOCALD_DEMO/dog.ogg" >/dev/full 2>"$work/err"
        [ "$(wc -l <"$work/err")" = 1 ]
    fi
}

windows_may_overlap() {
    tone "$work/long.wav" 11
    "$FOCALD" classify --json --hop 2.5 "$work/long.wav" >"$work/a.json"
    "$python" -c "
import json
w = json.load(open('$work/a.json'))['windows']
assert [x['start_s'] for x in w] == [0, 2.5, 5, 7.5], w
assert [x['end_s'] for x in w] == [5, 7.5, 10, 11], w"
    status 1 "$FOCALD" classify --hop 6 "$work/long.wav" 2>"$work/err"
    grep -q -- "--hop 6" "$work/err"
}

mistakes_on_the_command_line_exit_with_2() {
    status 2 "$FOCALD" classify 2>"$work/err"
    [ "$(wc -l <"$work/err")" = 1 ]
    status 2 "$FOCALD" classify --no-such-option a.wav 2>"$work/err"
    status 2 "$FOCALD" classify --batch 0 a.wav 2>"$work/err"
    grep -q "1 to 64" "$work/err"
    status 1 "$FOCALD" classify --quantile 2 "$FOCALD_DEMO/dog.ogg" 2>"$work/err"
    grep -q quantile "$work/err"
    status 1 "$FOCALD" classify --model "$work/nowhere" "$FOCALD_DEMO/dog.ogg" 2>"$work/err"
    grep -q "$work/nowhere" "$work/err"
    [ "$(wc -l <"$work/err")" = 1 ]
    "$FOCALD" classify --help | grep -q -- "--quantile"
}

names_of_any_bytes_are_taken() {
    name=$(printf 'b\377d\033[31m "q".wav')
    tone "$work/$name" 1
    "$FOCALD" classify --json --out "$work/out5" "$work/$name" >"$work/a.json"
    "$python" -c "
import json
l = json.load(open('$work/a.json'))
assert l['file'].endswith('b\ufffdd\x1b[31m \"q\".wav'), l['file']"
    "$FOCALD" classify "$work/$name" >"$work/out"
    [ "$(grep -c "$(printf '\033')" "$work/out")" = 0 ]
    [ "$(ls "$work/out5" | wc -l)" = 2 ]
}

for f in json_has_every_field without_json_it_is_a_line_a_clip silence_has_the_label_null \
    a_clip_that_fails_is_named_and_the_others_are_done nan_samples_are_told_and_taken_as_zero \
    a_result_that_is_not_finite_fails_its_clip \
    out_writes_sound_and_picture_of_the_clip_s_length the_same_clip_gives_the_same_files \
    clips_of_one_name_do_not_meet an_input_is_never_overwritten \
    what_cannot_be_written_is_told_and_leaves_nothing windows_may_overlap \
    mistakes_on_the_command_line_exit_with_2 names_of_any_bytes_are_taken; do
    promise "$f" "$f"
done
[ "$failures" = 0 ]
