/* SPDX-License-Identifier: Apache-2.0
 * Each loop is written once, as an inline body, and compiled for several vector extensions; the
 * table at the end is chosen by what the processor has. */
#include "dsp/spectrogram.h"

#include <math.h>
#include <string.h>

#include "dsp/simd.h"

/* log(1 + m) for m >= 0, to 1e-7 relative: 1 + m = 2^e * f, f in [sqrt(1/2), sqrt(2)), a polynomial
 * of f - 1 (Cephes logf), and the first-order correction of what 1 + m lost by rounding. */
SIMD_BODY float log1p_positive(float m)
{
    float u = 1 + m;
    float lost = m > 1e9f ? 0 : (m - (u - 1)) / u; /* infinity must not meet infinity */
    int32_t bits;
    memcpy(&bits, &u, sizeof bits);
    int32_t e = (bits - 0x3f3504f3) >> 23;
    bits -= e * (1 << 23);
    float f;
    memcpy(&f, &bits, sizeof f);
    float x = f - 1, z = x * x;
    float y = 7.0376836292e-2f;
    y = y * x - 1.1514610310e-1f;
    y = y * x + 1.1676998740e-1f;
    y = y * x - 1.2420140846e-1f;
    y = y * x + 1.4249322787e-1f;
    y = y * x - 1.6668057665e-1f;
    y = y * x + 2.0000714765e-1f;
    y = y * x - 2.4999993993e-1f;
    y = y * x + 3.3333331174e-1f;
    y = y * x * z;
    float k = (float)e;
    y += k * -2.12194440e-4f;
    y -= 0.5f * z;
    return (x + y + lost) + k * 0.693359375f;
}

SIMD_BODY void log_body(const float *restrict spectrum, size_t n, float scale, float *restrict ret)
{
    /* scaled before they are squared: the square of a scale leaves float32 sooner */
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float re = spectrum[2 * i] * scale, im = spectrum[2 * i + 1] * scale;
        ret[i] = log1p_positive(sqrtf(re * re + im * im + 1e-14f));
    }
}

SIMD_BODY void mask_body(const float *spectrum, const uint8_t *mask, size_t n, float *ret)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        ret[2 * i] = mask[i] ? spectrum[2 * i] : 0; /* not a product: 0 times infinity is NaN */
        ret[2 * i + 1] = mask[i] ? spectrum[2 * i + 1] : 0;
    }
}

/* What peak_body gathers, in as many lanes as the widest vector has. */
enum { PEAK_LANES = 16 };

struct peak {
    float max[PEAK_LANES], abs_max[PEAK_LANES];
    int32_t bad[PEAK_LANES];
};

SIMD_BODY void peak_take(struct peak *p, const float *x, size_t count)
{
#pragma omp simd
    for (size_t k = 0; k < count; k++) {
        float a = fabsf(x[k]);
        int finite = a < INFINITY; /* false for NaN */
        float v = finite ? x[k] : -INFINITY, b = finite ? a : 0;
        p->max[k] = v > p->max[k] ? v : p->max[k];
        p->abs_max[k] = b > p->abs_max[k] ? b : p->abs_max[k];
        p->bad[k] += !finite;
    }
}

SIMD_BODY void peak_body(const float *x, size_t n, float *ret_max, float *ret_abs, size_t *ret_bad)
{
    struct peak p = {.bad = {0}};
    for (size_t k = 0; k < PEAK_LANES; k++)
        p.max[k] = -INFINITY;
    size_t i = 0;
    for (; i + PEAK_LANES <= n; i += PEAK_LANES)
        peak_take(&p, x + i, PEAK_LANES);
    peak_take(&p, x + i, n - i);
    float max = -INFINITY, abs_max = 0;
    size_t bad = 0;
    for (size_t k = 0; k < PEAK_LANES; k++) {
        max = p.max[k] > max ? p.max[k] : max;
        abs_max = p.abs_max[k] > abs_max ? p.abs_max[k] : abs_max;
        bad += (size_t)p.bad[k];
    }
    *ret_max = max;
    *ret_abs = abs_max;
    *ret_bad = bad;
}

