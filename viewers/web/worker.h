/* SPDX-License-Identifier: Apache-2.0
 * What may take long (the history's database, an answer of focald, a password's hash) is done by a
 * thread of its own, one job after the other, so that the streams never wait for it. Jobs begin and
 * end in the event loop's thread; only `work` runs in the other. */
#ifndef FOCAL_WEB_WORKER_H
#define FOCAL_WEB_WORKER_H

#include <stdbool.h>

#include "base/error.h"

struct worker;

/* The head of a job's own struct. */
struct job {
    void (*work)(struct job *job, void *tools); /* worker's thread */
    void (*done)(struct job *job);              /* loop's thread; frees it */
    struct job *next;
};

/* wake(user) is called from the worker's thread when there is something to collect. tools: what
 * only this worker's jobs use. */
int worker_create(struct worker **ret, void *tools, void (*wake)(void *user), void *user,
                  struct error *error);
/* Waits for the job at work; the others are given to `done` without having been worked on. Takes
 * NULL. */
void worker_destroy(struct worker *worker);
/* False, and the job stays the caller's, when too many wait. */
bool worker_give(struct worker *worker, struct job *job);
/* However many wait: for the rest of what was begun, of which there is one a connection. */
void worker_continue(struct worker *worker, struct job *job);
/* Calls `done` of what is finished. Takes NULL. */
void worker_collect(struct worker *worker);

#endif
