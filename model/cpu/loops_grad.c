/* SPDX-License-Identifier: Apache-2.0
 * The backward pass. As forward, a block of channels of one image is one piece of work. */
#include <omp.h>
#include <string.h>

#include "model/cpu/for_rows.h"
#include "model/cpu/kernels.h"

enum { PARTS = 32 }; /* of a sum over rows */

void loop_gelu_grad(const float *g, size_t g_stride, const float *x, size_t x_stride, size_t rows,
                    size_t c, float *y)
{
    const struct grad_kernels *k = grad_kernels_now();
    FOR_ROWS(r, rows, c, k->gelu(g + r * g_stride, x + r * x_stride, c, y + r * c));
}

void loop_layer_norm_grad(const float *g, size_t g_stride, const float *x, size_t x_stride,
                          size_t rows, size_t c, const float *scale, float eps, float *y)
{
    const struct grad_kernels *k = grad_kernels_now();
    FOR_ROWS(r, rows, c, k->norm(g + r * g_stride, x + r * x_stride, c, scale, eps, y + r * c));
}

/* Rows [*ret_from, *ret_to) of part i. */
static void part(size_t rows, size_t i, size_t *ret_from, size_t *ret_to)
{
    *ret_from = rows * i / PARTS;
    *ret_to = rows * (i + 1) / PARTS;
}

size_t loop_sums_scratch(size_t c)
{
    return PARTS * c * sizeof(float);
}

/* parts: [PARTS][c] */
static void add_parts(const float *parts, size_t c, float *y)
{
    memset(y, 0, c * sizeof(float));
    for (size_t i = 0; i < PARTS; i++)
        grad_kernels_now()->add_row(parts + i * c, c, y);
}

void loop_layer_norm_grad_weights(const float *g, size_t g_stride, const float *x, size_t x_stride,
                                  size_t rows, size_t c, float eps, void *scratch, float *y)
{
    const struct grad_kernels *k = grad_kernels_now();
    float *parts = scratch;
    memset(parts, 0, loop_sums_scratch(2 * c));
#pragma omp parallel for
    for (size_t i = 0; i < PARTS; i++) {
        size_t from, to;
        part(rows, i, &from, &to);
        for (size_t r = from; r < to; r++)
            k->norm_weights(g + r * g_stride, x + r * x_stride, c, eps, parts + i * 2 * c,
                            parts + i * 2 * c + c);
    }
    add_parts(parts, 2 * c, y);
}

void loop_column_sums(const float *g, size_t g_stride, size_t rows, size_t c, void *scratch,
                      float *y)
{
    const struct grad_kernels *k = grad_kernels_now();
    float *parts = scratch;
    memset(parts, 0, loop_sums_scratch(c));
#pragma omp parallel for
    for (size_t i = 0; i < PARTS; i++) {
        size_t from, to;
        part(rows, i, &from, &to);
        for (size_t r = from; r < to; r++)
            k->add_row(g + r * g_stride, c, parts + i * c);
    }
    add_parts(parts, c, y);
}

static void patch(const struct loop_patches *s, const float *x, int row, int col, float *y)
{
    const size_t taps = (size_t)(s->kernel[0] * s->kernel[1]);
    for (int ky = 0; ky < s->kernel[0]; ky++)
        for (int kx = 0; kx < s->kernel[1]; kx++) {
            int in_y = row * s->stride[0] + ky - s->pad, in_x = col * s->stride[1] + kx - s->pad;
            bool there = in_y >= 0 && in_y < s->in_h && in_x >= 0 && in_x < s->in_w;
            const float *from = there ? x + (size_t)(in_y * s->in_w + in_x) * s->x_stride : NULL;
            float *to = y + ky * s->kernel[1] + kx;
            for (size_t c = 0; c < (size_t)s->in_c; c++)
                to[c * taps] = there ? from[c] : 0;
        }
}

void loop_patches(const struct loop_patches *s, const float *x, size_t first, size_t cells,
                  float *y)
{
    const size_t area = (size_t)s->out_h * (size_t)s->out_w;
    const size_t floats = (size_t)(s->in_c * s->kernel[0] * s->kernel[1]);
#pragma omp parallel for
    for (size_t i = first; i < first + cells; i++)
        patch(s, x + i / area * (size_t)s->in_h * (size_t)s->in_w * s->x_stride,
              (int)(i % area) / s->out_w, (int)(i % area) % s->out_w, y + (i - first) * floats);
}

/* Focal context. Scratch: for each thread ctx [levels + 1], d and e as planes, z [levels][h*w] and
 * a kernel, of FOCAL_BLOCK floats a cell; then for each image and block what it adds to a sum. */

