/* SPDX-License-Identifier: Apache-2.0
 * Columns are time, rows are frequency, low below. Unknown cells (level 0) are grey: nothing is
 * made up where nothing was heard or kept. */
#include "viewers/record/picture.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/colormap.h"
#include "base/draw.h"
#include "viewers/record/strip.h"

enum {
    MARGIN = 20,
    TITLE = 62,
    HEAD = 24,
    AXIS_LEFT = 58,
    AXIS_BELOW = 46,
    PLOT_WIDTH = 460,
    PLOT_HEIGHT = 280,
    BAR = 76, /* gap, colour bar and its numbers */
    BAR_WIDTH = 12,
    RANGE_DB = 70, /* what is further below the loudest is black */
    RATE_HZ = 16000,
};

/* The colours of levels: what is RANGE_DB below the loudest to the loudest. */
struct shades {
    int top; /* the loudest level */
    uint32_t colors[256];
};

static const uint32_t unknown = 0xffc8c8cc;

static void make_shades(struct shades *ret, const struct snippet_picture *p)
{
    ret->top = 2;
    for (size_t i = 0; i < p->columns * p->bins; i++)
        ret->top = p->spec[i] > ret->top ? p->spec[i] : ret->top;
    for (int level = 0; level < 256; level++) {
        float rgb[3];
        colormap_rgb(COLORMAP_MAGMA, 1 - (float)(ret->top - level) / (2 * RANGE_DB), rgb);
        ret->colors[level] = colormap_pixel(rgb) | 0xff000000;
    }
    ret->colors[0] = unknown;
}

static bool is_kept(const struct snippet_picture *p, size_t column, size_t bin)
{
    return p->mask[column * p->mask_bytes + bin / 8] >> (bin % 8) & 1;
}

/* The span of cells of a pixel: at least one. */
static void cells_of(size_t pixel, size_t pixels, size_t cells, size_t *ret_from, size_t *ret_to)
{
    *ret_from = pixel * cells / pixels;
    *ret_to = (pixel + 1) * cells / pixels;
    *ret_to = *ret_to > *ret_from ? *ret_to : *ret_from + 1;
}

/* The loudest of a pixel's cells, so that short and thin sounds stay visible. */
static uint8_t loudest(const struct snippet_picture *p, size_t c0, size_t c1, size_t b0, size_t b1,
                       bool kept_only)
{
    uint8_t top = 0;
    for (size_t c = c0; c < c1; c++)
        for (size_t b = b0; b < b1; b++) {
            uint8_t level = p->spec[c * p->bins + b];
            if (kept_only && level > 1 && !is_kept(p, c, b))
                level = 1;
            top = level > top ? level : top;
        }
    return top;
}

static cairo_surface_t *plane(const struct snippet_picture *p, const struct shades *shades,
                              int width, int height, bool kept_only)
{
    cairo_surface_t *image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    if (cairo_surface_status(image) != CAIRO_STATUS_SUCCESS)
        return image;
    cairo_surface_flush(image);
    unsigned char *data = cairo_image_surface_get_data(image);
    size_t stride = (size_t)cairo_image_surface_get_stride(image), c0, c1, b0, b1;
    for (int y = 0; y < height; y++) {
        uint32_t *row = (uint32_t *)(void *)(data + (size_t)y * stride);
        cells_of((size_t)(height - 1 - y), (size_t)height, p->bins, &b0, &b1);
        for (int x = 0; x < width; x++) {
            cells_of((size_t)x, (size_t)width, p->columns, &c0, &c1);
            row[x] = shades->colors[loudest(p, c0, c1, b0, b1, kept_only)];
        }
    }
    cairo_surface_mark_dirty(image);
    return image;
}

/* The contour is drawn on pixels: a pixel is inside when the middle of its cells is. */
static bool inside(const struct snippet_picture *p, int x, int y)
{
    size_t c0, c1, b0, b1;
    if (x < 0 || y < 0 || x >= PLOT_WIDTH || y >= PLOT_HEIGHT)
        return false;
    cells_of((size_t)x, PLOT_WIDTH, p->columns, &c0, &c1);
    cells_of((size_t)(PLOT_HEIGHT - 1 - y), PLOT_HEIGHT, p->bins, &b0, &b1);
    return is_kept(p, (c0 + c1) / 2 < c1 ? (c0 + c1) / 2 : c0,
                   (b0 + b1) / 2 < b1 ? (b0 + b1) / 2 : b0);
}

