/* SPDX-License-Identifier: Apache-2.0
 * What `focald eval` says: a table for people, one JSON object, a CSV line a clip. */
#ifndef FOCALD_DAEMON_EVAL_PRINT_H
#define FOCALD_DAEMON_EVAL_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "daemon/eval_data.h"
#include "daemon/eval_figures.h"
#include "daemon/eval_reject.h"
#include "daemon/eval_run.h"

struct eval_report {
    const struct model_info *info;
    const char *dir; /* of the data, as named */
    const struct eval_data *data;
    const struct eval_results *results;
    const struct eval_figures *figures;
    const struct eval_reject *reject;
    const int
        *sweep; /* [n_sweep] of figures->explanations; the one that is asked for is the first */
    int n_sweep;
    enum eval_resampler resampler;
    bool among_data, per_class;
    json_t *sanity; /* of eval_sanity_json, or NULL */
};

/* At most 80 columns wide, but for long names of classes. */
void eval_print_table(FILE *to, const struct eval_report *report);

/* The same bytes for the same figures. Returns -errno. */
int eval_print_json(FILE *to, const struct eval_report *report);

/* A line a clip; with a sweep, a line a clip and quantile. */
void eval_print_csv(FILE *to, const struct eval_report *report);

/* "model/data" in words, for tables and pictures: "home, esc50, fold 4". */
void eval_print_subject(const struct eval_report *report, char *ret, size_t size);

#endif
