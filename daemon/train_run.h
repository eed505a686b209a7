/* SPDX-License-Identifier: Apache-2.0
 * A training run from its first epoch, or from where it stopped, to its last, in a directory of its
 * own:
 *
 *   train.conf          what it is to do, in full
 *   state.safetensors   all that it needs to go on after the last whole epoch
 *   log.jsonl           a line an epoch;  curves.png  the same drawn
 *   cache               the clips, decoded
 *   last/, best/        the model after the last epoch, and after the best one
 *   lock                held while a run is going on here */
#ifndef FOCALD_DAEMON_TRAIN_RUN_H
#define FOCALD_DAEMON_TRAIN_RUN_H

#include <stdbool.h>

#include "base/error.h"
#include "daemon/train_config.h"
#include "model/train/trainer.h"

struct train_run_config {
    const struct train_config *config;
    const char *dir;
    bool resume, quiet;
    const struct trainer_ranks *ranks; /* NULL: this process alone */
};

/* Until all epochs are done, or a signal comes (-EINTR; stop.h): what was learnt up to the last
 * whole epoch is kept. *ret_together: it has ended for all processes, none waits for another. Where
 * several failed, the error of one has a text. */
int train_run(const struct train_run_config *config, bool *ret_together, struct error *error);

#endif
