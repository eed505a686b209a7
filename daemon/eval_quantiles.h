/* SPDX-License-Identifier: Apache-2.0
 * Which quantiles an evaluation masks by: the one asked for, and those of a sweep. */
#ifndef FOCALD_DAEMON_EVAL_QUANTILES_H
#define FOCALD_DAEMON_EVAL_QUANTILES_H

#include "base/error.h"

enum { EVAL_MAX_QUANTILES = 100 };

struct eval_quantiles {
    double *values; /* [n] each once; the one asked for is the first */
    int n;
    int *sweep; /* [n_sweep] indices of values, in the order given */
    int n_sweep;
};

/* sweep: "0.5,0.9" or "0.05:0.95:0.05" or both, or NULL. -EINVAL with what is allowed. */
int eval_quantiles_make(struct eval_quantiles *ret, double quantile, const char *sweep,
                        struct error *error);
void eval_quantiles_finish(struct eval_quantiles *quantiles); /* also of a zeroed struct */

#endif
