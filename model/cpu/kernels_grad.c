/* SPDX-License-Identifier: Apache-2.0
 * The loops of the backward pass. */
#include "model/cpu/kernels_inline.h"

/* Phi(x) and phi(x) of the standard normal distribution from one exponential (Abramowitz and Stegun
 * 7.1.26 for 1 - erf, within 1.5e-7). */
static inline void normal(float x, float *ret_below, float *ret_density)
{
    float e = exp_of(-0.5f * x * x);
    float t = 1 / (1 + 0.3275911f * 0.70710678118654752f * fabsf(x));
    float p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    float tail = 0.5f * p * t * e;
    *ret_below = x < 0 ? tail : 1 - tail;
    *ret_density = 0.39894228040143268f * e;
}

/* y = g * gelu'(x), gelu'(x) = Phi(x) + x phi(x) */
static void gelu_grad(const float *g, const float *x, size_t n, float *y)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++) {
        float below, density;
        normal(x[i], &below, &density);
        y[i] = g[i] * (below + x[i] * density);
    }
}

/* x: [n] becomes gelu(x), slope: [n] its derivative there. */
static inline void gelu_and_slope(float *x, size_t n, float *slope)
{
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++) {
        float below, density, at = x[i];
        normal(at, &below, &density);
        slope[i] = below + at * density;
        x[i] = at * below;
    }
}

/* Four rows at a time: the sum is read and written less often. */
static void add_rows(const float *restrict x, size_t stride, size_t rows, size_t n,
                     float *restrict sum)
{
    size_t r = 0;
    for (; r + 4 <= rows; r += 4, x += 4 * stride)
        for (size_t i = 0; i < n; i++)
            sum[i] += (x[i] + x[i + stride]) + (x[i + 2 * stride] + x[i + 3 * stride]);
    for (; r < rows; r++, x += stride)
        for (size_t i = 0; i < n; i++)
            sum[i] += x[i];
}

/* y may be before. */
static void norm_grad(const struct norm_row *row, size_t n, const float *scale, float eps, float *y,
                      float *d_scale, float *d_shift)
{
    const float *g = row->g, *x = row->x;
    float mean = sum_of(x, n) / (float)n;
    float inverse = 1 / sqrtf(squares_of(x, n, mean) / (float)n + eps);
    if (d_scale != NULL) {
#pragma GCC ivdep
        for (size_t i = 0; i < n; i++) {
            d_scale[i] += g[i] * ((x[i] - mean) * inverse);
            d_shift[i] += g[i];
        }
    }
    if (y == NULL)
        return;
    vec sums = {0}, products = {0};
    vec8 half_sums = {0}, half_products = {0};
    float sum = 0, product = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec h = load(g + i) * load(scale + i);
        sums += h;
        products += h * (load(x + i) - mean);
    }
    for (; i + LANES / 2 <= n; i += LANES / 2) {
        vec8 h = load_half(g + i) * load_half(scale + i);
        half_sums += h;
        half_products += h * (load_half(x + i) - mean);
    }
    for (; i < n; i++) {
        float h = g[i] * scale[i];
        sum += h;
        product += h * (x[i] - mean);
    }
    sum = (sum + lanes_sum(sums) + half_sum(half_sums)) / (float)n;
    product =
        (product + lanes_sum(products) + half_sum(half_products)) * inverse * inverse / (float)n;
    if (row->before == NULL) {
#pragma GCC ivdep
        for (i = 0; i < n; i++)
            y[i] = inverse * (g[i] * scale[i] - sum - (x[i] - mean) * product);
    } else {
#pragma GCC ivdep
        for (i = 0; i < n; i++)
            y[i] = row->before[i] + inverse * (g[i] * scale[i] - sum - (x[i] - mean) * product);
    }
}

