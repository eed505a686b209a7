/* SPDX-License-Identifier: Apache-2.0
 * An evaluation's pictures: who is taken for whom, the figures over the quantile (paper, Fig. 3),
 * and the sanity check. */
#ifndef FOCALD_DAEMON_EVAL_PICTURES_H
#define FOCALD_DAEMON_EVAL_PICTURES_H

#include "base/error.h"
#include "daemon/eval_print.h"

/* confusion.png; with a sweep sweep.png; with a sanity check sanity.png. Each appears whole or not
 * at all. dir exists. */
int eval_pictures_write(const struct eval_report *report, const char *dir, struct error *error);

#endif
