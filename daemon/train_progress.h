/* SPDX-License-Identifier: Apache-2.0
 * How far a training run is, on stderr: a bar while an epoch lasts (on a terminal only), and a line
 * that stays for each epoch that is done. */
#ifndef FOCALD_DAEMON_TRAIN_PROGRESS_H
#define FOCALD_DAEMON_TRAIN_PROGRESS_H

#include <stdbool.h>

#include "daemon/bar.h"
#include "daemon/train_log.h"

struct train_progress {
    struct bar bar;
    int epochs; /* of the whole run */
    int done;   /* before this process began */
    int epoch;  /* that lasts, from 1 */
    bool quiet;
    double began_s, epoch_began_s, validation_began_s;
};

/* done: epochs that a resumed run has behind it. quiet: nothing is shown at all. */
void train_progress_begin(struct train_progress *ret, int epochs, int done, bool quiet);
void train_progress_epoch(struct train_progress *progress, int epoch);

/* While batches are learnt. share: of the epoch's batches, 0..1; loss and accuracy: means so far,
 * NaN: not known. Redraws at most ten times a second. */
void train_progress_batch(struct train_progress *progress, double share, double loss,
                          double accuracy, double clips_per_s);
/* While the epoch is validated. */
void train_progress_validation(struct train_progress *progress, int clips, int total, double share);
/* The epoch is done. */
void train_progress_line(struct train_progress *progress, const struct train_epoch *epoch);
/* Leaves the bar's line, so that something else can be said. */
void train_progress_wipe(struct train_progress *progress);

#endif
