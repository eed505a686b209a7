/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FOCALD_DAEMON_REJECT_WRITE_H
#define FOCALD_DAEMON_REJECT_WRITE_H

#include <jansson.h>

#include "base/error.h"
#include "model/reject.h"

/* Puts the threshold into preprocess.json of the model in dir, which is replaced whole or stays as
 * it is; what else it says stays. REJECT_NONE takes the threshold out. */
int reject_write(const char *dir, const struct model_reject *reject, struct error *error);

/* The shortest decimal that is this float again, as a double that prints so. */
double reject_shortest(float below);

/* {"score": "cosine", "below": 0.5}, or null for REJECT_NONE; NULL when memory is exhausted. */
json_t *reject_json(const struct model_reject *reject);

#endif
