/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_plot.h"

#include <math.h>
#include <stdio.h>

#include "daemon/draw.h"

static const double line_ink[3] = {0.16, 0.32, 0.60}, grid_ink[3] = {0.88, 0.89, 0.91},
                    mark_ink[3] = {0.80, 0.33, 0.20};

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

static void spread(const struct plot *p, double *ret_low, double *ret_high)
{
    *ret_low = 0;
    *ret_high = 0;
    for (int i = 0; i < p->n; i++) {
        *ret_low = fmin(*ret_low, p->lows != NULL ? p->lows[i] : p->ys[i]);
        *ret_high = fmax(*ret_high, p->highs != NULL ? p->highs[i] : p->ys[i]);
    }
}

/* Zero is always on the axis, and the ends are whole steps. */
static struct axes axes_of(const struct plot *p)
{
    struct axes a = {.y_low = p->low, .y_high = p->high};
    a.x_low = p->xs != NULL ? fmin(p->xs[0], isnan(p->mark) ? p->xs[0] : p->mark) : -0.5;
    a.x_high = p->xs != NULL ? fmax(p->xs[p->n - 1], isnan(p->mark) ? 0 : p->mark) : p->n - 0.5;
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
        for (double x = ceil(a->x_low / step - 1e-9) * step; x <= a->x_high + step * 1e-6;
             x += step) {
            draw_format_tick(text, sizeof text, x, step);
            draw_x_tick(cr, p, x_of(p, a, x), text);
        }
    } else {
        for (int i = 0; i < p->n; i++) {
            snprintf(text, sizeof text, "%.3g", point_x(p, i));
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

static void draw_points(cairo_t *cr, const struct plot *p, const struct axes *a)
{
    draw_ink(cr, line_ink);
    for (int i = 0; p->lows != NULL && i < p->n; i++) {
        double x = x_of(p, a, point_x(p, i));
        if (isnan(p->ys[i]))
            continue;
        cairo_set_line_width(cr, 7);
        cairo_set_source_rgba(cr, line_ink[0], line_ink[1], line_ink[2], 0.22);
        draw_line(cr, x, y_of(p, a, p->lows[i]), x, y_of(p, a, p->highs[i]));
    }
    draw_ink(cr, line_ink);
    cairo_set_line_width(cr, 2);
    for (int i = 0, drawn = 0; i < p->n; i++) {
        if (isnan(p->ys[i]))
            continue;
        double x = x_of(p, a, point_x(p, i)), y = y_of(p, a, p->ys[i]);
        if (drawn++ == 0)
            cairo_move_to(cr, x, y);
        else
            cairo_line_to(cr, x, y);
    }
    cairo_stroke(cr);
    for (int i = 0; i < p->n; i++) {
        if (isnan(p->ys[i]))
            continue;
        cairo_arc(cr, x_of(p, a, point_x(p, i)), y_of(p, a, p->ys[i]), 3.5, 0, 2 * M_PI);
        cairo_fill(cr);
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
    draw_points(cr, p, &a);
    draw_frame(cr, p->x, p->y, p->width, p->height);
}
