/* SPDX-License-Identifier: Apache-2.0
 * A call of a kernel of the backward pass and of the reference, with the same operands: made of
 * random cells, run on the stand-in CUDA in two orders, compared. What fails fails the test. */
#ifndef FOCALD_TESTS_MODEL_CUDA_CALL_H
#define FOCALD_TESTS_MODEL_CUDA_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "model/cuda/kernels.h"

void call_seed(uint64_t seed);
double call_uniform(void); /* [-1, 1) */
int call_below(int n);     /* 0 ... n - 1 */

struct call_operand {
    float *here; /* the reference's: rows of `stride`, NaN between them */
    size_t cells;
    struct cuda_tensor there;
};

struct call {
    struct graph_node node;
    struct step_spec spec;
    struct call_operand in[GRAPH_MAX_INPUTS], residual, out, weights_out;
    struct call_operand weights[GRAPH_MAX_NODE_WEIGHTS];
    double limit; /* of the difference, of the largest */
    const char *what;
};

/* values: [cells], or NULL for random ones; rounded to the type on both sides. */
struct call_operand call_operand(struct tensor_shape s, size_t stride, enum cell_type type,
                                 const float *values);
void call_release(struct call_operand *o);

void call_input(struct call *c, int i, struct tensor_shape s, size_t stride, enum cell_type type,
                const float *values);
/* The next one, between two values. */
void call_weight(struct call *c, size_t cells, double from, double to);
void call_output(struct call *c, struct tensor_shape s, enum cell_type type);
/* Of a gradient with the weights' beside it; after the output. */
void call_weights_out(struct call *c, int cells);

/* Runs it both ways and frees it. */
void call_check(struct call *c);

#endif
