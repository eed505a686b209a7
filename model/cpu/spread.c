/* SPDX-License-Identifier: Apache-2.0
 * Gradients of operators that take part of a value, or give less than it had. in[0]: g. C:
 * channels. */
#include <string.h>

#include "model/cpu/for_rows.h"
#include "model/cpu/kernels.h"
#include "model/cpu/operators.h"

static size_t rows_of(struct tensor_shape s)
{
    return tensor_cells(s) / (size_t)s.c;
}

/* y: [c] zero but for g: [n] at `from` */
static void put_between(const float *g, size_t n, size_t from, size_t c, float *y)
{
    memset(y, 0, from * sizeof *y);
    memcpy(y + from, g, n * sizeof *y);
    memset(y + from + n, 0, (c - from - n) * sizeof *y);
}

CPU_OPERATOR(cpu_slice_grad)
{
    (void)w;
    const size_t c = (size_t)spec->out.c, n = (size_t)spec->in[0].c, stride = spec->in_stride[0];
    const size_t from = (size_t)spec->node->from;
    FOR_ROWS(r, rows_of(spec->out), c,
             put_between(m->in[0] + r * stride, n, from, c, m->out + r * c));
}

CPU_OPERATOR(cpu_mean_grad)
{
    (void)w;
    const struct loop_kernels *k = kernels_now();
    const size_t c = (size_t)spec->out.c, area = (size_t)spec->out.h * (size_t)spec->out.w;
    const float share = 1 / (float)area;
    FOR_ROWS(r, rows_of(spec->out), c,
             k->scale(m->in[0] + r / area * spec->in_stride[0], c, share, m->out + r * c));
}

/* in: g, x, y */
CPU_OPERATOR(cpu_channel_l2_grad)
{
    (void)w;
    const struct loop_kernels *k = kernels_now();
    const size_t c = (size_t)spec->out.c, *stride = spec->in_stride;
    FOR_ROWS(r, rows_of(spec->out), c, {
        const float length = m->in[2][r * stride[2]];
        k->scale(m->in[1] + r * stride[1], c, length > 0 ? m->in[0][r * stride[0]] / length : 0,
                 m->out + r * c);
    });
}

/* Row `row` of image n of what was resized: y: [w][C] gets the shares of all cells of g that took
 * part of it. */
static void gather_row(const struct step_spec *spec, const float *g, int row, float *y)
{
    const struct grad_kernels *k = grad_kernels_now();
    const struct tensor_shape in = spec->in[0], out = spec->out;
    const size_t c = (size_t)out.c;
    memset(y, 0, (size_t)out.w * c * sizeof *y);
    for (int i = 0; i < in.h; i++, g += (size_t)in.w * spec->in_stride[0]) {
        size_t rows[2], cols[2];
        double lower, right;
        ref_neighbours(i, out.h, in.h, &rows[0], &rows[1], &lower);
        const double of_row =
            (rows[0] == (size_t)row ? 1 - lower : 0) + (rows[1] == (size_t)row ? lower : 0);
        for (int j = 0; j < in.w && of_row > 0; j++) {
            ref_neighbours(j, out.w, in.w, &cols[0], &cols[1], &right);
            const float *from = g + (size_t)j * spec->in_stride[0];
            k->add_scaled(from, c, (float)(of_row * (1 - right)), y + cols[0] * c);
            k->add_scaled(from, c, (float)(of_row * right), y + cols[1] * c);
        }
    }
}

CPU_OPERATOR(cpu_resize_grad)
{
    (void)w;
    const size_t h = (size_t)spec->out.h, row = (size_t)spec->out.w * (size_t)spec->out.c;
    const size_t image = (size_t)spec->in[0].h * (size_t)spec->in[0].w * spec->in_stride[0];
    FOR_ROWS(r, (size_t)spec->out.n * h, row,
             gather_row(spec, m->in[0] + r / h * image, (int)(r % h), m->out + r * row));
}

/* Channels [from, from + n) of every key. in: g, keys' numbers */
static void add_to_keys(const struct step_spec *spec, const struct ref_memory *m, size_t from,
                        size_t n)
{
    const size_t c = (size_t)spec->in[0].c, keys = tensor_cells(spec->out) / c;
    for (size_t key = 0; key < keys; key++)
        memset(m->out + key * c + from, 0, n * sizeof *m->out);
    for (size_t r = 0; r < rows_of(spec->in[0]); r++)
        grad_kernels_now()->add_rows(m->in[0] + r * spec->in_stride[0] + from, 0, 1, n,
                                     m->out + (size_t)m->in[1][r * spec->in_stride[1]] * c + from);
}

/* Several positions have the same key: threads share channels. */
CPU_OPERATOR(cpu_lookup_grad_weights)
{
    (void)w;
    enum { PART = 64 };
    const size_t c = (size_t)spec->in[0].c, parts = (c + PART - 1) / PART;
    FOR_ROWS(i, parts, PART * (tensor_cells(spec->out) / c + rows_of(spec->in[0])),
             add_to_keys(spec, m, i * PART, c - i * PART < PART ? c - i * PART : PART));
}
