/* SPDX-License-Identifier: Apache-2.0
 * How a picture's panels are drawn, apart from how their values are gathered. */
#ifndef FOCALD_DAEMON_PICTURE_DRAW_H
#define FOCALD_DAEMON_PICTURE_DRAW_H

#include <cairo.h>
#include <stdbool.h>

#include "daemon/picture.h"

/* Means over the frames of each column; a column is one step of time. */
struct picture_grid {
    int cols, bins;
    double seconds, nyquist_hz;
    float *logspec;               /* [cols][bins] */
    float *map;                   /* [cols][bins] */
    enum interpreter interpreter; /* whose map it is */
    float *mask;                  /* [cols][bins], 0 ... 1 */
    bool show_mask;               /* in a panel of its own */
};

/* A new surface, to be checked with cairo_surface_status. */
cairo_surface_t *picture_draw(const struct picture_grid *grid, const struct picture_text *text);

#endif
