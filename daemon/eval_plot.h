/* SPDX-License-Identifier: Apache-2.0
 * Panels with lines through points, over numbers or over names, and the picture around them. */
#ifndef FOCALD_DAEMON_EVAL_PLOT_H
#define FOCALD_DAEMON_EVAL_PLOT_H

#include <cairo.h>
#include <stdbool.h>

#include "base/error.h"

enum { PLOT_MAX_SERIES = 3 };

struct plot_series {
    const char *name;
    const double *ys; /* [n] of the plot; NaN: no point */
};

struct plot {
    double x, y, width, height; /* of the panel without its axes' texts, pixels */
    const char *title, *x_label, *y_label;
    int n;
    const double *xs;                 /* [n] ascending; NULL: names */
    bool whole;                       /* xs are whole numbers, and so are ticks */
    const char *const *names;         /* [n] */
    const double *ys;                 /* [n]; NaN: no point */
    const struct plot_series *series; /* [n_series] with a legend, in place of ys; or NULL */
    int n_series;
    const double *lows, *highs; /* [n] a bar at each point, or NULL */
    double low, high;           /* of y; low >= high: as the points need */
    double mark;                /* an x that is marked, NaN: none */
};

/* Room it needs around the panel. */
enum { PLOT_LEFT = 76, PLOT_RIGHT = 18, PLOT_ABOVE = 30, PLOT_BELOW = 58 };

void plot_draw(cairo_t *cr, const struct plot *plot);

/* Of a picture: room at its edges, and for its title below the upper one; pixels. */
enum { PLOT_MARGIN = 24, PLOT_TITLE = 66 };

cairo_t *plot_begin_picture(int width, int height, const char *title, const char *subtitle,
                            cairo_surface_t **ret);
/* Writes the PNG, whole or not at all, and destroys both. Errors name the path. */
int plot_end_picture(cairo_t *cr, cairo_surface_t *surface, const char *path, struct error *error);

#endif
