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

/* All or nothing; tally (may be NULL) is counted with the row. */
int keep_snippet_files(struct keep *keep, const struct snippet *snippet,
                       const struct store_tally *tally, struct error *error);

#endif
