/* SPDX-License-Identifier: Apache-2.0
 * The focal context goes by blocks of channels: all levels of a block, global mean included, are one
 * piece of work for one thread, with its planes in that core's cache. */
#include "model/cpu/loops.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define BODY static inline __attribute__((always_inline))

enum { FOCAL_BLOCK = 32, LINE_FLOATS = 16 };

/* erf by the rational approximation of Eigen's generic_fast_erf: x P(x^2) / Q(x^2) on [-4, 4], within
 * 4e-7; beyond, erf is 1 in float. */
BODY float fast_erf(float x)
{
    x = x < -4 ? -4 : x;
    x = x > 4 ? 4 : x;
    float z = x * x;
    float p = -2.72614225801306e-10f;
    p = p * z + 2.77068142495902e-08f;
    p = p * z - 2.10102402082508e-06f;
    p = p * z - 5.69250639462346e-05f;
    p = p * z - 7.34990630326855e-04f;
    p = p * z - 2.95459980854025e-03f;
    p = p * z - 1.60960333262415e-02f;
    float q = -1.45660718464996e-05f;
    q = q * z - 2.13374055278905e-04f;
    q = q * z - 1.68282697438203e-03f;
    q = q * z - 7.37332916720468e-03f;
    q = q * z - 1.42647390514189e-02f;
    return x * p / q;
}

BODY float gelu(float x)
{
    return 0.5f * x * (1 + fast_erf(x * 0.70710678118654752f));
}

BODY void gelu_body(const float *restrict x, size_t n, float *restrict y)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] = gelu(x[i]);
}

/* Two passes over a row that is in the cache: the variance of large values is not lost. */
BODY void norm_body(const float *restrict x, size_t c, const float *restrict scale,
                    const float *restrict shift, float eps, float *restrict y)
{
    float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < c; i++)
        sum += x[i];
    float mean = sum / (float)c;
#pragma omp simd reduction(+ : squares)
    for (size_t i = 0; i < c; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    float inverse = 1 / sqrtf(squares / (float)c + eps);
#pragma omp simd
    for (size_t i = 0; i < c; i++)
        y[i] = (x[i] - mean) * inverse * scale[i] + shift[i];
}

BODY float l2_body(const float *restrict x, size_t c)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < c; i++)
        sum += x[i] * x[i];
    return sqrtf(sum);
}

/* The taps of a k x k kernel around (y, x) for `width` channels. ctx: [h][w][stride]; kernel: [k*k][C]
 * at the block's first channel. */
BODY void taps_body(const float *restrict ctx, size_t stride, int h, int w, int y, int x, int k,
                    const float *restrict kernel, size_t c, int width, float *restrict sum)
{
    int top = y - k / 2, left = x - k / 2;
    int ky0 = top < 0 ? -top : 0, ky1 = top + k > h ? h - top : k;
    int kx0 = left < 0 ? -left : 0, kx1 = left + k > w ? w - left : k;
    for (int i = 0; i < width; i++)
        sum[i] = 0;
    for (int ky = ky0; ky < ky1; ky++)
        for (int kx = kx0; kx < kx1; kx++) {
            const float *restrict in =
                ctx + ((size_t)(top + ky) * (size_t)w + (size_t)(left + kx)) * stride;
            const float *restrict tap = kernel + (size_t)(ky * k + kx) * c;
#pragma omp simd
            for (int i = 0; i < width; i++)
                sum[i] += in[i] * tap[i];
        }
}

/* One level of one block. next: [h*w][width]; y: acc at the block's first channel. */
BODY void level_body(const struct loop_focal *s, int l, const float *ctx, size_t ctx_stride,
                     const float *gates, int channel, int width, float *restrict next,
                     float *restrict mean, float *restrict y)
{
    int k = s->window + 2 * l;
    size_t c = (size_t)s->c;
    float sum[FOCAL_BLOCK];
    for (int i = 0; i < width; i++)
        mean[i] = 0;
    for (int row = 0; row < s->h; row++)
        for (int col = 0; col < s->w; col++) {
            size_t p = (size_t)row * (size_t)s->w + (size_t)col;
            taps_body(ctx, ctx_stride, s->h, s->w, row, col, k, s->kernels[l] + channel, c, width,
                      sum);
            float gate = gates[p * s->stride + (size_t)l];
            float *restrict to = next + p * (size_t)width, *restrict acc = y + p * c;
#pragma omp simd
            for (int i = 0; i < width; i++) {
                float v = gelu(sum[i]);
                to[i] = v;
                mean[i] += v;
                acc[i] = l == 0 ? v * gate : acc[i] + v * gate;
            }
        }
}

BODY void focal_body(const struct loop_focal *s, const float *x, int channel, int width,
                     float *scratch, float *y)
{
    size_t area = (size_t)s->h * (size_t)s->w, c = (size_t)s->c;
    const float *gates = x + 2 * c;
    const float *ctx = x + c + (size_t)channel;
    size_t ctx_stride = s->stride;
    float mean[FOCAL_BLOCK];
    y += channel;
    for (int l = 0; l < s->levels; l++) {
        float *next = scratch + (size_t)(l % 2) * area * FOCAL_BLOCK;
        level_body(s, l, ctx, ctx_stride, gates, channel, width, next, mean, y);
        ctx = next;
        ctx_stride = (size_t)width;
    }
    float scale = s->normalize ? 1.0f / (float)(s->levels + 1) : 1;
    for (int i = 0; i < width; i++)
        mean[i] = gelu(mean[i] / (float)area);
    for (size_t p = 0; p < area; p++) {
        float gate = gates[p * s->stride + (size_t)s->levels];
        float *restrict acc = y + p * c;
#pragma omp simd
        for (int i = 0; i < width; i++)
            acc[i] = (acc[i] + mean[i] * gate) * scale;
    }
}

