/* SPDX-License-Identifier: Apache-2.0
 * One panel with a line through points, over numbers or over names. */
#ifndef FOCALD_DAEMON_EVAL_PLOT_H
#define FOCALD_DAEMON_EVAL_PLOT_H

#include <cairo.h>

struct plot {
    double x, y, width, height; /* of the panel without its axes' texts, pixels */
    const char *title, *x_label, *y_label;
    int n;
    const double *xs;           /* [n] ascending; NULL: names */
    const char *const *names;   /* [n] */
    const double *ys;           /* [n]; NaN: no point */
    const double *lows, *highs; /* [n] a bar at each point, or NULL */
    double low, high;           /* of y; low >= high: as the points need */
    double mark;                /* an x that is marked, NaN: none */
};

/* Room it needs around the panel. */
enum { PLOT_LEFT = 76, PLOT_RIGHT = 18, PLOT_ABOVE = 30, PLOT_BELOW = 58 };

void plot_draw(cairo_t *cr, const struct plot *plot);

#endif
