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

void loop_softmax_grad(const float *p, size_t rows, size_t c, float scale, float *d)
{
    const struct grad_kernels *k = grad_kernels_now();
    FOR_ROWS(r, rows, c, k->softmax(p + r * c, c, scale, d + r * c));
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
    grad_kernels_now()->add_rows(parts, c, PARTS, c, y);
}

void loop_layer_norm_grad(const struct loop_norm_grad *s, const float *g, const float *x,
                          const float *before, void *scratch, float *y, float *d_weights)
{
    const struct grad_kernels *k = grad_kernels_now();
    float *parts = scratch;
    if (d_weights != NULL)
        memset(parts, 0, loop_sums_scratch(2 * s->c));
#pragma omp parallel for
    for (size_t i = 0; i < PARTS; i++) {
        float *d_scale = d_weights != NULL ? parts + i * 2 * s->c : NULL;
        float *d_shift = d_weights != NULL ? d_scale + s->c : NULL;
        size_t from, to;
        part(s->rows, i, &from, &to);
        for (size_t r = from; r < to; r++) {
            const struct norm_row row = {g + r * s->g_stride, x + r * s->x_stride,
                                         before != NULL ? before + r * s->c : NULL};
            k->norm(&row, s->c, s->scale, s->eps, y != NULL ? y + r * s->c : NULL, d_scale,
                    d_shift);
        }
    }
    if (d_weights != NULL)
        add_parts(parts, 2 * s->c, d_weights);
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
        k->add_rows(g + from * g_stride, g_stride, to - from, c, parts + i * c);
    }
    add_parts(parts, c, y);
}

/* sum: [c] += part i's rows of g times those of x */
static void multiply_part(const float *g, size_t g_stride, const float *x, size_t x_stride,
                          size_t rows, size_t c, size_t i, float *sum)
{
    size_t from, to;
    part(rows, i, &from, &to);
    grad_kernels_now()->add_products(g + from * g_stride, g_stride, x + from * x_stride, x_stride,
                                     to - from, c, sum);
}

void loop_column_products(const float *g, size_t g_stride, const float *x, size_t x_stride,
                          size_t rows, size_t c, void *scratch, float *y)
{
    float *parts = scratch;
    memset(parts, 0, loop_sums_scratch(c));
    FOR_ROWS(i, (size_t)PARTS, rows * c / PARTS,
             multiply_part(g, g_stride, x, x_stride, rows, c, i, parts + i * c));
    add_parts(parts, c, y);
}

