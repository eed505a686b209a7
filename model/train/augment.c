/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/augment.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { REACH = AUGMENT_TAPS / 2, BLOCK = 64 };

static int check_range(const char *what, double low, double high, double least, double most,
                       struct error *error)
{
    if (low >= least && low <= high && high <= most)
        return 0;
    return error_set(error, EINVAL, "augmentation: %s %g..%g must be a range in %g..%g", what, low,
                     high, least, most);
}

int augment_check(const struct augment_settings *settings, struct error *error)
{
    const struct augment_settings *s = settings;
    int r = check_range("drop probability", s->drop_probability, s->drop_probability, 0, 1, error);
    if (r == 0)
        r = check_range("dropped frequencies", s->notches_low, s->notches_high, 0,
                        AUGMENT_MAX_NOTCHES, error);
    if (r == 0)
        r = check_range("frequency", s->frequency_low, s->frequency_high, 0, 1, error);
    if (r == 0)
        r = check_range("dropped chunks", s->chunks_low, s->chunks_high, 0, 1e6, error);
    if (r == 0)
        r = check_range("chunk length", s->chunk_samples_low, s->chunk_samples_high, 0, 1e6, error);
    if (r == 0)
        r = check_range("time shift", s->shift_samples, s->shift_samples, 0, 1e9, error);
    if (r == 0)
        r = check_range("gain", s->gain_db, s->gain_db, 0, 100, error);
    if (r == 0)
        r = check_range("equalizer", s->equalizer_db, s->equalizer_db, 0, 100, error);
    return r;
}

/* sinc(3 c k) times a periodic Blackman window, its sum 1. */
static void low_pass(double c, double *ret)
{
    double sum = 0;
    for (int i = 0; i < AUGMENT_TAPS; i++) {
        double x = 3 * c * (i - REACH), phase = 2 * M_PI * i / AUGMENT_TAPS;
        double window = 0.42 - 0.5 * cos(phase) + 0.08 * cos(2 * phase);
        ret[i] = (x != 0 ? sin(x) / x : 1) * window;
        sum += ret[i];
    }
    for (int i = 0; i < AUGMENT_TAPS; i++)
        ret[i] /= sum;
}

/* filter = filter correlated with notch, zeros around it. */
static void add_notch(double *filter, const double *notch)
{
    double result[AUGMENT_TAPS];
    for (int i = 0; i < AUGMENT_TAPS; i++) {
        result[i] = 0;
        for (int k = 0; k < AUGMENT_TAPS; k++) {
            int from = i + k - REACH;
            if (from >= 0 && from < AUGMENT_TAPS)
                result[i] += filter[from] * notch[k];
        }
    }
    memcpy(filter, result, sizeof result);
}

void augment_notches(const double *frequencies, int n, float *ret)
{
    const double lowest = 1e-12, width = 0.05;
    double filter[AUGMENT_TAPS] = {0}, notch[AUGMENT_TAPS], above[AUGMENT_TAPS];
    filter[REACH] = 1;
    for (int k = 0; k < n; k++) {
        double f = fmax(frequencies[k], lowest);
        low_pass(f, notch);
        low_pass(f + 2 * width, above);
        for (int i = 0; i < AUGMENT_TAPS; i++)
            notch[i] -= above[i];
        notch[REACH] += 1;
        add_notch(filter, notch);
    }
    for (int i = 0; i < AUGMENT_TAPS; i++)
        ret[i] = (float)filter[i];
}

/* Outputs from..to, of which any tap may lie outside x. */
static void filter_edge(const float *x, size_t n, const float *filter, size_t from, size_t to,
                        float *ret)
{
    for (size_t i = from; i < to; i++) {
        float sum = 0;
        for (size_t k = 0; k < AUGMENT_TAPS; k++)
            if (i + k >= REACH && i + k - REACH < n)
                sum += x[i + k - REACH] * filter[k];
        ret[i] = sum;
    }
}

void augment_filter(const float *x, size_t n, const float *filter, float *ret)
{
    size_t i = n < REACH ? n : REACH;
    filter_edge(x, n, filter, 0, i, ret);
    for (; i + BLOCK + REACH <= n; i += BLOCK) {
        float sums[BLOCK] = {0};
        for (size_t k = 0; k < AUGMENT_TAPS; k++)
            for (size_t j = 0; j < BLOCK; j++)
                sums[j] += x[i + k - REACH + j] * filter[k];
        memcpy(ret + i, sums, sizeof sums);
    }
    filter_edge(x, n, filter, i, n, ret);
}

