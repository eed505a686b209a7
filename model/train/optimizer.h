/* SPDX-License-Identifier: Apache-2.0
 * Adam (Kingma and Ba 2015, algorithm 1) and AdamW (Loshchilov and Hutter 2019, algorithm 2) over
 * one flat array of P parameters, with gradients clipped by their global norm.
 *
 * Ranges say what is trained and how; what lies in no range (padding, a layer that gets no
 * gradient) is not touched, not even by decay. The moments are plain arrays: with `step` they are
 * the whole state, and a run that gets them back goes on bit for bit. One thread calls. All arrays
 * lie in one store: in the host's memory the loops run on OpenMP's threads, whose number changes no
 * bit; on a device they are its own. Steps allocate nothing. */
#ifndef FOCALD_MODEL_TRAIN_OPTIMIZER_H
#define FOCALD_MODEL_TRAIN_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/train/store.h"

enum optimizer_kind {
    OPTIMIZER_ADAM,  /* decay is added to the clipped gradient: torch.optim.Adam's weight_decay */
    OPTIMIZER_ADAMW, /* decay shrinks the weights by themselves: torch.optim.AdamW */
};

struct optimizer_options {
    enum optimizer_kind kind;
    double beta1, beta2, epsilon;
    double weight_decay;
    double max_norm; /* longer gradients are shortened to it; 0: none is */
};

/* The paper's: decay 2e-6, norm 5. */
#define OPTIMIZER_PAPER                                                                            \
    ((struct optimizer_options){.kind = OPTIMIZER_ADAM,                                            \
                                .beta1 = 0.9,                                                      \
                                .beta2 = 0.999,                                                    \
                                .epsilon = 1e-8,                                                   \
                                .weight_decay = 2e-6,                                              \
                                .max_norm = 5})

struct optimizer_range {
    size_t begin, count;
    double rate; /* times the step's learning rate: a stage's share of it */
    bool frozen; /* neither changed nor counted in the norm */
    bool decay;  /* weight_decay holds here */
};

struct optimizer {
    /* immutable after init */
    struct optimizer_options options;
    struct store store;
    size_t parameters;          /* P */
    struct backend_span *spans; /* [n_spans] where the store's arrays lie */
    size_t n_spans;
    double *squares; /* [n_spans] scratch of the norm; on a device: the sum */
    float *parts;    /* [n_spans] on a device: scratch of it */
    /* state: what a checkpoint keeps */
    float *m, *v;  /* [P] first and second moments, zero at first */
    uint64_t step; /* steps taken */
};

/* store: of all arrays, outlives the optimizer; NULL: the host's memory. ranges: [n], rising and
 * disjoint, copied; all of one of n = 0 is an error. -EINVAL for ranges or options that make no
 * sense, -ENOMEM. */
int optimizer_init(struct optimizer *ret, const struct optimizer_options *options,
                   const struct store *store, size_t parameters,
                   const struct optimizer_range *ranges, size_t n, struct error *error);
void optimizer_finish(struct optimizer *optimizer); /* also of a zeroed struct */

/* The L2 norm of gradients: [P] over all ranges that are not frozen; the last sums are in double.
 * Errors are a device's. */
int optimizer_norm(struct optimizer *optimizer, const float *gradients, double *ret,
                   struct error *error);

/* One step with the norm that optimizer_norm gave (data-parallel ranks give all the same one):
 *
 *   g = gradient min(1, max_norm / (norm + 1e-6))         [+ weight_decay w: Adam]
 *   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
 *   w = w [(1 - rate weight_decay): AdamW] - rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) +
 * eps)
 *
 * with t = step from 1 and rate = learning_rate * the range's. parameters: [P] changed in place,
 * gradients: [P] left as they are. -EDOM with nothing changed where the norm or the rate is not
 * finite: the gradient holds NaN or infinity. */
int optimizer_step(struct optimizer *optimizer, float *parameters, const float *gradients,
                   double norm, double learning_rate, struct error *error);

#endif