static size_t blocks_of(const struct loop_focal *s)
{
    return ((size_t)s->c + FOCAL_BLOCK - 1) / FOCAL_BLOCK;
}

static size_t all_taps(const struct loop_focal *s)
{
    size_t taps = 0;
    for (int l = 0; l < s->levels; l++)
        taps += (size_t)((s->window + 2 * l) * (s->window + 2 * l));
    return taps;
}

static size_t thread_floats(const struct loop_focal *s)
{
    struct focal_plane plane = focal_plane_of(s);
    size_t area = (size_t)s->h * (size_t)s->w, levels = (size_t)s->levels;
    return ((levels + 3) * plane.rows * plane.cols + levels * area + all_taps(s)) * FOCAL_BLOCK;
}

/* Of one block: gates [h*w][levels + 1], or all kernels. */
static size_t block_floats(const struct loop_focal *s)
{
    size_t gates = (size_t)s->h * (size_t)s->w * (size_t)(s->levels + 1);
    size_t kernels = all_taps(s) * FOCAL_BLOCK;
    return gates > kernels ? gates : kernels;
}

size_t loop_focal_grad_scratch(const struct loop_focal *s, int threads)
{
    return (thread_floats(s) * (size_t)threads + block_floats(s) * blocks_of(s) * (size_t)s->n) *
           sizeof(float);
}

/* All blocks of all images; dx: with their gates' parts, or NULL: with their kernels'. */
static void run_blocks(const struct loop_focal *s, const float *x, const float *g, size_t g_stride,
                       float *scratch, float *parts, float *dx)
{
    const struct grad_kernels *k = grad_kernels_now();
    const size_t area = (size_t)s->h * (size_t)s->w, blocks = blocks_of(s);
    const size_t wide = 2 * (size_t)s->c + (size_t)s->levels + 1;
    memset(parts, 0, block_floats(s) * blocks * (size_t)s->n * sizeof(float));
#pragma omp parallel
    {
        float *own = scratch + (size_t)omp_get_thread_num() * thread_floats(s);
        memset(own, 0, thread_floats(s) * sizeof(float)); /* for the borders, which stay zero */
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < (size_t)s->n * blocks; i++) {
            size_t image = i / blocks;
            int channel = (int)(i % blocks) * FOCAL_BLOCK;
            float *own_part = parts + i * block_floats(s);
            k->focal(s, x + image * area * s->stride, g + image * area * g_stride, g_stride,
                     channel, own, dx != NULL ? dx + image * area * wide : NULL,
                     dx != NULL ? own_part : NULL, dx != NULL ? NULL : own_part);
        }
    }
}

/* The parts lie behind what the threads work in. */
static float *parts_of(const struct loop_focal *s, void *scratch)
{
    return (float *)scratch + thread_floats(s) * (size_t)omp_get_max_threads();
}

void loop_focal_grad(const struct loop_focal *s, const float *x, const float *g, size_t g_stride,
                     void *scratch, float *dx)
{
    const size_t area = (size_t)s->h * (size_t)s->w, blocks = blocks_of(s);
    const size_t c = (size_t)s->c, gates = (size_t)s->levels + 1, wide = 2 * c + gates;
    float *parts = parts_of(s, scratch);
    run_blocks(s, x, g, g_stride, scratch, parts, dx);
#pragma omp parallel for
    for (size_t i = 0; i < (size_t)s->n * area; i++) {
        const float *part = parts + i / area * blocks * block_floats(s) + i % area * gates;
        float *to = dx + i * wide;
        memset(to, 0, c * sizeof(float));
        for (size_t l = 0; l < gates; l++) {
            float sum = 0;
            for (size_t b = 0; b < blocks; b++)
                sum += part[b * block_floats(s) + l];
            to[2 * c + l] = sum;
        }
    }
}

void loop_focal_grad_weights(const struct loop_focal *s, const float *x, const float *g,
                             size_t g_stride, void *scratch, float *y)
{
    const size_t blocks = blocks_of(s);
    float *parts = parts_of(s, scratch);
    run_blocks(s, x, g, g_stride, scratch, parts, NULL);
    size_t before = 0;
    for (int l = 0; l < s->levels; l++) {
        size_t kk = (size_t)((s->window + 2 * l) * (s->window + 2 * l));
        for (size_t c = 0; c < (size_t)s->c; c++)
            for (size_t t = 0; t < kk; t++) {
                const float *part = parts + c / FOCAL_BLOCK * block_floats(s) +
                                    (before + t) * FOCAL_BLOCK + c % FOCAL_BLOCK;
                float sum = 0;
                for (size_t n = 0; n < (size_t)s->n; n++)
                    sum += part[n * blocks * block_floats(s)];
                *y++ = sum;
            }
        before += kk;
    }
}
