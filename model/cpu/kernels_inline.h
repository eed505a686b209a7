/* SPDX-License-Identifier: Apache-2.0
 * What the kernels of both passes are made of. Included by files that are compiled with KERNELS
 * naming the vector extension and with contraction of a * b + c. A vec is one register of AVX-512,
 * two of AVX2. */
#ifndef FOCALD_MODEL_CPU_KERNELS_INLINE_H
#define FOCALD_MODEL_CPU_KERNELS_INLINE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "model/cpu/kernels.h"

/* Vectors are passed between inline functions only: no ABI is touched. */
#pragma GCC diagnostic ignored "-Wpsabi"

enum { LANES = 16, COLUMNS = 7 }; /* seven sums and a tap fill the registers of AVX2 */

typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef float vec8 __attribute__((vector_size(32), aligned(4), may_alias)); /* of its lanes */
typedef float vec4 __attribute__((vector_size(16), aligned(4), may_alias));

#define NAME_(prefix, suffix) prefix##suffix
#define NAME(prefix, suffix) NAME_(prefix, suffix)

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

/* erf(x / sqrt 2), by the rational approximation of Eigen's generic_fast_erf: t P(t^2) / Q(t^2) on
 * [-4, 4], within 4e-7; beyond, erf is 1 in float. */
static inline float erf_of(float x)
{
    float t = x * 0.70710678118654752f;
    t = t < -4 ? -4 : t;
    t = t > 4 ? 4 : t;
    float z = t * t;
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
    return t * p / q;
}

/* x/2 (1 + erf(x / sqrt 2)) */
static inline void gelu(const float *x, size_t n, float *y)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++) {
        float half = 0.5f * x[i];
        y[i] = half + half * erf_of(x[i]);
    }
}

static inline vec load(const float *x)
{
    return *(const vec *)x;
}

static inline vec8 load_half(const float *x)
{
    return *(const vec8 *)x;
}

static inline float half_sum(vec8 v)
{
    vec4 q = __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
    return (q[0] + q[2]) + (q[1] + q[3]);
}

static inline float lanes_sum(vec v)
{
    return half_sum(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                    __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
}

/* Four sums at a time: an addition takes as long as four of them need to start. */
static inline float sum_of(const float *x, size_t n)
{
    vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    vec8 h = {0};
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        s0 += load(x + i);
        s1 += load(x + i + LANES);
        s2 += load(x + i + 2 * LANES);
        s3 += load(x + i + 3 * LANES);
    }
    for (; i + LANES <= n; i += LANES)
        s0 += load(x + i);
    for (; i + LANES / 2 <= n; i += LANES / 2)
        h += load_half(x + i);
    float sum = lanes_sum(s0 + s1 + (s2 + s3)) + half_sum(h);
    for (; i < n; i++)
        sum += x[i];
    return sum;
}

/* Sum of (x - mean)^2. */
static inline float squares_of(const float *x, size_t n, float mean)
{
    vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        vec d0 = load(x + i) - mean, d1 = load(x + i + LANES) - mean;
        vec d2 = load(x + i + 2 * LANES) - mean, d3 = load(x + i + 3 * LANES) - mean;
        s0 += d0 * d0;
        s1 += d1 * d1;
        s2 += d2 * d2;
        s3 += d3 * d3;
    }
    for (; i + LANES <= n; i += LANES) {
        vec d = load(x + i) - mean;
        s0 += d * d;
    }
    vec8 h = {0};
    for (; i + LANES / 2 <= n; i += LANES / 2) {
        vec8 d = load_half(x + i) - mean;
        h += d * d;
    }
    float sum = lanes_sum(s0 + s1 + (s2 + s3)) + half_sum(h);
    for (; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

/* e^x within 2 ulp, for x from -87 to 88, beyond which it stays (Cephes' expf: x = n ln 2 + r, a
 * polynomial of r, n into the exponent). */
static inline float exp_of(float x)
{
    const float magic = 0x1.8p23f; /* adding it rounds to an integer */
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float n = x * 1.44269504088896341f + magic - magic;
    float r = x - n * 0.693359375f - n * -2.12194440e-4f;
    float p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t power = ((int32_t)n + 127) * (1 << 23);
    float scale;
    memcpy(&scale, &power, sizeof scale);
    return p * scale;
}

struct block {
    const struct loop_focal *spec;
    struct focal_plane plane;
    const float *x;
    float *y;  /* at the block's first channel */
    int width; /* of its channels, those that there are */
};

static inline float *cell(const struct block *b, float *plane, size_t row, size_t col)
{
    return plane + ((row + b->plane.border) * b->plane.cols + col + b->plane.border) * LANES;
}

/* The first `width` lanes; the others are zero. */
static inline vec load_lanes(const float *from, int width)
{
    if (width == LANES)
        return load(from);
    float lanes[LANES] = {0};
    int i = 0;
    if (width >= LANES / 2) {
        *(vec8 *)lanes = load_half(from);
        i = LANES / 2;
    }
    for (; i < width; i++)
        lanes[i] = from[i];
    return load(lanes);
}

static inline void store_lanes(float *to, vec v, int width)
{
    if (width == LANES) {
        *(vec *)to = v;
        return;
    }
    int i = 0;
    if (width >= LANES / 2) {
        *(vec8 *)to = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
        i = LANES / 2;
    }
    for (; i < width; i++)
        to[i] = v[i];
}

/* Channels that there are not are zero. */
static inline void copy_context(const struct block *b, const float *from, float *plane)
{
    const struct loop_focal *s = b->spec;
    for (size_t row = 0; row < (size_t)s->h; row++)
        for (size_t col = 0; col < (size_t)s->w; col++, from += s->stride)
            *(vec *)cell(b, plane, row, col) = load_lanes(from, b->width);
}

/* COLUMNS neighbours of a k x k depth-wise convolution. in: the first one's first tap; kernel:
 * [k*k][LANES]; ret: [COLUMNS][LANES] */
static inline void convolve(const float *in, size_t cols, int k, const float *kernel, float *ret)
{
    vec a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, a4 = {0}, a5 = {0}, a6 = {0};
    for (int ky = 0; ky < k; ky++, in += (cols - (size_t)k) * LANES)
        for (int kx = 0; kx < k; kx++, in += LANES, kernel += LANES) {
            vec tap = load(kernel);
            a0 += load(in) * tap;
            a1 += load(in + LANES) * tap;
            a2 += load(in + 2 * LANES) * tap;
            a3 += load(in + 3 * LANES) * tap;
            a4 += load(in + 4 * LANES) * tap;
            a5 += load(in + 5 * LANES) * tap;
            a6 += load(in + 6 * LANES) * tap;
        }
    vec *to = (vec *)ret;
    to[0] = a0, to[1] = a1, to[2] = a2, to[3] = a3, to[4] = a4, to[5] = a5, to[6] = a6;
}

#endif