struct simd {
    const char *name;
    void (*gelu)(const float *x, size_t n, float *y);
    void (*norm)(const float *x, size_t c, const float *scale, const float *shift, float eps,
                 float *y);
    float (*l2)(const float *x, size_t c);
    void (*focal)(const struct loop_focal *s, const float *x, int channel, int width,
                  float *scratch, float *y);
};

/* A whole block has a width known to the compiler: its sums stay in registers. */
#define VARIANT(suffix, attributes)                                                               \
    attributes static void gelu_##suffix(const float *x, size_t n, float *y)                      \
    {                                                                                              \
        gelu_body(x, n, y);                                                                        \
    }                                                                                              \
    attributes static void norm_##suffix(const float *x, size_t c, const float *scale,            \
                                         const float *shift, float eps, float *y)                 \
    {                                                                                              \
        norm_body(x, c, scale, shift, eps, y);                                                     \
    }                                                                                              \
    attributes static float l2_##suffix(const float *x, size_t c)                                 \
    {                                                                                              \
        return l2_body(x, c);                                                                      \
    }                                                                                              \
    attributes static void focal_##suffix(const struct loop_focal *s, const float *x,             \
                                          int channel, int width, float *scratch, float *y)       \
    {                                                                                              \
        if (width == FOCAL_BLOCK)                                                                  \
            focal_body(s, x, channel, FOCAL_BLOCK, scratch, y);                                    \
        else                                                                                       \
            focal_body(s, x, channel, width, scratch, y);                                          \
    }                                                                                              \
    static const struct simd simd_##suffix = {#suffix, gelu_##suffix, norm_##suffix, l2_##suffix, \
                                              focal_##suffix};

VARIANT(generic, )
#ifdef __x86_64__
VARIANT(avx2, __attribute__((target("avx2,fma"))))
VARIANT(avx512, __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma,"
                                      "prefer-vector-width=512"))))
#endif

static const struct simd *simd(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        return &simd_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &simd_avx2;
#endif
    return &simd_generic;
}

const char *loop_simd(void)
{
    return simd()->name;
}

/* Below this many floats, waking the other threads costs more than they save. */
static const size_t parallel_floats = 1 << 14;

void loop_layer_norm(const float *x, size_t stride, size_t rows, size_t c, const float *scale,
                     const float *shift, float eps, float *y)
{
    const struct simd *v = simd();
#pragma omp parallel for if (rows * c > parallel_floats)
    for (size_t r = 0; r < rows; r++)
        v->norm(x + r * stride, c, scale, shift, eps, y + r * c);
}

void loop_mul(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows,
              size_t c, float *y)
{
#pragma omp parallel for if (rows * c > parallel_floats)
    for (size_t r = 0; r < rows; r++) {
#pragma omp simd
        for (size_t i = 0; i < c; i++)
            y[r * c + i] = a[r * a_stride + i] * b[r * b_stride + i];
    }
}

void loop_add(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows,
              size_t c, float *y)
{
#pragma omp parallel for if (rows * c > parallel_floats)
    for (size_t r = 0; r < rows; r++) {
#pragma omp simd
        for (size_t i = 0; i < c; i++)
            y[r * c + i] = a[r * a_stride + i] + b[r * b_stride + i];
    }
}

void loop_gelu(const float *x, size_t stride, size_t rows, size_t c, float *y)
{
    const struct simd *v = simd();
#pragma omp parallel for if (rows * c > parallel_floats)
    for (size_t r = 0; r < rows; r++)
        v->gelu(x + r * stride, c, y + r * c);
}

void loop_channel_l2(const float *x, size_t stride, size_t rows, size_t c, float *y)
{
    const struct simd *v = simd();
#pragma omp parallel for if (rows * c > parallel_floats)
    for (size_t r = 0; r < rows; r++)
        y[r] = v->l2(x + r * stride, c);
}

/* Two planes of a block for each thread. */
static size_t thread_floats(const struct loop_focal *s)
{
    size_t n = 2 * (size_t)s->h * (size_t)s->w * FOCAL_BLOCK;
    return (n + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

size_t loop_focal_scratch(const struct loop_focal *s)
{
    return thread_floats(s) * (size_t)omp_get_max_threads() * sizeof(float);
}

void loop_focal(const struct loop_focal *s, const float *x, void *scratch, float *y)
{
    const struct simd *v = simd();
    int blocks = (s->c + FOCAL_BLOCK - 1) / FOCAL_BLOCK;
    size_t area = (size_t)s->h * (size_t)s->w;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < s->n * blocks; i++) {
        int channel = i % blocks * FOCAL_BLOCK;
        int width = s->c - channel < FOCAL_BLOCK ? s->c - channel : FOCAL_BLOCK;
        size_t image = (size_t)(i / blocks);
        v->focal(s, x + image * area * s->stride, channel, width,
                 (float *)scratch + (size_t)omp_get_thread_num() * thread_floats(s),
                 y + image * area * (size_t)s->c);
    }
}
