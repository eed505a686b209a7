/* SPDX-License-Identifier: Apache-2.0
 * F: bins = n_fft/2 + 1. */
#include "dsp/stft.h"

#include <errno.h>
#include <fftw3.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

/* FFTW's planner is not thread-safe; running its plans is. */
static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

/* One real transform of n_fft samples, either way, with its own buffers. */
struct transform {
    struct stft_shape shape;
    int bins, left;  /* zeros before the window within n_fft */
    float *window;   /* [win_length] */
    float *time;     /* [n_fft] */
    float *spectrum; /* [F][2] */
    fftwf_plan plan;
};

int stft_bins(const struct stft_shape *shape)
{
    return shape->n_fft / 2 + 1;
}

size_t stft_frames(const struct stft_shape *shape, size_t n_samples)
{
    return n_samples / (size_t)shape->hop + 1;
}

int stft_shape_check(const struct stft_shape *shape, struct error *error)
{
    if (shape->n_fft < 2 || shape->n_fft > 1 << 16 || shape->n_fft % 2 != 0)
        return error_set(error, EINVAL, "n_fft is %d; allowed: even numbers from 2 to 65536",
                         shape->n_fft);
    if (shape->win_length < 1 || shape->win_length > shape->n_fft)
        return error_set(error, EINVAL, "win_length is %d; allowed: 1 to n_fft = %d",
                         shape->win_length, shape->n_fft);
    if (shape->hop < 1 || shape->hop > shape->win_length)
        return error_set(error, EINVAL, "hop_length is %d; allowed: 1 to win_length = %d",
                         shape->hop, shape->win_length);
    return 0;
}

static void transform_finish(struct transform *t)
{
    if (t->plan != NULL) {
        pthread_mutex_lock(&planner);
        fftwf_destroy_plan(t->plan);
        pthread_mutex_unlock(&planner);
    }
    free(t->window);
    free(t->time);
    free(t->spectrum);
}

/* Periodic Hamming, 0.54 - 0.46 cos(2 pi m / win_length) (torch.hamming_window). */
static void make_window(float *window, int n)
{
    for (int m = 0; m < n; m++)
        window[m] = (float)(0.54 - 0.46 * cos(2 * M_PI * m / n));
}

/* effort: FFTW_MEASURE times a few plans and takes the fastest, FFTW_ESTIMATE goes by rule. */
static int transform_init(struct transform *t, const struct stft_shape *shape, bool inverse,
                          unsigned effort, struct error *error)
{
    int r = stft_shape_check(shape, error);
    if (r < 0)
        return r;
    t->shape = *shape;
    t->bins = stft_bins(shape);
    t->left = (shape->n_fft - shape->win_length) / 2;
    t->window = memory_zeroed((size_t)shape->win_length, sizeof(float));
    t->time = memory_zeroed((size_t)shape->n_fft, sizeof(float));
    t->spectrum = memory_zeroed((size_t)t->bins, 2 * sizeof(float));
    if (t->window == NULL || t->time == NULL || t->spectrum == NULL)
        return error_set(error, ENOMEM, "STFT: out of memory");
    make_window(t->window, shape->win_length);
    pthread_mutex_lock(&planner);
    fftwf_complex *spectrum = (fftwf_complex *)t->spectrum;
    t->plan = inverse ? fftwf_plan_dft_c2r_1d(shape->n_fft, spectrum, t->time, effort)
                      : fftwf_plan_dft_r2c_1d(shape->n_fft, t->time, spectrum, effort);
    pthread_mutex_unlock(&planner);
    if (t->plan == NULL)
        return error_set(error, ENOMEM, "STFT: no plan for n_fft %d", shape->n_fft);
    memset(t->time, 0, (size_t)shape->n_fft * sizeof(float)); /* measuring leaves noise behind */
    return 0;
}

/* Forward */

struct stft {
    struct transform transform;
    float *padded; /* [win_length] */
};

static int create(struct stft **ret, const struct stft_shape *shape, unsigned effort,
                  struct error *error)
{
    struct stft *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ENOMEM, "STFT: out of memory");
    int r = transform_init(&s->transform, shape, false, effort, error);
    if (r == 0) {
        s->padded = memory_zeroed((size_t)shape->win_length, sizeof(float));
        if (s->padded == NULL)
            r = error_set(error, ENOMEM, "STFT: out of memory");
    }
    if (r < 0) {
        stft_destroy(s);
        return r;
    }
    *ret = s;
    return 0;
}

int stft_create(struct stft **ret, const struct stft_shape *shape, struct error *error)
{
    return create(ret, shape, FFTW_MEASURE, error);
}

int stft_create_repeatable(struct stft **ret, const struct stft_shape *shape, struct error *error)
{
    return create(ret, shape, FFTW_ESTIMATE, error);
}

void stft_destroy(struct stft *s)
{
    if (s == NULL)
        return;
    transform_finish(&s->transform);
    free(s->padded);
    free(s);
}

