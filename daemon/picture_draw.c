/* SPDX-License-Identifier: Apache-2.0
 * The drawing: three panels, each with axes in seconds and hertz and a colour bar. */
#include "daemon/picture_draw.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/colormap.h"
#include "base/draw.h"

/* pixels */
enum {
    MARGIN = 24,
    TITLE = 78,      /* above the panels */
    HEAD = 26,       /* a panel's own title */
    AXIS_LEFT = 62,  /* frequencies and their label */
    AXIS_BELOW = 52, /* seconds and their label */
    PLOT_HEIGHT = 380,
    BAR_GAP = 12,
    BAR_WIDTH = 13,
    BAR_TEXT = 50,
    PLOT_MIN = 440,
    PLOT_MAX = 1240,
    PLOT_PER_S = 40, /* wider than PLOT_MIN from 11 s on */
};

enum content { SPECTROGRAM, MAP, MASK, KEPT };

struct panel {
    enum content content;
    const char *title, *bar_label;
    enum colormap colors;
    double low, high; /* values at the ends of the colour bar */
    double x, y, width;
};

/* What an interpreter's map is of, and its values. */
static const struct map_name {
    const char *title, *unit;
} map_names[] = {
    [INTERPRETER_MODULATION] = {"modulation map, over it", "L2 norm"},
    [INTERPRETER_ATTENTION] = {"attention map, over it", "attention"},
    [INTERPRETER_PIQ] = {"PIQ's mask, over it", "kept"},
};

/* Values to colours */

static float norm(double value, double low, double high)
{
    return high > low ? (float)((value - low) / (high - low)) : 0;
}

/* Where a value lies on its panel's colour bar, 0 ... 1. Spectrograms go by the square root, or all
 * but the loudest would be black. */
static float bar_position(const struct panel *p, double value)
{
    float v = norm(value, p->low, p->high);
    return p->content == MAP || p->content == MASK ? v : sqrtf(v > 0 ? v : 0);
}

/* The map lies over the spectrogram in grey (grey: 0 ... 1), so that one sees what it points at. */
static void map_color(const struct panel *p, float grey, float map, float ret[3])
{
    colormap_rgb(p->colors, bar_position(p, (double)map), ret);
    for (int c = 0; c < 3; c++)
        ret[c] = 0.62f * ret[c] + 0.38f * (0.08f + 0.92f * grey);
}

static void mask_color(float mask, float ret[3])
{
    ret[0] = ret[1] = ret[2] = 0.08f + 0.92f * mask;
}

static void cell_color(const struct panel *p, const struct picture_grid *g, size_t i,
                       double spec_high, float ret[3])
{
    if (p->content == MAP) {
        float spec = norm((double)g->logspec[i], 0, spec_high);
        map_color(p, sqrtf(spec > 0 ? spec : 0), g->map[i], ret);
    } else if (p->content == MASK) {
        mask_color(g->mask[i], ret);
    } else {
        float keep = p->content == KEPT ? g->mask[i] : 1;
        colormap_rgb(p->colors, bar_position(p, (double)(g->logspec[i] * keep)), ret);
    }
}

/* [cols][bins] becomes an image whose top row is the highest bin. */
static cairo_surface_t *panel_image(const struct panel *p, const struct picture_grid *g,
                                    double spec_high)
{
    cairo_surface_t *image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, g->cols, g->bins);
    if (cairo_surface_status(image) != CAIRO_STATUS_SUCCESS)
        return image;
    cairo_surface_flush(image);
    unsigned char *data = cairo_image_surface_get_data(image);
    size_t stride = (size_t)cairo_image_surface_get_stride(image);
    for (int f = 0; f < g->bins; f++) {
        uint32_t *row = (uint32_t *)(void *)(data + (size_t)(g->bins - 1 - f) * stride);
        for (int t = 0; t < g->cols; t++) {
            float rgb[3];
            cell_color(p, g, (size_t)t * (size_t)g->bins + (size_t)f, spec_high, rgb);
            row[t] = colormap_pixel(rgb);
        }
    }
    cairo_surface_mark_dirty(image);
    return image;
}

/* Outlines */

static bool kept(const struct picture_grid *g, int t, int f)
{
    return g->mask[(size_t)t * (size_t)g->bins + (size_t)f] >= 0.5f;
}

