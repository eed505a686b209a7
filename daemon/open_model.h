/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FOCALD_DAEMON_OPEN_MODEL_H
#define FOCALD_DAEMON_OPEN_MODEL_H

#include "base/error.h"
#include "daemon/config.h"
#include "model/model.h"

/* The model and interpreter that the configuration names; the caller's to close. */
int open_model(struct model **ret, const struct config *config, struct error *error);

#endif
