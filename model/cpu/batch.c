/* SPDX-License-Identifier: Apache-2.0
 * Scratch: for each part two sums of c in double and in float, then the channels' numbers. */
#include "model/cpu/batch.h"

#include <math.h>
#include <string.h>

#include "model/cpu/for_rows.h"
#include "model/cpu/kernels.h"

enum { PARTS = 32, BLOCK = 64 /* rows */ };

static const struct batch_kernels *kernels(void)
{
#ifdef __x86_64__
    if (kernels_now() == &loop_kernels_avx512)
        return &batch_kernels_avx512;
    if (kernels_now() == &loop_kernels_avx2)
        return &batch_kernels_avx2;
#endif
    return &batch_kernels_generic;
}

/* Of the channels: [c] each. */
struct channels {
    float *mean, *inverse, *a, *b, *slope;
};

enum { CHANNELS = sizeof(struct channels) / sizeof(float *) };

size_t loop_batch_scratch(size_t c)
{
    return PARTS * 2 * c * (sizeof(double) + sizeof(float)) + CHANNELS * c * sizeof(float);
}

static double *part_sums(const struct loop_batch *b)
{
    return b->scratch;
}

static float *block_sums(const struct loop_batch *b)
{
    return (float *)(void *)(part_sums(b) + PARTS * 2 * b->c);
}

static struct channels channels_of(const struct loop_batch *b)
{
    float *at = block_sums(b) + PARTS * 2 * b->c;
    return (struct channels){at, at + b->c, at + 2 * b->c, at + 3 * b->c, at + 4 * b->c};
}

enum sum { SUM, SUM_SQUARES, SUM_PRODUCTS };

static void block(const struct loop_batch *b, enum sum what, size_t from, size_t rows,
                  const float *mean, float *ret)
{
    const struct batch_kernels *k = kernels();
    const float *x = b->x + from * b->x_stride;
    if (what == SUM)
        k->sums(x, b->x_stride, rows, b->c, ret);
    else if (what == SUM_SQUARES)
        k->squares(x, b->x_stride, rows, b->c, mean, ret);
    else
        k->products(b, from, rows, mean, ret);
}

/* Part i of the rows. width: sums, c or 2 c. */
static void sum_part(const struct loop_batch *b, enum sum what, size_t i, size_t width,
                     const float *mean)
{
    const size_t to = b->rows * (i + 1) / PARTS;
    double *sums = part_sums(b) + i * 2 * b->c;
    float *floats = block_sums(b) + i * 2 * b->c;
    memset(sums, 0, width * sizeof *sums);
    for (size_t from = b->rows * i / PARTS; from < to; from += BLOCK) {
        block(b, what, from, to - from < BLOCK ? to - from : BLOCK, mean, floats);
        for (size_t k = 0; k < width; k++)
            sums[k] += (double)floats[k];
    }
}

/* ret: [width], the first part's sums. */
static const double *sum_rows(const struct loop_batch *b, enum sum what, const float *mean)
{
    const size_t width = what == SUM_PRODUCTS ? 2 * b->c : b->c;
    double *all = part_sums(b);
    FOR_ROWS(i, (size_t)PARTS, b->rows * b->c / PARTS, sum_part(b, what, i, width, mean));
    for (size_t i = 1; i < PARTS; i++)
        for (size_t k = 0; k < width; k++)
            all[k] += all[i * 2 * b->c + k];
    return all;
}

/* Fills mean and, of the biased variance, inverse; variances: [c] x's own, or NULL. */
static struct channels moments(const struct loop_batch *b, float *variances)
{
    const double n = (double)b->rows;
    struct channels ch = channels_of(b);
    if (b->mean != NULL) {
        memcpy(ch.mean, b->mean, b->c * sizeof *ch.mean);
        for (size_t i = 0; i < b->c; i++)
            ch.inverse[i] = (float)(1 / sqrt((double)b->variance[i] + (double)b->eps));
        return ch;
    }
    const double *sums = sum_rows(b, SUM, NULL);
    for (size_t i = 0; i < b->c; i++)
        ch.mean[i] = (float)(sums[i] / n);
    sums = sum_rows(b, SUM_SQUARES, ch.mean);
    for (size_t i = 0; i < b->c; i++) {
        ch.inverse[i] = (float)(1 / sqrt(sums[i] / n + (double)b->eps));
        if (variances != NULL)
            variances[i] = (float)(sums[i] / n);
    }
    return ch;
}

void loop_batch_norm_train(const struct loop_batch *b, const float *scale, const float *shift,
                           float *y)
{
    const struct loop_kernels *k = kernels_now();
    const struct channels ch = moments(b, NULL);
    for (size_t i = 0; i < b->c; i++)
        ch.a[i] = ch.inverse[i] * scale[i];
    FOR_ROWS(r, b->rows, b->c,
             k->affine(b->x + r * b->x_stride, b->c, ch.mean, ch.a, shift, y + r * b->c));
}

