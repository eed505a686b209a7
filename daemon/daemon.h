/* SPDX-License-Identifier: Apache-2.0
 * The parts of a running focald, shared by run.c (main thread), control.c (ipc thread) and
 * health.c. Lives from start to stop of `focald run`. */
#ifndef FOCALD_DAEMON_DAEMON_H
#define FOCALD_DAEMON_DAEMON_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/config.h"
#include "daemon/feed.h"
#include "daemon/pipeline.h"
#include "ipc/publisher.h"
#include "model/model.h"

enum { DAEMON_RELOADS_MAX = 32 };

struct daemon {
    /* immutable after start */
    const char *config_path; /* NULL: the standard files */
    const struct config_option *options;
    int n_options;
    bool nohup; /* a terminal that goes does not end it */
    struct feed *feeds[CONFIG_MAX_STREAMS];
    int n_feeds;
    struct publisher *publisher;
    struct outbox *health_outbox; /* main thread's */
    int64_t start_ns;             /* CLOCK_MONOTONIC */

    /* main thread; the ipc thread reads them under lock */
    struct model *model;
    struct pipeline *pipeline;
    struct pipeline_compute told; /* what info/ says; under lock */

    bool deaf[CONFIG_MAX_STREAMS]; /* main thread: it is told that no audio comes */

    pthread_mutex_t lock;
    struct config config; /* under lock */
    /* Tickets of the requests that the next reload answers. Under lock. */
    uint64_t reloads[DAEMON_RELOADS_MAX];
    int n_reloads;

    atomic_bool ready;         /* control may use all of the above */
    atomic_bool reload_wanted; /* ipc thread → main thread */
};

/* Tells subscribers of info/ what is in use now. Under lock. */
void daemon_tell_info(struct daemon *d);

/* Answers one control request on the ipc thread (struct publisher_config.request). */
int control_request(void *daemon, const json_t *request, uint64_t ticket, json_t **ret_reply,
                    struct error *error);

/* health of one stream now. Any thread. */
void health_fill(struct daemon *d, int stream, struct health_message *ret);
/* Logs when audio stops to come from a source that runs, and when it comes again. Main thread. */
void health_watch(struct daemon *d);
/* Publishes the health of all streams. Main thread. */
void health_publish(struct daemon *d);
/* One line for systemd and the log: "main: capturing …; 1234 windows". */
void health_summary(struct daemon *d, char *ret, size_t size);

#endif
