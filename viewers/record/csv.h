/* SPDX-License-Identifier: Apache-2.0
 * Comma-separated values as RFC 4180 has them. */
#ifndef FOCAL_RECORD_CSV_H
#define FOCAL_RECORD_CSV_H

#include <stdio.h>

#include "viewers/record/history.h"

/* One field, quoted where it must be; NULL: empty. What a spreadsheet would take for a formula gets
 * an apostrophe before it. */
void csv_field(FILE *out, const char *text);
void csv_row_header(FILE *out);
void csv_row(FILE *out, const struct history_row *row);

#endif
