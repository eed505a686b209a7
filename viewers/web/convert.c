/* SPDX-License-Identifier: Apache-2.0
 * Letters: T frames of a spectrogram, F its bins, R and C rows and columns of a map. */
#include "viewers/web/convert.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAP_SIDE = 128,
    MAP_CELLS_MOST = 4096 * 4096,
    LEVEL_SAMPLES = 320, /* 20 ms */
    TABLE_UNIT = 2048,   /* entries for each 1 of log1p */
    TABLE_LEN = 8 * TABLE_UNIT
};

static const double db_from = -100, db_step = 0.4;
/* |STFT| of a sine of full scale: half the sum of the recipe's 372-sample Hamming window. */
static const double full_scale_magnitude = 0.54 * 372 / 2;

static float table[TABLE_LEN]; /* dB of expm1(i / TABLE_UNIT), of a sine of full scale */
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
    for (int i = 0; i < TABLE_LEN; i++)
        table[i] = (float)(20 * log10(expm1((i + 0.5) / TABLE_UNIT) / full_scale_magnitude));
}

/* What every header has, as in docs/protocol.md; the rest is the format's. */
static bool begin_header(struct focal *focal, const struct focal_message *m, const char *topic,
                         char *ret, size_t size)
{
    double run = 0;
    focal_number(focal, "run", &run);
    return snprintf(ret, size,
                    "{\"v\":1,\"topic\":\"%s\",\"stream\":\"%s\",\"run\":%.0f,\"seq\":%llu,"
                    "\"first\":%llu,\"count\":%llu,\"t_ns\":%lld",
                    topic, m->stream, run, (unsigned long long)m->seq, (unsigned long long)m->first,
                    (unsigned long long)m->count, (long long)m->t_ns) < (int)size;
}

static bool get_whole(struct focal *focal, const char *path, int64_t most, int64_t *ret)
{
    double value;
    if (focal_number(focal, path, &value) != 0 || !(value >= 0 && value <= (double)most))
        return false;
    *ret = (int64_t)value;
    return true;
}

/* [T][F] log1p of the normalised magnitude → [T][F] u8: dB of full scale
 * = 20 log10(expm1(v) · peak / full_scale_magnitude), from db_from in steps of db_step. */
struct packet *convert_spec(struct focal *focal, const struct focal_message *m)
{
    int64_t rows, cols;
    double peak = 0;
    char header[512];
    unsigned char *out;
    if (!get_whole(focal, "shape.0", 1 << 16, &rows) ||
        !get_whole(focal, "shape.1", 1 << 16, &cols) ||
        m->payload_bytes != (size_t)(rows * cols) * sizeof(float) ||
        !begin_header(focal, m, "spec", header, 256))
        return NULL;
    focal_number(focal, "peak", &peak);
    pthread_once(&table_once, fill_table);
    snprintf(header + strlen(header), sizeof header - strlen(header),
             ",\"dtype\":\"u8\",\"shape\":[%lld,%lld],\"db_from\":%g,\"db_step\":%g}",
             (long long)rows, (long long)cols, db_from, db_step);
    struct packet *p = packet_create(PACKET_PICTURE, header, (size_t)(rows * cols), (void **)&out);
    if (p == NULL)
        return NULL;
    const float *in = m->payload;
    float offset = peak > 0 ? (float)(20 * log10(peak) - db_from) : -1000;
    for (int64_t i = 0; i < rows * cols; i++) {
        float at = in[i] * TABLE_UNIT;
        int entry = at >= 0 ? (at < TABLE_LEN ? (int)at : TABLE_LEN - 1) : 0;
        float steps = (table[entry] + offset) * (float)(1 / db_step);
        out[i] = steps > 0 ? (steps < 255 ? (unsigned char)(steps + 0.5f) : 255) : 0;
    }
    return p;
}

