/* SPDX-License-Identifier: Apache-2.0
 * Gradients of the operators that are not FocalNet's own or a transformer's. P: positions n * h *
 * w. in[0]: the gradient g of the value, in[1]: what the operator took, x. */
#include <math.h>
#include <string.h>

#include "model/ref/ref.h"

static size_t positions(struct tensor_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

static const real *row(const struct step_spec *spec, const struct ref_memory *m, int input,
                       size_t p)
{
    return m->in[input] + p * spec->in_stride[input];
}

REF_FORWARD(ref_straight_through)
{
    (void)w;
    size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++)
        memcpy(m->out + p * c, row(spec, m, 0, p), c * sizeof(real));
}

REF_FORWARD(ref_linear_grad)
{
    size_t in = (size_t)spec->out.c, out = (size_t)spec->in[0].c;
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t i = 0; i < in; i++) {
            double sum = 0;
            for (size_t o = 0; o < out; o++)
                sum += (double)row(spec, m, 0, p)[o] * (double)w[0][o * in + i];
            m->out[p * in + i] = (real)sum;
        }
}

/* sum over positions of g[o] */
static double column(const struct step_spec *spec, const struct ref_memory *m, size_t o)
{
    double sum = 0;
    for (size_t p = 0; p < positions(spec->in[0]); p++)
        sum += (double)row(spec, m, 0, p)[o];
    return sum;
}

REF_FORWARD(ref_linear_grad_weights)
{
    (void)w;
    size_t in = (size_t)spec->in[1].c, out = (size_t)spec->in[0].c;
    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < in; i++) {
            double sum = 0;
            for (size_t p = 0; p < positions(spec->in[0]); p++)
                sum += (double)row(spec, m, 0, p)[o] * (double)row(spec, m, 1, p)[i];
            m->out[o * in + i] = (real)sum;
        }
        m->out[out * in + o] = (real)column(spec, m, o);
    }
}

/* Convolutions: a window of k x k taps of the large image lies over each cell of the small one. For
 * CONV the input is large, for CONV_TRANSPOSED the output. */
struct taps {
    struct tensor_shape large, small;
    size_t kh, kw;
};

static bool tap(const struct step_spec *spec, const struct taps *t, size_t cell, size_t ky,
                size_t kx, size_t *ret)
{
    const struct graph_node *node = spec->node;
    const size_t sw = (size_t)t->small.w, area = (size_t)t->small.h * sw;
    int y = (int)(cell % area / sw) * node->stride[0] + (int)ky - node->pad;
    int x = (int)(cell % sw) * node->stride[1] + (int)kx - node->pad;
    if (y < 0 || y >= t->large.h || x < 0 || x >= t->large.w)
        return false;
    *ret = (cell / area * (size_t)t->large.h + (size_t)y) * (size_t)t->large.w + (size_t)x;
    return true;
}

static struct taps taps_of(const struct step_spec *spec, struct tensor_shape large,
                           struct tensor_shape small)
{
    return (struct taps){large, small, (size_t)spec->node->kernel[0],
                         (size_t)spec->node->kernel[1]};
}

/* w: [O][I][kh][kw] */
REF_FORWARD(ref_conv_grad)
{
    const struct taps t = taps_of(spec, spec->out, spec->in[0]);
    const size_t c = (size_t)spec->out.c, out = (size_t)spec->in[0].c;
    const size_t kernel_c = (size_t)spec->weights[spec->node->weights[0]].shape[1];
    memset(m->out, 0, tensor_cells(spec->out) * sizeof(real));
    for (size_t p = 0; p < positions(spec->in[0]); p++)
        for (size_t k = 0; k < t.kh * t.kw; k++) {
            size_t at;
            if (!tap(spec, &t, p, k / t.kw, k % t.kw, &at))
                continue;
            for (size_t i = 0; i < kernel_c; i++) {
                double sum = 0;
                for (size_t o = 0; o < out; o++)
                    sum += (double)row(spec, m, 0, p)[o] *
                           (double)w[0][(o * kernel_c + i) * t.kh * t.kw + k];
                m->out[at * c + (spec->node->sum_inputs ? 0 : i)] += (real)sum;
            }
        }
}

