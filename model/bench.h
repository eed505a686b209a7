/* SPDX-License-Identifier: Apache-2.0
 * How fast the network runs, beside what this machine can do: its own sgemm, in the same run. */
#ifndef FOCALD_MODEL_BENCH_H
#define FOCALD_MODEL_BENCH_H

#include <stddef.h>

#include "base/error.h"
#include "model/model.h"

struct network_bench_result {
    char model[64], backend[16];
    int threads, batch;
    int rounds;           /* of one run and one sgemm each */
    double ms_per_window; /* median over rounds */
    double ms_per_window_min;
    double gflop_per_window; /* 2 * multiply-adds of linear layers and convolutions */
    double gflop_s;          /* of the network, median */
    double sgemm_gflop_s;    /* 2048 x 2048 x 2048, same threads, median */
    double share;            /* gflop_s / sgemm_gflop_s */
    size_t weights_bytes;    /* float32 */
    size_t resident_bytes;   /* of this process with the network ready and run, before sgemm's */
};

/* threads 0: all cores. batch: 1 ... 64 windows a run.
 * Runs for about `seconds`, network and sgemm in turn, so that both meet the same machine. */
int network_bench(const struct model *model, int threads, int batch, double seconds,
                  struct network_bench_result *ret, struct error *error);

#endif
