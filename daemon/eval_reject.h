/* SPDX-License-Identifier: Apache-2.0
 * What an evaluation comes to with a threshold below which sounds are unknown. */
#ifndef FOCALD_DAEMON_EVAL_REJECT_H
#define FOCALD_DAEMON_EVAL_REJECT_H

#include "base/error.h"
#include "daemon/eval_data.h"
#include "daemon/eval_run.h"
#include "daemon/reject_choice.h"

struct eval_reject {
    struct model_reject reject;  /* score NONE: there is no threshold, and nothing else counts */
    struct reject_counts counts; /* silent clips are never named; unknown ones count nowhere */
    int *right_named;            /* [n_classes] of the known */
    bool has_unknown;            /* sounds of other classes were heard */
};

/* unknown, unknown_results: of clips of no class of the model, or NULL. */
int eval_reject_make(struct eval_reject *ret, const struct model_reject *reject,
                     const struct eval_data *data, const struct eval_results *results,
                     const struct eval_data *unknown, const struct eval_results *unknown_results,
                     int n_classes, struct error *error);
void eval_reject_finish(struct eval_reject *reject); /* also of a zeroed struct */

#endif
