#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Mistakes get one line that names them, and a status that is not 0; nothing is left half-written.
# usage: test_cli.sh FOCALD SOURCE_ROOT
focald=$1
root=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# refuse STATUS TEXT ARGUMENT…: the exit status, and one line on stderr that holds the text
refuse() {
    status=$1
    text=$2
    shift 2
    "$focald" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    if [ "$got" != "$status" ] || ! grep -qF -- "$text" "$dir/err" || [ "$(wc -l <"$dir/err")" != 1 ]; then
        echo "focald $*: status $got (expected $status), expected a line with \"$text\", got:"
        cat "$dir/err"
        failed=1
    fi
}

# accept ARGUMENT…
accept() {
    "$focald" "$@" >"$dir/out" 2>"$dir/err" </dev/null || {
        echo "focald $*: status $?"
        cat "$dir/err"
        failed=1
    }
}

# wrong TEXT ARGUMENT…: what run refuses, run --check does too
wrong() {
    text_of_both=$1
    shift
    refuse 1 "$text_of_both" run --config "$dir/conf" "$@"
    refuse 1 "$text_of_both" run --check --config "$dir/conf" "$@"
}

model() {
    rm -rf "$dir/model"
    cp -r "$root/tests/data/baseline" "$dir/model"
    chmod -R u+w "$dir/model"
}

conf() {
    printf '[ipc]\ndir = %s/run\n[paths]\ncache = %s/cache\n%s\n' "$dir" "$dir" "$1" >"$dir/conf"
}

export HOME="$dir" XDG_CONFIG_HOME="$dir/none"
conf ''
refuse 2 'unknown mode dance' dance
refuse 2 'unknown option --dance' run --dance
refuse 2 'unknown option -Z;' eval -Zp
refuse 2 'the option -d needs a value' eval -pd
refuse 2 'the option --data needs a value' eval --data
refuse 2 'the option --per-class takes no value' eval --per-class=yes
refuse 2 'the option --help takes no value' eval --he=yes
refuse 2 '--model' run --model
refuse 2 'unexpected argument' run dance
for mode in run classify import export bench; do
    accept "$mode" --help
    grep -q "usage: focald $mode" "$dir/out" || { echo "$mode --help has no usage"; failed=1; }
done
accept --version
accept run --check --config "$dir/conf"

refuse 1 'nowhere' run --check --config "$dir/nowhere"
wrong 'abacus' --source abacus
wrong 'automatic' --source automatic
refuse 1 '"7"' run --check --config "$dir/conf" --quantile 7
# what the configuration checks is the same in every mode
for mode in "classify x" "eval --data x" "bench network"; do
    refuse 1 '"-3"' $mode --threads -3
done
refuse 1 "$dir/none" run --check --config "$dir/conf" --model "$dir/none"
wrong 'no-such-file' --source file:"$dir/no-such-file"
wrong 'RATE:CHANNELS' --source stdin:lots
wrong 'streams a and b' --source a=stdin:16000:1 --source b=stdin:16000:1
wrong 'streams a and c' --source a=auto --source b=jack --source c=auto --fallback stdin:16000:1
accept run --check --config "$dir/conf" --source a=stdin:16000:1 --source b=jack --fallback stdin:8000:1
wrong '1 to' --source jack:0
wrong 'regular expression' --source 'jack:('
wrong "node's name" --source "pipewire:$(printf '%0300d' 0)"
printf 'not audio' >"$dir/text.wav"
wrong 'text.wav' --source file:"$dir/text.wav"
mkfifo "$dir/fifo"
wrong 'no regular file' --source file:"$dir/fifo"
song=file:$root/daemon/demo/dog.ogg
wrong 'precision tf32' --source "$song" --backend cpu --precision tf32
conf '[stream main]
source = jack
jack_autoconnect = ('
wrong 'regular expression'

model
truncate -s 100000 "$dir/model/model.safetensors"
refuse 1 'model.safetensors' run --check --config "$dir/conf" --model "$dir/model"
refuse 1 'model.safetensors' classify --model "$dir/model" "$root/daemon/demo/dog.ogg"
model
sed -i 1d "$dir/model/labels.txt"
refuse 1 'labels.txt has 73 labels' run --check --config "$dir/conf" --model "$dir/model"
model
sed -i 's/"embed_dim": 32/"embed_dim": 1000000/' "$dir/model/config.json"
refuse 1 'embed_dim' run --check --config "$dir/conf" --model "$dir/model"

# sockets: a directory that cannot be made, and TCP beyond loopback without keys
printf '[ipc]\ndir = %s/text.wav/run\n' "$dir" >"$dir/conf"
refuse 1 'text.wav' run --config "$dir/conf" --source "$song"
for line in 'tcp_data = tcp://0.0.0.0:5999|keygen' 'tcp_control = tcp://*:5999|keygen' \
    'tcp_data = nonsense|tcp://ADDRESS:PORT' 'curve_secret_key = nowhere.key|nowhere.key' \
    'curve_clients = keys|guard nothing'; do
    conf "[ipc]
${line%|*}"
    wrong "${line#*|}" --source "$song"
done

[ "$failed" = 0 ] && echo 'every mistake has its line'
exit "$failed"
