/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/strip.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { TABLE = 1024 };

/* 20 log10(expm1(v)) for v = i * TABLE_STEP: looked up, or a quarter of the recorder's time went
 * here. Between steps the error is below a level for all but the lowest values. */
static const float table_step = 8.0f / TABLE;

static float table[TABLE + 1];

static void make_table(void)
{
    if (table[TABLE] != 0)
        return;
    for (int i = 1; i <= TABLE; i++)
        table[i] = (float)(20 * log10(expm1((double)i * (double)table_step)));
    table[0] = table[1] - 40;
}

int strip_init(struct strip *s, uint64_t span, int hop, size_t bins)
{
    make_table();
    memset(s, 0, sizeof *s);
    s->hop = hop;
    s->bins = bins;
    s->mask_bytes = (bins + 7) / 8;
    s->capacity = (size_t)(span / (uint64_t)hop) + 2;
    s->spec = memory_zeroed(s->capacity, bins);
    s->mask = memory_zeroed(s->capacity, s->mask_bytes);
    s->spec_of = memory_zeroed(s->capacity, sizeof *s->spec_of);
    s->mask_of = memory_zeroed(s->capacity, sizeof *s->mask_of);
    if (s->spec != NULL && s->mask != NULL && s->spec_of != NULL && s->mask_of != NULL)
        return 0;
    strip_finish(s);
    return -ENOMEM;
}

void strip_finish(struct strip *s)
{
    free(s->spec);
    free(s->mask);
    free(s->spec_of);
    free(s->mask_of);
    memset(s, 0, sizeof *s);
}

void strip_clear(struct strip *s)
{
    if (s->spec_of == NULL)
        return;
    memset(s->spec_of, 0, s->capacity * sizeof *s->spec_of);
    memset(s->mask_of, 0, s->capacity * sizeof *s->mask_of);
    s->end = 0;
}

static uint64_t column_of(const struct strip *s, uint64_t position)
{
    return (position + (uint64_t)s->hop / 2) / (uint64_t)s->hop;
}

static uint8_t level_of(float v, float peak_db)
{
    float at = v / table_step, db;
    if (!(at > 0))
        return 1;
    if (at >= TABLE) {
        db = table[TABLE];
    } else {
        int i = (int)at;
        db = table[i] + (table[i + 1] - table[i]) * (at - (float)i);
    }
    float level = 255 + 2 * (db + peak_db - STRIP_TOP_DB);
    return level > 1 ? (level < 255 ? (uint8_t)level : 255) : 1;
}

void strip_spec(struct strip *s, uint64_t first, size_t rows, const float *logspec, float peak)
{
    float peak_db = peak > 0 && isfinite(peak) ? 20 * log10f(peak) : -200;
    uint64_t column = column_of(s, first);
    for (size_t r = 0; r < rows; r++) {
        size_t at = (size_t)((column + r) % s->capacity);
        const float *row = logspec + r * s->bins;
        uint8_t *levels = s->spec + at * s->bins;
        for (size_t b = 0; b < s->bins; b++)
            levels[b] = level_of(row[b], peak_db);
        s->spec_of[at] = column + r + 1;
    }
    if (column + rows > s->end)
        s->end = column + rows;
}

/* `bins` bits from bit `from` of bits, to a whole byte. */
static void copy_bits(uint8_t *ret, const uint8_t *bits, size_t from, size_t bins)
{
    size_t byte = from / 8, shift = from % 8, n = (bins + 7) / 8, last = (from + bins - 1) / 8;
    for (size_t i = 0; i < n; i++) {
        unsigned low = bits[byte + i];
        unsigned high = shift > 0 && byte + i + 1 <= last ? bits[byte + i + 1] : 0;
        ret[i] = (uint8_t)(shift > 0 ? (low >> shift | high << (8 - shift)) : low);
    }
}

void strip_mask(struct strip *s, uint64_t first, size_t rows, const uint8_t *bits, uint64_t from)
{
    uint64_t column = column_of(s, first), replace = column_of(s, from);
    for (size_t r = 0; r < rows; r++) {
        uint64_t c = column + r;
        size_t at = (size_t)(c % s->capacity);
        if (c < replace && s->mask_of[at] == c + 1)
            continue;
        if (s->mask_of[at] > c + 1)
            continue;
        copy_bits(s->mask + at * s->mask_bytes, bits, r * s->bins, s->bins);
        s->mask_of[at] = c + 1;
    }
}

int strip_read(const struct strip *s, uint64_t first, uint64_t count, struct snippet_picture *ret)
{
    struct snippet_picture p = {.bins = s->bins, .mask_bytes = s->mask_bytes, .hop = s->hop};
    p.first_column = (first + (uint64_t)s->hop - 1) / (uint64_t)s->hop;
    uint64_t end = (first + count - 1) / (uint64_t)s->hop + 1;
    p.columns = end > p.first_column ? (size_t)(end - p.first_column) : 0;
    if (p.columns == 0)
        return 0;
    p.spec = calloc(p.columns, p.bins);
    p.mask = calloc(p.columns, p.mask_bytes);
    if (p.spec == NULL || p.mask == NULL) {
        free(p.spec);
        free(p.mask);
        return -ENOMEM;
    }
    for (size_t i = 0; i < p.columns; i++) {
        uint64_t c = p.first_column + i;
        size_t at = (size_t)(c % s->capacity);
        if (s->spec_of[at] == c + 1)
            memcpy(p.spec + i * p.bins, s->spec + at * s->bins, s->bins);
        if (s->mask_of[at] == c + 1)
            memcpy(p.mask + i * p.mask_bytes, s->mask + at * s->mask_bytes, s->mask_bytes);
    }
    *ret = p;
    return 0;
}

/* A frame is made of the samples within half its Fourier transform. */
enum { FRAME_REACH = 512 };

void strip_withhold(struct snippet_picture *p, uint64_t first, uint64_t end)
{
    for (size_t i = 0; i < p->columns; i++) {
        uint64_t centre = (p->first_column + i) * (uint64_t)p->hop;
        if (centre + FRAME_REACH <= first || centre >= end + FRAME_REACH)
            continue;
        memset(p->spec + i * p->bins, 0, p->bins);
        memset(p->mask + i * p->mask_bytes, 0, p->mask_bytes);
    }
}
