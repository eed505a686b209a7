/* SPDX-License-Identifier: Apache-2.0
 * Lines for people on the standard error: with the time on a terminal, with sd-daemon's level
 * prefixes in the journal. Never from a real-time thread. */
#ifndef FOCALD_DAEMON_LOG_H
#define FOCALD_DAEMON_LOG_H

#include <stdarg.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* "error", "warning", "info" or "debug"; others are ignored. */
void log_set_level(const char *name);
/* Called before each line, so that a line being drawn on the terminal can be left. */
void log_set_hook(void (*before)(void));

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