/* The border of what the mask keeps, as a path of cell edges in units of cells, frequency up. */
static void outline_path(cairo_t *cr, const struct picture_grid *g)
{
    for (int t = 1; t < g->cols; t++)
        for (int f = 0, begin = -1; f <= g->bins; f++) {
            bool edge = f < g->bins && kept(g, t, f) != kept(g, t - 1, f);
            if (edge && begin < 0)
                begin = f;
            if (edge || begin < 0)
                continue;
            cairo_move_to(cr, t, begin);
            cairo_line_to(cr, t, f);
            begin = -1;
        }
    for (int f = 1; f < g->bins; f++)
        for (int t = 0, begin = -1; t <= g->cols; t++) {
            bool edge = t < g->cols && kept(g, t, f) != kept(g, t, f - 1);
            if (edge && begin < 0)
                begin = t;
            if (edge || begin < 0)
                continue;
            cairo_move_to(cr, begin, f);
            cairo_line_to(cr, t, f);
            begin = -1;
        }
}

static void draw_outline(cairo_t *cr, const struct picture_grid *g, const struct panel *p)
{
    cairo_save(cr);
    cairo_rectangle(cr, p->x, p->y, p->width, PLOT_HEIGHT);
    cairo_clip(cr);
    cairo_save(cr);
    cairo_translate(cr, p->x, p->y + PLOT_HEIGHT);
    cairo_scale(cr, p->width / g->cols, -(double)PLOT_HEIGHT / g->bins);
    outline_path(cr, g);
    cairo_restore(cr);
    cairo_set_line_width(cr, 1.1);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_SQUARE);
    cairo_set_source_rgba(cr, 1, 1, 1, 0.85);
    cairo_stroke(cr);
    cairo_restore(cr);
}

/* Axes */

static void draw_time_axis(cairo_t *cr, const struct panel *p, double seconds)
{
    char text[32];
    double step = draw_tick_step(seconds, p->width > 800 ? 16 : 8), below = p->y + PLOT_HEIGHT;
    draw_font(cr, 12, false);
    cairo_set_line_width(cr, 1);
    for (int i = 0; i * step <= seconds * (1 + 1e-9); i++) {
        double x = floor(p->x + i * step / seconds * p->width) + 0.5;
        draw_ink(cr, draw_faint);
        cairo_move_to(cr, x, below + 1);
        cairo_line_to(cr, x, below + 6);
        cairo_stroke(cr);
        draw_ink(cr, draw_dark);
        draw_format_tick(text, sizeof text, i * step, step);
        draw_text(cr, text, x, below + 20, 0.5);
    }
    draw_ink(cr, draw_faint);
    draw_text(cr, "time (s)", p->x + p->width / 2, below + 40, 0.5);
}

static void draw_frequency_axis(cairo_t *cr, const struct panel *p, double nyquist_hz)
{
    char text[32];
    double step = draw_tick_step(nyquist_hz, 8);
    draw_font(cr, 12, false);
    cairo_set_line_width(cr, 1);
    for (int i = 0; i * step <= nyquist_hz * (1 + 1e-9); i++) {
        double y = floor(p->y + PLOT_HEIGHT * (1 - i * step / nyquist_hz)) + 0.5;
        draw_ink(cr, draw_faint);
        cairo_move_to(cr, p->x - 6, y);
        cairo_line_to(cr, p->x - 1, y);
        cairo_stroke(cr);
        draw_ink(cr, draw_dark);
        draw_format_tick(text, sizeof text, i * step, step);
        draw_text(cr, text, p->x - 9, y + 4, 1);
    }
    cairo_save(cr);
    draw_ink(cr, draw_faint);
    cairo_translate(cr, p->x - AXIS_LEFT + 14, p->y + PLOT_HEIGHT / 2.0);
    cairo_rotate(cr, -M_PI / 2);
    draw_text(cr, "frequency (Hz)", 0, 0, 0.5);
    cairo_restore(cr);
}

static cairo_surface_t *bar_image(const struct panel *p)
{
    cairo_surface_t *image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 256);
    if (cairo_surface_status(image) != CAIRO_STATUS_SUCCESS)
        return image;
    cairo_surface_flush(image);
    unsigned char *data = cairo_image_surface_get_data(image);
    size_t stride = (size_t)cairo_image_surface_get_stride(image);
    for (size_t i = 0; i < 256; i++) {
        float rgb[3], v = (float)(255 - i) / 255;
        if (p->content == MAP) /* over what is neither loud nor silent */
            map_color(p, 0.5f, (float)(p->low + (p->high - p->low) * (double)v), rgb);
        else if (p->content == MASK)
            mask_color(v, rgb);
        else
            colormap_rgb(p->colors, v, rgb);
        *(uint32_t *)(void *)(data + i * stride) = colormap_pixel(rgb);
    }
    cairo_surface_mark_dirty(image);
    return image;
}