/* Paints the pixels of the mask's border white. [PLOT_HEIGHT][PLOT_WIDTH] */
static void draw_contour(cairo_surface_t *image, const struct snippet_picture *p)
{
    bool *in = malloc((size_t)PLOT_WIDTH * PLOT_HEIGHT * sizeof *in);
    if (in == NULL || cairo_surface_status(image) != CAIRO_STATUS_SUCCESS) {
        free(in);
        return;
    }
    for (int y = 0; y < PLOT_HEIGHT; y++)
        for (int x = 0; x < PLOT_WIDTH; x++)
            in[y * PLOT_WIDTH + x] = inside(p, x, y);
    cairo_surface_flush(image);
    unsigned char *data = cairo_image_surface_get_data(image);
    size_t stride = (size_t)cairo_image_surface_get_stride(image);
    for (int y = 0; y + 1 < PLOT_HEIGHT; y++) {
        uint32_t *row = (uint32_t *)(void *)(data + (size_t)y * stride);
        for (int x = 0; x + 1 < PLOT_WIDTH; x++) {
            const bool *at = &in[y * PLOT_WIDTH + x];
            if (at[0] != at[1] || at[0] != at[PLOT_WIDTH])
                row[x] = 0xffffffff;
        }
    }
    cairo_surface_mark_dirty(image);
    free(in);
}

/* Axes */

struct panel {
    double x, y;
    const char *title;
};

static void tick(cairo_t *cr, double x0, double y0, double x1, double y1)
{
    draw_ink(cr, draw_faint);
    cairo_set_line_width(cr, 1);
    cairo_move_to(cr, x0, y0);
    cairo_line_to(cr, x1, y1);
    cairo_stroke(cr);
    draw_ink(cr, draw_dark);
}

static void draw_axes(cairo_t *cr, const struct panel *panel, double seconds)
{
    char text[32];
    double below = panel->y + PLOT_HEIGHT, step = draw_tick_step(seconds, 8);
    draw_font(cr, 12, false);
    for (int i = 0; i * step <= seconds * (1 + 1e-9); i++) {
        double x = floor(panel->x + i * step / seconds * PLOT_WIDTH) + 0.5;
        tick(cr, x, below + 1, x, below + 6);
        draw_format_tick(text, sizeof text, i * step, step);
        draw_text(cr, text, x, below + 19, 0.5);
    }
    for (int hz = 0; hz <= RATE_HZ / 2; hz += 1000) {
        double y = floor(below - PLOT_HEIGHT * hz / (RATE_HZ / 2.0)) + 0.5;
        tick(cr, panel->x - 6, y, panel->x - 1, y);
        snprintf(text, sizeof text, "%d", hz);
        if (hz % 2000 == 0)
            draw_text(cr, text, panel->x - 9, y + 4, 1);
    }
    draw_ink(cr, draw_faint);
    draw_text(cr, "time (s)", panel->x + PLOT_WIDTH / 2.0, below + 36, 0.5);
    cairo_save(cr);
    cairo_translate(cr, panel->x - AXIS_LEFT + 12, panel->y + PLOT_HEIGHT / 2.0);
    cairo_rotate(cr, -M_PI / 2);
    draw_text(cr, "frequency (Hz)", 0, 0, 0.5);
    cairo_restore(cr);
}

/* Decibels of the magnitude, as strip.h has them. */
static double db_of(int level)
{
    return (level - 255) / 2.0 + STRIP_TOP_DB;
}

static void draw_bar(cairo_t *cr, const struct panel *panel, const struct shades *shades)
{
    double x = panel->x + PLOT_WIDTH + 12, top = db_of(shades->top);
    cairo_surface_t *image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 2 * RANGE_DB);
    if (cairo_surface_status(image) == CAIRO_STATUS_SUCCESS) {
        unsigned char *data = cairo_image_surface_get_data(image);
        size_t stride = (size_t)cairo_image_surface_get_stride(image);
        for (int i = 0; i < 2 * RANGE_DB; i++) {
            int level = shades->top - i;
            *(uint32_t *)(void *)(data + (size_t)i * stride) =
                shades->colors[level > 1 ? level : 1];
        }
        cairo_surface_mark_dirty(image);
    }
    draw_image(cr, image, x, panel->y, BAR_WIDTH, PLOT_HEIGHT);
    cairo_surface_destroy(image);
    draw_frame(cr, x, panel->y, BAR_WIDTH, PLOT_HEIGHT);
    draw_font(cr, 11, false);
    for (double db = floor(top / 10) * 10; db >= top - RANGE_DB; db -= 10) {
        char text[32];
        double y = floor(panel->y + PLOT_HEIGHT * (top - db) / RANGE_DB) + 0.5;
        tick(cr, x + BAR_WIDTH + 1, y, x + BAR_WIDTH + 4, y);
        snprintf(text, sizeof text, "%.0f dB", db);
        draw_text(cr, text, x + BAR_WIDTH + 7, y + 4, 0);
    }
}

