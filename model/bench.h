/* SPDX-License-Identifier: Apache-2.0
 * How fast the network runs, beside what this machine can do: its own sgemm, in the same run. */
#ifndef FOCALD_MODEL_BENCH_H
#define FOCALD_MODEL_BENCH_H

#include <stdbool.h>
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

struct train_bench_result {
    int threads, batch;
    int rounds;         /* of one step and one sgemm each */
    double clips_per_s; /* median over rounds */
    double
        gflop_per_clip; /* 3 times the forward pass's: each product has two in the backward pass */
    double gflop_s, sgemm_gflop_s, share; /* as above */
    size_t weights_bytes;                 /* float32 */
    size_t stored_bytes; /* activations that the forward pass leaves for the backward pass */
    size_t peak_bytes;   /* of this process until a step was done, before sgemm's matrices */
};

/* Training of focalnet-tiny (96 channels, depths 2-2-6-2, 224 x 224) from scratch: forward, loss,
 * backward, Adam, mean of the weights. checkpoint: trainer_config.checkpoint_activations. Runs for
 * about `seconds`, steps and sgemm in turn. */
int train_bench(int threads, int batch, bool checkpoint, double seconds,
                struct train_bench_result *ret, struct error *error);

#endif
