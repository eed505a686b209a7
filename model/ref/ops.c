/* SPDX-License-Identifier: Apache-2.0
 * N: batch, P: positions h * w, C: channels. Sums are in double: this is the oracle. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "model/ref/ref.h"

static size_t positions(struct tensor_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

static real gelu_of(real x)
{
    return (real)(0.5 * (double)x * (1 + erf((double)x * M_SQRT1_2)));
}

/* in: [P][I], w: [O][I], b: [O] -> out: [P][O] */
static void linear(const struct step_spec *spec, const real *const *w, const struct ref_memory *m)
{
    size_t in_c = (size_t)spec->in[0].c, out_c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++) {
        const real *x = m->in[0] + p * spec->in_stride[0];
        real *y = m->out + p * out_c;
        for (size_t o = 0; o < out_c; o++) {
            double sum = (double)w[1][o];
            for (size_t i = 0; i < in_c; i++)
                sum += (double)w[0][o * in_c + i] * (double)x[i];
            real v = spec->gelu ? gelu_of((real)sum) : (real)sum;
            y[o] = spec->residual ? m->residual[p * out_c + o] + v : v;
        }
    }
}

/* One output of a convolution. w: [O][I][k][k]; with sum_inputs the input has one channel. */
static double conv_at(const struct step_spec *spec, const real *w, const real *x, int oy, int ox,
                      int o)
{
    const struct graph_node *node = spec->node;
    const struct tensor_shape in = spec->in[0];
    int k = node->kernel[0];
    int kernel_c = (int)spec->weights[node->weights[0]].shape[1];
    double sum = 0;
    for (int c = 0; c < kernel_c; c++)
        for (int ky = 0; ky < k; ky++)
            for (int kx = 0; kx < k; kx++) {
                int y = oy * node->stride[0] + ky - node->pad,
                    z = ox * node->stride[1] + kx - node->pad;
                if (y < 0 || y >= in.h || z < 0 || z >= in.w)
                    continue;
                size_t at = ((size_t)y * (size_t)in.w + (size_t)z) * spec->in_stride[0];
                sum += (double)x[at + (node->sum_inputs ? 0 : (size_t)c)] *
                       (double)w[((size_t)(o * kernel_c + c) * (size_t)k + (size_t)ky) * (size_t)k +
                                 (size_t)kx];
            }
    return sum;
}

static void conv(const struct step_spec *spec, const real *const *w, const struct ref_memory *m)
{
    const struct tensor_shape in = spec->in[0], out = spec->out;
    for (int n = 0; n < out.n; n++) {
        const real *x = m->in[0] + (size_t)n * (size_t)in.h * (size_t)in.w * spec->in_stride[0];
        for (int y = 0; y < out.h; y++)
            for (int z = 0; z < out.w; z++)
                for (int o = 0; o < out.c; o++)
                    m->out[(((size_t)n * (size_t)out.h + (size_t)y) * (size_t)out.w + (size_t)z) *
                               (size_t)out.c +
                           (size_t)o] = (real)(conv_at(spec, w[0], x, y, z, o) + (double)w[1][o]);
    }
}

/* Two passes: the variance of large values is not lost. */
static void layer_norm(const struct step_spec *spec, const real *const *w,
                       const struct ref_memory *m)
{
    size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++) {
        const real *x = m->in[0] + p * spec->in_stride[0];
        real *y = m->out + p * c;
        double mean = 0, variance = 0;
        for (size_t i = 0; i < c; i++)
            mean += (double)x[i];
        mean /= (double)c;
        for (size_t i = 0; i < c; i++)
            variance += ((double)x[i] - mean) * ((double)x[i] - mean);
        double scale = 1 / sqrt(variance / (double)c + (double)spec->node->eps);
        for (size_t i = 0; i < c; i++)
            y[i] = (real)(((double)x[i] - mean) * scale * (double)w[0][i] + (double)w[1][i]);
    }
}

static void gelu(const struct step_spec *spec, const real *const *w, const struct ref_memory *m)
{
    (void)w;
    size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t i = 0; i < c; i++)
            m->out[p * c + i] = gelu_of(m->in[0][p * spec->in_stride[0] + i]);
}

