/* SPDX-License-Identifier: Apache-2.0
 * What all our pictures are drawn with: inks, text, ticks, and a PNG that appears whole or not at
 * all. */
#ifndef FOCALD_BASE_DRAW_H
#define FOCALD_BASE_DRAW_H

#include <cairo.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

extern const double draw_dark[3], draw_faint[3];

void draw_ink(cairo_t *cr, const double rgb[3]);
void draw_font(cairo_t *cr, double size, bool bold);
/* Text whose left end, middle or right end (align 0, 0.5, 1) is at x. */
void draw_text(cairo_t *cr, const char *text, double x, double y, double align);
/* As draw_text at the left, in the largest size up to `size` that fits into width. */
void draw_fitted(cairo_t *cr, const char *text, double x, double y, double width, double size,
                 bool bold);

/* A step of 1, 2 or 5 times a power of ten that gives at most `most` steps. */
double draw_tick_step(double span, int most);
void draw_format_tick(char *ret, size_t size, double value, double step);

/* The whole of image in a rectangle. */
void draw_image(cairo_t *cr, cairo_surface_t *image, double x, double y, double width,
                double height);
void draw_frame(cairo_t *cr, double x, double y, double width, double height);

/* Errors name the path; also those of a surface that could not be drawn. */
int draw_write_png(cairo_surface_t *surface, const char *path, struct error *error);

#endif
