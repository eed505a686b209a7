/* SPDX-License-Identifier: Apache-2.0
 * The directory of a training run (train_run.h says what is in it), which one process writes. */
#ifndef FOCALD_DAEMON_TRAIN_DIR_H
#define FOCALD_DAEMON_TRAIN_DIR_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"

struct train_dir {
    const char *path; /* outlives it */
    int lock;         /* -1: not taken */
    bool made;        /* by train_dir_take */
};

/* Takes it for this process and sweeps up what killed ones left half written. text: the new run's
 * train.conf, for which it is made where it is not there; NULL: a run is resumed. -EBUSY: another
 * process has it; -EEXIST: it holds what the run would write over or lie among, or, of a run that
 * is resumed, more epochs than there is a state for. What is there is as it was then. */
int train_dir_take(struct train_dir *dir, const char *text, struct error *error);
/* Before the release, of a run that was not begun: removes the directory that was made for it,
 * where nothing has come into it. */
void train_dir_give_up(struct train_dir *dir);
void train_dir_release(struct train_dir *dir); /* also where it was not taken */

/* ret: [PATH_MAX] */
void train_dir_file(const struct train_dir *dir, const char *name, char *ret);
/* A file of that text, whole or not at all. */
int train_dir_write(const struct train_dir *dir, const char *name, const char *text,
                    struct error *error);

#endif
