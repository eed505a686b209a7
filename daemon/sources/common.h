/* SPDX-License-Identifier: Apache-2.0
 * What every source has: a state that others may read, and a stop that wakes its thread. */
#ifndef FOCALD_DAEMON_SOURCES_COMMON_H
#define FOCALD_DAEMON_SOURCES_COMMON_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/source.h"

/* Embedded first in each kind's own struct. */
struct source_common {
    struct source source;
    struct ring *ring;
    void *user;

    pthread_mutex_t tell_lock; /* held while it is called */
    void (*changed)(void *user, const struct source_status *status);

    pthread_mutex_t lock;
    struct source_status status; /* under lock */

    atomic_bool stopping;
    int wake_fd; /* eventfd: readable once stopping */
};

int source_common_init(struct source_common *common, const struct source_ops *ops,
                       const struct source_config *config, struct error *error);
void source_common_finish(struct source_common *common);

/* Sets state and text (NULL: as it was), and tells. Not from a real-time thread. */
void source_set_state(struct source_common *common, enum source_state state, const char *format,
                      ...) __attribute__((format(printf, 3, 4)));
/* Told with the first state, where there is none yet. */
void source_set_format(struct source_common *common, uint32_t rate_hz, uint32_t channels);
/* Whether the state that is set next was set before, as in each round of a loop but the first. */
void source_set_again(struct source_common *common, bool again);
void source_set_xruns(struct source_common *common, uint64_t xruns);
void source_common_status(struct source *source, struct source_status *ret);

/* Tells the source's thread to end. */
void source_common_stop(struct source_common *common);
/* Nobody is told anything any more, when this returns. */
void source_common_mute(struct source_common *common);
/* Sleeps until t_ns (CLOCK_MONOTONIC) or stop. Returns false when stopping. */
bool source_sleep_until(struct source_common *common, int64_t t_ns);
/* Sleeps a while, or until stop. Returns false when stopping. */
bool source_sleep(struct source_common *common, int64_t ns);

/* The frames of a block: as wanted, but never more than a quarter of the (empty) ring's
 * ring_writable, so that many channels in a small ring still pass. */
uint32_t source_block_frames(size_t ring_bytes, uint32_t channels, uint32_t wanted);
/* For writers that wait: blocks until frames * channels floats fit. False when stopping. */
bool source_wait_room(struct source_common *common, uint32_t frames, uint32_t channels);
/* The end of the source, told in the ring. */
void source_write_end(struct source_common *common);

#endif
