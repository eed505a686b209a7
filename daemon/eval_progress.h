/* SPDX-License-Identifier: Apache-2.0
 * How far a long work is, on stderr: a bar on a terminal, a line each tenth elsewhere. */
#ifndef FOCALD_DAEMON_EVAL_PROGRESS_H
#define FOCALD_DAEMON_EVAL_PROGRESS_H

#include <stdbool.h>

#include "daemon/bar.h"

struct eval_progress {
    const char *what; /* "clips" */
    int total;
    bool quiet;
    struct bar bar;
    double began_s;
    int tenths; /* told */
};

void eval_progress_begin(struct eval_progress *ret, const char *what, int total, bool quiet);
/* share: of all work, 0 ... 1. Redraws at most ten times a second. */
void eval_progress_show(struct eval_progress *progress, int done, double share);
/* Leaves the line, so that something else can be said. */
void eval_progress_wipe(struct eval_progress *progress);

#endif
