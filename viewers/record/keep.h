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

/* Keeps it with all its files and counts it, or leaves nothing. One after the other, so that a kill
 * costs what waits and the one in progress, and none that was through. */
int keep_snippet(struct keep *keep, const struct snippet *snippet, struct error *error);

/* The count of an event of the snippet's. */
struct store_tally keep_tally(const struct snippet *snippet, enum store_outcome outcome);

#endif
