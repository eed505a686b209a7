/* SPDX-License-Identifier: Apache-2.0
 * Operators that are bound by memory or that no library has: vector loops, each written once and
 * compiled for several vector extensions. Threads share the work through OpenMP, as oneDNN does. */
#ifndef FOCALD_MODEL_CPU_LOOPS_H
#define FOCALD_MODEL_CPU_LOOPS_H

#include <stdbool.h>
#include <stddef.h>

/* x: [rows][stride] of which c are read, y: [rows][c]; scale, shift: [c]. */
void loop_layer_norm(const float *x, size_t stride, size_t rows, size_t c, const float *scale,
                     const float *shift, float eps, float *y);

/* y: [rows][c] = a: [rows][a_stride] * b: [rows][b_stride]. */
void loop_mul(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows,
              size_t c, float *y);
void loop_add(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows,
              size_t c, float *y);
/* y: [n][area][c] = x: [n][area][stride], image i times by[i * by_stride]; may work in place. */
void loop_sample_scale(const float *x, size_t stride, const float *by, size_t by_stride, size_t n,
                       size_t area, size_t c, float *y);
/* y: [rows][c] = gelu(x: [rows][stride]); may work in place. */
void loop_gelu(const float *x, size_t stride, size_t rows, size_t c, float *y);

/* y: [rows] = L2 norm of x: [rows][stride] over c. */
void loop_channel_l2(const float *x, size_t stride, size_t rows, size_t c, float *y);

/* graph_focal_context. x: [n][h][w][stride]; y: [n][h][w][C]; kernels[l]: packed by
 * loop_focal_pack; scratch: loop_focal_scratch() bytes. */
struct loop_focal {
    int n, h, w, c, levels, window;
    size_t stride;
    bool normalize;
    const float *kernels[8];
};
/* Floats of level l's packed kernel. */
size_t loop_focal_kernel(const struct loop_focal *spec, int level);
/* from: [C][k*k] */
void loop_focal_pack(const struct loop_focal *spec, int level, const float *from, float *to);
size_t loop_focal_scratch(const struct loop_focal *spec, int threads);
void loop_focal(const struct loop_focal *spec, const float *x, void *scratch, float *y);

/* y: [rows][c] = (x: [rows][stride] - mean) * scale + shift; may work in place. mean, scale, shift:
 * [c] */
void loop_batch_norm(const float *x, size_t stride, size_t rows, size_t c, const float *mean,
                     const float *scale, const float *shift, float *y);
/* Each row of x: [rows][c] becomes its softmax. */
void loop_softmax(float *x, size_t rows, size_t c);
/* y: [rows][c] = 1 / (1 + e^-x); may work in place. */
void loop_sigmoid(const float *x, size_t stride, size_t rows, size_t c, float *y);

/* Rows [from, to) of one image of a transposed convolution: y: [out_h][out_w][out_c], each cell the
 * sum of the taps that reach it, plus bias: [out_c], then ReLU where asked for. x: contributions
 * [rows][in_w][kh][kw][out_c] of input rows from first_row on. kernel, stride: rows, columns. */
struct loop_gather {
    int in_h, in_w, out_h, out_w, out_c, kernel[2], stride[2], pad;
    bool relu;
    const float *bias;
};
void loop_gather(const struct loop_gather *spec, const float *x, int first_row, int from, int to,
                 float *y);

/* The backward pass. g: [rows][g_stride] the gradient of the value, x: what the operator took. Sums
 * over rows go by a fixed number of parts: they do not depend on the number of threads. */

void loop_gelu_grad(const float *g, size_t g_stride, const float *x, size_t x_stride, size_t rows,
                    size_t c, float *y);
/* p: [rows][c] softmaxes, d: their gradients, become `scale` times those of what they are of. */
void loop_softmax_grad(const float *p, size_t rows, size_t c, float scale, float *d);
/* y: [rows][c] the gradient of x, added to before: [rows][c] (which y may be) unless NULL.
 * d_weights: [2][c] of scale and shift. Either may be NULL. scratch: loop_sums_scratch(2 * c)
 * bytes. */
struct loop_norm_grad {
    size_t g_stride, x_stride, rows, c;
    const float *scale;
    float eps;
};
void loop_layer_norm_grad(const struct loop_norm_grad *spec, const float *g, const float *x,
                          const float *before, void *scratch, float *y, float *d_weights);
/* y: [c] the sum of rows; scratch: loop_sums_scratch(c) bytes. */
void loop_column_sums(const float *g, size_t g_stride, size_t rows, size_t c, void *scratch,
                      float *y);
size_t loop_sums_scratch(size_t c);
/* y: [c] the sum of rows of g times those of x; scratch likewise. */
void loop_column_products(const float *g, size_t g_stride, const float *x, size_t x_stride,
                          size_t rows, size_t c, void *scratch, float *y);

/* y: [cells][kh][kw][in_c]: what the windows of a convolution see of x: [n][in_h][in_w][x_stride],
 * zero beyond it; windows are counted over [n][out_h][out_w], and these begin with window `first`.
 * kernel, stride: rows, columns. */
struct loop_patches {
    int in_h, in_w, in_c, out_h, out_w, kernel[2], stride[2], pad;
    size_t x_stride;
};
void loop_patches(const struct loop_patches *spec, const float *x, size_t first, size_t cells,
                  float *y);

/* spec: of the forward pass; g: [n][h][w][g_stride]. dx: [n][h][w][2c + levels + 1], zero for q;
 * d_kernels: as published, level after level: [C][k*k]. Either may be NULL. scratch:
 * loop_focal_grad_scratch() bytes. */
size_t loop_focal_grad_scratch(const struct loop_focal *spec, int threads);
void loop_focal_grad(const struct loop_focal *spec, const float *x, const float *g, size_t g_stride,
                     void *scratch, float *dx, float *d_kernels);

/* "avx512", "avx2" or "generic". */
const char *loop_simd(void);
/* For tests: from now on loops run with this extension, NULL for the best. False where the
 * processor or the build does not have it. */
bool loop_force(const char *simd);

#endif
