/* SPDX-License-Identifier: Apache-2.0
 * What info/STREAM says: labels, model and its hash, every number in use between the sound and the
 * label (design §3). */
#ifndef FOCALD_DAEMON_INFO_H
#define FOCALD_DAEMON_INFO_H

#include <jansson.h>

#include "daemon/config.h"
#include "daemon/pipeline.h"
#include "model/model.h"

/* New references; NULL when out of memory. */
json_t *info_model(const struct model_info *info);
json_t *info_stream(const struct model_info *info, const struct config_live *live,
                    double audio_delay_s, const struct pipeline_compute *compute);

#endif
