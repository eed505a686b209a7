/* SPDX-License-Identifier: Apache-2.0
 * Output n lies at input n*in/out = base + phase/out, 0 <= phase < out, and is the sum over k of
 * row[phase][k] * x[base - left + k]. */
#include "dsp/polyphase.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/dot.h"

enum {
    TABLE_MAX = 1 << 19,  /* coefficients */
    PROBE_MAX = 1 << 22,  /* samples of the probing signal */
    EFFORT_MAX = 1 << 27, /* coefficients that probing makes libsamplerate compute: 0.2 s */
};

struct polyphase {
    int in, out;
    size_t left, right, taps; /* taps = left + 1 + right */
    size_t stride;            /* of a row: taps, padded for the inner product */
    float *rows;              /* [out][stride] */
    dot_product dot;
    float *history; /* [capacity] x from base - left on, as far as it has come */
    size_t capacity, held;
    int phase;    /* of the next output */
    size_t ahead; /* its base - left, as an index into history */
};

/* The table */

/* Impulses far enough apart that no output sees two, at every position modulo `in`: so each
 * coefficient of each phase is one output. */
struct probe {
    size_t first, spacing, frames, made;
    float *x, *y;
};

static bool coprime(size_t a, size_t b)
{
    while (b != 0) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a == 1;
}

static int probe_shape(struct probe *probe, int in, int out, size_t reach)
{
    size_t taps = 2 * reach + 1;
    if (taps > TABLE_MAX || (size_t)in > TABLE_MAX || (size_t)out > TABLE_MAX ||
        dot_padded(taps) * (size_t)out > TABLE_MAX)
        return -E2BIG;
    probe->spacing = taps;
    while (!coprime(probe->spacing, (size_t)in))
        probe->spacing++;
    probe->first = reach;
    probe->frames = probe->first + (size_t)(in - 1) * probe->spacing + taps;
    if (probe->frames > PROBE_MAX || probe->spacing * (size_t)out > EFFORT_MAX / taps)
        return -E2BIG;
    return 0;
}

static int probe_run(struct probe *probe, SRC_STATE *src, int in, int out)
{
    size_t cap = probe->frames * (size_t)out / (size_t)in + 2;
    probe->x = memory_zeroed(probe->frames, sizeof(float));
    probe->y = memory_zeroed(cap, sizeof(float));
    if (probe->x == NULL || probe->y == NULL)
        return -ENOMEM;
    for (size_t q = 0; q < (size_t)in; q++)
        probe->x[probe->first + q * probe->spacing] = 1;
    SRC_DATA data = {.data_in = probe->x,
                     .input_frames = (long)probe->frames,
                     .data_out = probe->y,
                     .output_frames = (long)cap,
                     .src_ratio = (double)out / in};
    src_reset(src);
    int code = src_process(src, &data);
    src_reset(src);
    probe->made = (size_t)data.output_frames_gen;
    return code == 0 ? 0 : -EIO;
}

/* coefficient: [out][2 reach + 1] */
static void probe_read(const struct probe *probe, int in, int out, size_t reach, float *coefficient)
{
    size_t taps = 2 * reach + 1;
    for (size_t n = 0; n < probe->made; n++) {
        uint64_t at = (uint64_t)n * (uint64_t)in;
        size_t base = (size_t)(at / (uint64_t)out), phase = (size_t)(at % (uint64_t)out);
        size_t q = base / probe->spacing; /* the last impulse at most reach after base */
        if (q >= (size_t)in)
            q = (size_t)in - 1;
        size_t impulse = probe->first + q * probe->spacing;
        if (impulse + reach >= base && impulse <= base + reach)
            coefficient[phase * taps + (impulse + reach - base)] = probe->y[n];
    }
}

/* What libsamplerate looks at but weighs with zero in every phase is not waited for. */
static void trim(const float *coefficient, size_t taps, size_t rows, size_t *ret_first,
                 size_t *ret_last)
{
    size_t first = taps - 1, last = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < taps; k++)
            if (coefficient[r * taps + k] != 0) {
                first = k < first ? k : first;
                last = k > last ? k : last;
            }
    *ret_first = first;
    *ret_last = last;
}

