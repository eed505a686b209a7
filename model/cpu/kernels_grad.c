/* SPDX-License-Identifier: Apache-2.0
 * The loops of the backward pass. */
#include "model/cpu/kernels_inline.h"

/* d/dx of gelu: Phi(x) + x phi(x) */
static inline float gelu_slope(float x)
{
    float density = 0.39894228040143268f * exp_of(-0.5f * x * x);
    return 0.5f + 0.5f * erf_of(x) + x * density;
}

static void gelu_grad(const float *g, const float *x, size_t n, float *y)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++)
        y[i] = g[i] * gelu_slope(x[i]);
}

static void add_row(const float *x, size_t n, float *sum)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++)
        sum[i] += x[i];
}

static void norm_grad(const float *g, const float *x, size_t n, const float *scale, float eps,
                      float *y)
{
    float mean = sum_of(x, n) / (float)n;
    float inverse = 1 / sqrtf(squares_of(x, n, mean) / (float)n + eps);
    vec sums = {0}, products = {0};
    float sum = 0, product = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec h = load(g + i) * load(scale + i);
        sums += h;
        products += h * (load(x + i) - mean);
    }
    for (; i < n; i++) {
        float h = g[i] * scale[i];
        sum += h;
        product += h * (x[i] - mean);
    }
    sum = (sum + lanes_sum(sums)) / (float)n;
    product = (product + lanes_sum(products)) * inverse * inverse / (float)n;
    for (i = 0; i < n; i++)
        y[i] = inverse * (g[i] * scale[i] - sum - (x[i] - mean) * product);
}

static void norm_grad_weights(const float *g, const float *x, size_t n, float eps, float *scale,
                              float *shift)
{
    float mean = sum_of(x, n) / (float)n;
    float inverse = 1 / sqrtf(squares_of(x, n, mean) / (float)n + eps);
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++) {
        scale[i] += g[i] * (x[i] - mean) * inverse;
        shift[i] += g[i];
    }
}

/* Focal context. A: cells of an image. */

struct back {
    struct block b;
    const float *g; /* at the block's first channel */
    size_t g_stride, area, plane_floats;
    float factor; /* of g: 1 / (levels + 1) where normalized */
    float *ctx, *z, *d, *e,
        *kernel; /* ctx: [levels + 1] planes; z: [levels][A][LANES]; d, e: planes */
};

static float *ctx_plane(const struct back *s, int level)
{
    return s->ctx + (size_t)level * s->plane_floats;
}

static float *z_of(const struct back *s, int level)
{
    return s->z + (size_t)level * s->area * LANES;
}

static size_t width_of(const struct back *s)
{
    return (size_t)s->b.spec->w;
}

static vec gradient(const struct back *s, size_t p)
{
    float lanes[LANES] = {0};
    if (s->b.width == LANES)
        return load(s->g + p * s->g_stride) * s->factor;
    for (int i = 0; i < s->b.width; i++)
        lanes[i] = s->g[p * s->g_stride + (size_t)i];
    return load(lanes) * s->factor;
}

static float gate(const struct back *s, int level, size_t p)
{
    return s->b.x[p * s->b.spec->stride + 2 * (size_t)s->b.spec->c + (size_t)level];
}

/* Rows of `in` convolved with a kernel of level `level`; each group of columns goes to `give`. */
static void forward_level(const struct back *s, int level, const float *kernel)
{
    const size_t w = width_of(s);
    const int k = s->b.spec->window + 2 * level;
    const size_t reach = (size_t)k / 2;
    float v[COLUMNS * LANES];
    for (size_t row = 0; row < (size_t)s->b.spec->h; row++)
        for (size_t col = 0; col < w; col += COLUMNS) {
            const float *in = cell(&s->b, ctx_plane(s, level), row, col) -
                              (reach * s->b.plane.cols + reach) * LANES;
            size_t there = w - col < COLUMNS ? w - col : COLUMNS;
            convolve(in, s->b.plane.cols, k, kernel, v);
            memcpy(z_of(s, level) + (row * w + col) * LANES, v, there * LANES * sizeof(float));
            gelu(v, there * LANES, v);
            memcpy(cell(&s->b, ctx_plane(s, level + 1), row, col), v,
                   there * LANES * sizeof(float));
        }
}

/* e = d correlated with the kernel (convolved with it flipped), plus what the gate before says. */
static void backward_level(const struct back *s, int level, const float *flipped)
{
    const size_t w = width_of(s);
    const int k = s->b.spec->window + 2 * level;
    const size_t reach = (size_t)k / 2;
    float v[COLUMNS * LANES];
    for (size_t row = 0; row < (size_t)s->b.spec->h; row++)
        for (size_t col = 0; col < w; col += COLUMNS) {
            const float *in =
                cell(&s->b, s->d, row, col) - (reach * s->b.plane.cols + reach) * LANES;
            convolve(in, s->b.plane.cols, k, flipped, v);
            for (size_t j = 0; j < COLUMNS && col + j < w; j++) {
                size_t p = row * w + col + j;
                vec sum = load(v + j * LANES);
                if (level > 0)
                    sum += gradient(s, p) * gate(s, level - 1, p);
                *(vec *)cell(&s->b, s->e, row, col + j) = sum;
            }
        }
}

