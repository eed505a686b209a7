/* SPDX-License-Identifier: Apache-2.0
 * Makes room: the oldest snippets go first, favourites stay. */
#ifndef FOCAL_RECORD_RETENTION_H
#define FOCAL_RECORD_RETENTION_H

#include <stdint.h>

#include "base/error.h"
#include "viewers/record/settings.h"
#include "viewers/record/store.h"

struct retention {
    const struct settings *settings;
    struct place *place;
    struct store *store;
    int64_t size_bytes;  /* of the history, as last counted and added to */
    int64_t room_bytes;  /* of the history and of what was free beside it, when last counted */
    int64_t freed_bytes; /* deleted since then, which the file system may not have freed yet */
    uint64_t deleted;    /* snippets, since start */
};

/* Counts anew, as people delete things too, and others fill the disk. */
int retention_count(struct retention *retention, struct error *error);
/* What is too old. */
int retention_age(struct retention *retention, int64_t now_ns, struct error *error);
/* Deletes until `bytes` more keep the history below max_size and the file system above min_free.
 * -ENOSPC with a line: it cannot be, since only favourites are left or others fill the disk. */
int retention_make_room(struct retention *retention, int64_t bytes, struct error *error);

#endif
