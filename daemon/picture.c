/* SPDX-License-Identifier: Apache-2.0
 * T: frames of a window, F: bins. */
#include "daemon/picture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/draw.h"
#include "daemon/picture_draw.h"

struct picture {
    struct picture_grid grid; /* sums until written */
    uint32_t *counts;         /* [cols] frames in the sums */
    size_t samples, hop;
};

int picture_create(struct picture **ret, size_t samples, int rate_hz,
                   const struct stft_shape *shape, enum interpreter interpreter,
                   struct error *error)
{
    struct picture *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(error, ENOMEM, "picture: out of memory");
    p->samples = samples > 0 ? samples : 1;
    p->hop = (size_t)shape->hop;
    size_t cols = p->samples / p->hop;
    p->grid.cols = cols < 1 ? 1 : cols < PICTURE_MAX_COLS ? (int)cols : PICTURE_MAX_COLS;
    p->grid.bins = stft_bins(shape);
    p->grid.interpreter = interpreter;
    p->grid.seconds = (double)p->samples / rate_hz;
    p->grid.nyquist_hz = rate_hz / 2.0;
    size_t cells = (size_t)p->grid.cols * (size_t)p->grid.bins;
    p->grid.logspec = memory_zeroed(cells, sizeof(float));
    p->grid.map = memory_zeroed(cells, sizeof(float));
    p->grid.mask = memory_zeroed(cells, sizeof(float));
    p->counts = memory_zeroed((size_t)p->grid.cols, sizeof *p->counts);
    if (p->grid.logspec == NULL || p->grid.map == NULL || p->grid.mask == NULL ||
        p->counts == NULL) {
        picture_destroy(p);
        return error_set(error, ENOMEM, "picture: out of memory");
    }
    *ret = p;
    return 0;
}

void picture_destroy(struct picture *p)
{
    if (p == NULL)
        return;
    free(p->grid.logspec);
    free(p->grid.map);
    free(p->grid.mask);
    free(p->counts);
    free(p);
}

void picture_add(struct picture *p, size_t first, size_t frames, const float *logspec,
                 const float *map, const uint8_t *mask)
{
    size_t bins = (size_t)p->grid.bins, cols = (size_t)p->grid.cols;
    for (size_t t = 0; t < frames; t++) {
        size_t at = first + t * p->hop;
        if (at >= p->samples)
            return;
        size_t col = (size_t)((double)at / (double)p->samples * (double)cols);
        col = col < cols ? col : cols - 1;
        float *sums = p->grid.logspec + col * bins;
        for (size_t f = 0; f < bins; f++)
            sums[f] += logspec[t * bins + f];
        p->counts[col]++;
        if (map == NULL)
            continue;
        for (size_t f = 0; f < bins; f++) {
            p->grid.map[col * bins + f] += map[t * bins + f];
            p->grid.mask[col * bins + f] +=
                mask != NULL ? (float)mask[t * bins + f] : map[t * bins + f];
        }
    }
}

void picture_show_mask(struct picture *p)
{
    p->grid.show_mask = true;
}

/* Sums become means. A column that no frame fell into repeats the one before it. */
static void finish_means(struct picture *p)
{
    size_t bins = (size_t)p->grid.bins;
    float *planes[] = {p->grid.logspec, p->grid.map, p->grid.mask};
    for (int c = 0; c < p->grid.cols; c++)
        for (size_t k = 0; k < ARRAY_LEN(planes); k++) {
            float *column = planes[k] + (size_t)c * bins;
            if (p->counts[c] == 0 && c > 0)
                memcpy(column, column - bins, bins * sizeof(float));
            for (size_t f = 0; p->counts[c] > 1 && f < bins; f++)
                column[f] /= (float)p->counts[c];
        }
    for (int c = 0; c < p->grid.cols; c++)
        p->counts[c] = 1;
}

int picture_write(struct picture *p, const struct picture_text *text, const char *path,
                  struct error *error)
{
    finish_means(p);
    cairo_surface_t *surface = picture_draw(&p->grid, text);
    int r = draw_write_png(surface, path, error);
    cairo_surface_destroy(surface);
    return r;
}
