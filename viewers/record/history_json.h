/* SPDX-License-Identifier: Apache-2.0
 * Rows of the history as JSON: what focal-record --json prints, and other viewers serve. */
#ifndef FOCAL_RECORD_HISTORY_JSON_H
#define FOCAL_RECORD_HISTORY_JSON_H

#include <jansson.h>

#include "viewers/record/history.h"

/* A new object with every field of the row under its name in docs/record.md; NULL: no memory. Times
 * are also there as text, "t_onset" and so on (UTC). */
json_t *history_row_json(const struct history_row *row);
/* The same with "scores" (an array, most probable first, `most` at most) and "gaps". */
int history_whole_json(struct history *history, int64_t id, int most, json_t **ret,
                       struct error *error);
json_t *history_count_json(const struct history_count *count);

#endif
