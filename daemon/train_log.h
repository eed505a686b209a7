/* SPDX-License-Identifier: Apache-2.0
 * What a training run has come to, epoch by epoch: a file of JSON lines, and the same in memory.
 * One thread at a time. */
#ifndef FOCALD_DAEMON_TRAIN_LOG_H
#define FOCALD_DAEMON_TRAIN_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* NaN: not measured. Accuracies and figures of interpretations are shares, 0..1. */
struct train_epoch {
    int epoch;     /* from 1 */
    uint64_t step; /* of the optimizer, at its end; skipped ones are none */
    double seconds;
    double clips_per_s;                      /* of training, without validation */
    double rate;                             /* learning rate of the last step */
    double loss_scale, skipped_steps;        /* of float16: at its end; too large for these */
    double loss, class_loss, teacher_loss;   /* means over the training batches */
    double accuracy;                         /* of the training batches */
    double rec_loss, vq_loss;                /* of PIQ, means over the training batches; loss is */
    double valid_loss;                       /* rec_loss + 2 vq_loss (quantised and committed) */
    double valid_rec_loss, valid_vq_loss;    /* the same of the validation clips */
    double valid_accuracy;                   /* share of the validation clips */
    double valid_class_accuracy;             /* mean over their classes */
    double fid_i, fa, ff, ai, ad, ag, empty; /* model/interpret/metrics.h; empty masks, a share */
    double score;                            /* what chooses the best epoch */
    bool best;                               /* of all so far */
    char backend[16];                        /* that it was trained on; "": not told */
};

struct train_log;

/* Opens the file for a run that has done so many epochs, 0 for a new one, and makes it where there
 * is none. Lines of later epochs, which a resumed run does again, are cut off, and so is a last
 * line that was not wholly written. -EBADMSG: a line (named, with the file) is not one of ours;
 * -ENOMEM; else it cannot be read or written. */
int train_log_open(struct train_log **ret, const char *path, int epochs, struct error *error);
void train_log_close(struct train_log *log); /* takes NULL */

/* One line more, on the disk when this returns. -EINVAL: not of a later epoch than the last;
 * on failure the file is as before. */
int train_log_append(struct train_log *log, const struct train_epoch *epoch, struct error *error);

/* All epochs in the file, in order: [*ret_n], until the next append or close. */
const struct train_epoch *train_log_epochs(const struct train_log *log, int *ret_n);

#endif
