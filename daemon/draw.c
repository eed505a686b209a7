/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/draw.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/newfile.h"
#include "daemon/utf8.h"

const double draw_dark[3] = {0.13, 0.14, 0.17}, draw_faint[3] = {0.42, 0.44, 0.48};

void draw_ink(cairo_t *cr, const double rgb[3])
{
    cairo_set_source_rgb(cr, rgb[0], rgb[1], rgb[2]);
}

void draw_font(cairo_t *cr, double size, bool bold)
{
    cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, size);
}

void draw_text(cairo_t *cr, const char *text, double x, double y, double align)
{
    char clean[512];
    utf8_clean(text, clean, sizeof clean);
    cairo_text_extents_t e;
    cairo_text_extents(cr, clean, &e);
    cairo_move_to(cr, x - align * e.x_advance, y);
    cairo_show_text(cr, clean);
}

void draw_fitted(cairo_t *cr, const char *text, double x, double y, double width, double size,
                 bool bold)
{
    char clean[512];
    utf8_clean(text, clean, sizeof clean);
    cairo_text_extents_t e;
    draw_font(cr, size, bold);
    cairo_text_extents(cr, clean, &e);
    if (e.x_advance > width)
        draw_font(cr, size * width / e.x_advance, bold);
    draw_text(cr, clean, x, y, 0);
}

double draw_tick_step(double span, int most)
{
    double power = pow(10, floor(log10(span / most)));
    const double factors[] = {1, 2, 5};
    for (int i = 0; i < 3; i++)
        if (span / (factors[i] * power) <= most + 1e-9)
            return factors[i] * power;
    return 10 * power;
}

void draw_format_tick(char *ret, size_t size, double value, double step)
{
    int decimals = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
    snprintf(ret, size, "%.*f", decimals, fabs(value) < step / 1e6 ? 0 : value);
}

void draw_image(cairo_t *cr, cairo_surface_t *image, double x, double y, double width,
                double height)
{
    int cols = cairo_image_surface_get_width(image), rows = cairo_image_surface_get_height(image);
    cairo_save(cr);
    cairo_rectangle(cr, x, y, width, height);
    cairo_clip(cr);
    cairo_translate(cr, x, y);
    cairo_scale(cr, width / cols, height / rows);
    cairo_set_source_surface(cr, image, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_GOOD);
    cairo_pattern_set_extend(cairo_get_source(cr), CAIRO_EXTEND_PAD);
    cairo_paint(cr);
    cairo_restore(cr);
}

void draw_frame(cairo_t *cr, double x, double y, double width, double height)
{
    draw_ink(cr, draw_faint);
    cairo_set_line_width(cr, 1);
    cairo_rectangle(cr, floor(x) - 0.5, floor(y) - 0.5, ceil(width) + 1, ceil(height) + 1);
    cairo_stroke(cr);
}

static cairo_status_t write_bytes(void *user, const unsigned char *data, unsigned length)
{
    const struct newfile *file = user;
    while (length > 0) {
        ssize_t n = write(file->fd, data, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return CAIRO_STATUS_WRITE_ERROR;
        data += n;
        length -= (unsigned)n;
    }
    return CAIRO_STATUS_SUCCESS;
}

int draw_write_png(cairo_surface_t *surface, const char *path, struct error *error)
{
    cairo_status_t status = cairo_surface_status(surface);
    struct newfile file = {.fd = -1};
    int r = 0;
    if (status != CAIRO_STATUS_SUCCESS)
        r = error_set(error, ENOMEM, "%s: cannot be drawn: %s", path,
                      cairo_status_to_string(status));
    if (r == 0)
        r = newfile_begin(&file, path, error);
    if (r == 0) {
        errno = 0;
        status = cairo_surface_write_to_png_stream(surface, write_bytes, &file);
        if (status == CAIRO_STATUS_SUCCESS)
            r = newfile_commit(&file, error);
        else
            r = error_set(error, errno != 0 ? errno : EIO, "%s: cannot be written: %s", path,
                          errno != 0 ? strerror(errno) : cairo_status_to_string(status));
    }
    newfile_abandon(&file);
    return r;
}