/* Four sums at a time, as sum_of. */
static float dot(const float *a, const float *b, size_t n)
{
    vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        s0 += load(a + i) * load(b + i);
        s1 += load(a + i + LANES) * load(b + i + LANES);
        s2 += load(a + i + 2 * LANES) * load(b + i + 2 * LANES);
        s3 += load(a + i + 3 * LANES) * load(b + i + 3 * LANES);
    }
    for (; i + LANES <= n; i += LANES)
        s0 += load(a + i) * load(b + i);
    float sum = lanes_sum(s0 + s1 + (s2 + s3));
    for (; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void softmax_grad(const float *p, size_t n, float scale, float *d)
{
    const float mean = dot(p, d, n);
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++)
        d[i] = scale * p[i] * (d[i] - mean);
}

static void add_scaled(const float *restrict x, size_t n, float by, float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += by * x[i];
}

static void add_products(const float *restrict a, size_t a_stride, const float *restrict b,
                         size_t b_stride, size_t rows, size_t n, float *restrict sum)
{
    for (size_t r = 0; r < rows; r++, a += a_stride, b += b_stride)
        for (size_t i = 0; i < n; i++)
            sum[i] += a[i] * b[i];
}

/* Focal context. A: cells of an image. */

struct back {
    struct block b;
    size_t area, plane_floats;
    float *ctx, *d, *e; /* planes: contexts [levels + 1], a gradient, the next one's */
    float *g, *slope;   /* [A][LANES] times 1 / (levels + 1) where normalized; [levels][A][LANES] */
    float *kernel;      /* [k*k][LANES] */
};

static float *ctx_plane(const struct back *s, int level)
{
    return s->ctx + (size_t)level * s->plane_floats;
}

static float *slope_of(const struct back *s, int level)
{
    return s->slope + (size_t)level * s->area * LANES;
}

static size_t width_of(const struct back *s)
{
    return (size_t)s->b.spec->w;
}

static vec gradient(const struct back *s, size_t p)
{
    return load(s->g + p * LANES);
}

static float gate(const struct back *s, int level, size_t p)
{
    return s->b.x[p * s->b.spec->stride + 2 * (size_t)s->b.spec->c + (size_t)level];
}

/* The first tap that cell (row, col) of a plane meets. */
static const float *first_tap(const struct back *s, float *plane, int k, size_t row, size_t col)
{
    const size_t reach = (size_t)k / 2;
    return cell(&s->b, plane, row, col) - (reach * s->b.plane.cols + reach) * LANES;
}

/* The next context, and the slope of its GELU. */
static void forward_level(const struct back *s, int level, const float *kernel)
{
    const size_t w = width_of(s);
    const int k = s->b.spec->window + 2 * level;
    float v[COLUMNS * LANES], slope[COLUMNS * LANES];
    for (size_t row = 0; row < (size_t)s->b.spec->h; row++)
        for (size_t col = 0; col < w; col += COLUMNS) {
            size_t there = w - col < COLUMNS ? w - col : COLUMNS;
            convolve(first_tap(s, ctx_plane(s, level), k, row, col), s->b.plane.cols, k, kernel, v);
            gelu_and_slope(v, COLUMNS * LANES, slope);
            float *to = cell(&s->b, ctx_plane(s, level + 1), row, col);
            float *slope_to = slope_of(s, level) + (row * w + col) * LANES;
            for (size_t i = 0; i < there * LANES; i += LANES) {
                *(vec *)(to + i) = load(v + i);
                *(vec *)(slope_to + i) = load(slope + i);
            }
        }
}

/* d correlated with the kernel (convolved with it flipped) is the gradient of what the level took.
 * Of level 0 that goes into dx, of others, with what the gate before says, through the GELU
 * before into e. */
static void backward_level(const struct back *s, int level, const float *flipped, float *dx)
{
    const size_t w = width_of(s), c = (size_t)s->b.spec->c;
    const size_t wide = 2 * c + (size_t)s->b.spec->levels + 1;
    const int k = s->b.spec->window + 2 * level;
    float v[COLUMNS * LANES];
    for (size_t row = 0; row < (size_t)s->b.spec->h; row++)
        for (size_t col = 0; col < w; col += COLUMNS) {
            convolve(first_tap(s, s->d, k, row, col), s->b.plane.cols, k, flipped, v);
            for (size_t j = 0; j < COLUMNS && col + j < w; j++) {
                size_t p = row * w + col + j;
                vec sum = load(v + j * LANES);
                if (level == 0) {
                    store_lanes(dx + p * wide, sum, s->b.width);
                    continue;
                }
                sum += gradient(s, p) * gate(s, level - 1, p);
                *(vec *)cell(&s->b, s->e, row, col + j) =
                    sum * load(slope_of(s, level - 1) + p * LANES);
            }
        }
}

