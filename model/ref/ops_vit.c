/* SPDX-License-Identifier: Apache-2.0
 * Operators of transformers. N: batch, T: tokens, C: channels, D: channels of a head. Sums are in
 * double: this is the oracle. */
#include <math.h>
#include <string.h>

#include "model/ref/ref.h"

/* w: cls [C], positions [T][C] */
REF_FORWARD(ref_tokens)
{
    size_t c = (size_t)spec->out.c, tokens = (size_t)spec->out.w;
    for (size_t n = 0; n < (size_t)spec->out.n; n++)
        for (size_t t = 0; t < tokens; t++) {
            const real *x =
                t == 0 ? w[0] : m->in[0] + (n * (tokens - 1) + t - 1) * spec->in_stride[0];
            for (size_t i = 0; i < c; i++)
                m->out[(n * tokens + t) * c + i] = x[i] + w[1][t * c + i];
        }
}

REF_FORWARD(ref_grid)
{
    (void)w;
    size_t c = (size_t)spec->out.c, cells = (size_t)spec->out.h * (size_t)spec->out.w;
    for (size_t n = 0; n < (size_t)spec->out.n; n++)
        for (size_t p = 0; p < cells; p++)
            memcpy(m->out + (n * cells + p) * c,
                   m->in[0] + (n * (cells + 1) + p + 1) * spec->in_stride[0], c * sizeof(real));
}

static double dot(const real *a, const real *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* softmax over the keys of q: [D] / sqrt(D). k: [T][stride], ret: [T] */
static void softmax_row(const real *q, const real *k, size_t stride, size_t tokens, size_t d,
                        real *ret)
{
    double max = -INFINITY, sum = 0, scale = 1 / sqrt((double)d);
    for (size_t t = 0; t < tokens; t++) {
        ret[t] = (real)(scale * dot(q, k + t * stride, d));
        max = fmax(max, (double)ret[t]);
    }
    for (size_t t = 0; t < tokens; t++)
        sum += exp((double)ret[t] - max);
    for (size_t t = 0; t < tokens; t++)
        ret[t] = (real)(exp((double)ret[t] - max) / sum);
}

/* scratch: a row of [T] */
REF_FORWARD(ref_attention)
{
    (void)w;
    size_t tokens = (size_t)spec->out.w, c = (size_t)spec->out.c;
    size_t heads = (size_t)spec->node->heads, d = c / heads;
    real *row = m->scratch;
    for (size_t n = 0; n < (size_t)spec->out.n; n++)
        for (size_t h = 0; h < heads; h++)
            for (size_t t = 0; t < tokens; t++) {
                const real *q = m->in[0] + (n * tokens + t) * spec->in_stride[0] + h * d;
                const real *k = m->in[1] + n * tokens * spec->in_stride[1] + h * d;
                const real *v = m->in[2] + n * tokens * spec->in_stride[2] + h * d;
                softmax_row(q, k, spec->in_stride[1], tokens, d, row);
                for (size_t i = 0; i < d; i++) {
                    double sum = 0;
                    for (size_t s = 0; s < tokens; s++)
                        sum += (double)row[s] * (double)v[s * spec->in_stride[2] + i];
                    m->out[(n * tokens + t) * c + h * d + i] = (real)sum;
                }
            }
}

REF_FORWARD(ref_cls_attention)
{
    (void)w;
    size_t heads = (size_t)spec->out.w, tokens = (size_t)spec->out.c;
    size_t d = (size_t)spec->in[0].c / heads;
    for (size_t n = 0; n < (size_t)spec->out.n; n++)
        for (size_t h = 0; h < heads; h++)
            softmax_row(m->in[0] + n * tokens * spec->in_stride[0] + h * d,
                        m->in[1] + n * tokens * spec->in_stride[1] + h * d, spec->in_stride[1],
                        tokens, d, m->out + (n * heads + h) * tokens);
}

REF_FORWARD(ref_attention_map)
{
    (void)w;
    size_t heads = (size_t)spec->in[0].w, cells = (size_t)spec->out.h * (size_t)spec->out.w;
    for (size_t n = 0; n < (size_t)spec->out.n; n++)
        for (size_t p = 0; p < cells; p++) {
            double sum = 0;
            for (size_t h = 0; h < heads; h++)
                sum += (double)m->in[0][(n * heads + h) * spec->in_stride[0] + 1 + p];
            m->out[n * cells + p] = (real)(sum / (double)heads);
        }
}
