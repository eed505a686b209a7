/* SPDX-License-Identifier: Apache-2.0
 * A file that appears under its name only when it is whole and on the disk: it is written under
 * another name in the same directory, synced and renamed. A link stays: what it leads to is
 * replaced, but through no link of another user's in a sticky directory that anybody may write to
 * (-EACCES). The new file has the old one's mode, and its owner or group where we may give it. What
 * is no file (a terminal, a FIFO, /dev/stdout, /dev/fd/3) is written to as it is, and keeps what
 * was written of a file that is abandoned. */
#ifndef FOCALD_BASE_NEWFILE_H
#define FOCALD_BASE_NEWFILE_H

#include <limits.h>

#include "base/error.h"

struct newfile {
    int fd;                   /* to write to; -1 when not open */
    char path[PATH_MAX];      /* that is replaced, links followed */
    char temporary[PATH_MAX]; /* written meanwhile; "": path itself, which is no file */
};

/* Errors name the path; a directory is -EISDIR. A FIFO waits for its reader. */
int newfile_begin(struct newfile *ret, const char *path, struct error *error);
/* The same for one writer of `path` at a time, under the name path.new, over what a killed process
 * left there: of a file that is written again and again, such remains would fill the disk. */
int newfile_begin_alone(struct newfile *ret, const char *path, struct error *error);
/* Syncs, closes and renames; on failure nothing is left. */
int newfile_commit(struct newfile *file, struct error *error);
/* Closes and removes what was written. After commit, or a failed begin: nothing. */
void newfile_abandon(struct newfile *file);

#endif
