#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: compile.sh LOG NVCC [ARG...]
# Keeps what ptxas says of each kernel in LOG, and shows what else the compiler says.
log=$1
shift
"$@" 2>"$log"
status=$?
grep -v '^ptxas info' "$log" | grep -v '^ *[0-9]* bytes stack frame' >&2
exit $status