/* One level at one position and channel: the depth-wise convolution of ctx: [h][w], stride apart.
 */
static real depthwise_at(const real *ctx, size_t stride, int h, int w, int y, int x, int k,
                         const real *kernel)
{
    double sum = 0;
    for (int ky = 0; ky < k; ky++)
        for (int kx = 0; kx < k; kx++) {
            int iy = y + ky - k / 2, ix = x + kx - k / 2;
            if (iy >= 0 && iy < h && ix >= 0 && ix < w)
                sum += (double)ctx[((size_t)iy * (size_t)w + (size_t)ix) * stride] *
                       (double)kernel[ky * k + kx];
        }
    return (real)sum;
}

/* One channel of one image, through all levels. scratch: two planes of [P]. */
static void focal_channel(const struct step_spec *spec, const real *const *weights, const real *x,
                          int c, real *scratch, real *out)
{
    const struct graph_node *node = spec->node;
    const int h = spec->out.h, w = spec->out.w, channels = spec->out.c;
    size_t area = (size_t)h * (size_t)w, stride = spec->in_stride[0];
    const real *ctx = x + channels + c;
    size_t ctx_stride = stride;
    double mean = 0;
    for (int l = 0; l < node->levels; l++) {
        int k = node->window + 2 * l;
        real *next = scratch + (size_t)(l % 2) * area;
        for (size_t p = 0; p < area; p++) {
            next[p] = gelu_of(depthwise_at(ctx, ctx_stride, h, w, (int)p / w, (int)p % w, k,
                                           weights[l] + (size_t)c * (size_t)(k * k)));
            real gated = next[p] * x[p * stride + (size_t)(2 * channels + l)];
            real *acc = &out[p * (size_t)channels + (size_t)c];
            *acc = l == 0 ? gated : *acc + gated;
        }
        ctx = next;
        ctx_stride = 1;
    }
    for (size_t p = 0; p < area; p++)
        mean += (double)ctx[p];
    real global = gelu_of((real)(mean / (double)area));
    for (size_t p = 0; p < area; p++) {
        real *acc = &out[p * (size_t)channels + (size_t)c];
        *acc += global * x[p * stride + (size_t)(2 * channels + node->levels)];
        if (node->normalize)
            *acc /= (real)(node->levels + 1);
    }
}

static void focal_context(const struct step_spec *spec, const real *const *w,
                          const struct ref_memory *m)
{
    size_t area = (size_t)spec->out.h * (size_t)spec->out.w;
    for (int n = 0; n < spec->out.n; n++)
        for (int c = 0; c < spec->out.c; c++)
            focal_channel(spec, w, m->in[0] + (size_t)n * area * spec->in_stride[0], c, m->scratch,
                          m->out + (size_t)n * area * (size_t)spec->out.c);
}

static void pairwise(const struct step_spec *spec, const struct ref_memory *m, bool multiply)
{
    size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t i = 0; i < c; i++) {
            real a = m->in[0][p * spec->in_stride[0] + i], b = m->in[1][p * spec->in_stride[1] + i];
            m->out[p * c + i] = multiply ? a * b : a + b;
        }
}

static void mul(const struct step_spec *spec, const real *const *w, const struct ref_memory *m)
{
    (void)w;
    pairwise(spec, m, true);
}

static void add(const struct step_spec *spec, const real *const *w, const struct ref_memory *m)
{
    (void)w;
    pairwise(spec, m, false);
}

static void channel_scale(const struct step_spec *spec, const real *const *w,
                          const struct ref_memory *m)
{
    size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t i = 0; i < c; i++)
            m->out[p * c + i] = m->in[0][p * spec->in_stride[0] + i] * w[0][i];
}

/* in: [N][P][C], [N] */
static void sample_scale(const struct step_spec *spec, const real *const *w,
                         const struct ref_memory *m)
{
    (void)w;
    size_t c = (size_t)spec->out.c, area = (size_t)spec->out.h * (size_t)spec->out.w;
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t i = 0; i < c; i++)
            m->out[p * c + i] =
                m->in[0][p * spec->in_stride[0] + i] * m->in[1][p / area * spec->in_stride[1]];
}

