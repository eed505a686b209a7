/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_pictures.h"

#include <cairo.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/colormap.h"
#include "base/draw.h"
#include "daemon/eval_plot.h"

/* pixels */
enum { MARGIN = PLOT_MARGIN, TITLE = PLOT_TITLE, PANEL = 460, PANEL_HEIGHT = 320 };

static int end_picture(cairo_t *cr, cairo_surface_t *surface, const char *dir, const char *name,
                       struct error *error)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n >= 0 && (size_t)n < sizeof path)
        return plot_end_picture(cr, surface, path, error);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    return error_set(error, ENAMETOOLONG, "%s: the path is too long", dir);
}

/* Who is taken for whom. Rows: the classes that occur; columns: those, and behind them the others
 * that were heard. */

struct matrix {
    const struct eval_report *report;
    const struct eval_figures *figures;
    int *classes; /* [cols] */
    int rows, cols;
    double cell, font, left, top; /* pixels */
};

static int choose_classes(struct matrix *m)
{
    const struct eval_figures *f = m->figures;
    size_t n = (size_t)f->n_classes;
    m->classes = calloc(n + 1, sizeof *m->classes);
    if (m->classes == NULL)
        return -ENOMEM;
    for (int c = 0; c < f->n_classes; c++)
        if (f->class_clips[c] > 0)
            m->classes[m->rows++] = c;
    m->cols = m->rows;
    for (int p = 0; p < f->n_classes; p++) {
        bool heard = false;
        for (size_t l = 0; l < n; l++)
            heard = heard || f->confusion[l * n + (size_t)p] > 0;
        if (heard && f->class_clips[p] == 0)
            m->classes[m->cols++] = p;
    }
    return 0;
}

static void label_text(const struct matrix *m, int c, char *ret, size_t size)
{
    snprintf(ret, size, "%.40s", m->report->info->labels[m->classes[c]]);
    for (char *at = ret; *at != '\0'; at++)
        *at = *at == '_' ? ' ' : *at;
}

static double widest_label(const struct matrix *m, cairo_t *cr)
{
    double widest = 40;
    draw_font(cr, m->font, false);
    for (int c = 0; c < m->cols; c++) {
        char text[64];
        cairo_text_extents_t e;
        label_text(m, c, text, sizeof text);
        cairo_text_extents(cr, text, &e);
        widest = fmax(widest, e.x_advance);
    }
    return ceil(widest);
}

/* White where there is none, darker the more of a row. */
static void cell_color(double share, float ret[3])
{
    colormap_rgb(COLORMAP_MAGMA, (float)(0.96 - 0.86 * share), ret);
    for (int k = 0; k < 3 && !(share > 0); k++)
        ret[k] = 0.975f;
}

static void draw_cell(const struct matrix *m, cairo_t *cr, int row, int col)
{
    const struct eval_figures *f = m->figures;
    int label = m->classes[row], predicted = m->classes[col];
    int clips = f->confusion[(size_t)label * (size_t)f->n_classes + (size_t)predicted];
    double share = (double)clips / f->class_clips[label];
    double x = m->left + col * m->cell, y = m->top + row * m->cell;
    float rgb[3];
    cell_color(share, rgb);
    cairo_set_source_rgb(cr, (double)rgb[0], (double)rgb[1], (double)rgb[2]);
    cairo_rectangle(cr, x, y, m->cell - 1, m->cell - 1);
    cairo_fill(cr);
    if (clips == 0 || m->cell < 14)
        return;
    char text[16];
    snprintf(text, sizeof text, "%d", clips);
    cairo_set_source_rgb(cr, share > 0.45 ? 1 : 0.13, share > 0.45 ? 1 : 0.13,
                         share > 0.45 ? 1 : 0.13);
    draw_font(cr, fmin(m->font, clips > 99 ? m->cell * 0.42 : m->cell * 0.6), false);
    draw_text(cr, text, x + (m->cell - 1) / 2, y + m->cell / 2 + m->font * 0.33, 0.5);
}

