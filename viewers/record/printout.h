/* SPDX-License-Identifier: Apache-2.0
 * What a command prints, held back until it has let the history go: whoever reads it may take their
 * time (a pager), and a recorder cannot commit or tidy its log behind a reader. */
#ifndef FOCAL_RECORD_PRINTOUT_H
#define FOCAL_RECORD_PRINTOUT_H

#include <stdio.h>

#include "base/error.h"

struct printout {
    FILE *out; /* to print to */
    char *text;
    size_t size;
};

int printout_begin(struct printout *printout, struct error *error);
/* To the standard output, also after a failure: code is the command's so far, and comes back, or
 * -ENOMEM. Takes one that was not begun. */
int printout_end(struct printout *printout, int code, struct error *error);

#endif
