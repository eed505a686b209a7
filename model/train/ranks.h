/* SPDX-License-Identifier: Apache-2.0
 * Processes that share a batch. */
#ifndef FOCALD_MODEL_TRAIN_RANKS_H
#define FOCALD_MODEL_TRAIN_RANKS_H

#include <stddef.h>

#include "base/error.h"

/* Both functions are called by all of them in the same order. */
struct trainer_ranks {
    int rank, ranks;
    /* all: [ranks][n] what each has as mine: [n] */
    int (*gather)(void *user, const float *mine, size_t n, float *all, struct error *error);
    /* x: [n] becomes the sum over all, the same bits everywhere */
    int (*sum)(void *user, float *x, size_t n, struct error *error);
    void *user;
};

#endif
