/* SPDX-License-Identifier: Apache-2.0
 * The sets that a training's configuration names, read. */
#ifndef FOCALD_DAEMON_TRAIN_SETS_H
#define FOCALD_DAEMON_TRAIN_SETS_H

#include "base/error.h"
#include "daemon/train_config.h"
#include "daemon/train_data.h"
#include "model/model.h"

enum { TRAIN_MAX_NAMES = 64 };

/* "a, b" of a configuration, taken apart. */
struct train_names {
    char text[TRAIN_TEXT * 4];
    const char *list[TRAIN_MAX_NAMES]; /* [n] of text: a struct that is copied is of no use */
    int n;
};

/* text: fewer than TRAIN_TEXT * 4 bytes; key: "aliases", for errors. */
int train_names_read(struct train_names *ret, const char *text, const char *key,
                     struct error *error);

/* info: preprocess; where it has classes, a model's, the clips are of these and not all need have
 * one. Errors: train_data_read's, and of folds and aliases that are none. */
int train_sets_read(struct train_data *ret, const struct train_config *config,
                    const struct model_info *info, struct error *error);

/* What of set number `set` says whether a model that was trained is right: the clips of its classes
 * in the validation folds, and those of other classes that it never heard: with keep_unlabelled
 * and a teacher of those left out, without of all. Both are empty where it has no such folds. */
int train_sets_valid(struct eval_data *ret_known, struct eval_data *ret_unknown,
                     const struct train_config *config, const struct train_names *aliases, int set,
                     const struct model_info *info, struct error *error);

#endif
