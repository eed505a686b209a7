/* SPDX-License-Identifier: Apache-2.0
 * A snippet's pictures: the spectrogram with the mask's contour beside what the mask keeps, and a
 * small one for lists. */
#ifndef FOCAL_RECORD_PICTURE_H
#define FOCAL_RECORD_PICTURE_H

#include <cairo.h>

#include "base/error.h"
#include "viewers/record/blob.h"
#include "viewers/record/snippet.h"

enum { PICTURE_THUMB_WIDTH = 320, PICTURE_THUMB_HEIGHT = 96 };

int picture_encode(struct blob *ret, const struct snippet *snippet, struct error *error);
int picture_encode_thumb(struct blob *ret, const struct snippet *snippet, struct error *error);

/* Any surface as a PNG. */
int picture_png(struct blob *ret, cairo_surface_t *surface, struct error *error);

#endif
