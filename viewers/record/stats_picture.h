/* SPDX-License-Identifier: Apache-2.0
 * Counts by hour and label as a heat map. */
#ifndef FOCAL_RECORD_STATS_PICTURE_H
#define FOCAL_RECORD_STATS_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "viewers/record/snippet.h"

struct stats_row {
    char label[SNIPPET_LABEL_BYTES];
    int64_t heard[24]; /* by the hour of the day */
    int64_t total, kept, private;
};

struct stats {
    struct stats_row *rows;
    size_t n;
};

/* The file appears whole or not at all. Only so many rows fit; the rest is said below them. */
int stats_picture(const struct stats *stats, const char *path, struct error *error);

#endif
