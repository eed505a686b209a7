/* SPDX-License-Identifier: Apache-2.0
 * The real focald as a child process, for tests that use it as a person would: in a private runtime
 * directory, with its standard error kept, ended with the test whatever happens. */
#ifndef FOCALD_TESTS_FOCALD_PROCESS_H
#define FOCALD_TESTS_FOCALD_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/libfocal/focal.h"

struct focald_process {
    pid_t pid;
    char dir[256];                /* temporary: config, sockets, log; removed at the end */
    char data[320], control[320]; /* endpoints */
    char log[320];                /* the standard error's file */
};

/* Starts `focald run --config DIR/focald.conf` with this text as configuration ([ipc] dir is added)
 * and waits until it answers on control. Fails the test with focald's log when it does not. */
void focald_start(struct focald_process *f, const char *config_text);
/* Writes the configuration anew, for a reload. */
void focald_configure(struct focald_process *f, const char *config_text);
/* SIGTERM, waits up to 5 s. Returns the exit status (-1: it had to be killed); *ret_ms: how long it
 * took (NULL allowed). */
int focald_stop(struct focald_process *f, double *ret_ms);
/* Removes the directory; kills what still runs. */
void focald_clean(struct focald_process *f);

/* A client of it. */
struct focal *focald_client(const struct focald_process *f, const char *topic);
/* A number of {"cmd":"status"}'s reply by path under "status" ("streams.0.lost_samples"). */
double focald_status(const struct focald_process *f, const char *path);
/* One control request; fails the test unless the reply's "ok" is `ok`. Returns the reply, to be
 * freed. */
char *focald_request(const struct focald_process *f, const char *request, bool ok);
/* True when the log holds the text. */
bool focald_logged(const struct focald_process *f, const char *text);
/* Resident memory, from /proc. */
size_t focald_resident(const struct focald_process *f);

double seconds_now(void);
/* The directory of the ten clips, and the program's path, from the environment that meson sets. */
const char *demo_dir(void);

#endif
