/* SPDX-License-Identifier: Apache-2.0
 * Spans of a timeline, [first, end), sorted and merged; only so many, the oldest go first. */
#ifndef FOCAL_RECORD_SPANS_H
#define FOCAL_RECORD_SPANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SPANS_MAX = 128 };

struct span {
    uint64_t first, end;
};

struct spans {
    struct span list[SPANS_MAX];
    size_t n;
    /* When there are too many, the two oldest become one with what is between them; otherwise the
     * oldest is forgotten. */
    bool grow;
};

void spans_add(struct spans *spans, uint64_t first, uint64_t end);
/* What ends before that position. */
void spans_forget(struct spans *spans, uint64_t before);
void spans_clear(struct spans *spans);

/* The first span that ends after `from`, or NULL. */
const struct span *spans_after(const struct spans *spans, uint64_t from);
bool spans_touch(const struct spans *spans, uint64_t first, uint64_t end);

#endif
