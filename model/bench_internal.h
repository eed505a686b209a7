/* SPDX-License-Identifier: Apache-2.0
 * What the benches of the network share. */
#ifndef FOCALD_MODEL_BENCH_INTERNAL_H
#define FOCALD_MODEL_BENCH_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

enum { BENCH_SGEMM_SIZE = 2048 };

double bench_now_s(void);
/* The same noise in [0, 1) each time. */
void bench_fill(float *x, size_t n, uint32_t seed);
/* Sorts x: [n]. */
double bench_median(double *x, int n);

#endif