void stft_frame(struct stft *s, const float *x, float *ret)
{
    struct transform *t = &s->transform;
    for (int m = 0; m < t->shape.win_length; m++)
        t->time[t->left + m] = t->window[m] * x[m];
    fftwf_execute(t->plan);
    memcpy(ret, t->spectrum, (size_t)t->bins * 2 * sizeof(float));
}

void stft_frame_padded(struct stft *s, const float *x, size_t n, size_t t, float *ret)
{
    const struct stft_shape *shape = &s->transform.shape;
    long begin = (long)t * shape->hop - shape->n_fft / 2 + s->transform.left;
    for (int m = 0; m < shape->win_length; m++) {
        long i = begin + m;
        s->padded[m] = i >= 0 && i < (long)n ? x[i] : 0;
    }
    stft_frame(s, s->padded, ret);
}

void stft_signal(struct stft *s, const float *x, size_t n, float *ret)
{
    const struct stft_shape *shape = &s->transform.shape;
    size_t frames = stft_frames(shape, n), stride = (size_t)s->transform.bins * 2;
    long before = shape->n_fft / 2 - s->transform.left;
    for (size_t t = 0; t < frames; t++) {
        long begin = (long)t * shape->hop - before;
        if (begin >= 0 && begin + shape->win_length <= (long)n)
            stft_frame(s, x + begin, ret + t * stride);
        else
            stft_frame_padded(s, x, n, t, ret + t * stride);
    }
}

const float *stft_window(const struct stft *s)
{
    return s->transform.window;
}

/* Inverse */

struct istft {
    struct transform transform;
    float *sum;      /* [3 hop] overlap-added, windowed frames from the next hop on */
    float *envelope; /* [3 hop] likewise, squared window */
};

int istft_create(struct istft **ret, const struct stft_shape *shape, struct error *error)
{
    struct istft *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ENOMEM, "inverse STFT: out of memory");
    int r = 0;
    if (shape->win_length > 2 * shape->hop)
        r = error_set(error, EINVAL,
                      "inverse STFT: win_length %d; allowed: up to twice the hop of %d",
                      shape->win_length, shape->hop);
    if (r == 0)
        r = transform_init(&s->transform, shape, true, FFTW_MEASURE, error);
    if (r == 0) {
        size_t n = 3 * (size_t)shape->hop;
        s->sum = memory_zeroed(n, sizeof(float));
        s->envelope = memory_zeroed(n, sizeof(float));
        if (s->sum == NULL || s->envelope == NULL)
            r = error_set(error, ENOMEM, "inverse STFT: out of memory");
    }
    if (r < 0) {
        istft_destroy(s);
        return r;
    }
    *ret = s;
    return 0;
}

void istft_destroy(struct istft *s)
{
    if (s == NULL)
        return;
    transform_finish(&s->transform);
    free(s->sum);
    free(s->envelope);
    free(s);
}

void istft_reset(struct istft *s)
{
    size_t bytes = 3 * (size_t)s->transform.shape.hop * sizeof(float);
    memset(s->sum, 0, bytes);
    memset(s->envelope, 0, bytes);
}

/* sum and envelope begin at sample hop*(t-1) of frame t's centre hop*t: the frame's window, at most
 * two hops long, lies within them, and the first hop is complete once the frame is added. */
void istft_push(struct istft *s, const float *spectrum, float *ret)
{
    struct transform *t = &s->transform;
    size_t hop = (size_t)t->shape.hop;
    size_t at = hop - (size_t)(t->shape.n_fft / 2 - t->left);
    memcpy(t->spectrum, spectrum, (size_t)t->bins * 2 * sizeof(float));
    fftwf_execute(t->plan);
    float scale = 1.0f / (float)t->shape.n_fft;
    for (int m = 0; m < t->shape.win_length; m++) {
        s->sum[at + (size_t)m] += t->time[t->left + m] * t->window[m] * scale;
        s->envelope[at + (size_t)m] += t->window[m] * t->window[m];
    }
    for (size_t i = 0; i < hop; i++)
        ret[i] = s->envelope[i] > 1e-8f ? s->sum[i] / s->envelope[i] : 0;
    memmove(s->sum, s->sum + hop, 2 * hop * sizeof(float));
    memmove(s->envelope, s->envelope + hop, 2 * hop * sizeof(float));
    memset(s->sum + 2 * hop, 0, hop * sizeof(float));
    memset(s->envelope + 2 * hop, 0, hop * sizeof(float));
}

/* Wisdom */

int stft_wisdom_load(const char *path)
{
    pthread_mutex_lock(&planner);
    int ok = fftwf_import_wisdom_from_filename(path);
    pthread_mutex_unlock(&planner);
    return ok ? 0 : -ENOENT;
}

int stft_wisdom_save(const char *path, struct error *error)
{
    char temporary[4096];
    int n = snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temporary)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long", path);
    errno = 0;
    pthread_mutex_lock(&planner);
    int ok = fftwf_export_wisdom_to_filename(temporary);
    pthread_mutex_unlock(&planner);
    if (!ok || rename(temporary, path) < 0) {
        int code = errno != 0 ? errno : EIO;
        unlink(temporary);
        return error_set(error, code, "%s: cannot keep FFTW's wisdom: %s", path, strerror(code));
    }
    return 0;
}
