/* SPDX-License-Identifier: Apache-2.0
 * One configured stream: its ring, and the source that fills it. `auto` is resolved here, again and
 * again while no server answers. */
#ifndef FOCALD_DAEMON_FEED_H
#define FOCALD_DAEMON_FEED_H

#include <stdbool.h>

#include "base/error.h"
#include "daemon/config.h"
#include "daemon/ring.h"
#include "daemon/source.h"

struct feed;

/* True for "auto". */
bool feed_is_auto(const char *source);
/* Of [audio] ring, which counts 48 kHz stereo: how long so many bytes are, in full hundredths. */
double feed_ring_s(size_t bytes);

/* What feed_create and feed_start would refuse of its source and fallback, without starting. */
int feed_check(const struct config_stream *config, struct error *error);

/* Refuses two streams that would read the standard input, streams: [n]: each would get what the
 * other one has left of it. */
int feed_check_stdin(const struct config_stream *streams, int n, struct error *error);

/* Makes the ring (ring_s seconds of 48 kHz stereo) and checks the spec's kind. `auto` with a
 * fallback: that one from here on, where no server answers (it takes up to a second to know). */
int feed_create(struct feed **ret, const struct config_stream *config, double ring_s,
                struct error *error);
/* Stops the source and frees. Takes NULL. */
void feed_destroy(struct feed *feed);

struct ring *feed_ring(struct feed *feed);
/* The source waits for the pipeline (fast file, pipe): nothing may be skipped. */
bool feed_lossless(const struct feed *feed);

/* Starts the source. A spec that can never work is an error; a server that is away is not. */
int feed_start(struct feed *feed, struct error *error);
/* Once a second from the main thread: looks again for a server where `auto` found none. */
void feed_tick(struct feed *feed);
/* Stops the source; the ring stays. */
void feed_stop(struct feed *feed);

/* Any thread. The text is never empty: "starting SOURCE" until the source has said something.
 * ret_kind: a static string, "auto" while none was found. */
void feed_status(struct feed *feed, struct source_status *ret, const char **ret_kind);
/* Since when it is in that state, CLOCK_MONOTONIC. */
int64_t feed_state_ns(struct feed *feed);

#endif