static int make_table(struct polyphase *p, SRC_STATE *src, size_t reach)
{
    struct probe probe = {0};
    int r = probe_shape(&probe, p->in, p->out, reach);
    if (r < 0)
        return r;
    size_t taps = 2 * reach + 1, first, last;
    float *coefficient = memory_zeroed((size_t)p->out * taps, sizeof(float));
    r = coefficient == NULL ? -ENOMEM : probe_run(&probe, src, p->in, p->out);
    if (r == 0) {
        probe_read(&probe, p->in, p->out, reach, coefficient);
        trim(coefficient, taps, (size_t)p->out, &first, &last);
        /* the output's own place stays within: left and right count from there */
        first = first < reach ? first : reach;
        last = last > reach ? last : reach;
        p->left = reach - first;
        p->right = last - reach;
        p->taps = last - first + 1;
        p->stride = dot_padded(p->taps);
        p->rows = memory_zeroed((size_t)p->out * p->stride, sizeof(float));
        r = p->rows == NULL ? -ENOMEM : 0;
    }
    for (size_t row = 0; r == 0 && row < (size_t)p->out; row++)
        memcpy(p->rows + row * p->stride, coefficient + row * taps + first,
               p->taps * sizeof(float));
    free(probe.x);
    free(probe.y);
    free(coefficient);
    return r;
}

/* The stream */

int polyphase_create(struct polyphase **ret, SRC_STATE *src, int in, int out, size_t reach,
                     size_t max_frames, struct error *error)
{
    struct polyphase *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(error, ENOMEM, "resampler: out of memory");
    p->in = in;
    p->out = out;
    p->dot = dot_product_for(simd_best());
    int r = make_table(p, src, reach);
    if (r == 0) {
        /* between pushes at most taps + in/out frames are held; a row's padding may look beyond */
        p->capacity = p->taps + (size_t)(in / out) + 1 + max_frames;
        p->history = memory_zeroed(p->capacity + DOT_BLOCK, sizeof(float));
        r = p->history == NULL ? -ENOMEM : 0;
    }
    if (r < 0) {
        polyphase_destroy(p);
        if (r == -E2BIG)
            return r;
        return error_set(error, -r, "resampler: %s for %d phases",
                         r == -ENOMEM ? "out of memory" : "libsamplerate fails", out);
    }
    polyphase_reset(p);
    *ret = p;
    return 0;
}

void polyphase_destroy(struct polyphase *p)
{
    if (p == NULL)
        return;
    free(p->rows);
    free(p->history);
    free(p);
}

/* Zeros come before the first input. */
void polyphase_reset(struct polyphase *p)
{
    memset(p->history, 0, p->capacity * sizeof(float));
    p->held = p->left;
    p->ahead = 0;
    p->phase = 0;
}

size_t polyphase_push(struct polyphase *p, const float *x, size_t frames, float *ret, size_t cap)
{
    memcpy(p->history + p->held, x, frames * sizeof(float));
    p->held += frames;
    size_t n = 0, step = (size_t)(p->in / p->out);
    int step_phase = p->in % p->out;
    for (; n < cap && p->ahead + p->taps <= p->held; n++) {
        ret[n] = p->dot(p->rows + (size_t)p->phase * p->stride, p->history + p->ahead, p->stride);
        p->ahead += step;
        p->phase += step_phase;
        if (p->phase >= p->out) {
            p->phase -= p->out;
            p->ahead++;
        }
    }
    size_t drop = p->ahead < p->held ? p->ahead : p->held;
    memmove(p->history, p->history + drop, (p->held - drop) * sizeof(float));
    p->held -= drop;
    p->ahead -= drop;
    return n;
}

size_t polyphase_reach(const struct polyphase *p)
{
    return p->right;
}
