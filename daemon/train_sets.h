/* SPDX-License-Identifier: Apache-2.0
 * The sets that a training's configuration names, read. */
#ifndef FOCALD_DAEMON_TRAIN_SETS_H
#define FOCALD_DAEMON_TRAIN_SETS_H

#include "base/error.h"
#include "daemon/train_config.h"
#include "daemon/train_data.h"
#include "model/model.h"

/* info: preprocess; where it has classes, a model's, the clips are of these and not all need have
 * one. Errors: train_data_read's, and of folds and aliases that are none. */
int train_sets_read(struct train_data *ret, const struct train_config *config,
                    const struct model_info *info, struct error *error);

#endif
