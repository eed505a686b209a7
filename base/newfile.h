/* SPDX-License-Identifier: Apache-2.0
 * A file that appears under its name only when it is whole and on the disk: it is written under
 * another name in the same directory, synced and renamed. */
#ifndef FOCALD_BASE_NEWFILE_H
#define FOCALD_BASE_NEWFILE_H

#include <limits.h>

#include "base/error.h"

struct newfile {
    int fd; /* to write to; -1 when not open */
    char path[PATH_MAX], temporary[PATH_MAX];
};

/* Errors name the path. */
int newfile_begin(struct newfile *ret, const char *path, struct error *error);
/* The same for one writer of `path` at a time, under the name path.new, over what a killed process
 * left there: of a file that is written again and again, such remains would fill the disk. */
int newfile_begin_alone(struct newfile *ret, const char *path, struct error *error);
/* Syncs, closes and renames; on failure nothing is left. */
int newfile_commit(struct newfile *file, struct error *error);
/* Closes and removes what was written. After commit, or a failed begin: nothing. */
void newfile_abandon(struct newfile *file);

#endif
