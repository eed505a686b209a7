/* SPDX-License-Identifier: Apache-2.0
 * Compiled with KERNELS naming the vector extension and with contraction of a * b + c. A vec is one
 * register of AVX-512, two of AVX2. Tails are scalar. */
#include "model/cpu/kernels.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16, COLUMNS = 7 }; /* seven sums and a tap fill the registers of AVX2 */

typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));

#define NAME_(prefix, suffix) prefix##suffix
#define NAME(prefix, suffix) NAME_(prefix, suffix)

/* x/2 (1 + erf(x / sqrt 2)); erf by the rational approximation of Eigen's generic_fast_erf:
 * x P(x^2) / Q(x^2) on [-4, 4], within 4e-7; beyond, erf is 1 in float. */
static void gelu(const float *x, size_t n, float *y)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++) {
        float half = 0.5f * x[i], t = x[i] * 0.70710678118654752f;
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
        y[i] = half + half * (t * p / q);
    }
}

static void mul(const float *restrict a, const float *restrict b, size_t n, float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

static void add(const float *a, const float *b, size_t n, float *y)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static inline vec load(const float *x)
{
    return *(const vec *)x;
}

static inline float lanes_sum(vec v)
{
    float sum = 0;
    for (int i = 0; i < LANES; i++)
        sum += v[i];
    return sum;
}

/* Four sums at a time: an addition takes as long as four of them need to start. */
static float sum_of(const float *x, size_t n)
{
    vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        s0 += load(x + i);
        s1 += load(x + i + LANES);
        s2 += load(x + i + 2 * LANES);
        s3 += load(x + i + 3 * LANES);
    }
    float sum = lanes_sum(s0 + s1 + (s2 + s3));
    for (; i < n; i++)
        sum += x[i];
    return sum;
}

/* Sum of (x - mean)^2. */
static float squares_of(const float *x, size_t n, float mean)
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
    float sum = lanes_sum(s0 + s1 + (s2 + s3));
    for (; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

/* Two passes over a row that is in the cache: the variance of large values is not lost. */
static void norm(const float *restrict x, size_t n, const float *restrict scale,
                 const float *restrict shift, float eps, float *restrict y)
{
    float mean = sum_of(x, n) / (float)n;
    float inverse = 1 / sqrtf(squares_of(x, n, mean) / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * inverse * scale[i] + shift[i];
}

static float l2(const float *x, size_t n)
{
    return sqrtf(squares_of(x, n, 0));
}

static void affine(const float *x, size_t n, const float *mean, const float *scale,
                   const float *shift, float *y)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean[i]) * scale[i] + shift[i];
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

static void softmax(float *x, size_t n)
{
    float max = x[0];
    for (size_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++)
        x[i] = exp_of(x[i] - max);
    float inverse = 1 / sum_of(x, n);
    for (size_t i = 0; i < n; i++)
        x[i] *= inverse;
}

static void sigmoid(const float *x, size_t n, float *y)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++)
        y[i] = 1 / (1 + exp_of(-x[i]));
}

/* Focal context */

struct block {
    const struct loop_focal *spec;
    struct focal_plane plane;
    const float *x;
    float *y;  /* at the block's first channel */
    int width; /* of its channels, those that there are */
};

static float *cell(const struct block *b, float *plane, size_t row, size_t col)
{
    return plane + ((row + b->plane.border) * b->plane.cols + col + b->plane.border) * LANES;
}

/* Channels that there are not are zero. */
static void copy_context(const struct block *b, const float *from, float *plane)
{
    const struct loop_focal *s = b->spec;
    for (size_t row = 0; row < (size_t)s->h; row++)
        for (size_t col = 0; col < (size_t)s->w; col++) {
            float *to = cell(b, plane, row, col);
            if (b->width == LANES) {
                *(vec *)to = load(from);
            } else {
                memset(to, 0, LANES * sizeof(float));
                memcpy(to, from, (size_t)b->width * sizeof(float));
            }
            from += s->stride;
        }
}

/* y[p] = gate * v, or added to what is there. */
static inline void accumulate(const struct block *b, int level, size_t p, vec v)
{
    const struct loop_focal *s = b->spec;
    float gate = b->x[p * s->stride + 2 * (size_t)s->c + (size_t)level];
    float *y = b->y + p * (size_t)s->c;
    if (b->width == LANES) {
        *(vec *)y = level == 0 ? v * gate : load(y) + v * gate;
        return;
    }
    for (int i = 0; i < b->width; i++)
        y[i] = level == 0 ? v[i] * gate : y[i] + v[i] * gate;
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

/* One level: plane -> next (unless NULL), accumulated in y. Returns the sum over the image, by
 * rows: thousands of values in one float would lose what they have in common. */
static vec run_level(const struct block *b, int level, const float *kernel, float *plane,
                     float *next)
{
    const struct loop_focal *s = b->spec;
    size_t h = (size_t)s->h, w = (size_t)s->w;
    int k = s->window + 2 * level;
    size_t reach = (size_t)k / 2;
    float v[COLUMNS * LANES];
    vec sum = {0};
    for (size_t row = 0; row < h; row++) {
        vec row_sum = {0};
        for (size_t col = 0; col < w; col += COLUMNS) {
            const float *in = cell(b, plane, row, col) - (reach * b->plane.cols + reach) * LANES;
            convolve(in, b->plane.cols, k, kernel, v);
            gelu(v, COLUMNS * LANES, v);
            for (size_t j = 0; j < COLUMNS && col + j < w; j++) {
                vec value = load(v + j * LANES);
                row_sum += value;
                accumulate(b, level, row * w + col + j, value);
                if (next != NULL)
                    *(vec *)cell(b, next, row, col + j) = value;
            }
        }
        sum += row_sum;
    }
    return sum;
}

static void focal(const struct loop_focal *s, const float *x, int channel, float *planes, float *y)
{
    struct block b = {s, focal_plane_of(s), x, y + channel,
                      s->c - channel < LANES ? s->c - channel : LANES};
    size_t area = (size_t)s->h * (size_t)s->w;
    size_t plane_floats = b.plane.rows * b.plane.cols * LANES;
    vec sum = {0};
    copy_context(&b, x + s->c + channel, planes);
    for (int l = 0; l < s->levels; l++) {
        size_t taps = (size_t)(s->window + 2 * l) * (size_t)(s->window + 2 * l);
        const float *kernel = s->kernels[l] + (size_t)channel * taps;
        float *plane = planes + (size_t)(l % 2) * plane_floats;
        float *next = planes + (size_t)((l + 1) % 2) * plane_floats;
        sum = run_level(&b, l, kernel, plane, l + 1 < s->levels ? next : NULL);
    }
    float mean[LANES];
    *(vec *)mean = sum / (float)area;
    gelu(mean, LANES, mean);
    for (size_t p = 0; p < area; p++)
        accumulate(&b, s->levels, p, load(mean));
    for (size_t p = 0; p < area && s->normalize; p++)
        for (int i = 0; i < b.width; i++)
            b.y[p * (size_t)s->c + (size_t)i] /= (float)(s->levels + 1);
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const struct loop_kernels NAME(loop_kernels_, KERNELS) = {
    .name = TEXT(KERNELS),
    .gelu = gelu,
    .mul = mul,
    .add = add,
    .norm = norm,
    .l2 = l2,
    .affine = affine,
    .softmax = softmax,
    .sigmoid = sigmoid,
    .focal = focal,
};