void augment_drop_chunks(struct random *random, int chunks, int low, int high, float *x, size_t n)
{
    /* Lengths decide how late a chunk may begin, so they are drawn first, and drawn again from the
     * same state when they are used. */
    struct random lengths = *random;
    int64_t longest = 0, samples = (int64_t)n;
    for (int i = 0; i < chunks; i++) {
        int64_t length = random_integer(random, low, high);
        longest = length > longest ? length : longest;
    }
    for (int i = 0; i < chunks; i++) {
        int64_t length = random_integer(&lengths, low, high);
        int64_t begin = random_integer(random, 0, samples > longest ? samples - longest : 0);
        int64_t end = begin + length < samples ? begin + length : samples;
        for (int64_t k = begin; k < end; k++)
            x[k] = 0;
    }
}

void augment_shift(const float *x, size_t n, int64_t by, bool circular, float *ret)
{
    if (n == 0)
        return;
    uint64_t distance = by < 0 ? -(uint64_t)by : (uint64_t)by;
    size_t cut = circular ? (size_t)(distance % n) : distance < n ? (size_t)distance : n;
    size_t kept = n - cut;
    if (by >= 0) { /* x[0..kept) moves to the end */
        memcpy(ret + cut, x, kept * sizeof *x);
        memcpy(ret, x + kept, cut * sizeof *x);
    } else {
        memcpy(ret, x + cut, kept * sizeof *x);
        memcpy(ret + kept, x, cut * sizeof *x);
    }
    if (!circular)
        memset(by >= 0 ? ret : ret + kept, 0, cut * sizeof *x);
}

void augment_gain(float *x, size_t n, double db)
{
    float factor = (float)pow(10, db / 20);
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

bool augment_background(float *x, size_t n, const float *noise, size_t noise_n, size_t offset,
                        double snr_db)
{
    if (noise_n == 0)
        return false;
    double own = 0, other = 0;
    for (size_t i = 0, k = offset % noise_n; i < n; i++, k = k + 1 < noise_n ? k + 1 : 0) {
        own += (double)x[i] * (double)x[i];
        other += (double)noise[k] * (double)noise[k];
    }
    double factor = sqrt(own / other) * pow(10, -snr_db / 20);
    if (!(own > 0 && other > 0 && isfinite(factor)))
        return false;
    for (size_t i = 0, k = offset % noise_n; i < n; i++, k = k + 1 < noise_n ? k + 1 : 0)
        x[i] += (float)factor * noise[k];
    return true;
}

void augment_mix(float *x, const float *other, size_t n, float weight)
{
    for (size_t i = 0; i < n; i++)
        x[i] = weight * x[i] + (1 - weight) * other[i];
}

void augment_batch_draw(const struct augment_settings *settings, struct random *random,
                        struct augment_batch *ret)
{
    const struct augment_settings *s = settings;
    double frequencies[AUGMENT_MAX_NOTCHES];
    ret->drop = random_chance(random, s->drop_probability);
    if (!ret->drop)
        return;
    int n = (int)random_integer(random, s->notches_low, s->notches_high);
    for (int i = 0; i < n; i++)
        frequencies[i] = random_between(random, s->frequency_low, s->frequency_high);
    augment_notches(frequencies, n, ret->filter);
}

void augment_clip(const struct augment_settings *settings, const struct augment_batch *batch,
                  struct random *random, float *x, size_t n, float *scratch)
{
    const struct augment_settings *s = settings;
    if (s->shift_samples > 0) {
        memcpy(scratch, x, n * sizeof *x);
        augment_shift(scratch, n, random_integer(random, -s->shift_samples, s->shift_samples),
                      s->shift_circular, x);
    }
    if (s->gain_db > 0)
        augment_gain(x, n, random_between(random, -s->gain_db, s->gain_db));
    if (!batch->drop)
        return;
    memcpy(scratch, x, n * sizeof *x);
    augment_filter(scratch, n, batch->filter, x);
    int chunks = (int)random_integer(random, s->chunks_low, s->chunks_high);
    augment_drop_chunks(random, chunks, s->chunk_samples_low, s->chunk_samples_high, x, n);
}

void augment_equalizer(const struct augment_settings *settings, struct random *random, int bins,
                       float *ret)
{
    enum { LAST = AUGMENT_EQUALIZER_POINTS - 1 };
    double points[AUGMENT_EQUALIZER_POINTS] = {0};
    const double most = settings->equalizer_db;
    for (int i = 0; i <= LAST && most > 0; i++)
        points[i] = random_between(random, -most, most);
    for (int f = 0; f < bins; f++) {
        const double nyquist = bins > 1 ? (double)f / (bins - 1) : 0; /* as a fraction */
        int i = (int)(LAST * sqrt(nyquist));
        i = i < LAST ? i : LAST - 1;
        const double from = (double)(i * i) / (LAST * LAST),
                     to = (double)((i + 1) * (i + 1)) / (LAST * LAST),
                     db = points[i] + (points[i + 1] - points[i]) * (nyquist - from) / (to - from);
        ret[f] = (float)pow(10, db / 20);
    }
}