/* The mean of in's [R][C] cells that fall into each of out's [r][c]. */
static void shrink(const float *in, int64_t R, int64_t C, float *out, int64_t r, int64_t c)
{
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < c; j++) {
            int64_t y0 = i * R / r, y1 = (i + 1) * R / r, x0 = j * C / c, x1 = (j + 1) * C / c;
            double sum = 0;
            for (int64_t y = y0; y < y1; y++)
                for (int64_t x = x0; x < x1; x++)
                    sum += (double)in[y * C + x];
            out[i * c + j] = (float)(sum / (double)((y1 - y0) * (x1 - x0)));
        }
}

/* The last of the maps, as its mask is made of it. */
struct packet *convert_map(struct focal *focal, const struct focal_message *m)
{
    char path[32], header[512];
    int64_t rows = 0, cols = 0, offset = 0, r, c;
    float *out;
    int n = 0;
    for (; n < 64; n++) {
        snprintf(path, sizeof path, "maps.%d.rows", n);
        if (!get_whole(focal, path, 4096, &r))
            break;
        rows = r;
        snprintf(path, sizeof path, "maps.%d.cols", n);
        if (!get_whole(focal, path, 4096, &cols))
            return NULL;
        snprintf(path, sizeof path, "maps.%d.offset", n);
        if (!get_whole(focal, path, MAP_CELLS_MOST, &offset))
            return NULL;
    }
    if (rows == 0 || cols == 0 ||
        (size_t)(offset + rows * cols) * sizeof(float) > m->payload_bytes ||
        !begin_header(focal, m, "map", header, 256))
        return NULL;
    r = rows < MAP_SIDE ? rows : MAP_SIDE;
    c = cols < MAP_SIDE ? cols : MAP_SIDE;
    snprintf(header + strlen(header), sizeof header - strlen(header),
             ",\"dtype\":\"f32\",\"shape\":[%lld,%lld]}", (long long)r, (long long)c);
    struct packet *p =
        packet_create(PACKET_PICTURE, header, (size_t)(r * c) * sizeof(float), (void **)&out);
    if (p != NULL)
        shrink((const float *)m->payload + offset, rows, cols, out, r, c);
    return p;
}

/* [count] samples → [n][2] peak and root mean square of each 20 ms. */
struct packet *convert_level(struct focal *focal, const struct focal_message *m)
{
    size_t samples = m->payload_bytes / sizeof(float);
    size_t n = (samples + LEVEL_SAMPLES - 1) / LEVEL_SAMPLES;
    const float *in = m->payload;
    char header[512];
    float *out;
    if (samples != m->count || !begin_header(focal, m, "level", header, 256))
        return NULL;
    snprintf(header + strlen(header), sizeof header - strlen(header),
             ",\"dtype\":\"f32\",\"shape\":[%zu,2],\"block\":%d}", n, LEVEL_SAMPLES);
    struct packet *p = packet_create(PACKET_PICTURE, header, n * 2 * sizeof(float), (void **)&out);
    for (size_t i = 0; p != NULL && i < n; i++) {
        size_t from = i * LEVEL_SAMPLES;
        size_t to = from + LEVEL_SAMPLES < samples ? from + LEVEL_SAMPLES : samples;
        float peak = 0, sum = 0;
        for (size_t k = from; k < to; k++) {
            peak = fmaxf(peak, fabsf(in[k]));
            sum += in[k] * in[k];
        }
        out[2 * i] = peak;
        out[2 * i + 1] = sqrtf(sum / (float)(to - from));
    }
    return p;
}

struct packet *convert_whole(struct focal *focal, const struct focal_message *m)
{
    void *payload;
    struct packet *p = packet_create(PACKET_SOUND, m->header, m->payload_bytes, &payload);
    (void)focal;
    if (p != NULL && m->payload_bytes > 0)
        memcpy(payload, m->payload, m->payload_bytes);
    return p;
}

struct packet *convert_header(struct focal *focal, const struct focal_message *m)
{
    (void)focal;
    return packet_create(PACKET_TEXT, m->header, 0, NULL);
}