REF_FORWARD(ref_conv_grad_weights)
{
    (void)w;
    const struct taps t = taps_of(spec, spec->in[1], spec->in[0]);
    const size_t out = (size_t)spec->in[0].c, kk = t.kh * t.kw;
    const size_t kernel_c = (size_t)spec->weights[spec->node->weights[0]].shape[1];
    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < kernel_c; i++)
            for (size_t k = 0; k < kk; k++) {
                double sum = 0;
                size_t at;
                for (size_t p = 0; p < positions(spec->in[0]); p++)
                    if (tap(spec, &t, p, k / t.kw, k % t.kw, &at))
                        sum += (double)row(spec, m, 0, p)[o] *
                               (double)row(spec, m, 1, at)[spec->node->sum_inputs ? 0 : i];
                m->out[(o * kernel_c + i) * kk + k] = (real)sum;
            }
        m->out[out * kernel_c * kk + o] = (real)column(spec, m, o);
    }
}

/* w: [I][O][kh][kw] */
REF_FORWARD(ref_conv_transposed_grad)
{
    const struct taps t = taps_of(spec, spec->in[0], spec->out);
    const size_t in = (size_t)spec->out.c, out = (size_t)spec->in[0].c, kk = t.kh * t.kw;
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t i = 0; i < in; i++) {
            double sum = 0;
            size_t at;
            for (size_t k = 0; k < kk; k++)
                if (tap(spec, &t, p, k / t.kw, k % t.kw, &at))
                    for (size_t o = 0; o < out; o++)
                        sum +=
                            (double)row(spec, m, 0, at)[o] * (double)w[0][(i * out + o) * kk + k];
            m->out[p * in + i] = (real)sum;
        }
}

REF_FORWARD(ref_conv_transposed_grad_weights)
{
    (void)w;
    const struct taps t = taps_of(spec, spec->in[0], spec->in[1]);
    const size_t in = (size_t)spec->in[1].c, out = (size_t)spec->in[0].c, kk = t.kh * t.kw;
    for (size_t i = 0; i < in; i++)
        for (size_t o = 0; o < out; o++)
            for (size_t k = 0; k < kk; k++) {
                double sum = 0;
                size_t at;
                for (size_t p = 0; p < positions(spec->in[1]); p++)
                    if (tap(spec, &t, p, k / t.kw, k % t.kw, &at))
                        sum += (double)row(spec, m, 0, at)[o] * (double)row(spec, m, 1, p)[i];
                m->out[(i * out + o) * kk + k] = (real)sum;
            }
    for (size_t o = 0; o < out; o++)
        m->out[in * out * kk + o] = (real)column(spec, m, o);
}

static double gelu_slope(double x)
{
    return 0.5 * (1 + erf(x * M_SQRT1_2)) + x * exp(-0.5 * x * x) * 0.3989422804014327;
}

REF_FORWARD(ref_gelu_grad)
{
    (void)w;
    size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t i = 0; i < c; i++)
            m->out[p * c + i] =
                (real)((double)row(spec, m, 0, p)[i] * gelu_slope((double)row(spec, m, 1, p)[i]));
}

REF_FORWARD(ref_relu_grad)
{
    (void)w;
    size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t i = 0; i < c; i++)
            m->out[p * c + i] = row(spec, m, 1, p)[i] > 0 ? row(spec, m, 0, p)[i] : 0;
}

REF_FORWARD(ref_sigmoid_grad)
{
    (void)w;
    size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t i = 0; i < c; i++) {
            double y = (double)row(spec, m, 1, p)[i];
            m->out[p * c + i] = (real)((double)row(spec, m, 0, p)[i] * y * (1 - y));
        }
}

REF_FORWARD(ref_slice_grad)
{
    (void)w;
    size_t c = (size_t)spec->out.c, part = (size_t)spec->in[0].c;
    memset(m->out, 0, tensor_cells(spec->out) * sizeof(real));
    for (size_t p = 0; p < positions(spec->out); p++)
        memcpy(m->out + p * c + spec->node->from, row(spec, m, 0, p), part * sizeof(real));
}