/* y: [kh][kw][c] */
static void patch(const struct loop_patches *s, const float *x, int row, int col, float *y)
{
    const size_t c = (size_t)s->in_c;
    for (int ky = 0; ky < s->kernel[0]; ky++)
        for (int kx = 0; kx < s->kernel[1]; kx++, y += c) {
            int in_y = row * s->stride[0] + ky - s->pad, in_x = col * s->stride[1] + kx - s->pad;
            bool there = in_y >= 0 && in_y < s->in_h && in_x >= 0 && in_x < s->in_w;
            const float *from = there ? x + (size_t)(in_y * s->in_w + in_x) * s->x_stride : NULL;
            if (c == 1)
                *y = there ? *from : 0;
            else if (there)
                memcpy(y, from, c * sizeof(float));
            else
                memset(y, 0, c * sizeof(float));
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

/* Focal context. Scratch: for each thread ctx [levels + 1], d and e as planes, g [h*w], slopes
 * [levels][h*w] and a kernel, of FOCAL_BLOCK floats a cell; then for each image and block what it
 * adds to sums: gates [h*w][levels + 1], all kernels [k*k][FOCAL_BLOCK]. */

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
    return ((levels + 3) * plane.rows * plane.cols + (levels + 1) * area + all_taps(s)) *
           FOCAL_BLOCK;
}

static size_t gates_floats(const struct loop_focal *s)
{
    size_t gates = (size_t)s->h * (size_t)s->w * (size_t)(s->levels + 1);
    return (gates + FOCAL_BLOCK - 1) / FOCAL_BLOCK * FOCAL_BLOCK;
}

/* Of one image and block. */
static size_t part_floats(const struct loop_focal *s)
{
    return gates_floats(s) + all_taps(s) * FOCAL_BLOCK;
}

size_t loop_focal_grad_scratch(const struct loop_focal *s, int threads)
{
    return (thread_floats(s) * (size_t)threads + part_floats(s) * blocks_of(s) * (size_t)s->n) *
           sizeof(float);
}

/* The parts lie behind what the threads work in. */
static float *parts_of(const struct loop_focal *s, void *scratch)
{
    return (float *)scratch + thread_floats(s) * (size_t)omp_get_max_threads();
}

/* Sums the gates' parts over blocks; no gradient reaches q. */
static void add_gates(const struct loop_focal *s, const float *parts, float *dx)
{
    const size_t area = (size_t)s->h * (size_t)s->w, blocks = blocks_of(s);
    const size_t c = (size_t)s->c, gates = (size_t)s->levels + 1, wide = 2 * c + gates;
#pragma omp parallel for
    for (size_t i = 0; i < (size_t)s->n * area; i++) {
        const float *part = parts + i / area * blocks * part_floats(s) + i % area * gates;
        float *to = dx + i * wide;
        memset(to, 0, c * sizeof(float));
        for (size_t l = 0; l < gates; l++) {
            float sum = 0;
            for (size_t b = 0; b < blocks; b++)
                sum += part[b * part_floats(s) + l];
            to[2 * c + l] = sum;
        }
    }
}

/* Sums the kernels' parts over images: to [C][k*k], level after level. */
static void add_kernels(const struct loop_focal *s, float *parts, float *y)
{
    const size_t blocks = blocks_of(s), floats = all_taps(s) * FOCAL_BLOCK;
    parts += gates_floats(s);
#pragma omp parallel for
    for (size_t b = 0; b < blocks; b++)
        grad_kernels_now()->add_rows(parts + (blocks + b) * part_floats(s), blocks * part_floats(s),
                                     (size_t)s->n - 1, floats, parts + b * part_floats(s));
    size_t before = 0;
    for (int l = 0; l < s->levels; l++) {
        size_t kk = (size_t)((s->window + 2 * l) * (s->window + 2 * l));
        for (size_t c = 0; c < (size_t)s->c; c++)
            for (size_t t = 0; t < kk; t++)
                *y++ = parts[c / FOCAL_BLOCK * part_floats(s) + (before + t) * FOCAL_BLOCK +
                             c % FOCAL_BLOCK];
        before += kk;
    }
}

void loop_focal_grad(const struct loop_focal *s, const float *x, const float *g, size_t g_stride,
                     void *scratch, float *dx, float *d_kernels)
{
    const struct grad_kernels *k = grad_kernels_now();
    const size_t area = (size_t)s->h * (size_t)s->w, blocks = blocks_of(s);
    const size_t wide = 2 * (size_t)s->c + (size_t)s->levels + 1;
    float *parts = parts_of(s, scratch);
#pragma omp parallel
    {
        float *own = (float *)scratch + (size_t)omp_get_thread_num() * thread_floats(s);
        memset(own, 0, thread_floats(s) * sizeof(float)); /* for the borders, which stay zero */
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < (size_t)s->n * blocks; i++) {
            size_t image = i / blocks;
            float *gates = parts + i * part_floats(s), *kernels = gates + gates_floats(s);
            memset(kernels, 0, all_taps(s) * FOCAL_BLOCK * sizeof(float));
            k->focal(s, x + image * area * s->stride, g + image * area * g_stride, g_stride,
                     (int)(i % blocks) * FOCAL_BLOCK, own,
                     dx != NULL ? dx + image * area * wide : NULL, dx != NULL ? gates : NULL,
                     d_kernels != NULL ? kernels : NULL);
        }
    }
    if (dx != NULL)
        add_gates(s, parts, dx);
    if (d_kernels != NULL)
        add_kernels(s, parts, d_kernels);
}