static void draw_labels(const struct matrix *m, cairo_t *cr)
{
    const struct eval_figures *f = m->figures;
    char text[64];
    double below = m->top + m->rows * m->cell + 6;
    draw_font(cr, m->font, false);
    for (int c = 0; c < m->rows; c++) {
        double y = m->top + (c + 0.5) * m->cell + m->font * 0.34;
        label_text(m, c, text, sizeof text);
        draw_ink(cr, draw_dark);
        draw_text(cr, text, m->left - 7, y, 1);
        snprintf(text, sizeof text, "%.0f %%",
                 100.0 * f->class_correct[m->classes[c]] / f->class_clips[m->classes[c]]);
        draw_ink(cr, draw_faint);
        draw_text(cr, text, m->left + m->cols * m->cell + 8, y, 0);
    }
    for (int c = 0; c < m->cols; c++) {
        label_text(m, c, text, sizeof text);
        cairo_save(cr);
        cairo_translate(cr, m->left + (c + 0.5) * m->cell + m->font * 0.34, below);
        cairo_rotate(cr, -M_PI / 2);
        draw_ink(cr, c < m->rows ? draw_dark : draw_faint);
        draw_text(cr, text, 0, 0, 1);
        cairo_restore(cr);
    }
}

static int write_confusion(const struct eval_report *r, const char *dir, struct error *error)
{
    struct matrix m = {.report = r, .figures = r->figures};
    char subject[512], title[600], subtitle[256];
    if (choose_classes(&m) < 0)
        return error_set(error, ENOMEM, "confusion.png: out of memory");
    m.cell = m.rows <= 24 ? 26 : m.rows <= 60 ? 18 : m.rows <= 120 ? 15 : 8;
    m.font = m.rows <= 24 ? 12.5 : m.rows <= 120 ? 11 : 7;
    cairo_surface_t *none = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 1), *surface;
    cairo_t *cr = cairo_create(none);
    double label = widest_label(&m, cr);
    cairo_destroy(cr);
    cairo_surface_destroy(none);
    m.left = MARGIN + label + 28;
    m.top = MARGIN + TITLE;
    int width = (int)ceil(m.left + m.cols * m.cell + 56 + MARGIN);
    int height = (int)ceil(m.top + m.rows * m.cell + label + 34 + MARGIN);
    eval_print_subject(r, subject, sizeof subject);
    snprintf(title, sizeof title, "What is heard as what: %s", subject);
    snprintf(subtitle, sizeof subtitle,
             "%.1f %% of %d clips right; numbers are clips, darker is more of a row%s",
             100 * r->figures->accuracy, r->figures->counted,
             m.cols > m.rows ? "; columns with grey names occur in no clip" : "");
    cr = plot_begin_picture(width > 640 ? width : 640, height, title, subtitle, &surface);
    for (int row = 0; row < m.rows; row++)
        for (int col = 0; col < m.cols; col++)
            draw_cell(&m, cr, row, col);
    draw_labels(&m, cr);
    draw_ink(cr, draw_faint);
    draw_font(cr, 12, false);
    draw_text(cr, "heard as", m.left + m.cols * m.cell / 2, height - MARGIN, 0.5);
    cairo_save(cr);
    cairo_translate(cr, MARGIN + 8, m.top + m.rows * m.cell / 2);
    cairo_rotate(cr, -M_PI / 2);
    draw_text(cr, "what it is", 0, 0, 0.5);
    cairo_restore(cr);
    free(m.classes);
    return end_picture(cr, surface, dir, "confusion.png", error);
}

/* The figures over the quantile */

struct point {
    double quantile, fid_i, fa;
};

static int by_quantile(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    return (x->quantile > y->quantile) - (x->quantile < y->quantile);
}

static void draw_sweep(cairo_t *cr, const struct eval_report *r, const struct point *points,
                       double *columns)
{
    int n = r->n_sweep;
    for (int i = 0; i < n; i++) {
        columns[i] = points[i].quantile;
        columns[n + i] = points[i].fid_i;
        columns[2 * n + i] = points[i].fa;
    }
    struct plot plot = {.x = MARGIN + PLOT_LEFT,
                        .y = MARGIN + TITLE + PLOT_ABOVE,
                        .width = PANEL,
                        .height = PANEL_HEIGHT,
                        .title = "FID-I: the part kept gets the same label",
                        .x_label = "quantile from which the mask keeps the map",
                        .y_label = "FID-I",
                        .n = n,
                        .xs = columns,
                        .ys = columns + n,
                        .mark = r->figures->explanations[0].quantile};
    plot_draw(cr, &plot);
    plot.x += PANEL + PLOT_LEFT + PLOT_RIGHT;
    plot.title = "FA: probability lost without the part kept";
    plot.y_label = "FA";
    plot.ys = columns + 2 * (size_t)n;
    plot_draw(cr, &plot);
}