REF_FORWARD(ref_channel_scale_grad_weights)
{
    (void)w;
    for (size_t i = 0; i < (size_t)spec->in[0].c; i++) {
        double sum = 0;
        for (size_t p = 0; p < positions(spec->in[0]); p++)
            sum += (double)row(spec, m, 0, p)[i] * (double)row(spec, m, 1, p)[i];
        m->out[i] = (real)sum;
    }
}

REF_FORWARD(ref_mean_grad)
{
    (void)w;
    size_t c = (size_t)spec->out.c, area = (size_t)spec->out.h * (size_t)spec->out.w;
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t i = 0; i < c; i++)
            m->out[p * c + i] = (real)((double)row(spec, m, 0, p / area)[i] / (double)area);
}

REF_FORWARD(ref_channel_l2_grad)
{
    (void)w;
    size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++) {
        double y = (double)row(spec, m, 2, p)[0];
        double share = y > 0 ? (double)row(spec, m, 0, p)[0] / y : 0;
        for (size_t i = 0; i < c; i++)
            m->out[p * c + i] = (real)(share * (double)row(spec, m, 1, p)[i]);
    }
}

/* Norms: over the channels of a position, and over the positions of a channel */

struct norm {
    double mean, inverse; /* 1 / sqrt(variance + eps) */
};

static struct norm norm_of(const real *x, size_t n, size_t step, double eps)
{
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++)
        mean += (double)x[i * step];
    mean /= (double)n;
    for (size_t i = 0; i < n; i++)
        variance += ((double)x[i * step] - mean) * ((double)x[i * step] - mean);
    return (struct norm){mean, 1 / sqrt(variance / (double)n + eps)};
}

REF_FORWARD(ref_layer_norm_grad)
{
    const size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++) {
        const real *g = row(spec, m, 0, p), *x = row(spec, m, 1, p);
        struct norm n = norm_of(x, c, 1, (double)spec->node->eps);
        double sum = 0, product = 0;
        for (size_t i = 0; i < c; i++) {
            double h = (double)g[i] * (double)w[0][i];
            sum += h;
            product += h * ((double)x[i] - n.mean) * n.inverse;
        }
        for (size_t i = 0; i < c; i++) {
            double h = (double)g[i] * (double)w[0][i];
            double unit = ((double)x[i] - n.mean) * n.inverse;
            m->out[p * c + i] =
                (real)(n.inverse * (h - sum / (double)c - unit * product / (double)c));
        }
    }
}

REF_FORWARD(ref_layer_norm_grad_weights)
{
    (void)w;
    const size_t c = (size_t)spec->in[0].c;
    memset(m->out, 0, 2 * c * sizeof(real));
    for (size_t i = 0; i < c; i++) {
        double scale = 0;
        for (size_t p = 0; p < positions(spec->in[0]); p++) {
            const real *x = row(spec, m, 1, p);
            struct norm n = norm_of(x, c, 1, (double)spec->node->eps);
            scale += (double)row(spec, m, 0, p)[i] * ((double)x[i] - n.mean) * n.inverse;
        }
        m->out[i] = (real)scale;
        m->out[c + i] = (real)column(spec, m, i);
    }
}

/* Of channel i: the batch's own in training, which an input tells where it is shared, else the
 * running ones. */
static struct norm batch_norm_of(const struct step_spec *spec, const real *const *w,
                                 const struct ref_memory *m, int input, size_t i)
{
    double eps = (double)spec->node->eps;
    if (!spec->node->train)
        return (struct norm){(double)w[2][i], 1 / sqrt((double)w[3][i] + eps)};
    if (spec->node->ranks > 0)
        return (struct norm){(double)m->in[2][i],
                             1 / sqrt((double)m->in[2][(size_t)spec->in[input].c + i] + eps)};
    return norm_of(m->in[input] + i, positions(spec->in[input]), spec->in_stride[input], eps);
}

