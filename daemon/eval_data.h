/* SPDX-License-Identifier: Apache-2.0
 * Labelled clips, in ESC-50's layout or in one folder a class (eval_listing.h), chosen by fold and
 * class. Classes are found by their names, never by their numbers. */
#ifndef FOCALD_DAEMON_EVAL_DATA_H
#define FOCALD_DAEMON_EVAL_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/eval_listing.h"
#include "model/model.h"

struct eval_clip {
    const char *file; /* as the table names it, or CLASS/FILE */
    char *path;
    int fold;
    int label; /* the model's class; -1: it has none (only with keep_unknown, only_unknown) */
    int line;  /* of the table; 0: there is none */
    int row;   /* of the table, from 0, or of the folders' files in order */
};

struct eval_data_config {
    const char *dir;
    uint64_t folds;             /* bit f: fold f; 0: all there are */
    const char *const *aliases; /* [n_aliases] "bird=chirping_birds" */
    int n_aliases;
    bool skip_unknown;  /* clips of a class that the model does not know are left out */
    bool keep_unknown;  /* or left in */
    bool only_unknown;  /* or all there is: the others are left out, and there may be none */
    bool only_left_out; /* of these, those of left_out */
    const char *const *left_out; /* [n_left_out] classes that the model does not know by
                                    intention: left out without skip_unknown, and in spite of
                                    keep_unknown; only_unknown has them */
    int n_left_out;
    bool keep_going; /* files that are missing are left in, to be counted as failed */
    /* How people ask for these, for errors. NULL: by the options of those names. */
    const char *keep_going_by, *skip_unknown_by;
    bool one_of_many; /* of the sets of a training: no clip of the model's classes need be in it,
                         and an alias may name a class that the model does not have */
};

struct eval_data {
    struct eval_clip *clips; /* [n], in the table's order */
    int n;
    int rows;            /* of the set, of all folds and classes */
    uint64_t folds;      /* those that were chosen */
    int skipped_unknown; /* clips of the folds left out */
    int n_left_out;      /* those of the classes that are left out */
    bool *present;       /* [classes of the model] occurs among clips */
    struct eval_listing listing;
};

/* "4,6-9" -> bits. -EINVAL with what is allowed; `name`: of the option or key, for that. */
int eval_folds_parse(const char *name, const char *text, uint64_t *ret, struct error *error);
/* The reverse: "1-4,6". */
void eval_folds_text(uint64_t folds, char *ret, size_t size);

/* Errors name file and line, fold, class and its count, or the missing file; -EINVAL, -ENOENT,
 * -ENOMEM and those of reading. */
int eval_data_read(struct eval_data *ret, const struct eval_data_config *config,
                   const struct model_info *info, struct error *error);
void eval_data_finish(struct eval_data *data); /* also of a zeroed struct */

/* The classes of a set of which there is no model yet, all folds', by their aliases: [*ret_n],
 * sorted by their bytes, each once, to be freed by eval_classes_free. Of names that are equal by
 * eval_names_equal it is the first. Of config, only dir and the aliases count. */
int eval_data_classes(const struct eval_data_config *config, char ***ret, int *ret_n,
                      struct error *error);
void eval_classes_free(char **classes, int n); /* takes NULL */
/* Sorts them and makes them unique in the same way; those left over are freed. */
void eval_classes_unite(char **classes, int *n);

/* '_', '-' and ' ' and the case of ASCII letters are equal. */
bool eval_names_equal(const char *a, const char *b);
/* What a set's category is called: by an alias of the configuration, or as it is. */
const char *eval_class_name(const struct eval_data_config *config, const char *category);
/* The model's class of that name, or -1. */
int eval_class_find(const struct model_info *info, const char *name);

#endif
