/* SPDX-License-Identifier: Apache-2.0
 * The innermost loops of the cpu backend. kernels.c is compiled once for each vector extension;
 * loops.c takes the best table that the processor has. */
#ifndef FOCALD_MODEL_CPU_KERNELS_H
#define FOCALD_MODEL_CPU_KERNELS_H

#include <stddef.h>

#include "model/cpu/loops.h"

enum { FOCAL_BLOCK = 16 }; /* channels that go through all levels together */

/* Planes of a block: the context with a border of zeros as wide as the largest kernel reaches, and
 * columns filled up to whole groups. [rows][cols][FOCAL_BLOCK] */
struct focal_plane {
    size_t border, rows, cols;
};

struct loop_kernels {
    const char *name;
    /* x, y: [n]; may be the same */
    void (*gelu)(const float *x, size_t n, float *y);
    void (*mul)(const float *a, const float *b, size_t n, float *y);
    void (*add)(const float *a, const float *b, size_t n, float *y); /* y may be a or b */
    void (*scale)(const float *x, size_t n, float by, float *y);     /* y may be x */
    void (*norm)(const float *x, size_t n, const float *scale, const float *shift, float eps,
                 float *y);
    float (*l2)(const float *x, size_t n);
    /* y = (x - mean) * scale + shift: [n] each; x and y may be the same */
    void (*affine)(const float *x, size_t n, const float *mean, const float *scale,
                   const float *shift, float *y);
    void (*softmax)(float *x, size_t n);
    void (*sigmoid)(const float *x, size_t n, float *y); /* x, y may be the same */
    /* Channels [channel, channel + FOCAL_BLOCK) of one image, as far as there are so many. x:
     * [h*w][stride], y: [h*w][c]; planes: two, their borders zero. */
    void (*focal)(const struct loop_focal *spec, const float *x, int channel, float *planes,
                  float *y);
};

struct norm_row {
    const float *g, *x, *before; /* before: or NULL */
};

struct grad_kernels {
    /* y = g * gelu'(x): [n]; y may be g */
    void (*gelu)(const float *g, const float *x, size_t n, float *y);
    /* sum: [n] += rows of x: [rows][stride] */
    void (*add_rows)(const float *x, size_t stride, size_t rows, size_t n, float *sum);
    /* y: [n] the gradient of x, added to `before` (which it may be), or NULL; d_scale, d_shift: [n]
     * += the row's part, or both NULL. */
    void (*norm)(const struct norm_row *row, size_t n, const float *scale, float eps, float *y,
                 float *d_scale, float *d_shift);
    /* p: [n] a softmax, d: [n] its gradient, becomes scale times that of what it is of */
    void (*softmax)(const float *p, size_t n, float scale, float *d);
    float (*dot)(const float *a, const float *b, size_t n);
    /* y: [n] += by * x */
    void (*add_scaled)(const float *x, size_t n, float by, float *y);
    /* sum: [n] += rows of a * rows of b */
    void (*add_products)(const float *a, size_t a_stride, const float *b, size_t b_stride,
                         size_t rows, size_t n, float *sum);
    /* Channels [channel, channel + FOCAL_BLOCK) of one image. scratch: see loops_grad.c, planes
     * zero. dx: [h*w][2c + levels + 1] gets the block's channels of ctx, or NULL; gates:
     * [h*w][levels + 1] the block's part, or NULL; kernels: all levels' [k*k][FOCAL_BLOCK] += the
     * image's part, or NULL. */
    void (*focal)(const struct loop_focal *spec, const float *x, const float *g, size_t g_stride,
                  int channel, float *scratch, float *dx, float *gates, float *kernels);
};

extern const struct grad_kernels grad_kernels_generic, grad_kernels_avx2, grad_kernels_avx512;
extern const struct loop_kernels loop_kernels_generic, loop_kernels_avx2, loop_kernels_avx512;

/* Those that loops run with now. */
const struct loop_kernels *kernels_now(void);
const struct grad_kernels *grad_kernels_now(void);

struct focal_plane focal_plane_of(const struct loop_focal *spec);

#endif
