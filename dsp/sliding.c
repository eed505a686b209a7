/* SPDX-License-Identifier: Apache-2.0
 * T: frames of a window, F: bins. Samples and frames lie in rings addressed by absolute position.
 */
#include "dsp/sliding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct sliding {
    struct stft_shape shape;
    size_t window, frames, stride; /* samples, T, F*2 */
    struct stft *stft;
    float *samples; /* [samples_cap] */
    size_t samples_cap;
    float *spectra; /* [frames_cap][F][2] */
    size_t frames_cap;
    float *under_window; /* [win_length] contiguous copy */
    uint64_t begin, end; /* of the history, in samples */
    uint64_t next_frame; /* the first frame not yet computed */
};

int sliding_create(struct sliding **ret, const struct stft_shape *shape, size_t window_samples,
                   struct error *error)
{
    struct sliding *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ENOMEM, "history: out of memory");
    int r = stft_create(&s->stft, shape, error);
    if (r == 0 && window_samples < (size_t)shape->win_length)
        r = error_set(error, EINVAL, "a window of %zu samples; allowed: at least win_length %d",
                      window_samples, shape->win_length);
    if (r == 0) {
        s->shape = *shape;
        s->window = window_samples;
        s->frames = stft_frames(shape, window_samples);
        s->stride = (size_t)stft_bins(shape) * 2;
        s->samples_cap = 2 * window_samples + (size_t)shape->win_length;
        s->frames_cap = 2 * s->frames;
        s->samples = memory_zeroed(s->samples_cap, sizeof(float));
        s->spectra = memory_zeroed(s->frames_cap * s->stride, sizeof(float));
        s->under_window = memory_zeroed((size_t)shape->win_length, sizeof(float));
        if (s->samples == NULL || s->spectra == NULL || s->under_window == NULL)
            r = error_set(error, ENOMEM, "history: out of memory");
    }
    if (r < 0) {
        sliding_destroy(s);
        return r;
    }
    *ret = s;
    return 0;
}

void sliding_destroy(struct sliding *s)
{
    if (s == NULL)
        return;
    stft_destroy(s->stft);
    free(s->samples);
    free(s->spectra);
    free(s->under_window);
    free(s);
}

/* Copies [first, first + n) out of the ring. */
static void copy_samples(const struct sliding *s, uint64_t first, size_t n, float *ret)
{
    size_t at = (size_t)(first % s->samples_cap);
    size_t run = n < s->samples_cap - at ? n : s->samples_cap - at;
    memcpy(ret, s->samples + at, run * sizeof(float));
    memcpy(ret + run, s->samples, (n - run) * sizeof(float));
}

static void store_samples(struct sliding *s, const float *x, size_t n)
{
    size_t at = (size_t)(s->end % s->samples_cap);
    size_t run = n < s->samples_cap - at ? n : s->samples_cap - at;
    if (x != NULL) {
        memcpy(s->samples + at, x, run * sizeof(float));
        memcpy(s->samples, x + run, (n - run) * sizeof(float));
    } else {
        memset(s->samples + at, 0, run * sizeof(float));
        memset(s->samples, 0, (n - run) * sizeof(float));
    }
    s->end += n;
}

/* Samples of frame t before its centre. */
static uint64_t frame_reach(const struct sliding *s)
{
    return (uint64_t)(s->shape.n_fft / 2 - (s->shape.n_fft - s->shape.win_length) / 2);
}

static float *frame_at(const struct sliding *s, uint64_t t)
{
    return s->spectra + (size_t)(t % s->frames_cap) * s->stride;
}

/* Frames whose samples are all there. Those that reach before the history's begin are never used.
 */
static void compute_frames(struct sliding *s)
{
    uint64_t hop = (uint64_t)s->shape.hop, reach = frame_reach(s);
    uint64_t after = (uint64_t)s->shape.win_length - reach;
    for (; s->next_frame * hop + after <= s->end; s->next_frame++) {
        if (s->next_frame * hop < s->begin + reach)
            continue;
        copy_samples(s, s->next_frame * hop - reach, (size_t)s->shape.win_length, s->under_window);
        stft_frame(s->stft, s->under_window, frame_at(s, s->next_frame));
    }
}

void sliding_push(struct sliding *s, const float *x, size_t n)
{
    store_samples(s, x, n);
    compute_frames(s);
}

void sliding_skip(struct sliding *s, uint64_t n)
{
    if (n < s->window) {
        store_samples(s, NULL, (size_t)n);
        compute_frames(s);
        return;
    }
    s->end += n;
    s->begin = s->end;
    s->next_frame = s->begin / (uint64_t)s->shape.hop;
}

uint64_t sliding_end(const struct sliding *s)
{
    return s->end;
}

uint64_t sliding_begin(const struct sliding *s)
{
    return s->begin;
}

bool sliding_has(const struct sliding *s, uint64_t first)
{
    uint64_t oldest = s->end > 2 * s->window ? s->end - 2 * s->window : 0;
    return first % (uint64_t)s->shape.hop == 0 && first >= s->begin && first >= oldest &&
           first + s->window <= s->end;
}

/* A frame of the window that reaches over its edge is made as the reference makes it, with zeros
 * outside; all others are the stream's. */
static bool frame_inside(const struct sliding *s, size_t t)
{
    size_t centre = t * (size_t)s->shape.hop, reach = (size_t)frame_reach(s);
    return centre >= reach && centre - reach + (size_t)s->shape.win_length <= s->window;
}

bool sliding_window(struct sliding *s, uint64_t first, float *samples, float *spectrum)
{
    if (!sliding_has(s, first))
        return false;
    copy_samples(s, first, s->window, samples);
    uint64_t first_frame = first / (uint64_t)s->shape.hop;
    for (size_t t = 0; t < s->frames; t++) {
        float *ret = spectrum + t * s->stride;
        if (frame_inside(s, t))
            memcpy(ret, frame_at(s, first_frame + t), s->stride * sizeof(float));
        else
            stft_frame_padded(s->stft, samples, s->window, t, ret);
    }
    return true;
}
