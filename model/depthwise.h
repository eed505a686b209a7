/* SPDX-License-Identifier: Apache-2.0
 * Who computes the depth-wise convolutions of a focal context on a GPU; the CPU has one way. */
#ifndef FOCALD_MODEL_DEPTHWISE_H
#define FOCALD_MODEL_DEPTHWISE_H

#include <stdbool.h>

#include "base/error.h"

enum depthwise {
    DEPTHWISE_KERNELS, /* kernels of focald's own: the same bits every time */
    DEPTHWISE_CUDNN,   /* cuDNN, where it has a way: likewise */
    DEPTHWISE_AUTO,    /* what is faster on this card, measured when a network is made ready */
};

/* What was found of a focal context, or of its gradient, of one shape and type. */
struct depthwise_choice {
    char what[96];
    int batch;
    bool cudnn; /* else kernels of our own */
    double kernels_ms,
        cudnn_ms; /* a run; 0 where it was not measured, as it was not to be chosen */
};

/* "kernels", "cudnn", "auto". */
const char *depthwise_name(enum depthwise depthwise);
int depthwise_parse(const char *text, enum depthwise *ret, struct error *error);

#endif
