/* SPDX-License-Identifier: Apache-2.0
 * Gradients of the focal context, of a transformer's operators and of resizing. in[0]: the gradient
 * g of the value. */
#include <math.h>
#include <string.h>

#include "model/ref/ref.h"

static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x * M_SQRT1_2));
}

static double gelu_slope(double x)
{
    return 0.5 * (1 + erf(x * M_SQRT1_2)) + x * exp(-0.5 * x * x) * 0.3989422804014327;
}

/* Focal context. A: cells of an image, L: levels. */

/* One channel of one image, forward and back. ctx: [L + 1][A], the first being the input; z: [L][A]
 * before GELU; d: [L + 1][A] the gradients of ctx. */
struct focal {
    const struct step_spec *spec;
    const real *const *w;
    const real *x, *g; /* of the image */
    size_t channels, c, area, stride, g_stride;
    real *ctx, *z, *d;
};

static int size_of(const struct focal *f, int level)
{
    return f->spec->node->window + 2 * level;
}

/* Cell p and tap k: the neighbour, or false. */
static bool neighbour(const struct focal *f, int level, size_t p, int k, size_t *ret)
{
    const int h = f->spec->in[1].h, w = f->spec->in[1].w, size = size_of(f, level);
    int y = (int)p / w + k / size - size / 2, x = (int)p % w + k % size - size / 2;
    *ret = (size_t)(y * w + x);
    return y >= 0 && y < h && x >= 0 && x < w;
}

static double gate(const struct focal *f, int level, size_t p)
{
    return (double)f->x[p * f->stride + 2 * f->channels + (size_t)level];
}

static const real *kernel(const struct focal *f, int level)
{
    return f->w[level] + f->c * (size_t)(size_of(f, level) * size_of(f, level));
}

static void focal_forward(const struct focal *f)
{
    for (size_t p = 0; p < f->area; p++)
        f->ctx[p] = f->x[p * f->stride + f->channels + f->c];
    for (int l = 0; l < f->spec->node->levels; l++)
        for (size_t p = 0; p < f->area; p++) {
            double sum = 0;
            size_t q;
            for (int k = 0; k < size_of(f, l) * size_of(f, l); k++)
                if (neighbour(f, l, p, k, &q))
                    sum += (double)f->ctx[(size_t)l * f->area + q] * (double)kernel(f, l)[k];
            f->z[(size_t)l * f->area + p] = (real)sum;
            f->ctx[(size_t)(l + 1) * f->area + p] = (real)gelu(sum);
        }
}

/* The gradient of the accumulated context, before it is divided. */
static double gradient(const struct focal *f, size_t p)
{
    const struct graph_node *node = f->spec->node;
    double g = (double)f->g[p * f->g_stride + f->c];
    return node->normalize ? g / (node->levels + 1) : g;
}

static double mean_context(const struct focal *f)
{
    double mean = 0;
    for (size_t p = 0; p < f->area; p++)
        mean += (double)f->ctx[(size_t)f->spec->node->levels * f->area + p];
    return mean / (double)f->area;
}

/* Fills d; of d[l + 1] remains the gradient of z[l]. */
static void focal_backward(const struct focal *f)
{
    const int levels = f->spec->node->levels;
    double global = 0;
    for (size_t p = 0; p < f->area; p++)
        global += gradient(f, p) * gate(f, levels, p);
    global *= gelu_slope(mean_context(f)) / (double)f->area;
    for (int l = levels; l >= 0; l--)
        for (size_t p = 0; p < f->area; p++) {
            double of_gate = l > 0 ? gradient(f, p) * gate(f, l - 1, p) : 0;
            f->d[(size_t)l * f->area + p] = (real)(of_gate + (l == levels ? global : 0));
        }
    for (int l = levels - 1; l >= 0; l--)
        for (size_t p = 0; p < f->area; p++) {
            real *d = &f->d[(size_t)(l + 1) * f->area + p];
            *d = (real)((double)*d * gelu_slope((double)f->z[(size_t)l * f->area + p]));
            size_t q;
            for (int k = 0; k < size_of(f, l) * size_of(f, l); k++)
                if (neighbour(f, l, p, k, &q))
                    f->d[(size_t)l * f->area + q] += *d * kernel(f, l)[k];
        }
}

static struct focal focal_of(const struct step_spec *spec, const real *const *w,
                             const struct ref_memory *m, size_t n, size_t c)
{
    size_t area = (size_t)spec->in[1].h * (size_t)spec->in[1].w;
    size_t levels = (size_t)spec->node->levels;
    struct focal f = {.spec = spec,
                      .w = w,
                      .x = m->in[1] + n * area * spec->in_stride[1],
                      .g = m->in[0] + n * area * spec->in_stride[0],
                      .channels = (size_t)spec->in[0].c,
                      .c = c,
                      .area = area,
                      .stride = spec->in_stride[1],
                      .g_stride = spec->in_stride[0],
                      .ctx = m->scratch,
                      .z = m->scratch + (levels + 1) * area,
                      .d = m->scratch + (2 * levels + 1) * area};
    focal_forward(&f);
    focal_backward(&f);
    return f;
}

