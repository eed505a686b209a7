/* SPDX-License-Identifier: Apache-2.0
 * The focal context goes by blocks of channels: all levels of a block, global mean included, are
 * one piece of work for one thread, with its planes in that core's cache. */
#include "model/cpu/loops.h"

#include <omp.h>
#include <string.h>

#include "model/cpu/for_rows.h"
#include "model/cpu/kernels.h"

/* The best first. */
static const struct loop_kernels *available(int i)
{
    const struct loop_kernels *tables[3] = {&loop_kernels_generic};
    int n = 1;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        tables[n++] = &loop_kernels_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        tables[n++] = &loop_kernels_avx512;
#endif
    return i < n ? tables[n - 1 - i] : NULL;
}

static const struct loop_kernels *forced; /* by a test, before it runs anything */

const struct loop_kernels *kernels_now(void)
{
    return forced != NULL ? forced : available(0);
}

const struct grad_kernels *grad_kernels_now(void)
{
#ifdef __x86_64__
    if (kernels_now() == &loop_kernels_avx512)
        return &grad_kernels_avx512;
    if (kernels_now() == &loop_kernels_avx2)
        return &grad_kernels_avx2;
#endif
    return &grad_kernels_generic;
}

bool loop_force(const char *simd)
{
    const struct loop_kernels *k = NULL;
    for (int i = 0; simd != NULL && (k = available(i)) != NULL && strcmp(k->name, simd) != 0; i++)
        ;
    forced = k;
    return simd == NULL || k != NULL;
}

const char *loop_simd(void)
{
    return kernels_now()->name;
}

void loop_layer_norm(const float *x, size_t stride, size_t rows, size_t c, const float *scale,
                     const float *shift, float eps, float *y)
{
    const struct loop_kernels *k = kernels_now();
    FOR_ROWS(r, rows, c, k->norm(x + r * stride, c, scale, shift, eps, y + r * c));
}

void loop_mul(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows,
              size_t c, float *y)
{
    const struct loop_kernels *k = kernels_now();
    FOR_ROWS(r, rows, c, k->mul(a + r * a_stride, b + r * b_stride, c, y + r * c));
}

void loop_add(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows,
              size_t c, float *y)
{
    const struct loop_kernels *k = kernels_now();
    FOR_ROWS(r, rows, c, k->add(a + r * a_stride, b + r * b_stride, c, y + r * c));
}

void loop_sample_scale(const float *x, size_t stride, const float *by, size_t by_stride, size_t n,
                       size_t area, size_t c, float *y)
{
    const struct loop_kernels *k = kernels_now();
    FOR_ROWS(r, n * area, c, k->scale(x + r * stride, c, by[r / area * by_stride], y + r * c));
}

void loop_gelu(const float *x, size_t stride, size_t rows, size_t c, float *y)
{
    const struct loop_kernels *k = kernels_now();
    FOR_ROWS(r, rows, c, k->gelu(x + r * stride, c, y + r * c));
}

void loop_channel_l2(const float *x, size_t stride, size_t rows, size_t c, float *y)
{
    const struct loop_kernels *k = kernels_now();
    FOR_ROWS(r, rows, c, y[r] = k->l2(x + r * stride, c));
}

void loop_batch_norm(const float *x, size_t stride, size_t rows, size_t c, const float *mean,
                     const float *scale, const float *shift, float *y)
{
    const struct loop_kernels *k = kernels_now();
    FOR_ROWS(r, rows, c, k->affine(x + r * stride, c, mean, scale, shift, y + r * c));
}

void loop_softmax(float *x, size_t rows, size_t c)
{
    const struct loop_kernels *k = kernels_now();
    FOR_ROWS(r, rows, c, k->softmax(x + r * c, c));
}

void loop_sigmoid(const float *x, size_t stride, size_t rows, size_t c, float *y)
{
    const struct loop_kernels *k = kernels_now();
    if (stride == c) { /* dense: rows of one channel would be slow */
        enum { PIECE = 4096 };
        size_t n = rows * c, pieces = (n + PIECE - 1) / PIECE;
        FOR_ROWS(r, pieces, (size_t)PIECE,
                 k->sigmoid(x + r * PIECE, n - r * PIECE < PIECE ? n - r * PIECE : PIECE,
                            y + r * PIECE));
        return;
    }
    FOR_ROWS(r, rows, c, k->sigmoid(x + r * stride, c, y + r * c));
}

/* Transposed convolution */

/* y: [c] += x: [c] */
static void add_to(const struct loop_kernels *k, const float *x, size_t c, float *y)
{
    if (c >= FOCAL_BLOCK)
        k->add(x, y, c, y);
    else
        for (size_t i = 0; i < c; i++)
            y[i] += x[i];
}

