/* SPDX-License-Identifier: Apache-2.0
 * How fast the network runs, beside what this machine can do in the same run: on the CPU its own
 * sgemm (2048 x 2048 x 2048, same threads), on a GPU a large product in the same precision. */
#ifndef FOCALD_MODEL_BENCH_H
#define FOCALD_MODEL_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "model/model.h"

struct bench_config {
    const char *backend; /* see backends.h */
    enum precision precision;
    enum depthwise depthwise;
    int threads;     /* 0: all cores */
    int batch;       /* windows a run, 1 ... 64; clips a step */
    double seconds;  /* about; runs and products in turn, so that both meet the same machine */
    bool checkpoint; /* training: trainer_config.checkpoint_activations */
};

struct bench_speed {
    const char *backend; /* that was taken */
    enum precision precision;
    int threads, batch;
    int rounds;             /* of a run */
    double gflop_s;         /* of the network, median over rounds */
    double product_gflop_s; /* of the large product, median */
    double share;           /* gflop_s / product_gflop_s */
};

enum { BENCH_DEPTHWISE = 16 };

struct network_bench_result {
    char model[64];
    struct bench_speed speed;
    double ms_per_window; /* median over rounds */
    double ms_per_window_min;
    double gflop_per_window; /* 2 * multiply-adds of linear layers and convolutions */
    size_t weights_bytes;    /* float32 */
    int n_depthwise;
    struct depthwise_choice depthwise[BENCH_DEPTHWISE]; /* of runs of the batch, on a GPU */
    size_t resident_bytes; /* of this process with the network ready and run, before sgemm's */
};

int network_bench(const struct model *model, const struct bench_config *config,
                  struct network_bench_result *ret, struct error *error);

struct train_bench_result {
    struct bench_speed speed;
    double clips_per_s; /* median over rounds */
    double
        gflop_per_clip; /* 3 times the forward pass's: each product has two in the backward pass */
    size_t weights_bytes; /* float32 */
    size_t stored_bytes;  /* activations that the forward pass leaves for the backward pass */
    size_t peak_bytes;    /* of this process until a step was done, before sgemm's matrices */
};

/* Training of focalnet-tiny (96 channels, depths 2-2-6-2, 224 x 224) from scratch: forward, loss,
 * backward, Adam, mean of the weights. */
int train_bench(const struct bench_config *config, struct train_bench_result *ret,
                struct error *error);

#endif
