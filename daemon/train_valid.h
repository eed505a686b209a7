/* SPDX-License-Identifier: Apache-2.0
 * Validation: what `focald eval` says of the model that a training has written. */
#ifndef FOCALD_DAEMON_TRAIN_VALID_H
#define FOCALD_DAEMON_TRAIN_VALID_H

#include <stdbool.h>

#include "base/error.h"
#include "daemon/train_data.h"
#include "daemon/train_log.h"
#include "daemon/train_progress.h"

struct train_valid_config {
    const char *dir;     /* of the model */
    const char *backend; /* see backends.h */
    enum precision precision;
    int threads;
    double quantile;
    bool explain;     /* FID-I and the others as well */
    bool interpreter; /* PIQ: its losses too, and the figures are of its masks */
    float threshold;  /* of loss_marks */
    struct train_progress *progress;
};

/* Over the validation clips of all sets together: fills ret's valid_… and, with explain, the
 * figures of interpretations. A clip for which the network gives nothing finite is not recognised,
 * and is told; one that cannot be read is the error. */
int train_validate(const struct train_valid_config *config, const struct train_data *data,
                   struct train_epoch *ret, struct error *error);

#endif
