/* SPDX-License-Identifier: Apache-2.0
 * Tables as text: comma-separated values as RFC 4180 has them and as spreadsheets write them
 * (quotes, quotes within quotes, line breaks within quotes, CRLF, a byte order mark). */
#ifndef FOCALD_DAEMON_EVAL_CSV_H
#define FOCALD_DAEMON_EVAL_CSV_H

#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

struct csv {
    char *text;   /* all fields, each ended by a zero byte */
    char **cells; /* [n_rows][n_cols], in text */
    int *lines;   /* [n_rows] where each row begins in the file, from 1 */
    int n_rows, n_cols;
};

/* Takes text: [length], which need not end in a zero byte. The first row is the heading; every
 * other has as many fields; empty lines are none. where: the file, for errors, which name the line.
 * -EINVAL, -ENOMEM. */
int csv_parse(struct csv *ret, const char *text, size_t length, const char *where,
              struct error *error);
/* A whole file of at most 64 MB. Errors of open as well. */
int csv_read(struct csv *ret, const char *path, struct error *error);
void csv_finish(struct csv *csv); /* also of a zeroed struct */

/* Row 0 is the first behind the heading. */
const char *csv_cell(const struct csv *csv, int row, int col);
/* The column of this heading, or -1. */
int csv_column(const struct csv *csv, const char *name);

/* A field, in quotes where it needs them. */
void csv_print(FILE *to, const char *field);

#endif
