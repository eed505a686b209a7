/* SPDX-License-Identifier: Apache-2.0
 * All that a training run needs to go on as if it had never stopped: weights, the optimizer's
 * moments, and where the run is. One safetensors file with a hash over everything in it. Any
 * thread, one at a time a path. */
#ifndef FOCALD_MODEL_TRAIN_STATE_H
#define FOCALD_MODEL_TRAIN_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/train/loss_scale.h"
#include "model/train/schedule.h"

struct train_state {
    size_t parameters;
    float *weights, *m, *v; /* [parameters] the caller's; extra heads are among them */
    float *average;         /* [parameters] of the weights */
    uint64_t optimizer_step;
    struct schedule_state schedule;
    struct loss_scale scale; /* factor 0: there is none, in the file either */
    uint32_t epoch;          /* epochs done */
    double best_score;       /* any value, also NaN: none yet */
    uint32_t best_epoch;     /* at most epoch; 0: none yet */
    char fingerprint[65];    /* SHA-256 in hex digits of what the run is made of, by the caller */
};

/* Writes path.new in the same directory, syncs it and renames it: at every moment the path is the
 * old state or the new one, whole, and on failure nothing is left behind. What a killed process
 * left of path.new is overwritten. -EDOM with the old state untouched where a weight or a moment is
 * not finite; -EINVAL for a fingerprint that is none; -ENOMEM, or the errno of writing. */
int train_state_write(const char *path, const struct train_state *state, struct error *error);

/* parameters and the arrays are set by the caller, the arrays and the rest are filled; nothing is
 * touched on failure:
 *   -ENOENT   there is none
 *   -ESTALE   it is of another version or another number of parameters
 *   -EBADMSG  it is damaged
 *   else      it cannot be read. */
int train_state_read(const char *path, struct train_state *state, struct error *error);

#endif