REF_FORWARD(ref_batch_norm_grad)
{
    const size_t c = (size_t)spec->out.c, count = positions(spec->out);
    const bool shared = spec->node->ranks > 0;
    const size_t all = shared ? count * (size_t)spec->node->ranks : count;
    for (size_t i = 0; i < c; i++) {
        struct norm n = batch_norm_of(spec, w, m, 1, i);
        double sum = 0, product = 0;
        for (size_t p = 0; p < count && spec->node->train && !shared; p++) {
            sum += (double)row(spec, m, 0, p)[i];
            product += (double)row(spec, m, 0, p)[i] * ((double)row(spec, m, 1, p)[i] - n.mean) *
                       n.inverse;
        }
        if (shared) {
            product = (double)m->in[3][i];
            sum = (double)m->in[3][c + i];
        }
        for (size_t p = 0; p < count; p++) {
            double unit = ((double)row(spec, m, 1, p)[i] - n.mean) * n.inverse;
            double g =
                (double)row(spec, m, 0, p)[i] - sum / (double)all - unit * product / (double)all;
            m->out[p * c + i] = (real)(n.inverse * (double)w[0][i] * g);
        }
    }
}

REF_FORWARD(ref_batch_norm_grad_weights)
{
    const size_t c = (size_t)spec->in[0].c;
    for (size_t i = 0; i < c; i++) {
        struct norm n = batch_norm_of(spec, w, m, 1, i);
        double scale = 0;
        for (size_t p = 0; p < positions(spec->in[0]); p++)
            scale += (double)row(spec, m, 0, p)[i] * ((double)row(spec, m, 1, p)[i] - n.mean) *
                     n.inverse;
        m->out[i] = (real)scale;
        m->out[c + i] = (real)column(spec, m, i);
    }
}

REF_FORWARD(ref_batch_statistics)
{
    (void)w;
    const size_t c = (size_t)spec->in[0].c;
    for (size_t i = 0; i < c; i++) {
        struct norm n = norm_of(m->in[0] + i, positions(spec->in[0]), spec->in_stride[0], 0);
        m->out[i] = (real)n.mean;
        m->out[c + i] = (real)(1 / (n.inverse * n.inverse));
    }
}

/* Cosines */

static double length_of(const real *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* ret: [n] += g * d cos(x, y) / dx; below 1e-12 a length is a constant. */
static void add_cosine_grad(double g, const real *x, const real *y, size_t n, real *ret)
{
    double lx = length_of(x, n), ly = length_of(y, n), dot = 0;
    double cx = fmax(lx, 1e-12), cy = fmax(ly, 1e-12);
    for (size_t i = 0; i < n; i++)
        dot += (double)x[i] * (double)y[i];
    for (size_t i = 0; i < n; i++) {
        double along = lx > 1e-12 ? dot / cx / cy * (double)x[i] / cx : 0;
        ret[i] += (real)(g * ((double)y[i] / cy - along) / cx);
    }
}

REF_FORWARD(ref_cosine_grad)
{
    const size_t in = (size_t)spec->out.c, classes = (size_t)spec->in[0].c;
    memset(m->out, 0, tensor_cells(spec->out) * sizeof(real));
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t o = 0; o < classes; o++)
            add_cosine_grad((double)row(spec, m, 0, p)[o], row(spec, m, 1, p), w[0] + o * in, in,
                            m->out + p * in);
}

REF_FORWARD(ref_cosine_grad_weights)
{
    const size_t in = (size_t)spec->in[1].c, classes = (size_t)spec->in[0].c;
    memset(m->out, 0, classes * in * sizeof(real));
    for (size_t p = 0; p < positions(spec->in[0]); p++)
        for (size_t o = 0; o < classes; o++)
            add_cosine_grad((double)row(spec, m, 0, p)[o], w[0] + o * in, row(spec, m, 1, p), in,
                            m->out + o * in);
}

/* Keys */

REF_FORWARD(ref_lookup_grad_weights)
{
    (void)w;
    const size_t c = (size_t)spec->in[0].c;
    memset(m->out, 0, tensor_cells(spec->out) * sizeof(real));
    for (size_t p = 0; p < positions(spec->in[0]); p++)
        for (size_t i = 0; i < c; i++)
            m->out[(size_t)row(spec, m, 1, p)[0] * c + i] += row(spec, m, 0, p)[i];
}
