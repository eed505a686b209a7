/* SPDX-License-Identifier: Apache-2.0
 * Masks by the network's own maps: some images of a batch are images of the batch before, of which
 * only what the network's map marked is kept, or all but that. So it learns to say the same of what
 * it marks, and learns to mark what says it (FID-I, FA: paper equations 6 and 7). One thread. */
#ifndef FOCALD_DAEMON_TRAIN_OWN_H
#define FOCALD_DAEMON_TRAIN_OWN_H

#include <stdint.h>

#include "base/error.h"
#include "daemon/train_batches.h"
#include "model/train/trainer.h"

struct train_own_config {
    double probability; /* of an image to be replaced so */
    double share;       /* of its cells that the map marks, 1 - the mask's quantile */
    double keep;        /* probability that the marked part stays, otherwise the rest does */
    uint64_t seed;
    int batch, rows, cols; /* images of this process, and their size */
    int rank;              /* of this process: how many times `batch` images stand before its own */
    int embedding_width, scores_width;
};

struct train_own;

int train_own_create(struct train_own **ret, const struct train_own_config *config,
                     struct error *error);
void train_own_destroy(struct train_own *own); /* takes NULL */

/* Forgets the batch before: at an epoch's beginning, so that it can be begun again. */
void train_own_begin(struct train_own *own);
/* Replaces images of the batch. number: of the batch in the epoch, the same in all processes. */
void train_own_apply(struct train_own *own, struct train_batch *batch, int epoch, int number);
/* After the step on that batch: keeps it, with its maps, for the next. */
void train_own_keep(struct train_own *own, const struct train_batch *batch,
                    const struct trainer *trainer);

#endif