REF_FORWARD(ref_focal_grad)
{
    const size_t wide = (size_t)spec->out.c, levels = (size_t)spec->node->levels;
    memset(m->out, 0, tensor_cells(spec->out) * sizeof(real));
    for (size_t n = 0; n < (size_t)spec->out.n; n++)
        for (size_t c = 0; c < (size_t)spec->in[0].c; c++) {
            struct focal f = focal_of(spec, w, m, n, c);
            double global = gelu(mean_context(&f));
            for (size_t p = 0; p < f.area; p++) {
                real *to = m->out + (n * f.area + p) * wide;
                to[f.channels + c] = f.d[p];
                for (size_t l = 0; l < levels; l++)
                    to[2 * f.channels + l] +=
                        (real)(gradient(&f, p) * (double)f.ctx[(l + 1) * f.area + p]);
                to[2 * f.channels + levels] += (real)(gradient(&f, p) * global);
            }
        }
}

REF_FORWARD(ref_focal_grad_weights)
{
    const size_t channels = (size_t)spec->in[0].c;
    memset(m->out, 0, tensor_cells(spec->out) * sizeof(real));
    for (size_t n = 0; n < (size_t)spec->in[0].n; n++)
        for (size_t c = 0; c < channels; c++) {
            struct focal f = focal_of(spec, w, m, n, c);
            real *to = m->out;
            for (int l = 0; l < spec->node->levels; l++) {
                int taps = size_of(&f, l) * size_of(&f, l);
                for (int k = 0; k < taps; k++) {
                    double sum = 0;
                    size_t q;
                    for (size_t p = 0; p < f.area; p++)
                        if (neighbour(&f, l, p, k, &q))
                            sum += (double)f.d[(size_t)(l + 1) * f.area + p] *
                                   (double)f.ctx[(size_t)l * f.area + q];
                    to[c * (size_t)taps + (size_t)k] += (real)sum;
                }
                to += channels * (size_t)taps;
            }
        }
}

/* Transformers. T: tokens, D: channels of a head. */

REF_FORWARD(ref_tokens_grad_weights)
{
    (void)w;
    const size_t tokens = (size_t)spec->in[0].w, c = (size_t)spec->in[0].c;
    memset(m->out, 0, tensor_cells(spec->out) * sizeof(real));
    for (size_t n = 0; n < (size_t)spec->in[0].n; n++)
        for (size_t t = 0; t < tokens; t++)
            for (size_t i = 0; i < c; i++) {
                real g = m->in[0][(n * tokens + t) * spec->in_stride[0] + i];
                m->out[c + t * c + i] += g;
                if (t == 0)
                    m->out[i] += g;
            }
}

REF_FORWARD(ref_grid_grad)
{
    (void)w;
    const size_t tokens = (size_t)spec->out.w, c = (size_t)spec->out.c;
    memset(m->out, 0, tensor_cells(spec->out) * sizeof(real));
    for (size_t n = 0; n < (size_t)spec->out.n; n++)
        for (size_t t = 1; t < tokens; t++)
            memcpy(m->out + (n * tokens + t) * c,
                   m->in[0] + (n * (tokens - 1) + t - 1) * spec->in_stride[0], c * sizeof(real));
}

