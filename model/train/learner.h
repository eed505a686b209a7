/* SPDX-License-Identifier: Apache-2.0
 * A network with its backward pass and its parameters as one flat array: what a training step needs
 * of the network. A step: fill the inputs, learner_forward, fill the seeds from the outputs,
 * learner_backward, change the parameters by the gradients, learner_repack.
 *
 * Inputs, outputs and seeds are in the host's memory; parameters and gradients lie in the
 * backend's, which the learner's store reaches.
 *
 * N: images of a batch. One thread at a time. */
#ifndef FOCALD_MODEL_TRAIN_LEARNER_H
#define FOCALD_MODEL_TRAIN_LEARNER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "model/backend.h"
#include "model/graph.h"
#include "model/train/ranks.h"
#include "model/train/store.h"
#include "model/weights/provider.h"

struct learner;

enum { LEARNER_MAX_OUTPUTS = 4 };

struct learner_config {
    const struct backend_ops *ops;
    enum precision precision; /* that the backend has */
    enum depthwise depthwise;
    int threads;
    /* Which weights are not trained; NULL: all are. */
    bool (*frozen)(const void *user, const char *name);
    const void *user;
    bool inputs; /* the gradients of the graph's inputs are wanted too */
    /* Where batch norms are shared (graph_batch_norm_shared): the processes that do; outlives the
     * learner. */
    const struct trainer_ranks *ranks;
    bool checkpoint_activations; /* graph_wanted.checkpoint: less memory, more time */
};

struct learner_memory { /* bytes */
    size_t parameters;  /* as many for their gradients */
    size_t stored;      /* activations that the forward pass leaves for the backward pass */
    size_t arena;       /* all values of both */
    size_t packed;      /* parameters once more, as the backend wants them */
};

/* Takes the graph over (also on failure): a forward pass, in training where it has batch norms. The
 * initial weights are copied out of `weights`. outputs: [n] whose gradients will come from outside.
 */
int learner_create(struct learner **ret, struct graph *graph, const int *outputs, int n,
                   struct weights *weights, const struct learner_config *config,
                   struct error *error);
void learner_destroy(struct learner *learner); /* takes NULL */

/* A value of the graph, dense [n][h][w][c]: an input to fill, an output to read. */
float *learner_value(const struct learner *learner, int value, struct tensor_shape *ret_shape);
/* Where the gradient of outputs[i] goes before learner_backward: like the value. */
float *learner_seed(const struct learner *learner, int i);
/* Gradients are computed times this power of two (loss_scale.h; 1): seeds are multiplied by it, in
 * place, before the backward pass, and what comes of it is divided by it. Where it is too large for
 * the precision, gradients are not finite. */
void learner_scale(struct learner *learner, double factor);

/* The gradient of an input after learner_backward, like the value; with config.inputs. */
const float *learner_input_gradient(const struct learner *learner, int input);

int learner_forward(struct learner *learner, struct error *error);
/* Fills learner_gradients. */
int learner_backward(struct learner *learner, struct error *error);
/* Over the processes that share batch norms, whose own gradients are that already. */
int learner_sum_gradients(struct learner *learner, struct error *error);
/* Running statistics of batch norms: momentum * the batch's + (1 - momentum) * theirs, with the
 * unbiased variance (torch.nn.BatchNorm). After a forward and backward pass. */
int learner_update_statistics(struct learner *learner, float momentum, struct error *error);
/* The network takes the parameters as they are now. */
int learner_repack(struct learner *learner, struct error *error);

/* All weights, running statistics included, one after the other: [*ret_n]; gradients of those that
 * are not trained are zero. In the store. */
const struct store *learner_store(const struct learner *learner);
float *learner_parameters(const struct learner *learner, size_t *ret_n);
float *learner_gradients(const struct learner *learner);

struct learner_memory learner_memory(const struct learner *learner);

struct learner_range { /* of one weight */
    const struct graph_weight *weight;
    size_t from, cells;
    bool trained;
};
int learner_ranges(const struct learner *learner);
struct learner_range learner_range(const struct learner *learner, int i);

#endif