/* Moments that do not move with x. */
static void grad_alone(const struct loop_batch *b, const float *scale, float *y)
{
    const struct loop_kernels *k = kernels_now();
    const struct channels ch = moments(b, NULL);
    for (size_t i = 0; i < b->c; i++)
        ch.a[i] = ch.inverse[i] * scale[i];
    FOR_ROWS(r, b->rows, b->c, k->mul(b->g + r * b->g_stride, ch.a, b->c, y + r * b->c));
}

static void slopes_of_rows(const struct loop_batch *b, const struct channels *ch)
{
    const double *sums = sum_rows(b, SUM_PRODUCTS, ch->mean), n = (double)b->rows;
    for (size_t i = 0; i < b->c; i++) {
        const double inverse = (double)ch->inverse[i];
        ch->b[i] = (float)(sums[i] / n);
        ch->slope[i] = (float)(sums[b->c + i] / n * inverse * inverse);
    }
}

static void slopes_of_sums(const struct loop_batch *b, const struct channels *ch)
{
    const double n = (double)b->rows * b->ranks;
    for (size_t i = 0; i < b->c; i++) {
        ch->b[i] = (float)((double)b->sums[b->c + i] / n);
        ch->slope[i] = (float)((double)b->sums[i] / n * (double)ch->inverse[i]);
    }
}

void loop_batch_norm_grad(const struct loop_batch *b, const float *scale, float *y)
{
    if (b->mean != NULL && b->sums == NULL) {
        grad_alone(b, scale, y);
        return;
    }
    const struct batch_kernels *k = kernels();
    const struct channels ch = moments(b, NULL);
    for (size_t i = 0; i < b->c; i++)
        ch.a[i] = ch.inverse[i] * scale[i];
    if (b->sums != NULL)
        slopes_of_sums(b, &ch);
    else
        slopes_of_rows(b, &ch);
    FOR_ROWS(r, b->rows, b->c,
             k->back(b->g + r * b->g_stride, b->x + r * b->x_stride, b->c, ch.mean, ch.a, ch.b,
                     ch.slope, y + r * b->c));
}

void loop_batch_norm_grad_weights(const struct loop_batch *b, float *y)
{
    const struct channels ch = moments(b, NULL);
    const double *sums = sum_rows(b, SUM_PRODUCTS, ch.mean);
    for (size_t i = 0; i < b->c; i++) {
        y[i] = (float)(sums[b->c + i] * (double)ch.inverse[i]);
        y[b->c + i] = (float)sums[i];
    }
}

void loop_batch_statistics(const struct loop_batch *b, float *y)
{
    const struct channels ch = moments(b, y + b->c);
    memcpy(y, ch.mean, b->c * sizeof *y);
}

/* Cell by cell: dense values in pieces, since rows of few channels would be slow. */

enum { PIECE = 4096 };

static size_t piece_cells(size_t cells, size_t i)
{
    return cells - i * PIECE < PIECE ? cells - i * PIECE : PIECE;
}

void loop_relu(const float *x, size_t stride, size_t rows, size_t c, float *y)
{
    const struct batch_kernels *k = kernels();
    const size_t cells = rows * c, pieces = (cells + PIECE - 1) / PIECE;
    if (stride == c)
        FOR_ROWS(i, pieces, (size_t)PIECE,
                 k->relu(x + i * PIECE, piece_cells(cells, i), y + i * PIECE));
    else
        FOR_ROWS(r, rows, c, k->relu(x + r * stride, c, y + r * c));
}

typedef void grad_kernel(const float *g, const float *of, size_t n, float *y);

static void run_grad(grad_kernel *run, const float *g, size_t g_stride, const float *of,
                     size_t of_stride, size_t rows, size_t c, float *y)
{
    const size_t cells = rows * c, pieces = (cells + PIECE - 1) / PIECE;
    if (g_stride == c && of_stride == c)
        FOR_ROWS(i, pieces, (size_t)PIECE,
                 run(g + i * PIECE, of + i * PIECE, piece_cells(cells, i), y + i * PIECE));
    else
        FOR_ROWS(r, rows, c, run(g + r * g_stride, of + r * of_stride, c, y + r * c));
}

void loop_relu_grad(const float *g, size_t g_stride, const float *of, size_t of_stride, size_t rows,
                    size_t c, float *y)
{
    run_grad(kernels()->relu_grad, g, g_stride, of, of_stride, rows, c, y);
}

void loop_sigmoid_grad(const float *g, size_t g_stride, const float *of, size_t of_stride,
                       size_t rows, size_t c, float *y)
{
    run_grad(kernels()->sigmoid_grad, g, g_stride, of, of_stride, rows, c, y);
}
