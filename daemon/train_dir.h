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
};

/* Makes it, unless a run is resumed, takes it for this process and sweeps up what killed ones left
 * half written. -EBUSY: another process has it; -EEXIST: it holds a run and none is resumed. */
int train_dir_take(struct train_dir *dir, bool resume, struct error *error);
void train_dir_release(struct train_dir *dir); /* also where it was not taken */

/* ret: [PATH_MAX] */
void train_dir_file(const struct train_dir *dir, const char *name, char *ret);
/* A file of that text, whole or not at all. */
int train_dir_write(const struct train_dir *dir, const char *name, const char *text,
                    struct error *error);

#endif