static int write_sweep(const struct eval_report *r, const char *dir, struct error *error)
{
    size_t n = (size_t)r->n_sweep;
    struct point *points = calloc(n, sizeof *points);
    double *columns = calloc(3 * n, sizeof *columns);
    char subject[512], title[600], subtitle[256];
    if (points == NULL || columns == NULL) {
        free(points);
        free(columns);
        return error_set(error, ENOMEM, "sweep.png: out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        const struct eval_explanation *e = &r->figures->explanations[r->sweep[i]];
        points[i] = (struct point){e->quantile, e->fid_i, e->fa};
    }
    qsort(points, n, sizeof *points, by_quantile);
    eval_print_subject(r, subject, sizeof subject);
    snprintf(title, sizeof title, "How much the mask must keep: %s", subject);
    snprintf(subtitle, sizeof subtitle,
             "means over %d clips, %s map; the dashed line is the quantile in use (%g)",
             r->figures->heard, interpreter_name(r->info->interpreter),
             r->figures->explanations[0].quantile);
    cairo_surface_t *surface;
    cairo_t *cr = plot_begin_picture(2 * MARGIN + 2 * (PLOT_LEFT + PANEL + PLOT_RIGHT),
                                     2 * MARGIN + TITLE + PLOT_ABOVE + PANEL_HEIGHT + PLOT_BELOW,
                                     title, subtitle, &surface);
    draw_sweep(cr, r, points, columns);
    free(points);
    free(columns);
    return end_picture(cr, surface, dir, "sweep.png", error);
}

/* The sanity check */

static double number(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static int write_sanity(const struct eval_report *r, const char *dir, struct error *error)
{
    const json_t *stages = json_object_get(r->sanity, "stages");
    size_t n = json_array_size(stages);
    const char **names = calloc(n, sizeof *names);
    double *columns = calloc(3 * n, sizeof *columns);
    char subject[512], title[600], subtitle[256];
    if (names == NULL || columns == NULL) {
        free(names);
        free(columns);
        return error_set(error, ENOMEM, "sanity.png: out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *stage = json_array_get(stages, i);
        names[i] = json_string_value(json_object_get(stage, "stage"));
        columns[i] = number(stage, "rank_correlation");
        columns[n + i] = number(stage, "least");
        columns[2 * n + i] = number(stage, "most");
    }
    int width = n > 9 ? (int)n * 74 : 660;
    struct plot plot = {.x = MARGIN + PLOT_LEFT,
                        .y = MARGIN + TITLE + PLOT_ABOVE,
                        .width = width,
                        .height = PANEL_HEIGHT,
                        .title = "Rank correlation with the trained network's map",
                        .x_label = "weights randomised from the head down, up to and with",
                        .y_label = "Spearman's coefficient",
                        .n = (int)n,
                        .names = names,
                        .ys = columns,
                        .lows = columns + n,
                        .highs = columns + 2 * n,
                        .low = -1,
                        .high = 1,
                        .mark = NAN};
    eval_print_subject(r, subject, sizeof subject);
    snprintf(title, sizeof title, "Do the maps know what was learnt? %s", subject);
    snprintf(subtitle, sizeof subtitle,
             "%s map, mean over %lld clips, bars from the least to the most",
             interpreter_name(r->info->interpreter),
             json_integer_value(json_object_get(r->sanity, "clips")));
    cairo_surface_t *surface;
    cairo_t *cr = plot_begin_picture(2 * MARGIN + PLOT_LEFT + width + PLOT_RIGHT,
                                     2 * MARGIN + TITLE + PLOT_ABOVE + PANEL_HEIGHT + PLOT_BELOW,
                                     title, subtitle, &surface);
    plot_draw(cr, &plot);
    free(names);
    free(columns);
    return end_picture(cr, surface, dir, "sanity.png", error);
}

int eval_pictures_write(const struct eval_report *report, const char *dir, struct error *error)
{
    int r = write_confusion(report, dir, error);
    if (r == 0 && report->n_sweep > 0)
        r = write_sweep(report, dir, error);
    if (r == 0 && report->sanity != NULL)
        r = write_sanity(report, dir, error);
    return r;
}
