#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The whole networks of the paper on the stand-in, against golden files that are too large to lie here.
# usage: test_shared.sh PARITY GOLDEN_DIR
set -eu
parity=$1 golden=${FOCALD_SHARED:+$FOCALD_SHARED/golden}
golden=${golden:-$2}
if [ ! -e "$golden/focalnet_base_hashed.safetensors" ]; then
    echo "skipped: there is no $golden"
    exit 77
fi
exec "$parity" --backend cuda "$golden/focalnet_base_hashed.safetensors" "$golden/vit_base_hashed.safetensors" \
    "$golden/piq.safetensors"
