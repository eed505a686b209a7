/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/clip.h"
#include "dsp/resize.h"
#include "dsp/sinc_resample.h"
#include "dsp/stft.h"
#include "model/interpret/metrics.h"

struct eval_maker {
    const struct model_info *info;
    size_t window, cells; /* samples; T * F */
    struct analysis *analysis;
    struct stft *stft;
    struct resize *shrink; /* [T][F] -> [R][C] */
    enum eval_resampler resampler;
    struct sinc_resample *resample; /* of EVAL_RESAMPLER_PAPER */
    int resample_from;              /* Hz, of resample */
    float *samples;                 /* [window] */
    float *spectrum;                /* [T][F][2] */
    float *mask, *masked;           /* [T][F] */
    float *sorting;                 /* [2][T][F] */
};

static size_t frames_of(const struct model_info *info)
{
    struct stft_shape shape = analysis_shape(info);
    return stft_frames(&shape, (size_t)info->preprocess.window_samples);
}

size_t eval_window_cells(const struct model_info *info)
{
    struct stft_shape shape = analysis_shape(info);
    return frames_of(info) * (size_t)stft_bins(&shape);
}

size_t eval_plane_cells(const struct model_info *info)
{
    return (size_t)info->image_rows * (size_t)info->image_cols;
}

static const char *const resampler_names[] = {
    [EVAL_RESAMPLER_PAPER] = "paper",
    [EVAL_RESAMPLER_FAST] = "fast",
    [EVAL_RESAMPLER_MEDIUM] = "medium",
    [EVAL_RESAMPLER_BEST] = "best",
};

const char *eval_resampler_name(enum eval_resampler resampler)
{
    return resampler_names[resampler];
}

int eval_resampler_parse(const char *name, enum eval_resampler *ret, struct error *error)
{
    for (size_t i = 0; i < ARRAY_LEN(resampler_names); i++)
        if (strcmp(name, resampler_names[i]) == 0) {
            *ret = (enum eval_resampler)i;
            return 0;
        }
    return error_set(error, EINVAL, "--resampler %.40s: allowed: paper, fast, medium, best", name);
}

int eval_maker_create(struct eval_maker **ret, const struct model_info *info,
                      enum eval_resampler resampler, struct error *error)
{
    struct eval_maker *m = calloc(1, sizeof *m);
    if (m == NULL)
        return error_set(error, ENOMEM, "eval: out of memory");
    struct stft_shape shape = analysis_shape(info);
    m->info = info;
    m->resampler = resampler;
    m->window = (size_t)info->preprocess.window_samples;
    m->cells = eval_window_cells(info);
    int r = analysis_create(&m->analysis, info, error);
    if (r == 0)
        r = stft_create_repeatable(&m->stft, &shape, error);
    if (r == 0)
        r = resize_create(&m->shrink, (int)frames_of(info), stft_bins(&shape), info->image_rows,
                          info->image_cols, info->preprocess.antialias, error);
    m->samples = memory_zeroed(m->window, sizeof(float));
    m->spectrum = memory_zeroed(m->cells, 2 * sizeof(float));
    m->mask = memory_zeroed(m->cells, sizeof(float));
    m->masked = memory_zeroed(m->cells, sizeof(float));
    m->sorting = memory_zeroed(m->cells, 2 * sizeof(float));
    if (r == 0 && (m->samples == NULL || m->spectrum == NULL || m->mask == NULL ||
                   m->masked == NULL || m->sorting == NULL))
        r = error_set(error, ENOMEM, "eval: out of memory");
    if (r < 0) {
        eval_maker_destroy(m);
        return r;
    }
    *ret = m;
    return 0;
}

void eval_maker_destroy(struct eval_maker *m)
{
    if (m == NULL)
        return;
    analysis_destroy(m->analysis);
    stft_destroy(m->stft);
    resize_destroy(m->shrink);
    sinc_resample_destroy(m->resample);
    free(m->samples);
    free(m->spectrum);
    free(m->mask);
    free(m->masked);
    free(m->sorting);
    free(m);
}

/* Before the network */

