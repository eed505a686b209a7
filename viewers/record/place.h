/* SPDX-License-Identifier: Apache-2.0
 * The history's directory (docs/record.md): who may write to it, where files lie, and how a file
 * comes to its place whole or not at all. */
#ifndef FOCAL_RECORD_PLACE_H
#define FOCAL_RECORD_PLACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { PLACE_PATH_BYTES = 1024, PLACE_FILE_BYTES = 400 };

struct place {
    char dir[PLACE_PATH_BYTES - PLACE_FILE_BYTES];
    int lock_fd, commit_fd; /* -1: not held, not open */
};

/* Makes what is missing, takes DIR/lock (-EBUSY: another recorder has it) and empties incoming/. */
int place_hold(struct place *place, const char *dir, struct error *error);
/* For commands that look at files or delete: no lock on DIR/lock. -ENOENT: there is no history. */
int place_look(struct place *place, const char *dir, struct error *error);
void place_release(struct place *place); /* also of one that place_hold failed on */

/* While files and rows change together (exclusive), or are compared. */
int place_commit_begin(struct place *place, int exclusive, struct error *error);
void place_commit_end(struct place *place);

/* "clips/2026-11-28/20261128T142233.417Z_kitchen_dog_17", not in use yet, its directory made. */
int place_stem(struct place *place, int64_t t_first_ns, const char *stream, const char *label,
               uint64_t number, char ret[PLACE_FILE_BYTES], struct error *error);

/* Writes incoming/NAME of file (a path below the directory). Returns its descriptor, for
 * place_flush: where all of a snippet are written before the first is flushed, the disk is asked
 * once. */
int place_write(struct place *place, const char *file, const void *data, size_t size,
                struct error *error);
/* Flushes what was written to the disk, and closes it. */
int place_flush(const struct place *place, int fd, struct error *error);
/* Moves it to its place. */
int place_move(struct place *place, const char *file, struct error *error);
/* Flushes the directory that file is in. */
int place_settle(struct place *place, const char *file, struct error *error);
/* Removes it from its place and from incoming/; the day's directory goes with its last file. */
void place_remove(struct place *place, const char *file);

/* A file that a full disk can be relieved with: given back when place_relieve was called, so that
 * the database can note what is deleted. */
void place_reserve(struct place *place);
void place_relieve(struct place *place);

/* Bytes that may still be written to the file system. */
int place_free(const struct place *place, uint64_t *ret, struct error *error);

/* Calls take for every file of clips/, "clips/DAY/NAME", DAY by DAY; ends early when it fails. */
int place_walk(const struct place *place,
               int (*take)(void *user, const char *file, struct error *error), void *user,
               struct error *error);
/* A name that place_stem makes, so that it is the recorder's to remove. */
int place_is_ours(const char *file);

#endif
