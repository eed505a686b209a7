/* SPDX-License-Identifier: Apache-2.0
 * T: frames of a window, F: bins; R, C: rows and columns of the network's image. */
#include "daemon/analysis.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "dsp/resize.h"
#include "dsp/spectrogram.h"
#include "model/interpret/mask.h"

struct analysis {
    size_t samples;        /* of a window */
    size_t cells;          /* T * F */
    float *logspec;        /* [T][F] */
    float *map;            /* [T][F] */
    float *scratch;        /* [T][F], for the quantile */
    uint8_t *mask;         /* [T][F] */
    struct resize *shrink; /* [T][F] -> [R][C] */
    struct resize *grow;   /* the last map -> [T][F] */
    bool soft;             /* that map is a mask as it is */
};

struct stft_shape analysis_shape(const struct model_info *info)
{
    const struct model_preprocess *p = &info->preprocess;
    return (struct stft_shape){p->n_fft, p->win_length, p->hop_length};
}

int analysis_create(struct analysis **ret, const struct model_info *info, struct error *error)
{
    struct stft_shape shape = analysis_shape(info);
    int r = stft_shape_check(&shape, error);
    if (r < 0)
        return r;
    if (info->n_maps < 1)
        return error_set(error, EINVAL, "model %s: has no map to interpret", info->name);
    struct analysis *a = calloc(1, sizeof *a);
    if (a == NULL)
        return error_set(error, ENOMEM, "analysis: out of memory");
    size_t frames = stft_frames(&shape, (size_t)info->preprocess.window_samples);
    int rows = (int)frames, cols = stft_bins(&shape);
    int last = info->n_maps - 1;
    a->samples = (size_t)info->preprocess.window_samples;
    a->cells = frames * (size_t)cols;
    a->soft = info->interpreter == INTERPRETER_PIQ;
    a->logspec = memory_zeroed(a->cells, sizeof *a->logspec);
    a->map = memory_zeroed(a->cells, sizeof *a->map);
    a->scratch = memory_zeroed(a->cells, sizeof *a->scratch);
    a->mask = memory_zeroed(a->cells, sizeof *a->mask);
    if (a->logspec == NULL || a->map == NULL || a->scratch == NULL || a->mask == NULL)
        r = error_set(error, ENOMEM, "analysis: out of memory for a window of %d x %d", rows, cols);
    if (r == 0)
        r = resize_create(&a->shrink, rows, cols, info->image_rows, info->image_cols,
                          info->preprocess.antialias, error);
    if (r == 0) /* enlarging: antialiasing or not gives the same */
        r = resize_create(&a->grow, info->maps[last].rows, info->maps[last].cols, rows, cols, false,
                          error);
    if (r < 0) {
        analysis_destroy(a);
        return r;
    }
    *ret = a;
    return 0;
}

void analysis_destroy(struct analysis *a)
{
    if (a == NULL)
        return;
    resize_destroy(a->shrink);
    resize_destroy(a->grow);
    free(a->logspec);
    free(a->map);
    free(a->scratch);
    free(a->mask);
    free(a);
}

/* x: [n] -> sqrt(mean(x^2)). Eight sums, so that the additions need not wait for each other. */
static float signal_rms(const float *x, size_t n)
{
    enum { LANES = 8 };
    double sums[LANES] = {0};
    size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            sums[k] += (double)x[i + k] * (double)x[i + k];
    double sum = 0;
    for (size_t i = whole; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    for (size_t k = 0; k < LANES; k++)
        sum += sums[k];
    return n > 0 ? (float)sqrt(sum / (double)n) : 0;
}

/* The gate asks how loud it is, the recipe divides by the maximum: an offset may bring that below
 * zero, or to it. */
void analysis_before(struct analysis *a, const float *samples, const float *spectrum, float gate,
                     float *plane, struct analysis_window *ret)
{
    size_t bad;
    *ret = (struct analysis_window){.rms = signal_rms(samples, a->samples)};
    signal_peak(samples, a->samples, &ret->max, &ret->peak, &bad);
    ret->max = fabsf(ret->max);
    const float scale = signal_scale(ret->max);
    ret->silence = !(scale > 0) || !(ret->peak >= gate);
    if (ret->silence)
        return;
    ret->logspec = a->logspec;
    spectrogram_log(spectrum, a->cells, scale, a->logspec);
    resize_run(a->shrink, a->logspec, plane);
}

void analysis_after(struct analysis *a, const float *map, float q, struct analysis_mask *ret)
{
    const float *wide = map;
    if (a->soft) {
        ret->threshold = 0.5f;
    } else {
        resize_run(a->grow, map, a->map);
        wide = a->map;
        ret->threshold = quantile(wide, a->cells, q, a->scratch);
    }
    ret->kept = (float)mask_threshold(wide, a->cells, ret->threshold, a->mask) / (float)a->cells;
    ret->map = wide;
    ret->mask = a->mask;
    ret->soft = a->soft ? map : NULL;
}