/* Where the event began and ended. */
static void draw_event(cairo_t *cr, const struct panel *panel, const struct snippet *s)
{
    const uint64_t marks[] = {s->onset, s->end};
    for (int i = 0; i < 2 && !s->continuous; i++) {
        if (marks[i] < s->first || marks[i] > s->first + s->count || (i == 1 && s->t_end_ns == 0))
            continue;
        double x = floor(panel->x + PLOT_WIDTH * (double)(marks[i] - s->first) / (double)s->count);
        cairo_set_source_rgba(cr, 0.2, 0.9, 0.9, 0.9);
        cairo_set_line_width(cr, 1);
        cairo_move_to(cr, x + 0.5, panel->y);
        cairo_line_to(cr, x + 0.5, panel->y + PLOT_HEIGHT);
        cairo_stroke(cr);
    }
}

static void write_titles(const struct snippet *s, char *title, size_t title_size, char *subtitle,
                         size_t subtitle_size)
{
    char clock[64] = "";
    time_t seconds = (time_t)(s->t_onset_ns / 1000000000);
    struct tm tm;
    if (localtime_r(&seconds, &tm) != NULL)
        strftime(clock, sizeof clock, "%Y-%m-%d %H:%M:%S %Z", &tm);
    if (s->continuous)
        snprintf(title, title_size, "%s", s->stream);
    else
        snprintf(title, title_size, "%s  %.0f %%", s->label, 100 * s->p_peak);
    snprintf(subtitle, subtitle_size, "%s, %s%s%s%s", s->stream, clock,
             s->lost > 0 ? ", with gaps" : "", s->cut ? ", goes on" : "",
             s->continuous ? ", continuous" : ", from line to line");
}

static void draw_panel(cairo_t *cr, const struct panel *panel, const struct snippet *s,
                       const struct shades *shades, bool kept_only)
{
    cairo_surface_t *image = plane(&s->picture, shades, PLOT_WIDTH, PLOT_HEIGHT, kept_only);
    if (!kept_only)
        draw_contour(image, &s->picture);
    draw_image(cr, image, panel->x, panel->y, PLOT_WIDTH, PLOT_HEIGHT);
    cairo_surface_destroy(image);
    draw_event(cr, panel, s);
    draw_frame(cr, panel->x, panel->y, PLOT_WIDTH, PLOT_HEIGHT);
    draw_ink(cr, draw_dark);
    draw_font(cr, 13, true);
    draw_text(cr, panel->title, panel->x, panel->y - 8, 0);
    draw_axes(cr, panel, (double)s->count / RATE_HZ);
    draw_bar(cr, panel, shades);
}

static cairo_status_t take_bytes(void *user, const unsigned char *data, unsigned length)
{
    return blob_write(user, data, length) == 0 ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_NO_MEMORY;
}

int picture_png(struct blob *ret, cairo_surface_t *surface, struct error *error)
{
    cairo_status_t status = cairo_surface_status(surface);
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_write_to_png_stream(surface, take_bytes, ret);
    if (status == CAIRO_STATUS_SUCCESS)
        return 0;
    return error_set(error, status == CAIRO_STATUS_NO_MEMORY ? ENOMEM : EIO,
                     "a picture cannot be drawn: %s", cairo_status_to_string(status));
}

int picture_encode(struct blob *ret, const struct snippet *s, struct error *error)
{
    char title[200], subtitle[300];
    struct shades shades;
    const double step = AXIS_LEFT + PLOT_WIDTH + BAR;
    const int width = (int)(2 * MARGIN + 2 * step);
    const int height = MARGIN + TITLE + HEAD + PLOT_HEIGHT + AXIS_BELOW + MARGIN / 2;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    cairo_t *cr = cairo_create(surface);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    write_titles(s, title, sizeof title, subtitle, sizeof subtitle);
    draw_ink(cr, draw_dark);
    draw_fitted(cr, title, MARGIN, MARGIN + 18, width - 2 * MARGIN, 20, true);
    draw_ink(cr, draw_faint);
    draw_fitted(cr, subtitle, MARGIN, MARGIN + 40, width - 2 * MARGIN, 13, false);
    make_shades(&shades, &s->picture);
    const struct panel panels[] = {
        {MARGIN + AXIS_LEFT, MARGIN + TITLE + HEAD, "spectrogram, with the mask's contour"},
        {MARGIN + AXIS_LEFT + step, MARGIN + TITLE + HEAD, "what the mask keeps"}};
    draw_panel(cr, &panels[0], s, &shades, false);
    draw_panel(cr, &panels[1], s, &shades, true);
    cairo_destroy(cr);
    int code = picture_png(ret, surface, error);
    cairo_surface_destroy(surface);
    return code;
}

int picture_encode_thumb(struct blob *ret, const struct snippet *s, struct error *error)
{
    struct shades shades;
    make_shades(&shades, &s->picture);
    cairo_surface_t *image =
        plane(&s->picture, &shades, PICTURE_THUMB_WIDTH, PICTURE_THUMB_HEIGHT, false);
    int code = picture_png(ret, image, error);
    cairo_surface_destroy(image);
    return code;
}
