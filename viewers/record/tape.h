/* SPDX-License-Identifier: Apache-2.0
 * The newest samples of one topic of one stream, by their position on the timeline, and where they
 * are not what was heard. */
#ifndef FOCAL_RECORD_TAPE_H
#define FOCAL_RECORD_TAPE_H

#include <stddef.h>
#include <stdint.h>

#include "viewers/record/snippet.h"

enum { TAPE_MAX_GAPS = 512 };

struct tape {
    const char *topic; /* of its gaps */
    float *samples;    /* [capacity], position p at p % capacity */
    size_t capacity;
    uint64_t begin, end; /* what it holds; begin == end: nothing */
    struct {
        struct snippet_gap gap;
        uint64_t lost;     /* samples */
    } gaps[TAPE_MAX_GAPS]; /* oldest first */
    size_t n_gaps;
};

/* -ENOMEM. topic: a static string. */
int tape_init(struct tape *tape, const char *topic, size_t capacity);
void tape_finish(struct tape *tape);
void tape_clear(struct tape *tape);

struct tape_block {
    uint64_t first, count;
    const float *samples; /* [count]; what is not finite becomes 0 */
    uint64_t messages;    /* lost right before it */
    uint64_t lost;        /* samples in it that the source never had */
};

/* What lies before the end is left out: the timeline does not run back. */
void tape_write(struct tape *tape, const struct tape_block *block);

/* [first, first + count) -> ret: what the tape does not hold is 0. Adds the gaps of the span to the
 * snippet, and returns the samples in it that are lost. */
uint64_t tape_read(const struct tape *tape, uint64_t first, uint64_t count, float *ret,
                   struct snippet *snippet);

/* Adds a gap while there is room; more of them than SNIPPET_MAX_GAPS become one with the last. */
void snippet_add_gap(struct snippet *snippet, const struct snippet_gap *gap);

#endif
