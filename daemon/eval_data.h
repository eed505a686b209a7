/* SPDX-License-Identifier: Apache-2.0
 * Labelled clips in ESC-50's layout: DIR/audio/ and DIR/meta/esc50.csv with at least the columns
 * filename, fold and category. Classes are found by their names, never by their numbers. */
#ifndef FOCALD_DAEMON_EVAL_DATA_H
#define FOCALD_DAEMON_EVAL_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "model/model.h"

enum { EVAL_MAX_FOLD = 63 };

struct eval_clip {
    const char *file; /* as the table names it */
    char *path;
    int fold;
    int label; /* the model's class */
    int line;  /* of the table */
};

struct eval_data_config {
    const char *dir;
    uint64_t folds;             /* bit f: fold f; 0: all there are */
    const char *const *aliases; /* [n_aliases] "bird=chirping_birds" */
    int n_aliases;
    bool skip_unknown; /* clips of a class that the model does not know are left out */
    bool keep_going;   /* files that are missing are left in, to be counted as failed */
};

struct eval_data {
    struct eval_clip *clips; /* [n], in the table's order */
    int n;
    uint64_t folds;      /* those of clips */
    int skipped_unknown; /* clips of the folds left out */
    bool *present;       /* [classes of the model] occurs among clips */
    char *names;         /* of the files */
};

/* "4,6-9" -> bits. -EINVAL with what is allowed. */
int eval_folds_parse(const char *text, uint64_t *ret, struct error *error);
/* The reverse: "1-4,6". */
void eval_folds_text(uint64_t folds, char *ret, size_t size);

/* Errors name file and line, fold, class and its count, or the missing file; -EINVAL, -ENOENT,
 * -ENOMEM and those of reading. */
int eval_data_read(struct eval_data *ret, const struct eval_data_config *config,
                   const struct model_info *info, struct error *error);
void eval_data_finish(struct eval_data *data); /* also of a zeroed struct */

/* The model's class of that name, '_', '-' and ' ' and the case of ASCII letters being equal; or
 * -1. */
int eval_class_find(const struct model_info *info, const char *name);

#endif
