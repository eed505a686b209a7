/* SPDX-License-Identifier: Apache-2.0
 * The backward pass as more nodes of the same graph: training is the same graph, longer. */
#ifndef FOCALD_MODEL_GRAPH_GRAD_H
#define FOCALD_MODEL_GRAPH_GRAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "model/graph.h"

/* Where a weight's gradient lies: `from` floats behind the beginning of a value, which is an
 * output. value is -1 where it has none. */
struct graph_gradient {
    int value;
    size_t from;
};

struct graph_backward {
    int first;                      /* nodes before it are the forward pass */
    int n_values;                   /* of the forward pass */
    int *values;                    /* [n_values] the gradient of each value, or -1 */
    struct graph_gradient *weights; /* [n_weights] */
    int n_weights;
};

/* Whose gradients are wanted, besides what they take. */
struct graph_wanted {
    const bool *frozen; /* [n_weights] those that are not trained; NULL: all are trained */
    bool inputs;        /* of the graph's inputs as well, as outputs */
    /* Less memory for more time: of the forward pass only the residual sums that all that follows
     * goes through are kept (and outputs); what the backward pass needs between two of them is
     * computed anew when it comes there. The same gradients, bit for bit. */
    bool checkpoint;
};

/* Appends the backward pass for outputs: [n], values whose gradients the caller puts into
 * ret_seeds: [n], new inputs of the graph, between the two passes. Statistics of batch norms in
 * training become outputs (GRAPH_BATCH_STATISTICS). Errors: the graph's own, -EINVAL for an
 * operator on the way that has no gradient (NEAREST), -ENOMEM. */
int graph_grad(struct graph *graph, const int *outputs, int n, const struct graph_wanted *wanted,
               int *ret_seeds, struct graph_backward *ret, struct error *error);
void graph_backward_finish(struct graph_backward *backward); /* frees */

#endif
