#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# the_readme_client_plays_and_prints: the Python client shown in README.md, word for word, against a
# real publisher, with a player that keeps what it is given.
# usage: test_readme_client.sh README TALKER
readme=$1
talker=$2
python=
for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import zmq' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || { echo "skipped: no python3 with zmq (Debian package python3-zmq)"; exit 77; }
[ -f "$readme" ] || { echo "skipped: there is no $readme"; exit 77; }

dir=$(mktemp -d)
trap 'kill $pid $client 2>/dev/null; rm -rf "$dir"' EXIT
awk '/^```python$/ {on = 1; next} /^```$/ {on = 0} on' "$readme" >"$dir/client.py"
lines=$(wc -l <"$dir/client.py")
[ "$lines" -ge 1 ] && [ "$lines" -le 15 ] || { echo "the client in $readme has $lines lines"; exit 1; }

mkdir "$dir/bin"
cat >"$dir/bin/aplay" <<END
#!/bin/sh
echo "\$*" >"$dir/arguments"
exec cat >"$dir/pcm"
END
chmod +x "$dir/bin/aplay"
unset FOCALD_DATA
export XDG_RUNTIME_DIR="$dir" PATH="$dir/bin:$PATH"
"$talker" "$dir/focald" &
pid=$!
"$python" "$dir/client.py" >"$dir/labels" 2>"$dir/errors" &
client=$!
tries=0
until [ "$(wc -l <"$dir/labels")" -ge 10 ] && [ "$(stat -c %s "$dir/pcm" 2>/dev/null || echo 0)" -ge 40000 ]; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { echo "no labels or no audio came"; cat "$dir/labels" "$dir/errors"; exit 1; }
    sleep 0.05
done
kill $client
grep -q 'dog' "$dir/labels" || { echo "no label printed"; cat "$dir/labels"; exit 1; }
grep -q 'FLOAT_LE' "$dir/arguments" && grep -q '16000' "$dir/arguments" ||
    { echo "the player is not told the format"; exit 1; }
"$python" - "$dir/pcm" <<'END' || exit 1
import array, sys
data = open(sys.argv[1], "rb").read()
pcm = array.array("f", data[:len(data) // 4 * 4])
steps = [round(x * 1000) for x in pcm]
gaps = [i for i in range(1, len(steps)) if (steps[i] - steps[i - 1]) % 1000 != 1]
print(len(pcm), "samples played,", len(gaps), "gaps")
sys.exit(1 if gaps or len(pcm) < 10000 else 0)
END
