/* SPDX-License-Identifier: Apache-2.0
 * What a run is known again by when it is resumed. */
#ifndef FOCALD_DAEMON_TRAIN_FINGERPRINT_H
#define FOCALD_DAEMON_TRAIN_FINGERPRINT_H

#include "daemon/train_data.h"
#include "model/train/cache.h"

enum { TRAIN_FINGERPRINT = 65 };

/* SHA-256 in hex digits of train.conf's identity (train_config.h), the clips of a whole step, the
 * classes, the paths and labels of the clips that train and of those that validate, the samples of
 * those that train (of cache) and what the teacher says of them. cache NULL: without these last
 * two, as runs have it that are older than they are. ret: [TRAIN_FINGERPRINT] */
void train_fingerprint(const char *identity, int step, const struct train_data *data,
                       const struct cache *cache, char *ret);

#endif