/* The resampler of the last clip's rate is kept: a set has few rates. */
static int resample(struct eval_maker *m, const struct clip *clip, float *ret, struct error *error)
{
    int rate = m->info->preprocess.sample_rate;
    if (m->resample == NULL || m->resample_from != clip->rate_hz) {
        sinc_resample_destroy(m->resample);
        m->resample = NULL;
        m->resample_from = clip->rate_hz;
        int r = sinc_resample_create(&m->resample, clip->rate_hz, rate, error);
        if (r < 0)
            return r;
    }
    size_t n = sinc_resample_length(m->resample, clip->n);
    float *whole = malloc((n > 0 ? n : 1) * sizeof *whole);
    if (whole == NULL)
        return error_set(error, ENOMEM, "out of memory for %zu samples", n);
    sinc_resample_run(m->resample, clip->samples, clip->n, whole);
    memcpy(ret, whole, (n < m->window ? n : m->window) * sizeof *whole);
    free(whole);
    return 0;
}

static enum resampler_quality quality_of(enum eval_resampler resampler)
{
    return resampler == EVAL_RESAMPLER_FAST     ? RESAMPLER_FAST
           : resampler == EVAL_RESAMPLER_MEDIUM ? RESAMPLER_MEDIUM
                                                : RESAMPLER_BEST;
}

int eval_read_samples(struct eval_maker *m, const char *path, float *ret, uint64_t *ret_bad,
                      struct error *error)
{
    struct clip clip;
    const int rate_hz = m->info->preprocess.sample_rate;
    int r = m->resampler == EVAL_RESAMPLER_PAPER
                ? clip_read(&clip, path, 0, RESAMPLER_BEST, error)
                : clip_read(&clip, path, rate_hz, quality_of(m->resampler), error);
    if (r < 0)
        return r;
    memset(ret, 0, m->window * sizeof *ret);
    *ret_bad = clip.bad;
    if (clip.rate_hz == rate_hz)
        memcpy(ret, clip.samples, (clip.n < m->window ? clip.n : m->window) * sizeof *ret);
    else
        r = resample(m, &clip, ret, error);
    clip_finish(&clip);
    return r < 0 ? error_prefix(error, r, "%s", path) : 0;
}

bool eval_window_before(struct eval_maker *m, const float *samples, float *logspec, float *plane)
{
    struct analysis_window before;
    stft_signal(m->stft, samples, m->window, m->spectrum);
    analysis_before(m->analysis, samples, m->spectrum, 0, plane, &before);
    if (!before.silence)
        memcpy(logspec, before.logspec, m->cells * sizeof *logspec);
    return !before.silence;
}

int eval_window_load(struct eval_maker *m, const char *path, float *logspec, float *plane,
                     bool *ret_silent, uint64_t *ret_bad, struct error *error)
{
    int r = eval_read_samples(m, path, m->samples, ret_bad, error);
    if (r == 0)
        *ret_silent = !eval_window_before(m, m->samples, logspec, plane);
    return r;
}

float *eval_window_spectrum(struct eval_maker *m)
{
    return m->spectrum;
}

/* After it */

void eval_window_mask(struct eval_maker *m, const float *map, float quantile,
                      const float **ret_mask, struct analysis_mask *ret)
{
    analysis_after(m->analysis, map, quantile, ret);
    for (size_t i = 0; i < m->cells; i++)
        m->mask[i] = ret->soft != NULL ? ret->soft[i] : (float)ret->mask[i];
    *ret_mask = m->mask;
}

void eval_window_after(struct eval_maker *m, const float *map, float quantile, const float *logspec,
                       float *plane_in, float *plane_out, struct eval_mask *ret)
{
    struct analysis_mask after;
    const float *mask;
    double kept = 0;
    eval_window_mask(m, map, quantile, &mask, &after);
    for (size_t i = 0; i < m->cells; i++) {
        kept += (double)mask[i];
        m->masked[i] = mask[i] * logspec[i];
    }
    resize_run(m->shrink, m->masked, plane_in);
    for (size_t i = 0; i < m->cells; i++)
        m->masked[i] = (1 - mask[i]) * logspec[i];
    resize_run(m->shrink, m->masked, plane_out);
    *ret = (struct eval_mask){.kept = kept / (double)m->cells};
    ret->empty = !metrics_sparseness(mask, m->cells, m->sorting, &ret->sparseness) ||
                 !metrics_complexity(mask, m->cells, &ret->complexity);
}