#ifdef __AVX512F__
enum { TAP_SETS = 2 }; /* neighbours at a time: as many sums as registers hold */
#else
enum { TAP_SETS = 1 };
#endif

/* Row ky of a kernel's gradient: ret: [k][LANES] += sum over cells of d times the context that the
 * taps see. */
static inline __attribute__((always_inline)) void tap_row(const struct back *s, int level, int ky,
                                                          int k, float *ret)
{
    const size_t w = width_of(s);
    vec sums[TAP_SETS][7] = {{{0}}};
    for (size_t row = 0; row < (size_t)s->b.spec->h; row++) {
        const float *d = cell(&s->b, s->d, row, 0);
        const float *c = first_tap(s, ctx_plane(s, level), k, row + (size_t)ky, 0);
        size_t col = 0;
        for (; col + TAP_SETS <= w; col += TAP_SETS, d += TAP_SETS * LANES, c += TAP_SETS * LANES)
#pragma GCC unroll 2
            for (int i = 0; i < TAP_SETS; i++)
#pragma GCC unroll 7
                for (int kx = 0; kx < k; kx++)
                    sums[i][kx] += load(d + i * LANES) * load(c + (i + kx) * LANES);
        for (; col < w; col++, d += LANES, c += LANES)
#pragma GCC unroll 7
            for (int kx = 0; kx < k; kx++)
                sums[0][kx] += load(d) * load(c + kx * LANES);
    }
#pragma GCC unroll 7
    for (int kx = 0; kx < k; kx++) {
        vec sum = load(ret + kx * LANES) + sums[0][kx];
        if (TAP_SETS > 1)
            sum += sums[TAP_SETS - 1][kx];
        *(vec *)(ret + kx * LANES) = sum;
    }
}

/* The same for one tap of a kernel of any size. */
static void tap_alone(const struct back *s, int level, int ky, int kx, int k, float *ret)
{
    const size_t w = width_of(s);
    vec sum = {0};
    for (size_t row = 0; row < (size_t)s->b.spec->h; row++) {
        const float *d = cell(&s->b, s->d, row, 0);
        const float *c = first_tap(s, ctx_plane(s, level), k, row + (size_t)ky, (size_t)kx);
        for (size_t col = 0; col < w; col++, d += LANES, c += LANES)
            sum += load(d) * load(c);
    }
    *(vec *)ret = load(ret) + sum;
}

/* ret: [k*k][LANES] += */
static void kernel_gradient(const struct back *s, int level, float *ret)
{
    const int k = s->b.spec->window + 2 * level;
    for (int ky = 0; ky < k; ky++, ret += k * LANES) {
        if (k == 3)
            tap_row(s, level, ky, 3, ret);
        else if (k == 5)
            tap_row(s, level, ky, 5, ret);
        else if (k == 7)
            tap_row(s, level, ky, 7, ret);
        else
            for (int kx = 0; kx < k; kx++)
                tap_alone(s, level, ky, kx, k, ret + kx * LANES);
    }
}

/* Fills g, ctx and slope; gives the mean of the last context. */
static vec forward(const struct back *s, int channel, const float *g, size_t g_stride)
{
    const struct loop_focal *spec = s->b.spec;
    const float factor = spec->normalize ? 1 / (float)(spec->levels + 1) : 1;
    const size_t w = width_of(s);
    for (size_t p = 0; p < s->area; p++)
        *(vec *)(s->g + p * LANES) = load_lanes(g + p * g_stride, s->b.width) * factor;
    copy_context(&s->b, s->b.x + spec->c + channel, ctx_plane(s, 0));
    for (int l = 0; l < spec->levels; l++) {
        size_t k = (size_t)(spec->window + 2 * l);
        forward_level(s, l, spec->kernels[l] + (size_t)channel * k * k);
    }
    vec sum = {0};
    for (size_t row = 0; row < (size_t)spec->h; row++) {
        vec row_sum = {0};
        for (size_t col = 0; col < w; col++)
            row_sum += load(cell(&s->b, ctx_plane(s, spec->levels), row, col));
        sum += row_sum;
    }
    return sum / (float)s->area;
}

