/* SPDX-License-Identifier: Apache-2.0
 * The thresholds that clips were found to need, for each score, and what each leaves. */
#ifndef FOCALD_DAEMON_REJECT_REPORT_H
#define FOCALD_DAEMON_REJECT_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "daemon/reject_choice.h"
#include "daemon/reject_pool.h"

struct reject_report {
    const struct reject_pool *pool;
    double share; /* of the unknown that may be named */
    struct reject_choice
        choices[REJECT_COUNT];            /* reject.score is NONE where there is no threshold */
    enum reject_score best;               /* leaves the most clips named and right */
    struct reject_counts *runs, *classes; /* [of the pool] with the best */
};

/* only: one score, or REJECT_NONE for the best of all. -ERANGE: none leaves anything. */
int reject_report_make(struct reject_report *ret, const struct reject_pool *pool, double share,
                       enum reject_score only, struct error *error);
void reject_report_finish(struct reject_report *report); /* also of a zeroed struct */

void reject_print_table(FILE *to, const struct reject_report *report);
/* The same bytes for the same figures. Returns -errno. */
int reject_print_json(FILE *to, const struct reject_report *report);

/* known, accuracy, recall, named_wrong, unknown, named_unknown, false_names. */
json_t *reject_counts_json(const struct reject_counts *counts);

#endif
