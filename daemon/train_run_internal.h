/* SPDX-License-Identifier: Apache-2.0
 * What train_prepare.c (up to the first epoch) and train_run.c (the epochs) share. */
#ifndef FOCALD_DAEMON_TRAIN_RUN_INTERNAL_H
#define FOCALD_DAEMON_TRAIN_RUN_INTERNAL_H

#include <stdbool.h>

#include "daemon/train_batches.h"
#include "daemon/train_data.h"
#include "daemon/train_dir.h"
#include "daemon/train_log.h"
#include "daemon/train_network.h"
#include "daemon/train_own.h"
#include "daemon/train_progress.h"
#include "daemon/train_run.h"
#include "model/backends.h"
#include "model/train/schedule.h"
#include "model/train/state.h"

enum { TRAIN_MAX_RANKS = 1024 };

struct run {
    const struct train_run_config *given;
    const struct train_config *config;
    bool leader; /* of the processes: writes and validates */
    int rank, ranks;
    struct train_dir dir;
    char *text;     /* of train.conf */
    char *identity; /* of text */
    struct train_data data;
    struct cache *cache;
    struct train_network network;
    struct backend_choice backend;
    struct trainer_config trainer_config;
    struct trainer *trainer;
    struct train_batches *batches;
    struct train_own *own;
    struct schedule_options schedule;
    struct train_config_steps steps;
    struct train_state state;
    struct train_log *log;
    struct train_progress progress;
    bool named;    /* the clip by which a step failed is of this process */
    bool together; /* it has ended for all processes */
};

/* How it went for a process, the worse the larger. */
enum outcome { WENT_WELL, STOPPED, FAILED, FAILED_BY_CLIP /* of its own, which it can name */ };

/* Where one process failed all end, and one says why: an error without a text is told already. */
int train_run_agree(struct run *run, int r, enum outcome failed, struct error *error);

/* Everything up to the first epoch, or the next one of a run that is resumed. What was made before
 * an error is the run's all the same. */
int train_run_prepare(struct run *run, struct error *error);

#endif
