/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/stats_picture.h"

#include <cairo.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/colormap.h"
#include "base/draw.h"

enum {
    MARGIN = 20,
    LABEL = 190,
    CELL = 30,
    ROW = 24,
    TITLE = 56,
    TOTAL = 70,
    BELOW = 40,
    ROWS_MAX = 100
};

static void draw_cell(cairo_t *cr, double x, double y, int64_t n, int64_t most)
{
    char text[32];
    float rgb[3], v = (float)(log1p((double)n) / log1p((double)most));
    colormap_rgb(COLORMAP_VIRIDIS, v, rgb);
    cairo_set_source_rgb(cr, (double)rgb[0], (double)rgb[1], (double)rgb[2]);
    cairo_rectangle(cr, x, y, CELL - 1, ROW - 1);
    cairo_fill(cr);
    snprintf(text, sizeof text, "%" PRId64, n);
    if (n >= 10000)
        snprintf(text, sizeof text, "%.0fk", (double)n / 1000);
    if (v > 0.6f)
        cairo_set_source_rgb(cr, 0, 0, 0);
    else
        cairo_set_source_rgb(cr, 1, 1, 1);
    draw_text(cr, text, x + CELL / 2.0, y + 16, 0.5);
}

static void draw_row(cairo_t *cr, const struct stats_row *row, double y, int64_t most)
{
    char text[48];
    draw_ink(cr, draw_dark);
    draw_fitted(cr, row->label, MARGIN, y + 16, LABEL - 8, 13, false);
    draw_font(cr, 11, false);
    for (int hour = 0; hour < 24; hour++) {
        double x = MARGIN + LABEL + hour * CELL;
        if (row->heard[hour] > 0) {
            draw_cell(cr, x, y, row->heard[hour], most);
            continue;
        }
        cairo_set_source_rgb(cr, 0.93, 0.93, 0.94);
        cairo_rectangle(cr, x, y, CELL - 1, ROW - 1);
        cairo_fill(cr);
    }
    draw_ink(cr, draw_dark);
    draw_font(cr, 12, true);
    snprintf(text, sizeof text, "%" PRId64, row->total);
    draw_text(cr, text, MARGIN + LABEL + 24 * CELL + TOTAL - 8, y + 16, 1);
}

static void draw_hours(cairo_t *cr, double y)
{
    char text[16];
    draw_ink(cr, draw_faint);
    draw_font(cr, 11, false);
    for (int hour = 0; hour <= 24; hour += 3) {
        snprintf(text, sizeof text, "%02d:00", hour);
        draw_text(cr, text, MARGIN + LABEL + hour * CELL, y, 0.5);
    }
}

int stats_picture(const struct stats *s, const char *path, struct error *error)
{
    int64_t most = 1;
    int rows = s->n < ROWS_MAX ? (int)s->n : ROWS_MAX;
    for (int i = 0; i < rows; i++)
        for (int hour = 0; hour < 24; hour++)
            most = s->rows[i].heard[hour] > most ? s->rows[i].heard[hour] : most;
    int width = 2 * MARGIN + LABEL + 24 * CELL + TOTAL;
    int height = 2 * MARGIN + TITLE + rows * ROW + BELOW;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    cairo_t *cr = cairo_create(surface);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    draw_ink(cr, draw_dark);
    draw_fitted(cr, "what was heard, by hour of the day", MARGIN, MARGIN + 20, width - 2 * MARGIN,
                20, true);
    draw_font(cr, 12, true);
    draw_text(cr, "heard", MARGIN + LABEL + 24 * CELL + TOTAL - 8, MARGIN + TITLE - 8, 1);
    for (int i = 0; i < rows; i++)
        draw_row(cr, &s->rows[i], MARGIN + TITLE + i * ROW, most);
    draw_hours(cr, MARGIN + TITLE + rows * ROW + 16);
    if ((size_t)rows < s->n) {
        char text[64];
        snprintf(text, sizeof text, "and %zu labels more", s->n - (size_t)rows);
        draw_text(cr, text, MARGIN, height - MARGIN, 0);
    }
    cairo_destroy(cr);
    int code = draw_write_png(surface, path, error);
    cairo_surface_destroy(surface);
    return code;
}
