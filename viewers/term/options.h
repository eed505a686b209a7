/* SPDX-License-Identifier: Apache-2.0
 * The command line of focal-term, and the way to the daemon that it names. */
#ifndef FOCALD_VIEWERS_TERM_OPTIONS_H
#define FOCALD_VIEWERS_TERM_OPTIONS_H

#include <stdbool.h>

#include "ipc/libfocal/focal.h"
#include "viewers/term/palette.h"
#include "viewers/term/view.h"

enum { EXIT_USAGE = 2 };

struct options {
    const char *stream; /* NULL: the first */
    const char *name, *data, *server_key_file, *key_file;
    bool once, json, ascii;
    double timeout_s;
    enum palette_kind colours; /* at most */
    enum overlay overlay;
    double seconds;
};

/* Returns -1 to go on, or the exit status. */
int options_parse(struct options *ret, int argc, char **argv);

/* Opens libfocal as the options say; the place of the sockets is looked for anew each time. Returns
 * 0, or negative with a line in why. */
int options_connect(const struct options *o, struct focal **ret, char *why, size_t why_size);

/* The two ways to run; each returns the exit status. */
int live_run(const struct options *o);
int once_run(const struct options *o);

#endif
