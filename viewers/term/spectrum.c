/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/term/spectrum.h"

#include <math.h>
#include <string.h>

/* The magnitude of a full-scale sine in focald's STFT: half the sum of its Hamming window. */
static const double full_scale = 0.54 * 372 / 2;

void spectrum_clear(struct spectrum *s)
{
    memset(s, 0, sizeof *s);
    s->newest = -1;
}

static size_t slot(int64_t frame)
{
    return (size_t)frame % SPECTRUM_FRAMES;
}

static bool is_held(const struct spectrum *s, int64_t frame)
{
    return frame >= 0 && frame <= s->newest && frame > s->newest - SPECTRUM_FRAMES;
}

static void empty(struct spectrum *s, int64_t frame)
{
    memset(s->level[slot(frame)], 0, SPECTRUM_BANDS);
    memset(s->glow[slot(frame)], 0, SPECTRUM_BANDS);
}

/* Makes room up to that frame; what is skipped over is empty. */
static void advance(struct spectrum *s, int64_t newest)
{
    if (newest <= s->newest)
        return;
    if (s->newest < 0 || newest - s->newest >= SPECTRUM_FRAMES) {
        spectrum_clear(s);
    } else {
        for (int64_t f = s->newest + 1; f <= newest; f++)
            empty(s, f);
    }
    s->newest = newest;
}

static uint8_t level_of(double power)
{
    double db = 10 * log10(power + 1e-30);
    double part = (db - SPECTRUM_FLOOR_DB) / -SPECTRUM_FLOOR_DB;
    if (!(part > 0))
        return 1;
    return part >= 1 ? 255 : (uint8_t)(1 + part * 254);
}

/* The mean power of each band's bins. */
static void add_frame(uint8_t level[SPECTRUM_BANDS], const float *bins, size_t cols, double peak)
{
    for (size_t b = 0; b < SPECTRUM_BANDS; b++) {
        size_t from = b * cols / SPECTRUM_BANDS, to = (b + 1) * cols / SPECTRUM_BANDS;
        double power = 0;
        to = to > from ? to : from + 1;
        for (size_t i = from; i < to && i < cols; i++) {
            double magnitude = expm1((double)bins[i]) * peak / full_scale;
            power += magnitude * magnitude;
        }
        level[b] = level_of(power / (double)(to - from)); /* not a number: the floor */
    }
}

void spectrum_add(struct spectrum *s, int64_t first_frame, const float *frames, size_t rows,
                  size_t cols, double peak)
{
    if (first_frame < 0 || rows == 0 || cols == 0)
        return;
    advance(s, first_frame + (int64_t)rows - 1);
    for (size_t r = 0; r < rows; r++)
        if (is_held(s, first_frame + (int64_t)r))
            add_frame(s->level[slot(first_frame + (int64_t)r)], frames + r * cols, cols, peak);
}

/* The place of output i of n between two of m inputs, pixel centres aligned. */
static void between(size_t i, size_t n, size_t m, size_t *ret_low, size_t *ret_high,
                    double *ret_part)
{
    double at = ((double)i + 0.5) * (double)m / (double)n - 0.5;
    at = at < 0 ? 0 : at;
    size_t low = (size_t)at;
    low = low < m - 1 ? low : m - 1;
    *ret_low = low;
    *ret_high = low + 1 < m ? low + 1 : low;
    *ret_part = low == *ret_high ? 0 : at - (double)low;
}

static bool find_extent(const float *map, size_t n, double *ret_least, double *ret_span)
{
    double least = INFINITY, greatest = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(map[i]))
            return false;
        least = fmin(least, (double)map[i]);
        greatest = fmax(greatest, (double)map[i]);
    }
    *ret_least = least;
    *ret_span = greatest - least;
    return greatest > least;
}

void spectrum_shine_map(struct spectrum *s, int64_t first_frame, int64_t n_frames, const float *map,
                        size_t rows, size_t cols)
{
    double least, span;
    if (first_frame < 0 || rows == 0 || cols == 0 || n_frames <= 0 || n_frames > SPECTRUM_FRAMES ||
        !find_extent(map, rows * cols, &least, &span))
        return;
    advance(s, first_frame + n_frames - 1); /* the map may come before its spectrogram */
    for (int64_t f = 0; f < n_frames; f++) {
        size_t r0, r1;
        double down;
        if (!is_held(s, first_frame + f))
            continue;
        between((size_t)f, (size_t)n_frames, rows, &r0, &r1, &down);
        for (size_t b = 0; b < SPECTRUM_BANDS; b++) {
            size_t c0, c1;
            double right;
            between(b, SPECTRUM_BANDS, cols, &c0, &c1, &right);
            double upper =
                (double)map[r0 * cols + c0] * (1 - right) + (double)map[r0 * cols + c1] * right;
            double lower =
                (double)map[r1 * cols + c0] * (1 - right) + (double)map[r1 * cols + c1] * right;
            double v = (upper * (1 - down) + lower * down - least) / span;
            s->glow[slot(first_frame + f)][b] = (uint8_t)lrint(fmax(0, fmin(v, 1)) * 255);
        }
    }
}

void spectrum_shine_mask(struct spectrum *s, int64_t first_frame, const uint8_t *mask, size_t rows,
                         size_t cols)
{
    if (first_frame < 0 || rows == 0)
        return;
    advance(s, first_frame + (int64_t)rows - 1);
    for (size_t r = 0; r < rows; r++) {
        if (!is_held(s, first_frame + (int64_t)r))
            continue;
        for (size_t b = 0; b < SPECTRUM_BANDS; b++) {
            size_t i = r * cols + (2 * b + 1) * cols / (2 * SPECTRUM_BANDS); /* the middle bin */
            s->glow[slot(first_frame + (int64_t)r)][b] = mask[i / 8] >> (i % 8) & 1 ? 255 : 0;
        }
    }
}

void spectrum_forget_glow(struct spectrum *s)
{
    memset(s->glow, 0, sizeof s->glow);
}

/* The level is halfway between mean and maximum, so that a click in a wide cell is still seen. */
void spectrum_cell(const struct spectrum *s, int64_t from, int64_t to, int low, int high,
                   uint8_t *ret_level, uint8_t *ret_glow)
{
    unsigned sum = 0, glow = 0, n = 0, most = 0;
    for (int64_t f = from; f < to; f++) {
        if (!is_held(s, f))
            continue;
        const uint8_t *level = s->level[slot(f)], *shine = s->glow[slot(f)];
        for (int b = low; b < high; b++) {
            if (level[b] == 0)
                continue;
            sum += level[b];
            glow += shine[b];
            most = level[b] > most ? level[b] : most;
            n++;
        }
    }
    *ret_level = n > 0 ? (uint8_t)((sum / n + most) / 2) : 0;
    *ret_glow = n > 0 ? (uint8_t)(glow / n) : 0;
}

uint8_t spectrum_loudest(const struct spectrum *s, int64_t from, int64_t to, double fraction)
{
    unsigned long counts[256] = {0}, n = 0;
    for (int64_t f = from; f < to; f++)
        if (is_held(s, f))
            for (int b = 0; b < SPECTRUM_BANDS; b++)
                counts[s->level[slot(f)][b]]++;
    for (int v = 1; v < 256; v++)
        n += counts[v];
    unsigned long above = (unsigned long)((double)n * fraction);
    for (int v = 255; v > 0; v--) {
        if (counts[v] > above)
            return (uint8_t)v;
        above -= counts[v];
    }
    return 0;
}