/* gates: [A][levels + 1] of this block, or NULL; d = the gradient of the last level's sum. */
static void begin_backward(const struct back *s, vec mean, float *gates)
{
    const int levels = s->b.spec->levels;
    const size_t w = width_of(s);
    float at[LANES], slope[LANES];
    vec global = {0};
    *(vec *)at = mean;
    gelu_and_slope(at, LANES, slope);
    for (size_t p = 0; p < s->area; p++)
        global += gradient(s, p) * gate(s, levels, p);
    global *= load(slope) / (float)s->area;
    for (size_t row = 0, p = 0; row < (size_t)s->b.spec->h; row++)
        for (size_t col = 0; col < w; col++, p++) {
            vec g = gradient(s, p);
            *(vec *)cell(&s->b, s->d, row, col) =
                (g * gate(s, levels - 1, p) + global) * load(slope_of(s, levels - 1) + p * LANES);
            if (gates == NULL)
                continue;
            float *to = gates + p * (size_t)(levels + 1);
            for (int l = 0; l < levels; l++)
                to[l] = lanes_sum(g * load(cell(&s->b, ctx_plane(s, l + 1), row, col)));
            to[levels] = lanes_sum(g * load(at));
        }
}

static void flip(const float *kernel, size_t taps, float *ret)
{
    for (size_t k = 0; k < taps; k++)
        *(vec *)(ret + k * LANES) = load(kernel + (taps - 1 - k) * LANES);
}

static struct back place(const struct loop_focal *spec, const float *x, int channel, float *scratch)
{
    struct back s = {.b = {spec, focal_plane_of(spec), x, NULL,
                           spec->c - channel < LANES ? spec->c - channel : LANES},
                     .area = (size_t)spec->h * (size_t)spec->w};
    s.plane_floats = s.b.plane.rows * s.b.plane.cols * LANES;
    s.ctx = scratch;
    s.d = s.ctx + (size_t)(spec->levels + 1) * s.plane_floats;
    s.e = s.d + s.plane_floats;
    s.g = s.e + s.plane_floats;
    s.slope = s.g + s.area * LANES;
    s.kernel = s.slope + (size_t)spec->levels * s.area * LANES;
    return s;
}

static void focal_grad(const struct loop_focal *spec, const float *x, const float *g,
                       size_t g_stride, int channel, float *scratch, float *dx, float *gates,
                       float *kernels)
{
    struct back s = place(spec, x, channel, scratch);
    begin_backward(&s, forward(&s, channel, g + channel, g_stride), gates);
    size_t before = 0; /* taps of the levels below */
    for (int l = 0; l < spec->levels; l++)
        before += (size_t)((spec->window + 2 * l) * (spec->window + 2 * l));
    for (int l = spec->levels - 1; l >= 0; l--) {
        size_t taps = (size_t)((spec->window + 2 * l) * (spec->window + 2 * l));
        before -= taps;
        if (kernels != NULL)
            kernel_gradient(&s, l, kernels + before * LANES);
        if (dx == NULL && l == 0)
            return;
        flip(spec->kernels[l] + (size_t)channel * taps, taps, s.kernel);
        backward_level(&s, l, s.kernel, l == 0 ? dx + spec->c + channel : NULL);
        float *swap = s.d;
        s.d = s.e;
        s.e = swap;
    }
}

const struct grad_kernels NAME(grad_kernels_, KERNELS) = {
    .gelu = gelu_grad,
    .add_rows = add_rows,
    .norm = norm_grad,
    .softmax = softmax_grad,
    .dot = dot,
    .add_scaled = add_scaled,
    .add_products = add_products,
    .focal = focal_grad,
};
