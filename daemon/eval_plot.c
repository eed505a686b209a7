/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_plot.h"

#include <math.h>
#include <stdio.h>

#include "base/draw.h"

static const double line_inks[PLOT_MAX_SERIES][3] = {
    {0.16, 0.32, 0.60}, {0.88, 0.56, 0.10}, {0.20, 0.55, 0.40}};
static const double grid_ink[3] = {0.88, 0.89, 0.91}, mark_ink[3] = {0.80, 0.33, 0.20};

struct axes {
    double x_low, x_high, y_low, y_high, y_step;
};

static double x_of(const struct plot *p, const struct axes *a, double x)
{
    return p->x + (a->x_high > a->x_low ? (x - a->x_low) / (a->x_high - a->x_low) : 0.5) * p->width;
}

static double y_of(const struct plot *p, const struct axes *a, double y)
{
    return p->y + p->height - (y - a->y_low) / (a->y_high - a->y_low) * p->height;
}

static double point_x(const struct plot *p, int i)
{
    return p->xs != NULL ? p->xs[i] : i;
}

static int series_of(const struct plot *p)
{
    return p->series != NULL ? p->n_series : 1;
}

static const double *ys_of(const struct plot *p, int series)
{
    return p->series != NULL ? p->series[series].ys : p->ys;
}

static void spread(const struct plot *p, double *ret_low, double *ret_high)
{
    *ret_low = 0;
    *ret_high = 0;
    for (int k = 0; k < series_of(p); k++)
        for (int i = 0; i < p->n; i++) {
            *ret_low = fmin(*ret_low, p->lows != NULL ? p->lows[i] : ys_of(p, k)[i]);
            *ret_high = fmax(*ret_high, p->highs != NULL ? p->highs[i] : ys_of(p, k)[i]);
        }
}

/* Zero is always on the axis, and the ends are whole steps. */
static struct axes axes_of(const struct plot *p)
{
    struct axes a = {.y_low = p->low, .y_high = p->high};
    a.x_low = p->xs != NULL ? fmin(p->xs[0], isnan(p->mark) ? p->xs[0] : p->mark) : -0.5;
    a.x_high = p->xs != NULL ? fmax(p->xs[p->n - 1], isnan(p->mark) ? 0 : p->mark) : p->n - 0.5;
    double room = p->whole ? 0.02 * (a.x_high - a.x_low) : 0; /* a mark at an end is seen */
    a.x_low -= room;
    a.x_high += room;
    if (!(p->low < p->high)) {
        spread(p, &a.y_low, &a.y_high);
        if (!(a.y_high > a.y_low))
            a.y_high = a.y_low + 1;
        a.y_step = draw_tick_step(a.y_high - a.y_low, 6);
        a.y_low = floor(a.y_low / a.y_step + 1e-9) * a.y_step;
        a.y_high = ceil(a.y_high / a.y_step - 1e-9) * a.y_step;
    } else {
        a.y_step = draw_tick_step(a.y_high - a.y_low, 8);
    }
    return a;
}

static void draw_line(cairo_t *cr, double x0, double y0, double x1, double y1)
{
    cairo_move_to(cr, x0, y0);
    cairo_line_to(cr, x1, y1);
    cairo_stroke(cr);
}

static void draw_y_axis(cairo_t *cr, const struct plot *p, const struct axes *a)
{
    char text[32];
    int steps = (int)lround((a->y_high - a->y_low) / a->y_step);
    draw_font(cr, 12, false);
    cairo_set_line_width(cr, 1);
    for (int i = 0; i <= steps; i++) {
        double value = a->y_low + i * a->y_step, y = floor(y_of(p, a, value)) + 0.5;
        draw_ink(cr, fabs(value) < a->y_step / 1e6 ? draw_faint : grid_ink);
        draw_line(cr, p->x, y, p->x + p->width, y);
        draw_ink(cr, draw_dark);
        draw_format_tick(text, sizeof text, value, a->y_step);
        draw_text(cr, text, p->x - 8, y + 4, 1);
    }
    cairo_save(cr);
    draw_ink(cr, draw_faint);
    cairo_translate(cr, p->x - PLOT_LEFT + 16, p->y + p->height / 2);
    cairo_rotate(cr, -M_PI / 2);
    draw_text(cr, p->y_label, 0, 0, 0.5);
    cairo_restore(cr);
}

static void draw_x_tick(cairo_t *cr, const struct plot *p, double x, const char *text)
{
    double below = p->y + p->height;
    draw_ink(cr, draw_faint);
    draw_line(cr, floor(x) + 0.5, below, floor(x) + 0.5, below + 5);
    draw_ink(cr, draw_dark);
    draw_text(cr, text, x, below + 19, 0.5);
}

