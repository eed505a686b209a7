/* SPDX-License-Identifier: Apache-2.0
 * The spectrogram in cells: two values a cell where the terminal has half blocks and colours, else
 * one, as shades or letters of different weight. */
#ifndef FOCALD_VIEWERS_TERM_PICTURE_H
#define FOCALD_VIEWERS_TERM_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "viewers/term/spectrum.h"
#include "viewers/term/terminal.h"

/* Time runs in whole columns of the timeline, so that a picture that moves does not shimmer. */
struct picture_span {
    int64_t column_frames; /* spectrogram frames a column */
    int64_t last;          /* the number of the rightmost column */
};

struct picture_place {
    int y, x, rows, cols;
};

/* Columns so wide that cols of them are about seconds, of which the last holds newest_frame. */
struct picture_span picture_span(double seconds, int64_t hop_samples, int cols,
                                 int64_t newest_frame);
/* spectrum may be NULL: nothing came. glow: what the network did not listen to is dimmed. */
void picture_draw(const struct terminal *t, const struct spectrum *spectrum,
                  const struct picture_span *span, const struct picture_place *place, bool glow);

#endif
