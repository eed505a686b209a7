/* SPDX-License-Identifier: Apache-2.0
 * What the benches of the network share. */
#ifndef FOCALD_MODEL_BENCH_INTERNAL_H
#define FOCALD_MODEL_BENCH_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/backends.h"

enum { BENCH_SGEMM_SIZE = 2048 };

double bench_now_s(void);
/* The same noise in [0, 1) each time. */
void bench_fill(float *x, size_t n, uint32_t seed);

struct bench_turns {
    int (*run)(void *user, struct error *error); /* it ran before and is warm */
    void *user;
    struct backend_choice choice; /* what it runs on, whose large product it is compared with */
    double seconds;               /* about */
    int min_rounds;
};

struct bench_measured {
    int rounds;
    double run_s, least_s; /* median, least */
    double product_flop_s; /* floating-point operations a second, median */
};

int bench_measure(const struct bench_turns *turns, struct bench_measured *ret, struct error *error);

#endif
