/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/masking.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "model/interpret/mask.h"

static int wrong(struct error *error, const char *what, double value, const char *range)
{
    return error_set(error, EINVAL, "masking: %s of %g must be %s", what, value, range);
}

int masking_check(const struct masking_settings *settings, struct error *error)
{
    const struct masking_settings *s = settings;
    const struct masking_region *r = &s->region;
    const struct {
        const char *what;
        int value;
    } counts[] = {{"a number of time bands", s->time_bands},
                  {"a time band's frames", s->time_frames},
                  {"a number of frequency bands", s->frequency_bands},
                  {"a frequency band's bins", s->frequency_bins}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].value < 0)
            return wrong(error, counts[i].what, counts[i].value, "0 or more");
    if (!(s->keep_probability >= 0 && s->keep_probability <= 1))
        return wrong(error, "a probability to keep a region", s->keep_probability, "in 0..1");
    if (!(s->remove_probability >= 0 && s->remove_probability <= 1 - s->keep_probability))
        return wrong(error, "a probability to remove a region", s->remove_probability,
                     "in 0..1, and at most 1 together with that to keep one");
    if (s->keep_probability == 0 && s->remove_probability == 0)
        return 0;
    if (!(s->share_low >= 0 && s->share_low <= s->share_high && s->share_high <= 1))
        return error_set(error, EINVAL,
                         "masking: the region's share %g..%g must be a range in 0..1", s->share_low,
                         s->share_high);
    if (r->grid_rows < 2 || r->grid_rows > MASKING_MAX_GRID)
        return wrong(error, "a grid's rows", r->grid_rows, "in 2..64");
    if (r->grid_cols < 2 || r->grid_cols > MASKING_MAX_GRID)
        return wrong(error, "a grid's columns", r->grid_cols, "in 2..64");
    if (!(r->roughness >= 0 && isfinite(r->roughness)))
        return wrong(error, "a roughness", r->roughness, "0 or more");
    return 0;
}

void masking_time(float *spectrogram, int frames, int bins, int begin, int count)
{
    assert(begin >= 0 && count >= 0 && begin + count <= frames);
    memset(spectrogram + (size_t)begin * (size_t)bins, 0,
           (size_t)count * (size_t)bins * sizeof *spectrogram);
}

void masking_frequency(float *spectrogram, int frames, int bins, int begin, int count)
{
    assert(begin >= 0 && count >= 0 && begin + count <= bins);
    for (int t = 0; t < frames; t++)
        memset(spectrogram + (size_t)t * (size_t)bins + begin, 0,
               (size_t)count * sizeof *spectrogram);
}

static void draw_grid(const struct masking_region *region, struct random *random, float *ret)
{
    const struct masking_region *r = region;
    double row = random_between(random, 0, r->grid_rows - 1);
    double col = random_between(random, 0, r->grid_cols - 1);
    double stretch = exp(random_between(random, -1, 1));
    for (int i = 0; i < r->grid_rows; i++)
        for (int k = 0; k < r->grid_cols; k++) {
            double down = (i - row) / r->grid_rows * stretch;
            double across = (k - col) / r->grid_cols / stretch;
            double noise = r->roughness > 0 ? r->roughness * random_normal(random) : 0;
            ret[i * r->grid_cols + k] = (float)(noise - hypot(down, across));
        }
}

/* The two grid cells beside the centre of cell i of n, and how much the second counts. */
struct between {
    int first, second;
    float weight;
};

static struct between between(int i, int n, int cells)
{
    float at = fmaxf(((float)i + 0.5f) * (float)cells / (float)n - 0.5f, 0);
    int first = (int)at < cells - 1 ? (int)at : cells - 1;
    return (struct between){first, first + 1 < cells ? first + 1 : first, at - (float)first};
}

static float mixed(float a, float b, float weight)
{
    return a + weight * (b - a);
}

/* grid: [rows][cols] -> ret: [T][F] */
static void enlarge(const float *grid, int rows, int cols, int frames, int bins, float *ret)
{
    for (int t = 0; t < frames; t++) {
        struct between down = between(t, frames, rows);
        float line[MASKING_MAX_GRID];
        for (int k = 0; k < cols; k++)
            line[k] = mixed(grid[down.first * cols + k], grid[down.second * cols + k], down.weight);
        for (int f = 0; f < bins; f++) {
            struct between across = between(f, bins, cols);
            ret[(size_t)t * (size_t)bins + (size_t)f] =
                mixed(line[across.first], line[across.second], across.weight);
        }
    }
}

size_t masking_region(const struct masking_region *region, struct random *random, int frames,
                      int bins, uint8_t *ret_mask, float *scratch)
{
    float grid[MASKING_MAX_GRID * MASKING_MAX_GRID];
    size_t cells = (size_t)frames * (size_t)bins;
    draw_grid(region, random, grid);
    enlarge(grid, region->grid_rows, region->grid_cols, frames, bins, scratch);
    if (region->share <= 0) {
        memset(ret_mask, 0, cells);
        return 0;
    }
    float least = quantile(scratch, cells, (float)(1 - region->share), scratch + cells);
    return mask_threshold(scratch, cells, least, ret_mask);
}

void masking_apply(float *spectrogram, const uint8_t *mask, size_t n, bool keep)
{
    for (size_t i = 0; i < n; i++)
        spectrogram[i] = (mask[i] != 0) == keep ? spectrogram[i] : 0;
}

/* Calls hide for `bands` bands of up to `widest` of the n rows or columns. */
static void draw_bands(struct random *random, int bands, int widest, int n,
                       void (*hide)(float *, int, int, int, int), float *spectrogram, int frames,
                       int bins)
{
    for (int i = 0; i < bands; i++) {
        int count = (int)random_integer(random, 0, widest < n ? widest : n);
        hide(spectrogram, frames, bins, (int)random_integer(random, 0, n - count), count);
    }
}

enum masking_done masking_clip(const struct masking_settings *settings, struct random *random,
                               int frames, int bins, float *spectrogram, uint8_t *mask,
                               float *scratch)
{
    const struct masking_settings *s = settings;
    draw_bands(random, s->time_bands, s->time_frames, frames, masking_time, spectrogram, frames,
               bins);
    draw_bands(random, s->frequency_bands, s->frequency_bins, bins, masking_frequency, spectrogram,
               frames, bins);
    double choice = random_uniform(random);
    if (choice >= s->keep_probability + s->remove_probability)
        return MASKING_WHOLE;
    bool keep = choice < s->keep_probability;
    struct masking_region region = s->region;
    region.share = random_between(random, s->share_low, s->share_high);
    masking_region(&region, random, frames, bins, mask, scratch);
    masking_apply(spectrogram, mask, (size_t)frames * (size_t)bins, keep);
    return keep ? MASKING_KEPT : MASKING_REMOVED;
}
