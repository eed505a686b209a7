/* SPDX-License-Identifier: Apache-2.0
 * The lock-free ring between one audio callback (writer) and one dsp thread (reader). It carries
 * blocks of interleaved float frames, each with its format and what was lost before it. A block is
 * written whole or dropped whole and counted; the next block that fits tells the reader how many
 * frames are missing, so that time never shifts silently. Memory is mapped twice in a row, so that
 * every block is contiguous, locked where allowed, and prefaulted. */
#ifndef FOCALD_DAEMON_RING_H
#define FOCALD_DAEMON_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct ring;

/* What the reader learns of a block. */
struct ring_block {
    uint32_t frames;
    uint32_t channels;
    uint32_t rate_hz;
    uint32_t flags;       /* RING_... */
    uint64_t lost_frames; /* at rate_hz, dropped or never delivered right before this block */
    int64_t t_ns;         /* CLOCK_MONOTONIC of the block's first frame; 0 if unknown */
    const float *samples; /* [frames][channels], valid until ring_release */
};

enum {
    RING_RESTART = 1, /* the source was away: time passed, t_ns tells how much */
    RING_END = 2,     /* the source is at its end (file, stdin); frames is 0 */
};

/* bytes is rounded up to a page multiple. */
int ring_create(struct ring **ret, size_t bytes, struct error *error);
void ring_destroy(struct ring *ring); /* takes NULL; both threads must be done */

/* Writer: real-time. No lock, no allocation, no system call, no log. */

/* Room for a block of frames * channels floats, or NULL when full: then the frames are counted as
 * lost. The block is invisible until ring_commit. */
float *ring_reserve(struct ring *ring, uint32_t frames, uint32_t channels);
/* Makes the reserved block readable; frames may be fewer than reserved. */
void ring_commit(struct ring *ring, uint32_t frames, uint32_t rate_hz, int64_t t_ns,
                 uint32_t flags);
/* Frames the server itself reports as lost (xrun), to be told with the next block. */
void ring_count_lost(struct ring *ring, uint64_t frames);
/* Bytes that could be reserved now (non-real-time writers wait until there is room). */
size_t ring_writable(const struct ring *ring);

/* Reader */

/* The next block without taking it; false when empty. */
bool ring_peek(struct ring *ring, struct ring_block *ret);
/* Gives the peeked block's room back. */
void ring_release(struct ring *ring);

/* Any thread */

/* Nothing waits for the reader. */
bool ring_empty(const struct ring *ring);
/* Frames lost since create. */
uint64_t ring_lost(const struct ring *ring);
/* Bytes that a ring must have for the writer's last block, where this one is too small for it even
 * when it is empty; 0: it is not. */
size_t ring_too_small(const struct ring *ring);

#endif
