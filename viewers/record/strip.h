/* SPDX-License-Identifier: Apache-2.0
 * The newest columns of a stream's spectrogram and mask, by their place on the timeline.
 *
 * A column is one frame, `hop` samples after the one before; column c is centred on sample c * hop.
 * Levels are absolute, so that windows that were normalised differently fit together:
 * level = 255 + 2 * dB of the magnitude below STRIP_TOP_DB, at least 1; 0: nothing known. */
#ifndef FOCAL_RECORD_STRIP_H
#define FOCAL_RECORD_STRIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viewers/record/snippet.h"

enum {
    STRIP_MAX_BINS = 4096,
    STRIP_TOP_DB = 48, /* a full-scale sine in a window of 372 has 39 dB */
};

struct strip {
    size_t capacity; /* columns */
    size_t bins, mask_bytes;
    int hop;
    uint8_t *spec, *mask;        /* column c at c % capacity */
    uint64_t *spec_of, *mask_of; /* c + 1 of the column that lies there; 0: none */
    uint64_t end;                /* after the newest column of spec */
};

/* span: samples to hold. -ENOMEM. */
int strip_init(struct strip *strip, uint64_t span, int hop, size_t bins);
void strip_finish(struct strip *strip);
void strip_clear(struct strip *strip);

/* Frames centred on first, first + hop, …: log1p of magnitudes divided by peak, [rows][bins]. */
void strip_spec(struct strip *strip, uint64_t first, size_t rows, const float *logspec, float peak);
/* A window's mask, [rows][bins] bits, first cell in bit 0; its frames from `from` on replace what
 * is known of them, those before only fill in. */
void strip_mask(struct strip *strip, uint64_t first, size_t rows, const uint8_t *bits,
                uint64_t from);

/* Columns of [first, first + count). -ENOMEM. */
int strip_read(const struct strip *strip, uint64_t first, uint64_t count,
               struct snippet_picture *ret);
/* The columns that samples of [first, end) touch become unknown. */
void strip_withhold(struct snippet_picture *picture, uint64_t first, uint64_t end);

#endif
