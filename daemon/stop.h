/* SPDX-License-Identifier: Apache-2.0
 * For modes that write for a while: SIGINT, SIGTERM and SIGHUP are noticed rather than obeyed, so
 * that what is half-written can be removed first. */
#ifndef FOCALD_DAEMON_STOP_H
#define FOCALD_DAEMON_STOP_H

#include <signal.h>

/* The number of the signal that came, or 0. */
extern volatile sig_atomic_t stop_signal;

/* From here on. A limit on the size of files and a reader that went away become errors of write. */
void stop_listen(void);

/* Ends the process by the signal that came, as whoever sent it expects; returns when none did. */
void stop_obey(void);

#endif
