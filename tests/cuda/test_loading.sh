#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# focald and the GPU's module: it needs nothing of CUDA to start, says which backend it took, and
# names what is missing.
# usage: test_loading.sh MODULE_DIR BUILT(yes|no) BROKEN_MODULE_DIR
set -eu
modules=$1 built=$2 broken=$3
python=/usr/bin/python3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" XDG_CONFIG_HOME="$work/none" XDG_CACHE_HOME="$work/cache" XDG_RUNTIME_DIR="$work"
unset FOCALD_MODULES
small="$FOCALD_SOURCE/tests/data/baseline"
gpu=no
[ -e /proc/driver/nvidia/version ] && gpu=yes

printf '[ipc]\ndir = %s/run\n' "$work" >"$work/plain.conf" # beside other tests
config="$work/plain.conf"

# usage: run_on NAME [OPTION...]: focald over a file of sound, its lines in $work/NAME
run_on() {
    name=$1
    shift
    status=0
    "$FOCALD" run --config "$config" --source "file:$FOCALD_DEMO" --fast --model "$small" --threads 1 "$@" \
        >"$work/$name" 2>&1 || status=$?
}

tells() {
    grep -q "$2" "$work/$1" || { echo "$1 does not tell \"$2\":"; cat "$work/$1"; exit 1; }
}

# the_programs_link_nothing_of_cuda
readelf -d "$FOCALD" | grep NEEDED >"$work/needed"
tells needed 'libc\.so'
if grep -E 'cuda|cudnn|cublas|nvidia' "$work/needed"; then
    exit 1
fi

# the_module_shows_one_name_and_leaves_nothing_undefined
if [ "$built" = yes ]; then
    names=$(nm -D --defined-only "$modules/libfocald-cuda.so" | awk '{print $3}')
    [ "$names" = focald_cuda_backend ] || { echo "the module shows: $names"; exit 1; }
    "$python" - "$modules/libfocald-cuda.so" <<'PY'
import ctypes, os, sys
module = ctypes.CDLL(sys.argv[1], mode=os.RTLD_NOW | os.RTLD_LOCAL)
module.focald_cuda_backend.restype = ctypes.c_void_p
assert module.focald_cuda_backend(-1) is None, 'a table for another version'
PY
fi

# where_there_is_no_gpu_auto_says_so_and_uses_the_cpu
if [ "$gpu" = no ] || [ "$built" = no ]; then
    run_on auto
    [ "$status" = 0 ]
    tells auto 'no GPU: using the CPU ('
    [ "$(grep -c 'no GPU' "$work/auto")" = 1 ]
    tells auto 'on the cpu'
    run_on cuda --backend cuda
    [ "$status" = 1 ]
    [ "$built" = no ] || tells cuda 'backend cuda: no GPU: .*driver'
    [ "$built" = yes ] || tells cuda "there is no module $modules/libfocald-cuda.so"
    status=0
    "$FOCALD" classify --backend cuda --model "$small" "$FOCALD_DEMO" 2>"$work/classify" || status=$?
    [ "$status" = 1 ]
    tells classify 'backend cuda: no GPU: '
fi

# without_the_module_the_file_is_named
mkdir "$work/empty"
export FOCALD_MODULES="$work/empty"
run_on missing --backend cuda
[ "$status" = 1 ]
tells missing "there is no module $work/empty/libfocald-cuda.so"
run_on cpu --backend cpu
[ "$status" = 0 ]
if grep 'no GPU' "$work/cpu"; then # nobody asked for one
    exit 1
fi
run_on half --backend cpu --precision bfloat16
[ "$status" = 1 ]
tells half 'precision bfloat16 is the GPU.s: backend cpu computes in float32'

# auto_takes_the_gpu_and_says_which (a module of the tests is in its place)
export FOCALD_MODULES="$broken"
run_on taken --precision auto
[ "$status" = 0 ]
tells taken 'on the cuda in tf32'
if grep 'no GPU' "$work/taken"; then
    exit 1
fi

# a_gpu_that_fails_is_started_anew (the windows in work run again: nothing else changes)
FOCALD_BROKEN_RUNS=1 run_on anew
[ "$status" = 0 ]
tells anew 'the GPU failed, it is started anew: .*illegal address'
if grep 'on the CPU instead' "$work/anew"; then
    exit 1
fi

# and_when_it_fails_again_the_cpu_goes_on
FOCALD_BROKEN_RUNS=2 run_on instead
[ "$status" = 0 ]
tells instead 'the GPU failed, on the CPU instead: .*illegal address'

# or_nothing_does_and_focald_says_so
config="$work/alone.conf"
printf '[ipc]\ndir = %s/run\n[model]\nfallback = no\n' "$work" >"$config"
FOCALD_BROKEN_RUNS=1000000 run_on alone
[ "$status" = 1 ]
tells alone 'the GPU failed (\[model\] fallback = no): '