static void draw_bar(cairo_t *cr, const struct panel *p)
{
    char text[32];
    double x = p->x + p->width + BAR_GAP, span = p->high - p->low;
    cairo_surface_t *image = bar_image(p);
    draw_image(cr, image, x, p->y, BAR_WIDTH, PLOT_HEIGHT);
    cairo_surface_destroy(image);
    draw_frame(cr, x, p->y, BAR_WIDTH, PLOT_HEIGHT);
    draw_font(cr, 11, false);
    double step = span > 0 ? draw_tick_step(span, 6) : 1;
    for (double v = ceil(p->low / step - 1e-9) * step; v <= p->high + span * 1e-9; v += step) {
        double y = floor(p->y + PLOT_HEIGHT * (1 - (double)bar_position(p, v))) + 0.5;
        draw_ink(cr, draw_faint);
        cairo_move_to(cr, x + BAR_WIDTH + 1, y);
        cairo_line_to(cr, x + BAR_WIDTH + 4, y);
        cairo_stroke(cr);
        draw_ink(cr, draw_dark);
        draw_format_tick(text, sizeof text, v, step);
        draw_text(cr, text, x + BAR_WIDTH + 7, y + 4, 0);
        if (span <= 0)
            break;
    }
    draw_ink(cr, draw_faint);
    draw_text(cr, p->bar_label, x + BAR_WIDTH, p->y - 8, 1);
}

/* The whole */

static void draw_panel(cairo_t *cr, const struct panel *p, const struct picture_grid *g,
                       double spec_high)
{
    cairo_surface_t *image = panel_image(p, g, spec_high);
    draw_image(cr, image, p->x, p->y, p->width, PLOT_HEIGHT);
    cairo_surface_destroy(image);
    if (p->content == MAP || p->content == KEPT)
        draw_outline(cr, g, p);
    draw_frame(cr, p->x, p->y, p->width, PLOT_HEIGHT);
    draw_ink(cr, draw_dark);
    draw_font(cr, 14, true);
    draw_text(cr, p->title, p->x, p->y - 9, 0);
    draw_time_axis(cr, p, g->seconds);
    draw_frequency_axis(cr, p, g->nyquist_hz);
    draw_bar(cr, p);
}

static void range(const float *x, const struct picture_grid *g, double *ret_low, double *ret_high)
{
    size_t n = (size_t)g->cols * (size_t)g->bins;
    *ret_low = *ret_high = (double)x[0];
    for (size_t i = 1; i < n; i++) {
        *ret_low = fmin(*ret_low, (double)x[i]);
        *ret_high = fmax(*ret_high, (double)x[i]);
    }
}

cairo_surface_t *picture_draw(const struct picture_grid *g, const struct picture_text *text)
{
    double spec_low, spec_high, map_low, map_high;
    range(g->logspec, g, &spec_low, &spec_high);
    range(g->map, g, &map_low, &map_high);
    double width = fmin(fmax(PLOT_PER_S * g->seconds, PLOT_MIN), PLOT_MAX);
    double step = AXIS_LEFT + width + BAR_GAP + BAR_WIDTH + BAR_TEXT;
    const struct map_name *map = &map_names[g->interpreter];
    struct panel panels[] = {
        {SPECTROGRAM, "log-spectrogram", "log(1+|X|)", COLORMAP_MAGMA, 0, spec_high, 0, 0, 0},
        {MAP, map->title, map->unit, COLORMAP_VIRIDIS, map_low, map_high, 0, 0, 0},
        {MASK, "mask", "kept", COLORMAP_MAGMA, 0, 1, 0, 0, 0},
        {KEPT, "what the mask keeps", "log(1+|X|)", COLORMAP_MAGMA, 0, spec_high, 0, 0, 0},
    };
    int n = g->show_mask ? 4 : 3;
    if (!g->show_mask)
        panels[2] = panels[3];
    int total = (int)ceil(2 * MARGIN + n * step);
    int height = MARGIN + TITLE + HEAD + PLOT_HEIGHT + AXIS_BELOW;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, total, height);
    cairo_t *cr = cairo_create(surface);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    draw_ink(cr, draw_dark);
    draw_fitted(cr, text->title, MARGIN, MARGIN + 22, total - 2 * MARGIN, 22, true);
    draw_ink(cr, draw_faint);
    draw_fitted(cr, text->subtitle, MARGIN, MARGIN + 47, total - 2 * MARGIN, 14, false);
    for (int i = 0; i < n; i++) {
        panels[i].x = floor(MARGIN + i * step + AXIS_LEFT);
        panels[i].y = MARGIN + TITLE + HEAD;
        panels[i].width = floor(width);
        draw_panel(cr, &panels[i], g, spec_high);
    }
    cairo_destroy(cr);
    cairo_surface_flush(surface);
    return surface;
}
