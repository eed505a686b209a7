/* SPDX-License-Identifier: Apache-2.0
 * The loops of the forward pass. Tails are scalar. */
#include "model/cpu/kernels_inline.h"

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

static void scale(const float *x, size_t n, float by, float *y)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * by;
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

/* y[p] = gate * v, or added to what is there. */
static inline void accumulate(const struct block *b, int level, size_t p, vec v)
{
    const struct loop_focal *s = b->spec;
    float gate = b->x[p * s->stride + 2 * (size_t)s->c + (size_t)level];
    float *y = b->y + p * (size_t)s->c;
    store_lanes(y, level == 0 ? v * gate : load_lanes(y, b->width) + v * gate, b->width);
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

const struct loop_kernels NAME(loop_kernels_, KERNELS) = {
    .name = TEXT(KERNELS),
    .gelu = gelu,
    .mul = mul,
    .add = add,
    .scale = scale,
    .norm = norm,
    .l2 = l2,
    .affine = affine,
    .softmax = softmax,
    .sigmoid = sigmoid,
    .focal = focal,
};
