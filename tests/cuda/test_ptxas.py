#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""no_kernel_spills_or_keeps_arrays_in_memory: what ptxas said of each kernel for each GPU.

usage: test_ptxas.py ARCHS FILE.ptxas...   (ARCHS as in 75,80; none where CUDA was not built)
"""
import re
import sys

archs = [f'sm_{a}' for a in sys.argv[1].split(',') if a]
if not archs:
    print('skipped: no CUDA toolkit')
    sys.exit(77)

entry = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
usage = re.compile(r'(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads')
wrong, seen = [], {}
for path in sys.argv[2:]:
    kernel = arch = None
    found = 0
    for line in open(path, errors='replace'):
        if m := entry.search(line):
            if kernel is not None:
                wrong.append(f'{path}: nothing is said of {kernel} for {arch}')
            kernel, arch = m.groups()
        elif m := usage.search(line):
            # a function that is no kernel was not made a part of its callers: it has a stack
            name = kernel or 'a function that is called'
            if any(int(n) for n in m.groups()):
                wrong.append(f'{path}: {name} for {arch}: {line.strip()}')
            if kernel is not None:
                seen.setdefault(kernel, set()).add(arch)
                found += 1
            kernel = None
    if kernel is not None:
        wrong.append(f'{path}: nothing is said of {kernel} for {arch}')
    if found == 0:
        wrong.append(f'{path}: holds no kernel')
for kernel, of in seen.items():
    if missing := sorted(set(archs) - of):
        wrong.append(f'{kernel}: not compiled for {", ".join(missing)}')
if not seen:
    wrong.append('no kernel was compiled')
for line in wrong:
    print(line)
print(f'{len(seen)} kernels for {len(archs)} GPUs ({", ".join(archs)})')
sys.exit(1 if wrong else 0)
