/* SPDX-License-Identifier: Apache-2.0
 * A directory that appears under its name only when it is whole: it is filled under a temporary
 * name beside it and renamed. */
#ifndef FOCALD_MODEL_IMPORT_NEWDIR_H
#define FOCALD_MODEL_IMPORT_NEWDIR_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"

struct newdir {
    char path[PATH_MAX], temporary[PATH_MAX]; /* temporary: to write into; "" when none */
    bool replace;
};

/* source: what is read meanwhile, or NULL; neither may lie in the other. replace: a model of that
 * name is replaced; any other directory never is. Errors name the path. */
int newdir_begin(struct newdir *ret, const char *path, const char *source, bool replace,
                 struct error *error);
/* Renames, whatever was there before goes; on failure nothing is left. */
int newdir_commit(struct newdir *dir, struct error *error);
/* People are told the name they gave: puts it in an error's text for the temporary one. */
void newdir_name(const struct newdir *dir, struct error *error);
/* Removes what killed processes left in `parent` unfinished; while nobody else writes there. */
void newdir_sweep(const char *parent);
/* Removes what was written. After commit, or a failed begin: nothing. */
void newdir_abandon(struct newdir *dir);

#endif
