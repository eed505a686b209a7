/* SPDX-License-Identifier: Apache-2.0
 * A directory that appears under its name only when it is whole: it is filled under a temporary
 * name beside it and renamed. */
#ifndef FOCALD_MODEL_IMPORT_NEWDIR_H
#define FOCALD_MODEL_IMPORT_NEWDIR_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"

struct newdir {
    char path[PATH_MAX], temporary[PATH_MAX]; /* temporary: to write into */
    bool replace;
};

/* Whether newdir_begin with `replace` would: there is nothing, or a model. */
bool newdir_replaces(const char *path);
/* -EINVAL: one of them lies in the other, so that writing path would change what source is. */
int newdir_apart(const char *path, const char *source, struct error *error);

/* source: what is read meanwhile, or NULL; neither may lie in the other. replace: a model of that
 * name is replaced; any other directory never is. Errors name the path. */
int newdir_begin(struct newdir *ret, const char *path, const char *source, bool replace,
                 struct error *error);
/* After a begin that succeeded, once. r: what the writing returned, with its error. 0: renames, and
 * whatever was there before goes. Otherwise, or when that fails, nothing is left, and the error
 * names the path instead of the temporary one. Returns r, or why it could not be renamed. */
int newdir_end(const struct newdir *dir, int r, struct error *error);
/* Removes what killed processes left in `parent` unfinished; while nobody else writes there. */
void newdir_sweep(const char *parent);

#endif
