/* SPDX-License-Identifier: Apache-2.0
 * Operators of the PIQ interpreter. Sums are in double: this is the oracle. */
#include <math.h>
#include <string.h>

#include "model/ref/ref.h"

static size_t positions(struct tensor_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

REF_FORWARD(ref_relu)
{
    (void)w;
    size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t i = 0; i < c; i++) {
            real x = m->in[0][p * spec->in_stride[0] + i];
            m->out[p * c + i] = x > 0 ? x : 0;
        }
}

REF_FORWARD(ref_sigmoid)
{
    (void)w;
    size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++)
        for (size_t i = 0; i < c; i++)
            m->out[p * c + i] =
                (real)(1 / (1 + exp(-(double)m->in[0][p * spec->in_stride[0] + i])));
}

void ref_neighbours(int i, int in, int out, size_t *ret_first, size_t *ret_second,
                    double *ret_weight)
{
    double at = fmax(0, (i + 0.5) * in / out - 0.5);
    int first = (int)at < in - 1 ? (int)at : in - 1;
    *ret_first = (size_t)first;
    *ret_second = (size_t)(first + 1 < in ? first + 1 : first);
    *ret_weight = at - first;
}

REF_FORWARD(ref_resize)
{
    (void)w;
    const struct tensor_shape in = spec->in[0], out = spec->out;
    size_t c = (size_t)out.c, area = (size_t)in.h * (size_t)in.w, stride = spec->in_stride[0];
    real *to = m->out;
    for (int n = 0; n < out.n; n++)
        for (int y = 0; y < out.h; y++)
            for (int x = 0; x < out.w; x++, to += c) {
                size_t y0, y1, x0, x1;
                double wy, wx;
                ref_neighbours(y, in.h, out.h, &y0, &y1, &wy);
                ref_neighbours(x, in.w, out.w, &x0, &x1, &wx);
                const real *from = m->in[0] + (size_t)n * area * stride;
                const real *a = from + (y0 * (size_t)in.w + x0) * stride;
                const real *b = from + (y0 * (size_t)in.w + x1) * stride;
                const real *d = from + (y1 * (size_t)in.w + x0) * stride;
                const real *e = from + (y1 * (size_t)in.w + x1) * stride;
                for (size_t i = 0; i < c; i++)
                    to[i] = (real)((1 - wy) * ((1 - wx) * (double)a[i] + wx * (double)b[i]) +
                                   wy * ((1 - wx) * (double)d[i] + wx * (double)e[i]));
            }
}

REF_FORWARD(ref_pad)
{
    (void)w;
    const struct tensor_shape in = spec->in[0], out = spec->out;
    const size_t c = (size_t)out.c;
    real *to = m->out;
    for (int n = 0; n < out.n; n++)
        for (int y = 0; y < out.h; y++)
            for (int x = 0; x < out.w; x++, to += c) {
                const size_t at = ((size_t)n * (size_t)in.h + (size_t)y) * (size_t)in.w + (size_t)x;
                if (y < in.h && x < in.w)
                    memcpy(to, m->in[0] + at * spec->in_stride[0], c * sizeof *to);
                else
                    memset(to, 0, c * sizeof *to);
            }
}

/* One output: the inputs whose taps reach it. w: [I][O][kh][kw] */
static double transposed_at(const struct step_spec *spec, const real *w, const real *x, int oy,
                            int ox, int o)
{
    const struct graph_node *node = spec->node;
    const struct tensor_shape in = spec->in[0];
    const int kh = node->kernel[0], kw = node->kernel[1];
    double sum = 0;
    for (int ky = 0; ky < kh; ky++)
        for (int kx = 0; kx < kw; kx++) {
            int y = oy + node->pad - ky, z = ox + node->pad - kx;
            if (y < 0 || y % node->stride[0] != 0 || y / node->stride[0] >= in.h || z < 0 ||
                z % node->stride[1] != 0 || z / node->stride[1] >= in.w)
                continue;
            size_t at =
                (size_t)(y / node->stride[0]) * (size_t)in.w + (size_t)(z / node->stride[1]);
            for (int i = 0; i < in.c; i++)
                sum +=
                    (double)x[at * spec->in_stride[0] + (size_t)i] *
                    (double)
                        w[((size_t)(i * spec->out.c + o) * (size_t)kh + (size_t)ky) * (size_t)kw +
                          (size_t)kx];
        }
    return sum;
}

REF_FORWARD(ref_conv_transposed)
{
    const struct tensor_shape in = spec->in[0], out = spec->out;
    real *to = m->out;
    for (int n = 0; n < out.n; n++) {
        const real *x = m->in[0] + (size_t)n * (size_t)in.h * (size_t)in.w * spec->in_stride[0];
        for (int y = 0; y < out.h; y++)
            for (int z = 0; z < out.w; z++)
                for (int o = 0; o < out.c; o++) {
                    real v = (real)(transposed_at(spec, w[0], x, y, z, o) + (double)w[1][o]);
                    *to++ = spec->relu && !(v > 0) ? 0 : v;
                }
    }
}

static int largest(const real *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static double squared_distance(const real *a, const real *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

REF_FORWARD(ref_nearest)
{
    const int all = (int)spec->weights[spec->node->weights[0]].shape[0];
    const int own = all - spec->node->shared, classes = spec->in[1].c;
    const int keys = spec->node->use_shared ? all : own;
    size_t c = (size_t)spec->in[0].c, area = (size_t)spec->out.h * (size_t)spec->out.w;
    for (size_t p = 0; p < positions(spec->out); p++) {
        int class = largest(m->in[1] + p / area * spec->in_stride[1], classes);
        double nearest = INFINITY;
        m->out[p] = 0; /* also where all is NaN */
        for (int key = 0; key < keys; key++) {
            if (key < own && graph_key_class(key, own, classes) != class)
                continue;
            double distance =
                squared_distance(m->in[0] + p * spec->in_stride[0], w[0] + (size_t)key * c, c);
            if (distance < nearest) {
                nearest = distance;
                m->out[p] = (real)key;
            }
        }
    }
}

REF_FORWARD(ref_lookup)
{
    size_t c = (size_t)spec->out.c;
    for (size_t p = 0; p < positions(spec->out); p++)
        memcpy(m->out + p * c, w[0] + (size_t)m->in[0][p * spec->in_stride[0]] * c,
               c * sizeof(real));
}
