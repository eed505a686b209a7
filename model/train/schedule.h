/* SPDX-License-Identifier: Apache-2.0
 * The learning rate over the steps of a run. Steps count from 1. Most schedules are functions of
 * the step alone, so that a resumed run needs no more than its number; SCHEDULE_PLATEAU has a
 * state, a plain struct for the checkpoint. */
#ifndef FOCALD_MODEL_TRAIN_SCHEDULE_H
#define FOCALD_MODEL_TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum schedule_kind {
    SCHEDULE_CYCLIC,   /* up and down between base and max, a way each of step_size steps */
    SCHEDULE_COSINE,   /* up to max over warmup steps, then down to base at step total */
    SCHEDULE_CONSTANT, /* max */
    SCHEDULE_PLATEAU,  /* max, times factor wherever the validation loss stays up */
};

const char *schedule_name(enum schedule_kind kind); /* "cyclic", "cosine", "constant", "plateau" */
/* false, *ret untouched, for any other name. */
bool schedule_by_name(const char *name, enum schedule_kind *ret);

struct schedule_options {
    enum schedule_kind kind;
    double base, max;       /* base: the lowest, of PLATEAU as well */
    uint64_t step_size;     /* CYCLIC: steps of half a cycle */
    uint64_t warmup, total; /* COSINE: warmup <= total */
    double factor;          /* PLATEAU: in 0..1 */
    int patience;           /* PLATEAU: so many bad epochs in a row are borne */
    int hold_epochs;        /* PLATEAU: up to this epoch the rate stays (dont_halve_until_epoch) */
};

/* The paper's classifier, and its PIQ (whose rate never falls in its 100 epochs). */
#define SCHEDULE_PAPER                                                                             \
    ((struct schedule_options){                                                                    \
        .kind = SCHEDULE_CYCLIC, .base = 1e-8, .max = 2e-4, .step_size = 65000})
#define SCHEDULE_PAPER_PIQ                                                                         \
    ((struct schedule_options){.kind = SCHEDULE_PLATEAU,                                           \
                               .base = 1e-8,                                                       \
                               .max = 2e-4,                                                        \
                               .factor = 0.5,                                                      \
                               .patience = 3,                                                      \
                               .hold_epochs = 100})

/* What SCHEDULE_PLATEAU remembers. */
struct schedule_state {
    double rate;
    double anchor; /* the loss to come under */
    int32_t bad;   /* epochs in a row above it */
    int32_t pad;   /* 0 */
};

/* -EINVAL: what is wrong and what it may be. */
int schedule_check(const struct schedule_options *options, struct error *error);

/* The state before the first epoch. */
struct schedule_state schedule_begin(const struct schedule_options *options);

/* The rate of a step >= 1; state: of PLATEAU only, else it may be NULL.
 *
 *   CYCLIC (Smith 2017; SpeechBrain nnet/schedulers.py CyclicLRScheduler, "triangular"):
 *     cycle = floor(1 + step / (2 step_size)),  x = |step / step_size - 2 cycle + 1|,
 *     base + (max - base) max(0, 1 - x)
 *   COSINE: step <= warmup: max step / warmup; then, with u = (step - warmup) / (total - warmup),
 *     at most 1: base + (max - base) (1 + cos(pi u)) / 2
 */
double schedule_rate(const struct schedule_options *options, const struct schedule_state *state,
                     uint64_t step);

/* After an epoch (from 1) and its validation: SpeechBrain's ReduceLROnPlateau. A loss equal to the
 * anchor is good; NaN was not measured, and changes nothing. Of the other kinds nothing changes. */
void schedule_epoch(const struct schedule_options *options, struct schedule_state *state, int epoch,
                    double loss);

#endif
