/* SPDX-License-Identifier: Apache-2.0
 * The published kernel has a row for each of the `out` phases, of 2 width + in taps, nearly all
 * zero: only those less than lowpass_width zero crossings from the phase are kept. */
#include "dsp/sinc_resample.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/dot.h"

static const double lowpass_width = 6, rolloff = 0.99;

struct sinc_resample {
    int in, out;   /* rates over their greatest common divisor */
    int width;     /* taps before the first sample */
    int taps;      /* of a published row: 2 width + in */
    double base;   /* cut-off: zero crossings in `in` input samples */
    size_t stride; /* of a kept row, padded for the inner product */
    int *first;    /* [out] the first tap that is kept */
    float *kernel; /* [out][stride] */
    dot_product dot;
};

static int gcd(int a, int b)
{
    return b == 0 ? a : gcd(b, a % b);
}

/* torchaudio functional.resample: _get_sinc_resample_kernel. The kernel is computed in float64, but
 * the published code forms the phase j/out in float32; that is kept. */
static double tap_time(const struct sinc_resample *s, int j, int k)
{
    double phase = (double)((float)-j / (float)s->out);
    return (phase + (double)(k - s->width) / s->in) * s->base;
}

static float tap_weight(const struct sinc_resample *s, double t)
{
    double window = cos(t * M_PI / lowpass_width / 2);
    double x = t * M_PI;
    double sinc = x == 0 ? 1 : sin(x) / x;
    return (float)(sinc * window * window * s->base / s->in);
}

static void make_kernel(struct sinc_resample *s)
{
    for (int j = 0; j < s->out; j++) {
        /* the place where t reaches -lowpass_width, and for safety from rounding a little before */
        double from = ((double)j / s->out - lowpass_width / s->base) * s->in + s->width - 2;
        int k = from > 0 ? (int)from : 0;
        while (k < s->taps - 1 && tap_time(s, j, k) <= -lowpass_width)
            k++;
        s->first[j] = k;
        float *row = s->kernel + (size_t)j * s->stride;
        for (; k < s->taps; k++) {
            double t = tap_time(s, j, k);
            if (t >= lowpass_width)
                break;
            row[k - s->first[j]] = tap_weight(s, t);
        }
    }
}

int sinc_resample_create(struct sinc_resample **ret, int in_rate_hz, int out_rate_hz,
                         struct error *error)
{
    if (in_rate_hz < 1 || out_rate_hz < 1 || in_rate_hz > 1000000 || out_rate_hz > 1000000)
        return error_set(error, EINVAL, "resampling %d Hz to %d Hz; allowed: 1 to 1000000 Hz",
                         in_rate_hz, out_rate_hz);
    struct sinc_resample *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ENOMEM, "resampler: out of memory");
    int divisor = gcd(in_rate_hz, out_rate_hz);
    s->in = in_rate_hz / divisor;
    s->out = out_rate_hz / divisor;
    s->base = (s->in < s->out ? s->in : s->out) * rolloff;
    s->width = (int)ceil(lowpass_width * s->in / s->base);
    s->taps = 2 * s->width + s->in;
    s->stride = dot_padded((size_t)(2 * s->width + 1));
    s->dot = dot_product_for(simd_best());
    s->first = calloc((size_t)s->out, sizeof *s->first);
    s->kernel = memory_zeroed((size_t)s->out * s->stride, sizeof(float));
    if (s->first == NULL || s->kernel == NULL) {
        int code = error_set(error, ENOMEM, "resampler: out of memory for %d phases of %zu taps",
                             s->out, s->stride);
        sinc_resample_destroy(s);
        return code;
    }
    make_kernel(s);
    *ret = s;
    return 0;
}

void sinc_resample_destroy(struct sinc_resample *s)
{
    if (s == NULL)
        return;
    free(s->first);
    free(s->kernel);
    free(s);
}

size_t sinc_resample_length(const struct sinc_resample *s, size_t n)
{
    return (n * (size_t)s->out + (size_t)s->in - 1) / (size_t)s->in;
}

/* A row at x[begin], of which only [0, n) exists; elsewhere are zeros. */
static float dot_at_edge(const float *row, size_t taps, const float *x, long begin, long n)
{
    long from = begin < 0 ? -begin : 0;
    long to = begin + (long)taps > n ? n - begin : (long)taps;
    float sum = 0;
    for (long k = from; k < to; k++)
        sum += row[k] * x[begin + k];
    return sum;
}

void sinc_resample_run(const struct sinc_resample *s, const float *in, size_t n, float *ret)
{
    size_t length = sinc_resample_length(s, n);
    if (s->in == s->out) {
        memcpy(ret, in, n * sizeof *in);
        return;
    }
    for (size_t y = 0; y < length; y++) {
        size_t j = y % (size_t)s->out;
        const float *row = s->kernel + j * s->stride;
        long begin = (long)(y / (size_t)s->out) * s->in - s->width + s->first[j];
        if (begin >= 0 && begin + (long)s->stride <= (long)n)
            ret[y] = s->dot(row, in + begin, s->stride);
        else
            ret[y] = dot_at_edge(row, s->stride, in, begin, (long)n);
    }
}

int sinc_resample_taps(const struct sinc_resample *s)
{
    return s->taps;
}

void sinc_resample_row(const struct sinc_resample *s, int j, float *ret)
{
    memset(ret, 0, (size_t)s->taps * sizeof *ret);
    size_t kept = (size_t)(s->taps - s->first[j]);
    kept = kept < s->stride ? kept : s->stride;
    memcpy(ret + s->first[j], s->kernel + (size_t)j * s->stride, kept * sizeof *ret);
}