/* ret: [k*k][LANES] += sum over cells of d times the context that each tap sees. */
static void kernel_gradient(const struct back *s, int level, float *ret)
{
    const size_t w = width_of(s);
    const int k = s->b.spec->window + 2 * level;
    const size_t reach = (size_t)k / 2;
    for (int ky = 0; ky < k; ky++)
        for (int kx = 0; kx < k; kx++) {
            vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
            for (size_t row = 0; row < (size_t)s->b.spec->h; row++) {
                const float *d = cell(&s->b, s->d, row, 0);
                const float *c = cell(&s->b, ctx_plane(s, level), row + (size_t)ky, (size_t)kx) -
                                 (reach * s->b.plane.cols + reach) * LANES;
                size_t col = 0;
                for (; col + 4 <= w; col += 4, d += 4 * LANES, c += 4 * LANES) {
                    s0 += load(d) * load(c);
                    s1 += load(d + LANES) * load(c + LANES);
                    s2 += load(d + 2 * LANES) * load(c + 2 * LANES);
                    s3 += load(d + 3 * LANES) * load(c + 3 * LANES);
                }
                for (; col < w; col++, d += LANES, c += LANES)
                    s0 += load(d) * load(c);
            }
            float *to = ret + (size_t)(ky * k + kx) * LANES;
            *(vec *)to = load(to) + (s0 + s1 + (s2 + s3));
        }
}

/* Fills ctx and z; gives the mean of the last context. */
static vec forward(const struct back *s, int channel)
{
    const struct loop_focal *spec = s->b.spec;
    const size_t w = width_of(s);
    copy_context(&s->b, s->b.x + spec->c + channel, ctx_plane(s, 0));
    for (int l = 0; l < spec->levels; l++) {
        size_t k = (size_t)(spec->window + 2 * l);
        forward_level(s, l, spec->kernels[l] + (size_t)channel * k * k);
    }
    vec sum = {0};
    for (size_t p = 0; p < s->area; p++)
        sum += load(cell(&s->b, ctx_plane(s, spec->levels), p / w, p % w));
    return sum / (float)s->area;
}

/* gates: [A][levels + 1] of this block, or NULL; d = the gradient of the last context. */
static void begin_backward(const struct back *s, vec mean, float *gates)
{
    const int levels = s->b.spec->levels;
    const size_t w = width_of(s);
    float at[LANES], slope[LANES], ones[LANES];
    vec global = {0};
    *(vec *)at = mean;
    for (int i = 0; i < LANES; i++)
        ones[i] = 1;
    gelu_grad(ones, at, LANES, slope);
    gelu(at, LANES, at);
    for (size_t p = 0; p < s->area; p++)
        global += gradient(s, p) * gate(s, levels, p);
    global *= load(slope) / (float)s->area;
    for (size_t p = 0; p < s->area; p++) {
        vec g = gradient(s, p);
        *(vec *)cell(&s->b, s->d, p / w, p % w) = g * gate(s, levels - 1, p) + global;
        if (gates == NULL)
            continue;
        float *to = gates + p * (size_t)(levels + 1);
        for (int l = 0; l < levels; l++)
            to[l] = lanes_sum(g * load(cell(&s->b, ctx_plane(s, l + 1), p / w, p % w)));
        to[levels] = lanes_sum(g * load(at));
    }
}

static void flip(const float *kernel, size_t taps, float *ret)
{
    for (size_t k = 0; k < taps; k++)
        memcpy(ret + k * LANES, kernel + (taps - 1 - k) * LANES, LANES * sizeof(float));
}

static void focal_grad(const struct loop_focal *spec, const float *x, const float *g,
                       size_t g_stride, int channel, float *scratch, float *dx, float *gates,
                       float *kernels)
{
    struct back s = {.b = {spec, focal_plane_of(spec), x, NULL,
                           spec->c - channel < LANES ? spec->c - channel : LANES},
                     .g = g + channel,
                     .g_stride = g_stride,
                     .area = (size_t)spec->h * (size_t)spec->w,
                     .factor = spec->normalize ? 1 / (float)(spec->levels + 1) : 1};
    const size_t w = width_of(&s), wide = 2 * (size_t)spec->c + (size_t)spec->levels + 1;
    s.plane_floats = s.b.plane.rows * s.b.plane.cols * LANES;
    s.ctx = scratch;
    s.d = s.ctx + (size_t)(spec->levels + 1) * s.plane_floats;
    s.e = s.d + s.plane_floats;
    s.z = s.e + s.plane_floats;
    s.kernel = s.z + (size_t)spec->levels * s.area * LANES;
    begin_backward(&s, forward(&s, channel), gates);
    for (int l = spec->levels - 1; l >= 0; l--) {
        size_t k = (size_t)(spec->window + 2 * l);
        for (size_t row = 0; row < (size_t)spec->h; row++)
            gelu_grad(cell(&s.b, s.d, row, 0), z_of(&s, l) + row * w * LANES, w * LANES,
                      cell(&s.b, s.d, row, 0));
        if (kernels != NULL) {
            size_t before = 0;
            for (int i = 0; i < l; i++)
                before += (size_t)((spec->window + 2 * i) * (spec->window + 2 * i));
            kernel_gradient(&s, l, kernels + before * LANES);
        }
        if (dx == NULL && l == 0)
            return;
        flip(spec->kernels[l] + (size_t)channel * k * k, k * k, s.kernel);
        backward_level(&s, l, s.kernel);
        float *swap = s.d;
        s.d = s.e;
        s.e = swap;
    }
    for (size_t p = 0; p < s.area; p++)
        memcpy(dx + p * wide + (size_t)spec->c + (size_t)channel, cell(&s.b, s.d, p / w, p % w),
               (size_t)s.b.width * sizeof(float));
}

const struct grad_kernels NAME(grad_kernels_, KERNELS) = {
    .gelu = gelu_grad,
    .add_row = add_row,
    .norm = norm_grad,
    .norm_weights = norm_grad_weights,
    .focal = focal_grad,
};
