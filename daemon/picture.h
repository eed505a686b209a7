/* SPDX-License-Identifier: Apache-2.0
 * One picture of a clip: log-spectrogram, the interpreter's map over it, and what the mask keeps,
 * side by side, time to the right and frequency up.
 *
 * T: frames of a window, F: bins. */
#ifndef FOCALD_DAEMON_PICTURE_H
#define FOCALD_DAEMON_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "dsp/stft.h"
#include "model/model.h"

struct picture;

/* The clip: samples at rate_hz, and whose maps it will be given. Long clips share columns (at most
 * PICTURE_MAX_COLS). */
enum { PICTURE_MAX_COLS = 1400 };
int picture_create(struct picture **ret, size_t samples, int rate_hz,
                   const struct stft_shape *shape, enum interpreter interpreter,
                   struct error *error);
void picture_destroy(struct picture *picture); /* takes NULL */

/* Frames of a window that begins at sample `first`, the first `frames` of them; those beyond the
 * clip are left out. logspec: [frames][F]; map: [frames][F] and mask: [frames][F] of 0 or 1, both
 * NULL for silence; a map without a mask is a mask itself, of 0 ... 1. */
void picture_add(struct picture *picture, size_t first, size_t frames, const float *logspec,
                 const float *map, const uint8_t *mask);

/* The mask gets a panel of its own, before what it keeps. */
void picture_show_mask(struct picture *picture);

/* UTF-8; what is not is shown as U+FFFD. */
struct picture_text {
    const char *title;    /* what it is */
    const char *subtitle; /* what else it might be, and how it was made */
};

/* Writes a PNG; the file appears whole or not at all. */
int picture_write(struct picture *picture, const struct picture_text *text, const char *path,
                  struct error *error);

#endif
