/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "model/cpu/batch.h"
#include "model/cpu/kernels_inline.h"

static void sums(const float *x, size_t stride, size_t rows, size_t c, float *restrict ret)
{
    memset(ret, 0, c * sizeof *ret);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < c; i++)
            ret[i] += x[r * stride + i];
}

static void squares(const float *x, size_t stride, size_t rows, size_t c, const float *mean,
                    float *restrict ret)
{
    memset(ret, 0, c * sizeof *ret);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < c; i++) {
            float off = x[r * stride + i] - mean[i];
            ret[i] += off * off;
        }
}

static void products(const struct loop_batch *b, size_t from, size_t rows, const float *mean,
                     float *restrict ret)
{
    const size_t c = b->c;
    float *restrict of_g = ret, *restrict of_gx = ret + c;
    memset(ret, 0, 2 * c * sizeof *ret);
    for (size_t r = from; r < from + rows; r++) {
        const float *g = b->g + r * b->g_stride, *x = b->x + r * b->x_stride;
        for (size_t i = 0; i < c; i++) {
            of_g[i] += g[i];
            of_gx[i] += g[i] * (x[i] - mean[i]);
        }
    }
}

static void back(const float *g, const float *x, size_t c, const float *mean, const float *factor,
                 const float *shift, const float *slope, float *y)
{
#pragma GCC ivdep
    for (size_t i = 0; i < c; i++)
        y[i] = factor[i] * (g[i] - shift[i] - (x[i] - mean[i]) * slope[i]);
}

static void relu(const float *x, size_t n, float *y)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > 0 ? x[i] : 0;
}

static void relu_grad(const float *g, const float *of, size_t n, float *y)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++)
        y[i] = of[i] > 0 ? g[i] : 0;
}

static void sigmoid_grad(const float *g, const float *of, size_t n, float *y)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++)
        y[i] = g[i] * of[i] * (1 - of[i]);
}

const struct batch_kernels NAME(batch_kernels_, KERNELS) = {
    .sums = sums,
    .squares = squares,
    .products = products,
    .back = back,
    .relu = relu,
    .relu_grad = relu_grad,
    .sigmoid_grad = sigmoid_grad,
};
