/* SPDX-License-Identifier: Apache-2.0
 * Batch norms in training, their gradients, and the operators beside them in PIQ that go cell by
 * cell. x, g: [rows] [stride] of which c are read; g is the gradient of the value. Sums over rows
 * are of 64 rows in float, in double beyond, and go by a fixed number of parts: they do not depend
 * on the number of threads. */
#ifndef FOCALD_MODEL_CPU_BATCH_H
#define FOCALD_MODEL_CPU_BATCH_H

#include <stddef.h>

struct loop_batch {
    const float *x, *g; /* g: of the backward pass only */
    size_t x_stride, g_stride, rows, c;
    float eps;
    const float *mean, *variance; /* [c] given; NULL: x's own */
    const float *sums; /* [2][c] of a batch of `ranks` such parts what …_grad_weights gives; NULL:
                          given moments do not move with x, its own do */
    int ranks;
    void *scratch; /* loop_batch_scratch() bytes */
};

size_t loop_batch_scratch(size_t c);
/* y: [rows][c] = (x - mean) / sqrt(variance + eps) * scale + shift; may be x. */
void loop_batch_norm_train(const struct loop_batch *batch, const float *scale, const float *shift,
                           float *y);
void loop_batch_norm_grad(const struct loop_batch *batch, const float *scale, float *y);
/* y: [2][c] of scale and shift. */
void loop_batch_norm_grad_weights(const struct loop_batch *batch, float *y);
/* y: [2][c] x's mean and biased variance. */
void loop_batch_statistics(const struct loop_batch *batch, float *y);

/* y: [rows][c]; may be x, or g. of: the value that the operator gave. */
void loop_relu(const float *x, size_t stride, size_t rows, size_t c, float *y);
void loop_relu_grad(const float *g, size_t g_stride, const float *of, size_t of_stride, size_t rows,
                    size_t c, float *y);
void loop_sigmoid_grad(const float *g, size_t g_stride, const float *of, size_t of_stride,
                       size_t rows, size_t c, float *y);

/* The innermost loops; kernels_batch.c is compiled once for each vector extension. */
struct batch_kernels {
    /* ret: [c] the sum of rows */
    void (*sums)(const float *x, size_t stride, size_t rows, size_t c, float *ret);
    /* of (x - mean)^2 */
    void (*squares)(const float *x, size_t stride, size_t rows, size_t c, const float *mean,
                    float *ret);
    /* ret: [2][c] of g and of g * (x - mean) */
    void (*products)(const struct loop_batch *batch, size_t from, size_t rows, const float *mean,
                     float *ret);
    /* y = factor * (g - shift - (x - mean) * slope): [c] each */
    void (*back)(const float *g, const float *x, size_t c, const float *mean, const float *factor,
                 const float *shift, const float *slope, float *y);
    void (*relu)(const float *x, size_t n, float *y);
    void (*relu_grad)(const float *g, const float *of, size_t n, float *y);
    void (*sigmoid_grad)(const float *g, const float *of, size_t n, float *y);
};
extern const struct batch_kernels batch_kernels_generic, batch_kernels_avx2, batch_kernels_avx512;

#endif