static double dot(const real *a, const real *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* One query's softmax: p: [T] probabilities, dp: [T] their gradients, which become those of the
 * scores before scaling; adds to dq: [D] and to dk, a row for each key. */
struct query {
    const struct step_spec *spec;
    size_t tokens, d;
    const real *q, *k; /* k: [T][stride] */
    size_t k_stride;
    real *dq, *dk; /* dk: [T][d_stride] */
    size_t d_stride;
};

static void softmax_back(const struct query *s, const real *p, real *dp)
{
    double scale = 1 / sqrt((double)s->d), mean = dot(p, dp, s->tokens);
    for (size_t t = 0; t < s->tokens; t++) {
        double ds = scale * (double)p[t] * ((double)dp[t] - mean);
        for (size_t i = 0; i < s->d; i++) {
            s->dq[i] += (real)(ds * (double)s->k[t * s->k_stride + i]);
            s->dk[t * s->d_stride + i] += (real)(ds * (double)s->q[i]);
        }
    }
}

static void softmax_row(const struct query *s, real *p)
{
    double max = -INFINITY, sum = 0;
    for (size_t t = 0; t < s->tokens; t++) {
        p[t] = (real)(dot(s->q, s->k + t * s->k_stride, s->d) / sqrt((double)s->d));
        max = fmax(max, (double)p[t]);
    }
    for (size_t t = 0; t < s->tokens; t++)
        sum += exp((double)p[t] - max);
    for (size_t t = 0; t < s->tokens; t++)
        p[t] = (real)(exp((double)p[t] - max) / sum);
}

/* in: g, q, k, v; out: [N][1][T][3 C]; scratch: two rows of [T]. */
REF_FORWARD(ref_attention_grad)
{
    (void)w;
    const size_t tokens = (size_t)spec->out.w, wide = (size_t)spec->out.c, c = wide / 3;
    const size_t heads = (size_t)spec->node->heads, d = c / heads;
    real *p = m->scratch, *dp = m->scratch + tokens;
    memset(m->out, 0, tensor_cells(spec->out) * sizeof(real));
    for (size_t n = 0; n < (size_t)spec->out.n; n++)
        for (size_t h = 0; h < heads; h++)
            for (size_t t = 0; t < tokens; t++) {
                const size_t first = n * tokens;
                const real *g = m->in[0] + (first + t) * spec->in_stride[0] + h * d;
                const real *v = m->in[3] + first * spec->in_stride[3] + h * d;
                real *out = m->out + first * wide + h * d;
                const struct query s = {spec,
                                        tokens,
                                        d,
                                        m->in[1] + (first + t) * spec->in_stride[1] + h * d,
                                        m->in[2] + first * spec->in_stride[2] + h * d,
                                        spec->in_stride[2],
                                        out + t * wide,
                                        out + c,
                                        wide};
                softmax_row(&s, p);
                for (size_t k = 0; k < tokens; k++) {
                    dp[k] = (real)dot(g, v + k * spec->in_stride[3], d);
                    for (size_t i = 0; i < d; i++)
                        out[k * wide + 2 * c + i] += (real)((double)p[k] * (double)g[i]);
                }
                softmax_back(&s, p, dp);
            }
}

/* in: g, q, k, y; out: [N][1][T][2 C]; scratch: a row of [T]. */
REF_FORWARD(ref_cls_attention_grad)
{
    (void)w;
    const size_t tokens = (size_t)spec->out.w, wide = (size_t)spec->out.c, c = wide / 2;
    const size_t heads = (size_t)spec->node->heads, d = c / heads;
    memset(m->out, 0, tensor_cells(spec->out) * sizeof(real));
    for (size_t n = 0; n < (size_t)spec->out.n; n++)
        for (size_t h = 0; h < heads; h++) {
            real *out = m->out + n * tokens * wide + h * d;
            const struct query s = {spec,
                                    tokens,
                                    d,
                                    m->in[1] + n * tokens * spec->in_stride[1] + h * d,
                                    m->in[2] + n * tokens * spec->in_stride[2] + h * d,
                                    spec->in_stride[2],
                                    out,
                                    out + c,
                                    wide};
            memcpy(m->scratch, m->in[0] + (n * heads + h) * spec->in_stride[0],
                   tokens * sizeof(real));
            softmax_back(&s, m->in[3] + (n * heads + h) * spec->in_stride[3], m->scratch);
        }
}

REF_FORWARD(ref_attention_map_grad)
{
    (void)w;
    const size_t heads = (size_t)spec->out.w, tokens = (size_t)spec->out.c;
    for (size_t n = 0; n < (size_t)spec->out.n; n++)
        for (size_t h = 0; h < heads; h++)
            for (size_t t = 0; t < tokens; t++) {
                const real *g = m->in[0] + n * (tokens - 1) * spec->in_stride[0];
                m->out[(n * heads + h) * tokens + t] =
                    t == 0 ? 0 : (real)((double)g[(t - 1) * spec->in_stride[0]] / (double)heads);
            }
}

/* Resizing */

REF_FORWARD(ref_resize_grad)
{
    (void)w;
    const struct tensor_shape in = spec->in[0], out = spec->out;
    const size_t c = (size_t)out.c, area = (size_t)out.h * (size_t)out.w;
    memset(m->out, 0, tensor_cells(out) * sizeof(real));
    for (int n = 0; n < in.n; n++)
        for (int y = 0; y < in.h; y++)
            for (int x = 0; x < in.w; x++) {
                size_t ys[2], xs[2];
                double wy, wx;
                ref_neighbours(y, out.h, in.h, &ys[0], &ys[1], &wy);
                ref_neighbours(x, out.w, in.w, &xs[0], &xs[1], &wx);
                const real *g = m->in[0] + (size_t)((n * in.h + y) * in.w + x) * spec->in_stride[0];
                for (int k = 0; k < 4; k++) {
                    double share = (k / 2 ? wy : 1 - wy) * (k % 2 ? wx : 1 - wx);
                    real *to =
                        m->out + ((size_t)n * area + ys[k / 2] * (size_t)out.w + xs[k % 2]) * c;
                    for (size_t i = 0; i < c; i++)
                        to[i] += (real)(share * (double)g[i]);
                }
            }
}
