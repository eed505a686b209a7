/* SPDX-License-Identifier: Apache-2.0
 * A file that appears under its name only when it is whole: it is written under a temporary name in
 * the same directory and renamed. */
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
/* Closes and renames; on failure nothing is left. */
int newfile_commit(struct newfile *file, struct error *error);
/* Closes and removes what was written. After commit: nothing. */
void newfile_abandon(struct newfile *file);

#endif