static void mean(const struct step_spec *spec, const real *const *w, const struct ref_memory *m)
{
    (void)w;
    size_t c = (size_t)spec->out.c, area = (size_t)spec->in[0].h * (size_t)spec->in[0].w;
    for (int n = 0; n < spec->out.n; n++)
        for (size_t i = 0; i < c; i++) {
            double sum = 0;
            for (size_t p = 0; p < area; p++)
                sum += (double)m->in[0][((size_t)n * area + p) * spec->in_stride[0] + i];
            m->out[(size_t)n * c + i] = (real)(sum / (double)area);
        }
}

static void channel_l2(const struct step_spec *spec, const real *const *w,
                       const struct ref_memory *m)
{
    (void)w;
    for (size_t p = 0; p < positions(spec->out); p++) {
        const real *x = m->in[0] + p * spec->in_stride[0];
        double sum = 0;
        for (int i = 0; i < spec->in[0].c; i++)
            sum += (double)x[i] * (double)x[i];
        m->out[p] = (real)sqrt(sum);
    }
}

/* In training by the batch's own mean and biased variance. */
static void batch_norm(const struct step_spec *spec, const real *const *w,
                       const struct ref_memory *m)
{
    size_t c = (size_t)spec->out.c, count = positions(spec->out);
    for (size_t i = 0; i < c; i++) {
        const real *x = m->in[0] + i;
        double mean = 0, variance = 0;
        for (size_t p = 0; p < count && spec->node->train; p++)
            mean += (double)x[p * spec->in_stride[0]] / (double)count;
        for (size_t p = 0; p < count && spec->node->train; p++)
            variance += pow((double)x[p * spec->in_stride[0]] - mean, 2) / (double)count;
        if (!spec->node->train) {
            mean = (double)w[2][i];
            variance = (double)w[3][i];
        } else if (spec->node->ranks > 0) {
            mean = (double)m->in[1][i];
            variance = (double)m->in[1][c + i];
        }
        double scale = 1 / sqrt(variance + (double)spec->node->eps) * (double)w[0][i];
        for (size_t p = 0; p < count; p++)
            m->out[p * c + i] =
                (real)(((double)x[p * spec->in_stride[0]] - mean) * scale + (double)w[1][i]);
    }
}

static double norm_of(const real *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return fmax(sqrt(sum), 1e-12);
}

static void cosine(const struct step_spec *spec, const real *const *w, const struct ref_memory *m)
{
    size_t in = (size_t)spec->in[0].c, classes = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++) {
        const real *x = m->in[0] + p * spec->in_stride[0];
        double x_norm = norm_of(x, in);
        for (size_t o = 0; o < classes; o++) {
            double dot = 0;
            for (size_t i = 0; i < in; i++)
                dot += (double)x[i] * (double)w[0][o * in + i];
            m->out[p * classes + o] = (real)(dot / x_norm / norm_of(w[0] + o * in, in));
        }
    }
}

