/* SPDX-License-Identifier: Apache-2.0
 * A module in the GPU's place that computes on the CPU and fails when it is told to: what it
 * exports as focald_broken. Programs that only have its environment say so by
 *
 *   FOCALD_BROKEN_RUNS   runs that fail before one works
 *   FOCALD_BROKEN_OPENS  openings that fail after the first worked
 *   FOCALD_BROKEN_ABI    it is of another version */
#ifndef TESTS_CUDA_MODULE_BROKEN_H
#define TESTS_CUDA_MODULE_BROKEN_H

#include <stdatomic.h>

struct broken {
    atomic_int fail_runs, fail_opens; /* how many of those to come */
    atomic_int opened, closed;        /* until now */
};

#endif
