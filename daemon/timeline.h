/* SPDX-License-Identifier: Apache-2.0
 * When was sample n? A source's clock and this machine's drift apart, so the relation is followed
 * block by block: small errors are smoothed away, a large one is a gap in the audio. */
#ifndef FOCALD_DAEMON_TIMELINE_H
#define FOCALD_DAEMON_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

enum { TIMELINE_JUMP_NS = 200 * 1000 * 1000 }; /* beyond the jitter of any server's clock */

struct timeline {
    double rate_hz; /* of positions */
    bool anchored;
    double anchor_pos; /* samples */
    int64_t anchor_ns; /* CLOCK_MONOTONIC */
};

void timeline_init(struct timeline *timeline, double rate_hz);

/* CLOCK_MONOTONIC of a position. 0 until anchored. */
int64_t timeline_monotonic(const struct timeline *timeline, double position);
/* CLOCK_REALTIME of a position, by the clocks' offset now. */
int64_t timeline_wall(const struct timeline *timeline, double position);

/* A block that begins at position was captured at t_ns. Returns how much later than expected that
 * is when it is a jump (> TIMELINE_JUMP_NS, or any positive amount with `restart`), and leaves the
 * anchor alone so that the caller can move the position on; else follows it and returns 0. */
int64_t timeline_follow(struct timeline *timeline, double position, int64_t t_ns, bool restart);
/* Anchors anew. */
void timeline_anchor(struct timeline *timeline, double position, int64_t t_ns);

int64_t monotonic_ns(void);
int64_t realtime_ns(void);
/* How long the machine has slept since it started: CLOCK_MONOTONIC stands still then. */
int64_t asleep_ns(void);

#endif
