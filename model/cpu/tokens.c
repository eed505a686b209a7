/* SPDX-License-Identifier: Apache-2.0
 * A transformer's operators beside attention. T: tokens, the first of which is the class's, C:
 * channels, H: heads, D: channels of a head. */
#include <math.h>
#include <string.h>

#include "model/cpu/for_rows.h"
#include "model/cpu/kernels.h"
#include "model/cpu/operators.h"

/* Row r of all images' tokens: what it was among the others, or the class's. w: cls [C], positions
 * [T][C] */
CPU_OPERATOR(cpu_tokens)
{
    const struct loop_kernels *k = kernels_now();
    const size_t tokens = (size_t)spec->out.w, c = (size_t)spec->out.c;
    FOR_ROWS(r, (size_t)spec->out.n * tokens, c, {
        const size_t t = r % tokens;
        const float *x = t == 0 ? w[0] : m->in[0] + (r - r / tokens - 1) * spec->in_stride[0];
        k->add(x, w[1] + t * c, c, m->out + r * c);
    });
}

/* in: g: [N][T][C]; out: of cls [C], of positions [T][C]; cls's is that of its position. */
CPU_OPERATOR(cpu_tokens_grad_weights)
{
    (void)w;
    const struct grad_kernels *k = grad_kernels_now();
    const size_t n = (size_t)spec->in[0].n, tokens = (size_t)spec->in[0].w,
                 c = (size_t)spec->in[0].c, stride = spec->in_stride[0];
    float *positions = m->out + c;
    memset(positions, 0, tokens * c * sizeof *positions);
    FOR_ROWS(t, tokens, n * c,
             k->add_rows(m->in[0] + t * stride, tokens * stride, n, c, positions + t * c));
    memcpy(m->out, positions, c * sizeof *m->out);
}

CPU_OPERATOR(cpu_grid)
{
    (void)w;
    const size_t cells = (size_t)spec->out.h * (size_t)spec->out.w, c = (size_t)spec->out.c;
    FOR_ROWS(r, (size_t)spec->out.n * cells, c,
             memcpy(m->out + r * c, m->in[0] + (r + r / cells + 1) * spec->in_stride[0],
                    c * sizeof(float)));
}

CPU_OPERATOR(cpu_grid_grad)
{
    (void)w;
    const size_t tokens = (size_t)spec->out.w, c = (size_t)spec->out.c;
    FOR_ROWS(r, (size_t)spec->out.n * tokens, c, {
        if (r % tokens == 0)
            memset(m->out + r * c, 0, c * sizeof(float));
        else
            memcpy(m->out + r * c, m->in[0] + (r - r / tokens - 1) * spec->in_stride[0],
                   c * sizeof(float));
    });
}

/* The channels of one head of one image: the first query's softmax y. in: g, q, k, y; out: of q and
 * k, [T][2 C]; of the other queries zero. d: [T] scratch */
static void cls_head(const struct step_spec *spec, const struct ref_memory *m, size_t image,
                     size_t head, float *d)
{
    const struct grad_kernels *k = grad_kernels_now();
    const size_t tokens = (size_t)spec->out.w, heads = (size_t)spec->node->heads;
    const size_t wide = (size_t)spec->out.c, c = wide / 2, channels = c / heads,
                 at = head * channels;
    const size_t *stride = spec->in_stride, row = image * heads + head;
    const float *query = m->in[1] + image * tokens * stride[1] + at,
                *keys = m->in[2] + image * tokens * stride[2] + at;
    float *dq = m->out + image * tokens * wide + at, *dk = dq + c;
    memcpy(d, m->in[0] + row * stride[0], tokens * sizeof *d);
    k->softmax(m->in[3] + row * stride[3], tokens, 1 / sqrtf((float)channels), d);
    for (size_t t = 0; t < tokens; t++) {
        memset(dq + t * wide, 0, channels * sizeof *dq);
        kernels_now()->scale(query, channels, d[t], dk + t * wide);
        k->add_scaled(keys + t * stride[2], channels, d[t], dq);
    }
}

CPU_OPERATOR(cpu_cls_attention_grad)
{
    (void)w;
    const size_t heads = (size_t)spec->node->heads, tokens = (size_t)spec->out.w;
    FOR_ROWS(i, (size_t)spec->out.n * heads, tokens * (size_t)spec->out.c / heads,
             cls_head(spec, m, i / heads, i % heads, m->scratch + i * tokens));
}

/* in: g: [N][T - 1], one a head's share of which all heads get; out: [N][H][T] */
static void map_row(const float *g, size_t stride, size_t tokens, float share, float *y)
{
    y[0] = 0;
    if (stride == 1)
        kernels_now()->scale(g, tokens - 1, share, y + 1);
    else
        for (size_t t = 1; t < tokens; t++)
            y[t] = share * g[(t - 1) * stride];
}

CPU_OPERATOR(cpu_attention_map_grad)
{
    (void)w;
    const size_t heads = (size_t)spec->out.w, tokens = (size_t)spec->out.c,
                 stride = spec->in_stride[0];
    const float share = 1 / (float)heads;
    FOR_ROWS(r, (size_t)spec->out.n * heads, tokens,
             map_row(m->in[0] + r / heads * (tokens - 1) * stride, stride, tokens, share,
                     m->out + r * tokens));
}