static void draw_x_axis(cairo_t *cr, const struct plot *p, const struct axes *a)
{
    char text[32];
    draw_font(cr, p->xs != NULL || p->n <= 9 ? 12 : 10, false);
    cairo_set_line_width(cr, 1);
    if (p->xs != NULL && a->x_high > a->x_low) {
        double step = draw_tick_step(a->x_high - a->x_low, 10);
        step = p->whole ? fmax(step, 1) : step;
        for (double x = ceil(a->x_low / step - 1e-9) * step; x <= a->x_high + step * 1e-6;
             x += step) {
            draw_format_tick(text, sizeof text, x, step);
            draw_x_tick(cr, p, x_of(p, a, x), text);
        }
    } else {
        for (int i = 0; i < p->n; i++) {
            snprintf(text, sizeof text, "%.6g", point_x(p, i));
            draw_x_tick(cr, p, x_of(p, a, point_x(p, i)), p->names != NULL ? p->names[i] : text);
        }
    }
    draw_font(cr, 12, false);
    draw_ink(cr, draw_faint);
    draw_text(cr, p->x_label, p->x + p->width / 2, p->y + p->height + 42, 0.5);
}

static void draw_mark(cairo_t *cr, const struct plot *p, const struct axes *a)
{
    const double dashes[] = {4, 4};
    if (isnan(p->mark))
        return;
    double x = floor(x_of(p, a, p->mark)) + 0.5;
    draw_ink(cr, mark_ink);
    cairo_set_line_width(cr, 1);
    cairo_set_dash(cr, dashes, 2, 0);
    draw_line(cr, x, p->y, x, p->y + p->height);
    cairo_set_dash(cr, NULL, 0, 0);
}

static void draw_bars(cairo_t *cr, const struct plot *p, const struct axes *a)
{
    const double *ink = line_inks[0];
    cairo_set_line_width(cr, 7);
    cairo_set_source_rgba(cr, ink[0], ink[1], ink[2], 0.22);
    for (int i = 0; p->lows != NULL && i < p->n; i++) {
        double x = x_of(p, a, point_x(p, i));
        if (!isnan(ys_of(p, 0)[i]))
            draw_line(cr, x, y_of(p, a, p->lows[i]), x, y_of(p, a, p->highs[i]));
    }
}

/* Points are told apart from the line only where there is room for them. */
static void draw_points(cairo_t *cr, const struct plot *p, const struct axes *a, int series)
{
    const double *ys = ys_of(p, series);
    int drawn = 0;
    draw_ink(cr, line_inks[series]);
    cairo_set_line_width(cr, p->n <= 200 ? 2 : 1.2);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    for (int i = 0; i < p->n; i++) {
        if (isnan(ys[i]))
            continue;
        double x = x_of(p, a, point_x(p, i)), y = y_of(p, a, ys[i]);
        if (drawn++ == 0)
            cairo_move_to(cr, x, y);
        else
            cairo_line_to(cr, x, y);
    }
    cairo_stroke(cr);
    for (int i = 0; i < p->n && drawn * 12 <= p->width; i++) {
        if (isnan(ys[i]))
            continue;
        cairo_arc(cr, x_of(p, a, point_x(p, i)), y_of(p, a, ys[i]), 3.5, 0, 2 * M_PI);
        cairo_fill(cr);
    }
}

/* In the title's line, at its right end. */
static void draw_legend(cairo_t *cr, const struct plot *p)
{
    double right = p->x + p->width, y = p->y - 11;
    draw_font(cr, 12, false);
    for (int k = p->n_series - 1; k >= 0; k--) {
        cairo_text_extents_t e;
        cairo_text_extents(cr, p->series[k].name, &e);
        draw_ink(cr, draw_dark);
        draw_text(cr, p->series[k].name, right, y, 1);
        right -= e.x_advance + 6;
        draw_ink(cr, line_inks[k]);
        cairo_set_line_width(cr, 3);
        draw_line(cr, right - 18, y - 4, right, y - 4);
        right -= 18 + 16;
    }
}

void plot_draw(cairo_t *cr, const struct plot *p)
{
    struct axes a = axes_of(p);
    draw_ink(cr, draw_dark);
    draw_font(cr, 14, true);
    draw_text(cr, p->title, p->x, p->y - 11, 0);
    draw_y_axis(cr, p, &a);
    draw_x_axis(cr, p, &a);
    draw_mark(cr, p, &a);
    draw_bars(cr, p, &a);
    for (int k = 0; k < series_of(p); k++)
        draw_points(cr, p, &a, k);
    if (p->series != NULL)
        draw_legend(cr, p);
    draw_frame(cr, p->x, p->y, p->width, p->height);
}

cairo_t *plot_begin_picture(int width, int height, const char *title, const char *subtitle,
                            cairo_surface_t **ret)
{
    *ret = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    cairo_t *cr = cairo_create(*ret);
    int room = width - 2 * PLOT_MARGIN;
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    draw_ink(cr, draw_dark);
    draw_fitted(cr, title, PLOT_MARGIN, PLOT_MARGIN + 20, room, 20, true);
    draw_ink(cr, draw_faint);
    draw_fitted(cr, subtitle, PLOT_MARGIN, PLOT_MARGIN + 42, room, 13, false);
    return cr;
}

int plot_end_picture(cairo_t *cr, cairo_surface_t *surface, const char *path, struct error *error)
{
    cairo_destroy(cr);
    cairo_surface_flush(surface);
    int r = draw_write_png(surface, path, error);
    cairo_surface_destroy(surface);
    return r;
}
