#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A C++ source that is the .cu file: meson knows no other way to give one to g++.
printf '#include "%s"\n' "$(realpath "$1")" > "$2"
