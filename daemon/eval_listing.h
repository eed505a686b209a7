/* SPDX-License-Identifier: Apache-2.0
 * The clips of a labelled set with their classes' names and folds, as they lie on the disk. Either
 * of
 *   ESC-50's layout: DIR/audio/ and DIR/meta/esc50.csv with at least the columns filename, fold and
 *     category;
 *   one folder a class: DIR/CLASS/FILE, in the order of the bytes of their names, without what is
 *     hidden (.x), is no sound file by its ending, or lies beside or below the classes' folders.
 *     File i (from 0) of each class is of fold i % 5 + 1. */
#ifndef FOCALD_DAEMON_EVAL_LISTING_H
#define FOCALD_DAEMON_EVAL_LISTING_H

#include <stdbool.h>

#include "base/error.h"

enum { EVAL_MAX_FOLD = 63, EVAL_FOLDER_FOLDS = 5 };

struct eval_row {
    char *file; /* below the listing's audio */
    char *category;
    int fold;
    int line; /* of the table; 0: there is none */
};

struct eval_listing {
    char *where; /* the table, or DIR */
    char *audio; /* where the files are */
    struct eval_row *rows;
    int n;
};

/* Errors name file and line, or the class; -ENOENT where DIR is of neither layout, -EINVAL, -ENOMEM
 * and those of reading. */
int eval_listing_read(struct eval_listing *ret, const char *dir, struct error *error);
void eval_listing_finish(struct eval_listing *listing); /* also of a zeroed struct */

/* Whether the folders in DIR are its classes, as any other would be. */
bool eval_listing_is_folders(const char *dir);

/* A fold's number at *at, which moves behind it; false where there is none that is allowed. */
bool eval_fold_parse(const char **at, int *ret);

#endif
