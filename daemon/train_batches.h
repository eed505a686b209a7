/* SPDX-License-Identifier: Apache-2.0
 * Threads that make the images of the next batches while the network learns the last: a clip of the
 * cache, normalised by its maximum, mixed, changed, as a log-spectrogram, masked, resized.
 *
 * What an image is depends on the seed, the epoch and its place in it alone, never on the threads,
 * nor on how many processes share the batch. */
#ifndef FOCALD_DAEMON_TRAIN_BATCHES_H
#define FOCALD_DAEMON_TRAIN_BATCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/train_data.h"
#include "model/model.h"
#include "model/train/augment.h"
#include "model/train/cache.h"
#include "model/train/masking.h"
#include "model/train/trainer.h"

struct train_changes {
    struct augment_settings augment;
    struct masking_settings masking; /* on the image: frames are its rows, bins its columns */
    double mixup_probability, mixup_alpha;
    double background_probability, background_low_db, background_high_db; /* another clip's sound */
    /* The image is of 1 / (1 + this) to 1 + this times the window's length, and of so much of its
     * bins from 0 on: slower or faster, higher or lower; what lies beyond is silent. 0: not */
    double stretch_time, stretch_pitch;
};

struct train_batches_config {
    const struct train_data *data;
    const struct cache *cache;
    const struct model_info *info; /* preprocess, image_rows, image_cols */
    struct train_changes changes;
    uint64_t seed;
    int batch;       /* images of this process in a step */
    int rank, ranks; /* of the processes */
    int workers;
    bool marks;      /* what PIQ's mask is to be is made as well … */
    float threshold; /* … above this part of the log-spectrogram's largest value */
};

struct train_batch {
    float *planes;                  /* [batch][R][C] */
    struct trainer_target *targets; /* [batch] */
    float *embeddings, *scores;     /* [batch][E], [batch][S] of the teacher */
    int *clips;                     /* [batch] of data->clips: of mixed ones the louder */
    bool *whole;                    /* [batch] no region was hidden */
    uint8_t *marks;                 /* [batch][T][F] with config.marks: see loss_marks */
};

struct train_batches;

int train_batches_create(struct train_batches **ret, const struct train_batches_config *config,
                         struct error *error);
void train_batches_destroy(struct train_batches *batches); /* takes NULL */

/* Batches of an epoch; the last is filled up from the epoch's beginning. */
int train_batches_count(const struct train_batches *batches);
/* Begins an epoch. After the last batch of the one before, or to leave it. */
void train_batches_epoch(struct train_batches *batches, int epoch);
/* The next batch of the epoch, until the next call. Waits until it is made. */
struct train_batch *train_batches_next(struct train_batches *batches);

#endif
