/* SPDX-License-Identifier: Apache-2.0
 * Where an evaluation's results go. Files are opened before the work, so that a place that cannot
 * be written is told at once, and appear under their names when all is done. */
#ifndef FOCALD_DAEMON_EVAL_OUTPUTS_H
#define FOCALD_DAEMON_EVAL_OUTPUTS_H

#include <stdbool.h>

#include "base/error.h"
#include "daemon/eval_print.h"
#include "base/newfile.h"

struct eval_outputs {
    struct newfile json, csv;
    bool has_json, has_csv;             /* to files */
    bool json_to_stdout, csv_to_stdout; /* instead of the table; not both */
};

/* json, csv: a path, "-" or NULL, not the same; pictures: a directory, made if it is missing, or
 * NULL. */
int eval_outputs_begin(struct eval_outputs *ret, const char *json, const char *csv,
                       const char *pictures, struct error *error);
int eval_outputs_commit(struct eval_outputs *outputs, const struct eval_report *report,
                        struct error *error);
void eval_outputs_abandon(
    struct eval_outputs *outputs); /* also of a zeroed struct; after commit: nothing */

#endif
