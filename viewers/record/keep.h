/* SPDX-License-Identifier: Apache-2.0
 * A snippet's way to the disk: files flushed, moved to their places, then the row. */
#ifndef FOCAL_RECORD_KEEP_H
#define FOCAL_RECORD_KEEP_H

#include "base/error.h"
#include "viewers/record/retention.h"
#include "viewers/record/settings.h"
#include "viewers/record/store.h"

struct keep {
    const struct settings *settings;
    struct place *place;
    struct store *store;
    struct retention *retention;
};

enum { KEEP_MOST = 16 };

struct keep_result {
    int code; /* 0: it is kept */
    struct error error;
};

/* The first of n snippets, n <= KEEP_MOST: those that are encoded within a moment and for which
 * there is room beside each other, at least one; the disk is flushed once for all. Each is kept
 * with all its files and counted, or leaves nothing. Returns how many. */
size_t keep_snippets(struct keep *keep, const struct snippet *const *snippets, size_t n,
                     struct keep_result *ret);

/* The count of an event of the snippet's. */
struct store_tally keep_tally(const struct snippet *snippet, enum store_outcome outcome);

#endif
