/* SPDX-License-Identifier: Apache-2.0
 * What a command prints, held back until it has let the history go: whoever reads it may take their
 * time (a pager), and a recorder cannot commit or tidy its log behind a reader. It is held in a
 * file without a name in TMPDIR: a history of years has more rows than memory is for. */
#ifndef FOCAL_RECORD_PRINTOUT_H
#define FOCAL_RECORD_PRINTOUT_H

#include <stdio.h>

#include "base/error.h"

struct printout {
    FILE *out; /* to print to; printout_end tells what failed */
};

/* Negative errno: there is no room for a temporary file. */
int printout_begin(struct printout *printout, struct error *error);
/* To the standard output, also after a failure: code is the command's so far, and comes back. Where
 * the temporary file did not take all of it nothing is printed, and a code of 0 becomes that
 * negative errno (-ENOSPC). Takes one that was not begun. */
int printout_end(struct printout *printout, int code, struct error *error);

#endif
