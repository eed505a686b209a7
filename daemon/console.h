/* SPDX-License-Identifier: Apache-2.0
 * What `focald run` shows on a terminal: one line that follows the newest label of each stream. */
#ifndef FOCALD_DAEMON_CONSOLE_H
#define FOCALD_DAEMON_CONSOLE_H

#include <stdbool.h>

#include "daemon/pipeline.h"

/* True when stdout is a terminal. */
bool console_wanted(void);

/* Draws the newest label of a stream in place of the last line (n_streams > 1: as a line of its
 * own). name: of the stream, labels: of the model. */
void console_label(const char *name, const struct pipeline_report *report,
                   const char *const *labels, int n_streams);

/* Leaves the line, so that other output begins on its own. */
void console_break(void);

#endif