/* Output row `at` meets tap (at + pad) % stride in input row (at + pad) / stride, and of each
 * stride-th tap from there the input row before; columns likewise. */
static void gather_cell(const struct loop_gather *s, const struct loop_kernels *k, const float *x,
                        int first_row, int row, int col, float *y)
{
    const int kh = s->kernel[0], kw = s->kernel[1];
    const size_t c = (size_t)s->out_c;
    memcpy(y, s->bias, c * sizeof(float));
    int in_y = (row + s->pad) / s->stride[0];
    for (int ky = (row + s->pad) % s->stride[0]; ky < kh && in_y >= 0; ky += s->stride[0], in_y--) {
        if (in_y >= s->in_h)
            continue;
        int in_x = (col + s->pad) / s->stride[1];
        for (int kx = (col + s->pad) % s->stride[1]; kx < kw && in_x >= 0;
             kx += s->stride[1], in_x--)
            if (in_x < s->in_w) {
                size_t at = (size_t)(in_y - first_row) * (size_t)s->in_w + (size_t)in_x;
                add_to(k, x + ((at * (size_t)kh + (size_t)ky) * (size_t)kw + (size_t)kx) * c, c, y);
            }
    }
    for (size_t i = 0; i < c && s->relu; i++)
        y[i] = y[i] > 0 ? y[i] : 0;
}

void loop_gather(const struct loop_gather *s, const float *x, int first_row, int from, int to,
                 float *y)
{
    const struct loop_kernels *k = kernels_now();
    const size_t w = (size_t)s->out_w, c = (size_t)s->out_c;
#pragma omp parallel for
    for (size_t i = (size_t)from * w; i < (size_t)to * w; i++)
        gather_cell(s, k, x, first_row, (int)(i / w), (int)(i % w), y + i * c);
}

/* Focal context */

static int focal_blocks(const struct loop_focal *s)
{
    return (s->c + FOCAL_BLOCK - 1) / FOCAL_BLOCK;
}

static size_t focal_taps(const struct loop_focal *s, int level)
{
    size_t k = (size_t)(s->window + 2 * level);
    return k * k;
}

size_t loop_focal_kernel(const struct loop_focal *s, int level)
{
    return (size_t)focal_blocks(s) * FOCAL_BLOCK * focal_taps(s, level);
}

/* [C][k*k] -> [blocks][k*k][FOCAL_BLOCK], zero where there are no channels. */
void loop_focal_pack(const struct loop_focal *s, int level, const float *from, float *to)
{
    size_t taps = focal_taps(s, level);
    memset(to, 0, loop_focal_kernel(s, level) * sizeof(float));
    for (size_t c = 0; c < (size_t)s->c; c++)
        for (size_t t = 0; t < taps; t++)
            to[(c / FOCAL_BLOCK * taps + t) * FOCAL_BLOCK + c % FOCAL_BLOCK] = from[c * taps + t];
}

struct focal_plane focal_plane_of(const struct loop_focal *s)
{
    enum { GROUP = 7 }; /* columns that a kernel computes together */
    size_t border = (size_t)(s->window + 2 * (s->levels - 1)) / 2;
    size_t cols = ((size_t)s->w + GROUP - 1) / GROUP * GROUP;
    return (struct focal_plane){border, (size_t)s->h + 2 * border, cols + 2 * border};
}

/* Two planes for each thread. */
static size_t thread_floats(const struct loop_focal *s)
{
    struct focal_plane plane = focal_plane_of(s);
    return 2 * plane.rows * plane.cols * FOCAL_BLOCK;
}

size_t loop_focal_scratch(const struct loop_focal *s, int threads)
{
    return thread_floats(s) * (size_t)threads * sizeof(float);
}

void loop_focal(const struct loop_focal *s, const float *x, void *scratch, float *y)
{
    const struct loop_kernels *k = kernels_now();
    int blocks = focal_blocks(s);
    size_t area = (size_t)s->h * (size_t)s->w;
#pragma omp parallel
    {
        float *planes = (float *)scratch + (size_t)omp_get_thread_num() * thread_floats(s);
        memset(planes, 0, thread_floats(s) * sizeof(float)); /* for the borders, which stay zero */
#pragma omp for schedule(dynamic)
        for (int i = 0; i < s->n * blocks; i++) {
            size_t image = (size_t)(i / blocks);
            k->focal(s, x + image * area * s->stride, i % blocks * FOCAL_BLOCK, planes,
                     y + image * area * (size_t)s->c);
        }
    }
}
