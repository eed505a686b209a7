/* SPDX-License-Identifier: Apache-2.0 */
#include "dsp/sinc_resample.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static const double lowpass_width = 6, rolloff = 0.99;

struct sinc_resample {
    int in, out;   /* rates over their greatest common divisor */
    int width;     /* taps before the first sample */
    int taps;      /* 2 width + in */
    float *kernel; /* [out][taps] */
};

static int gcd(int a, int b)
{
    return b == 0 ? a : gcd(b, a % b);
}

/* torchaudio functional.resample: _get_sinc_resample_kernel. The kernel is computed in float64, but
 * the published code forms the phase j/out in float32; that is kept. */
static void make_kernel(struct sinc_resample *s)
{
    double base = (s->in < s->out ? s->in : s->out) * rolloff;
    for (int j = 0; j < s->out; j++) {
        double phase = (double)(float)((float)-j / (float)s->out);
        for (int k = 0; k < s->taps; k++) {
            double t = (phase + (double)(k - s->width) / s->in) * base;
            t = fmin(fmax(t, -lowpass_width), lowpass_width);
            double window = cos(t * M_PI / lowpass_width / 2);
            double x = t * M_PI;
            double sinc = x == 0 ? 1 : sin(x) / x;
            s->kernel[(size_t)j * (size_t)s->taps + (size_t)k] =
                (float)(sinc * window * window * base / s->in);
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
    double base = (s->in < s->out ? s->in : s->out) * rolloff;
    s->width = (int)ceil(lowpass_width * s->in / base);
    s->taps = 2 * s->width + s->in;
    s->kernel = memory_zeroed((size_t)s->out * (size_t)s->taps, sizeof(float));
    if (s->kernel == NULL) {
        int code = error_set(error, ENOMEM, "resampler: out of memory for %d x %d taps", s->out,
                             s->taps);
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
    free(s->kernel);
    free(s);
}

size_t sinc_resample_length(const struct sinc_resample *s, size_t n)
{
    return (n * (size_t)s->out + (size_t)s->in - 1) / (size_t)s->in;
}

void sinc_resample_run(const struct sinc_resample *s, const float *in, size_t n, float *ret)
{
    size_t length = sinc_resample_length(s, n);
    if (s->in == s->out) {
        memcpy(ret, in, n * sizeof *in);
        return;
    }
    for (size_t y = 0; y < length; y++) {
        const float *row = s->kernel + (y % (size_t)s->out) * (size_t)s->taps;
        long begin = (long)(y / (size_t)s->out) * s->in - s->width;
        long from = begin < 0 ? -begin : 0;
        long to = begin + s->taps > (long)n ? (long)n - begin : s->taps;
        float sum = 0;
        for (long k = from; k < to; k++)
            sum += row[k] * in[begin + k];
        ret[y] = sum;
    }
}

const float *sinc_resample_row(const struct sinc_resample *s, int j, int *ret_taps)
{
    *ret_taps = s->taps;
    return s->kernel + (size_t)j * (size_t)s->taps;
}