#define VARIANT(suffix, target)                                                                    \
    target static void log_##suffix(const float *s, size_t n, float scale, float *ret)             \
    {                                                                                              \
        log_body(s, n, scale, ret);                                                                \
    }                                                                                              \
    target static void mask_##suffix(const float *s, const uint8_t *m, size_t n, float *ret)       \
    {                                                                                              \
        mask_body(s, m, n, ret);                                                                   \
    }                                                                                              \
    target static void peak_##suffix(const float *x, size_t n, float *max, float *abs,             \
                                     size_t *bad)                                                  \
    {                                                                                              \
        peak_body(x, n, max, abs, bad);                                                            \
    }

VARIANT(generic, )
VARIANT(avx2, SIMD_TARGET_AVX2)
VARIANT(avx512, SIMD_TARGET_AVX512)

static const struct spectrogram_ops variants[SIMD_LEVELS] = {
    [SIMD_GENERIC] = {"generic", log_generic, mask_generic, peak_generic},
    [SIMD_AVX2] = {"avx2", log_avx2, mask_avx2, peak_avx2},
    [SIMD_AVX512] = {"avx512", log_avx512, mask_avx512, peak_avx512},
};

const struct spectrogram_ops *spectrogram_ops_at(size_t i)
{
    for (int level = 0; level < SIMD_LEVELS; level++)
        if (simd_supported((enum simd_level)level) && i-- == 0)
            return &variants[level];
    return NULL;
}

static const struct spectrogram_ops *simd(void)
{
    return &variants[simd_best()];
}

void spectrogram_log(const float *spectrum, size_t n, float scale, float *ret)
{
    simd()->log(spectrum, n, scale, ret);
}

void spectrogram_mask(const float *spectrum, const uint8_t *mask, size_t n, float *ret)
{
    simd()->mask(spectrum, mask, n, ret);
}

void spectrogram_soft_mask(const float *spectrum, const float *mask, size_t n, float scale,
                           float *ret)
{
    for (size_t i = 0; i < n; i++) {
        float re = spectrum[2 * i], im = spectrum[2 * i + 1];
        float magnitude = scale * sqrtf(re * re + im * im);
        /* what is next to nothing keeps its share: expm1(m log1p(a)) / a -> m */
        float gain = magnitude > 1e-12f ? expm1f(mask[i] * log1pf(magnitude)) / magnitude : mask[i];
        gain = gain < INFINITY ? gain : 0; /* false for NaN */
        ret[2 * i] = gain * re;
        ret[2 * i + 1] = gain * im;
    }
}

void spectrogram_interpret(const float *logspec, const uint8_t *mask, const float *spectrum,
                           size_t n, float *ret)
{
    for (size_t i = 0; i < n; i++) {
        float re = spectrum[2 * i], im = spectrum[2 * i + 1];
        float magnitude = sqrtf(re * re + im * im);
        float amplitude = mask[i] ? expm1f(logspec[i]) : 0;
        /* atan2(0, 0) is 0: the phase of nothing is that of 1 */
        float scale = magnitude > 0 ? amplitude / magnitude : 0;
        ret[2 * i] = magnitude > 0 ? re * scale : amplitude;
        ret[2 * i + 1] = im * scale;
    }
}

void signal_peak(const float *x, size_t n, float *ret_max, float *ret_abs_max, size_t *ret_bad)
{
    if (n == 0) {
        *ret_max = *ret_abs_max = 0;
        *ret_bad = 0;
        return;
    }
    simd()->peak(x, n, ret_max, ret_abs_max, ret_bad);
    if (*ret_bad == n)
        *ret_max = 0;
}

float signal_scale(float max)
{
    const float scale = 1 / fabsf(max);
    return isfinite(scale) ? scale : 0;
}

const char *spectrogram_simd(void)
{
    return simd()->name;
}
