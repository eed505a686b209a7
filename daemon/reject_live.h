/* SPDX-License-Identifier: Apache-2.0
 * The threshold that is in use: the model's own, or what the configuration has instead. */
#ifndef FOCALD_DAEMON_REJECT_LIVE_H
#define FOCALD_DAEMON_REJECT_LIVE_H

#include "daemon/config.h"
#include "model/model.h"

/* A number of the configuration is of the model's score, or of the cosine where it has none. */
struct model_reject reject_in_use(const struct config_live *live, const struct model_info *info);

#endif
