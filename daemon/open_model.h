/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FOCALD_DAEMON_OPEN_MODEL_H
#define FOCALD_DAEMON_OPEN_MODEL_H

#include "base/error.h"
#include "daemon/config.h"
#include "model/model.h"

/* The model and interpreter that the configuration names; the caller's to close. */
int open_model(struct model **ret, const struct config *config, struct error *error);

/* A runner of a mode that computes what it is given and ends. With backend auto it is on the CPU
 * where the GPU cannot be used, and a line on stderr says so. */
int open_runner(struct runner **ret, const struct model *model, const struct runner_config *config,
                struct error *error);

#endif
