/* SPDX-License-Identifier: Apache-2.0
 * Who runs a plan. A backend is one const table; the plan asks it for one step per operator, gives
 * each its place in memory, has the weights packed once, and then only runs. */
#ifndef FOCALD_MODEL_BACKEND_H
#define FOCALD_MODEL_BACKEND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "model/graph.h"

struct backend; /* one thread at a time */

/* One operator with what the plan fused into it. Rows (h, w) are dense; `stride` is floats from one
 * position to the next, more than c where the value is a slice. */
struct step_spec {
    const struct graph_node *node;
    const struct graph_weight *weights; /* of the graph: node->weights index it */
    struct tensor_shape in[GRAPH_MAX_INPUTS], out;
    size_t in_stride[GRAPH_MAX_INPUTS];
    bool gelu;     /* LINEAR: GELU of the result */
    bool relu;     /* CONV_TRANSPOSED: ReLU of the result */
    bool residual; /* LINEAR, LAYER_NORM_GRAD: added to what is in `residual` (see step_memory) */
    bool weights_too; /* LAYER_NORM_GRAD, FOCAL_GRAD: what …_WEIGHTS gives, into `weights_out` */
};

struct step {             /* each backend's begins with it */
    size_t packed_bytes;  /* weights in the backend's form */
    size_t scratch_bytes; /* used within a run of this step only */
};

/* Where a step's operands lie; fixed for its life, 64-byte aligned except slices. */
struct step_memory {
    const float *in[GRAPH_MAX_INPUTS];
    const float *residual; /* may be `out` itself */
    float *out, *weights_out;
    void *packed, *scratch;
};

struct backend_ops {
    const char *name;
    bool joins_backward; /* it does what step_spec says of …_GRAD */
    /* threads >= 1. */
    int (*open)(struct backend **ret, int threads, struct error *error);
    void (*close)(struct backend *backend); /* takes NULL; after the last step */
    /* like: the same node of a plan of another batch size whose packed weights are to be shared, or
     * NULL. */
    int (*step_create)(struct backend *backend, const struct step_spec *spec,
                       const struct step *like, struct step **ret, struct error *error);
    void (*step_destroy)(struct step *step); /* takes NULL */
    /* weights: one array per weight of the node, as published. Fills packed. */
    int (*step_pack)(struct step *step, const float *const *weights, void *packed,
                     struct error *error);
    int (*step_bind)(struct step *step, const struct step_memory *memory, struct error *error);
    /* Allocates nothing of its own. */
    int (*step_run)(struct step *step, struct error *error);
    /* Before a run, on the running thread. */
    void (*enter)(struct backend *backend);
};

extern const struct backend_ops backend_ref, backend_cpu;

#endif
