/* SPDX-License-Identifier: Apache-2.0
 * A training run as a picture: loss, accuracy, interpretations where they are measured, learning
 * rate, each over the epochs. */
#ifndef FOCALD_DAEMON_TRAIN_CURVES_H
#define FOCALD_DAEMON_TRAIN_CURVES_H

#include "base/error.h"
#include "daemon/train_log.h"

/* The PNG appears whole or not at all. name: of the run, for the title. epochs: [n], n >= 1, in
 * order. Errors name the path. */
int train_curves_write(const char *path, const char *name, const struct train_epoch *epochs, int n,
                       struct error *error);

#endif
