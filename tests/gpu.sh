#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# gpu.sh BUILD [GOLDEN…]: what only a real GPU shows (docs/gpu.md). Operators against the reference, golden
# files in every precision, and, with SANITIZE=1, the small ones once more under compute-sanitizer.
# Prints one line a check and what failed. Exit status: 0 all hold, 77 there is no GPU.
set -uo pipefail
build=$1
shift
here=$(dirname "$0")
golden=("$@")
[ ${#golden[@]} -gt 0 ] || golden=("$here"/data/golden/{focalnet_tiny,focalnet_options,vit_tiny,train_steps}.safetensors)
export FOCALD_MODULES=${FOCALD_MODULES:-$(cd "$build" && pwd)/model/cuda}
log=$(mktemp -d)
failed=0

check() { # check NAME COMMAND…
    local name=$1 begin=$SECONDS
    shift
    if "$@" >"$log/out" 2>&1; then
        echo "ok    $name ($((SECONDS - begin)) s)"
    else
        echo "FAIL  $name ($((SECONDS - begin)) s)"
        grep -E 'BEYOND|FAILED|error|ERROR|GPU:|parity:|====' "$log/out" | head -n 40
        failed=1
    fi
}

if ! "$build/tests/parity" --backend cuda "${golden[0]}" >"$log/out" 2>&1 && grep 'no GPU' "$log/out"; then
    echo 'skipped: no GPU'
    exit 77
fi
check 'every operator and gradient, float32' "$build/tests/model/test_operators" --backend cuda
check 'focal contexts by cuDNN, float32' "$build/tests/model/test_operators" --backend cuda cudnn
for precision in float32 tf32 bfloat16 float16; do
    for file in "${golden[@]}"; do
        # a vector near two keys takes the other one, and all behind it is another's
        [[ $precision != float32 && $(basename "$file") = piq* ]] && continue
        check "$(basename "$file" .safetensors), $precision" \
            "$build/tests/parity" --backend cuda --precision $precision "$file"
        [[ $(basename "$file") = vit* ]] && continue
        for depthwise in cudnn auto; do
            check "$(basename "$file" .safetensors), $precision, depth-wise: $depthwise" \
                "$build/tests/parity" --backend cuda --precision $precision --depthwise $depthwise "$file"
        done
    done
done
if [ -n "${SANITIZE:-}" ]; then
    for tool in memcheck racecheck initcheck synccheck; do
        for precision in float32 bfloat16; do
            check "focalnet_tiny under $tool, $precision" compute-sanitizer --tool $tool --error-exitcode 9 \
                "$build/tests/parity" --backend cuda --precision $precision "$here/data/golden/focalnet_tiny.safetensors"
            check "focalnet_tiny under $tool, $precision, by cuDNN" compute-sanitizer --tool $tool --error-exitcode 9 \
                "$build/tests/parity" --backend cuda --precision $precision --depthwise cudnn \
                "$here/data/golden/focalnet_tiny.safetensors"
        done
    done
    check 'training under memcheck' compute-sanitizer --tool memcheck --error-exitcode 9 \
        "$build/tests/parity" --backend cuda "$here/data/golden/train_steps.safetensors"
fi
rm -rf "$log"
exit $failed