ref_forward ref_operator(enum graph_op op)
{
    static const ref_forward operators[GRAPH_OPS] = {
        [GRAPH_CONV] = conv,
        [GRAPH_LINEAR] = linear,
        [GRAPH_LAYER_NORM] = layer_norm,
        [GRAPH_GELU] = gelu,
        [GRAPH_FOCAL_CONTEXT] = focal_context,
        [GRAPH_MUL] = mul,
        [GRAPH_ADD] = add,
        [GRAPH_CHANNEL_SCALE] = channel_scale,
        [GRAPH_SAMPLE_SCALE] = sample_scale,
        [GRAPH_MEAN] = mean,
        [GRAPH_CHANNEL_L2] = channel_l2,
        [GRAPH_BATCH_NORM] = batch_norm,
        [GRAPH_COSINE] = cosine,
        [GRAPH_RELU] = REF(ref_relu),
        [GRAPH_SIGMOID] = REF(ref_sigmoid),
        [GRAPH_RESIZE] = REF(ref_resize),
        [GRAPH_PAD] = REF(ref_pad),
        [GRAPH_CONV_TRANSPOSED] = REF(ref_conv_transposed),
        [GRAPH_TOKENS] = REF(ref_tokens),
        [GRAPH_GRID] = REF(ref_grid),
        [GRAPH_ATTENTION] = REF(ref_attention),
        [GRAPH_CLS_ATTENTION] = REF(ref_cls_attention),
        [GRAPH_ATTENTION_MAP] = REF(ref_attention_map),
        [GRAPH_NEAREST] = REF(ref_nearest),
        [GRAPH_LOOKUP] = REF(ref_lookup),
        [GRAPH_STRAIGHT_THROUGH] = REF(ref_straight_through),
        [GRAPH_LINEAR_GRAD] = REF(ref_linear_grad),
        [GRAPH_LINEAR_GRAD_WEIGHTS] = REF(ref_linear_grad_weights),
        [GRAPH_CONV_GRAD] = REF(ref_conv_grad),
        [GRAPH_CONV_GRAD_WEIGHTS] = REF(ref_conv_grad_weights),
        [GRAPH_CONV_TRANSPOSED_GRAD] = REF(ref_conv_transposed_grad),
        [GRAPH_CONV_TRANSPOSED_GRAD_WEIGHTS] = REF(ref_conv_transposed_grad_weights),
        [GRAPH_LAYER_NORM_GRAD] = REF(ref_layer_norm_grad),
        [GRAPH_LAYER_NORM_GRAD_WEIGHTS] = REF(ref_layer_norm_grad_weights),
        [GRAPH_GELU_GRAD] = REF(ref_gelu_grad),
        [GRAPH_RELU_GRAD] = REF(ref_relu_grad),
        [GRAPH_SIGMOID_GRAD] = REF(ref_sigmoid_grad),
        [GRAPH_FOCAL_GRAD] = REF(ref_focal_grad),
        [GRAPH_FOCAL_GRAD_WEIGHTS] = REF(ref_focal_grad_weights),
        [GRAPH_SLICE_GRAD] = REF(ref_slice_grad),
        [GRAPH_CHANNEL_SCALE_GRAD_WEIGHTS] = REF(ref_channel_scale_grad_weights),
        [GRAPH_MEAN_GRAD] = REF(ref_mean_grad),
        [GRAPH_CHANNEL_L2_GRAD] = REF(ref_channel_l2_grad),
        [GRAPH_BATCH_NORM_GRAD] = REF(ref_batch_norm_grad),
        [GRAPH_BATCH_NORM_GRAD_WEIGHTS] = REF(ref_batch_norm_grad_weights),
        [GRAPH_BATCH_STATISTICS] = REF(ref_batch_statistics),
        [GRAPH_COSINE_GRAD] = REF(ref_cosine_grad),
        [GRAPH_COSINE_GRAD_WEIGHTS] = REF(ref_cosine_grad_weights),
        [GRAPH_RESIZE_GRAD] = REF(ref_resize_grad),
        [GRAPH_TOKENS_GRAD_WEIGHTS] = REF(ref_tokens_grad_weights),
        [GRAPH_GRID_GRAD] = REF(ref_grid_grad),
        [GRAPH_ATTENTION_GRAD] = REF(ref_attention_grad),
        [GRAPH_CLS_ATTENTION_GRAD] = REF(ref_cls_attention_grad),
        [GRAPH_ATTENTION_MAP_GRAD] = REF(ref_attention_map_grad),
        [GRAPH_LOOKUP_GRAD_WEIGHTS] = REF(ref_lookup_grad_weights),
    };
    return operators[op];
}

size_t ref_scratch(const struct step_spec *spec)
{
    switch (spec->node->op) {
    case GRAPH_FOCAL_CONTEXT:
        return 2 * (size_t)spec->out.h * (size_t)spec->out.w;
    case GRAPH_FOCAL_GRAD:
    case GRAPH_FOCAL_GRAD_WEIGHTS:
        return (size_t)(3 * spec->node->levels + 2) * (size_t)spec->in[1].h * (size_t)spec->in[1].w;
    case GRAPH_ATTENTION:
    case GRAPH_CLS_ATTENTION_GRAD:
        return (size_t)spec->out.w;
    case GRAPH_ATTENTION_GRAD:
        return 2 * (size_t)spec->out.w;
    default:
        return 0;
    }
}
