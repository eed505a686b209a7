/* SPDX-License-Identifier: Apache-2.0
 * One step of training after the other, of one of two kinds.
 *
 * A classifier: the backbone and, behind its embedding, the heads: the classifier, and linear ones
 * that copy a teacher and are dropped afterwards. Backbone and heads are two graphs, so that
 * several processes can share a batch: each runs the backbone on its own images, all get all
 * embeddings, and each runs the heads, with their batch norm, on the whole batch. That is what one
 * process with the whole batch does.
 *
 * An interpreter, where net.piq has keys: PIQ beside a classifier that stays as it is. Its batch
 * norms lie within it: several processes take their statistics, and what goes back through those,
 * over the whole batch (learner_config.ranks).
 *
 * B: images of this process, N = B * ranks of a step; E, S: the teacher's embedding and scores. One
 * thread at a time. */
#ifndef FOCALD_MODEL_TRAIN_TRAINER_H
#define FOCALD_MODEL_TRAIN_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/backend.h"
#include "model/nets/net.h"
#include "model/train/learner.h"
#include "model/train/loss.h"
#include "model/train/loss_scale.h"
#include "model/train/optimizer.h"
#include "model/train/ranks.h"
#include "model/weights/provider.h"

struct trainer_rule { /* of one weight */
    double rate;      /* times the learning rate */
    bool frozen, decay;
};

struct trainer_config {
    struct net_config net;             /* with its head's sizes and drop path */
    int batch;                         /* B */
    int embedding_width, scores_width; /* E, S; 0: no teacher */
    double embedding_weight, scores_weight;
    /* Of the classes' gradient, what the backbone gets; 0: it learns from the teacher alone, and
     * the classifier learns to read what it has learnt. */
    double class_gradient;
    struct loss_options loss;
    struct optimizer_options optimizer;
    double average;       /* of the weights, as trainer_weight gives them; 0: none, the weights */
    struct weights *from; /* what the weights are at first, where it has them; NULL: drawn */
    uint64_t seed;
    const struct backend_ops *ops;
    enum precision precision; /* that the backend has */
    enum depthwise depthwise;
    int threads;
    bool checkpoint_activations; /* of the backbone: less memory, more time, the same weights */
    struct trainer_rule (*rule)(const void *user, const char *name, int rank);
    const void *user;
    const struct trainer_ranks *ranks; /* NULL: this process alone; outlives the trainer */
};

struct trainer;

int trainer_create(struct trainer **ret, const struct trainer_config *config, struct error *error);
void trainer_destroy(struct trainer *trainer); /* takes NULL */
/* Tensors that came from config.from. */
int trainer_taken(const struct trainer *trainer);

/* Bytes of both networks together. */
struct learner_memory trainer_memory(const struct trainer *trainer);

/* Takes the images of the next step. planes: [B][image rows][image columns] */
void trainer_load(struct trainer *trainer, const float *planes);
/* Where image i < B lies then: [rows][columns] of the network's input, which FocalNet's patches may
 * round up; what is added, right and below, is zero. */
float *trainer_plane(struct trainer *trainer, int i);

struct trainer_target {
    struct loss_target classes; /* label_a -1: none, only the teacher speaks of it */
    bool taught;
};

struct trainer_batch {
    const struct trainer_target *targets; /* [B] */
    const float *embeddings, *scores;     /* [B][E], [B][S], where there is a teacher */
    const uint8_t *marks; /* of an interpreter, which needs nothing else: [B][PIQ_FRAMES][PIQ_BINS]
                             1 where its mask should be */
};

struct trainer_losses { /* means over N */
    double loss;
    double classes, teacher; /* a classifier's */
    double rec, vq;          /* an interpreter's */
    double norm;             /* of the gradient, before it is clipped */
    int labelled;            /* of N: those that have a label */
    int right;    /* of these: the larger of its labels is the first; -1: of an interpreter */
    int worst;    /* -1, or which of the B has a loss that is not finite */
    bool skipped; /* the loss was scaled too much: nothing has changed but its scale */
};

/* Forward, backward, update. -EDOM with the weights as they were where the loss or the gradient is
 * not finite: ret->worst then says which image, where one does. A gradient that is not because the
 * loss was scaled (loss_scale.h, in float16) is no failure: the step is skipped. */
int trainer_step(struct trainer *trainer, const struct trainer_batch *batch, double rate,
                 struct trainer_losses *ret, struct error *error);

/* The last map of image i < B in the last step: [*ret_rows][*ret_cols]. */
const float *trainer_map(const struct trainer *trainer, int i, int *ret_rows, int *ret_cols);

/* The weights of the network, the classifier's included, the teacher's heads not: their mean over
 * the steps where config.average is. Values are those of the last trainer_fetch, until the next
 * step. */
int trainer_fetch(struct trainer *trainer, struct error *error);
int trainer_weights(const struct trainer *trainer);
struct weights_array trainer_weight(const struct trainer *trainer, int i);

/* All that changes from step to step, to be saved and brought back: copies of [n] floats each.
 * After trainer_restore the next step is the one that would have come. */
size_t trainer_parameters(const struct trainer *trainer);
uint64_t trainer_steps(const struct trainer *trainer); /* that were taken */
struct loss_scale trainer_loss_scale(const struct trainer *trainer);
int trainer_save(const struct trainer *trainer, float *weights, float *m, float *v, float *average,
                 struct error *error);
int trainer_restore(struct trainer *trainer, uint64_t steps, const struct loss_scale *scale,
                    const float *weights, const float *m, const float *v, const float *average,
                    struct error *error);

#endif
