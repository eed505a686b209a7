/* SPDX-License-Identifier: Apache-2.0
 * Small graphs of one operator each, as both backends are to run them. */
#ifndef FOCALD_TESTS_MODEL_OPERATOR_CASES_H
#define FOCALD_TESTS_MODEL_OPERATOR_CASES_H

#include <stdbool.h>

#include "model/graph.h"

enum program {
    P_LINEAR,
    P_LINEAR_GELU,
    P_LINEAR_ADD,   /* residual that nobody needs afterwards */
    P_LINEAR_SELF,  /* residual that the layer itself reads */
    P_LINEAR_VIEW,  /* residual of which a slice is read later */
    P_LINEAR_SCALE, /* layer scale, residual read again later */
    P_CONV,
    P_CONV_PLANE, /* one plane for three input channels */
    P_LAYER_NORM,
    P_GELU,
    P_FOCAL,
    P_FOCAL_NORMALIZED,
    P_MUL,
    P_ADD,
    P_CHANNEL_SCALE,
    P_SAMPLE_SCALE,
    P_SAMPLE_SCALE_INNER, /* of a value that only it reads */
    P_MEAN,
    P_CHANNEL_L2,
    P_BATCH_NORM,
    P_COSINE,
    P_RELU,
    P_SIGMOID,
    P_BATCH_NORM_TRAIN,  /* by its own statistics */
    P_BATCH_NORM_SHARED, /* which are a value */
    P_BATCH_NORM_INNER,  /* of a value that only it reads */
    P_RESIZE,
    P_PAD,
    P_TRANSPOSED,
    P_TRANSPOSED_RELU,
    P_TOKENS,
    P_GRID,
    P_ATTENTION,
    P_CLS_ATTENTION,
    P_ATTENTION_MAP,
    P_QUANTISE,
    PROGRAMS
};

struct operator_program {
    const char *name;
    double tolerance; /* of max(1, largest reference value) */
};
extern const struct operator_program operator_programs[PROGRAMS];

struct operator_case {
    enum program program;
    struct tensor_shape in;
    int out; /* channels; focal: levels */
    int kernel, stride,
        pad;    /* focal: kernel is the window; attention: kernel is the heads; resize, pad:
                   kernel x stride; transposed: one column less than rows of both */
    bool slice; /* of a wider input */
};

extern const struct operator_case operator_cases[];
extern const int n_operator_cases;

enum { OPERATOR_CLASSES = 6, OPERATOR_SHARED = 3 }; /* of P_QUANTISE */

/* Builds the graph. inputs: up to two, -1 where none. Returns the output. */
int operator_build(struct graph *g, const struct operator_case *c, int inputs[2]);

#endif
