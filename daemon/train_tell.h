/* SPDX-License-Identifier: Apache-2.0
 * What people are told of a training before its first epoch. */
#ifndef FOCALD_DAEMON_TRAIN_TELL_H
#define FOCALD_DAEMON_TRAIN_TELL_H

#include "daemon/train_config.h"
#include "daemon/train_data.h"
#include "model/model.h"

/* How many clips there are and what of them is not heard; opens every file. */
void train_tell_data(const struct train_data *data, const struct model_preprocess *preprocess);
/* What of the configuration, and of the model that the run begins with, counts. taken: of all
 * weights. */
void train_tell_taken(const struct train_config *config, int taken, int all);

#endif
