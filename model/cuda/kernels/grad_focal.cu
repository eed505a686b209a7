/* SPDX-License-Identifier: Apache-2.0
 * The gradient of the focal context (grad_focal.h): its order of work, and what is summed over
 * channels or over an image. */
#include "model/cuda/kernels/grad_focal.h"

#include "model/cuda/kernels/focal_parts.h"
#include "model/cuda/kernels/gelu.h"
#include "model/cuda/kernels/grad_focal_levels.h"
#include "model/cuda/kernels/grad_operators.h"

namespace grad
{

namespace
{

constexpr unsigned GROUPS = 32, GATE_WARPS = 8;

/* Some images. X: how x, g and dx are reached; S: what scratch holds. */
template <class X, class S> struct images {
    X x, g, to;                /* to.data NULL: not wanted */
    typed_cells<S> ctx, slope; /* of level l: l `level` cells behind */
    size_t level;
    float *means; /* [images][2][C] */
    unsigned n, area, c, levels;
    float share;
};

/* means: gelu(mean of ctx[L]) and of_mean. A block: 32 channels of an image. */
template <class X, class S>
__global__ void __launch_bounds__(GROUPS *WARP) means_kernel(struct images<X, S> s)
{
    __shared__ float sums[2][GROUPS][WARP];
    const unsigned lane = threadIdx.x % WARP, group = threadIdx.x / WARP;
    const unsigned c = blockIdx.x * WARP + lane;
    const size_t first = (size_t)blockIdx.y * s.area;
    const typed_cells<S> last = {s.ctx.data + (s.levels - 1) * s.level, s.ctx.stride};
    float ctx = 0, gated = 0;
    if (c < s.c)
        for (size_t p = group; p < s.area; p += GROUPS) {
            ctx += last.at(first + p, c);
            gated += s.g.at(first + p, c) * s.x.at(first + p, 2 * s.c + s.levels);
        }
    sums[0][group][lane] = ctx;
    sums[1][group][lane] = gated;
    __syncthreads();
    if (group > 0 || c >= s.c)
        return;
    ctx = gated = 0;
#pragma unroll
    for (unsigned i = 0; i < GROUPS; i++) {
        ctx += sums[0][i][lane];
        gated += sums[1][i][lane];
    }
    const float mean = ctx / (float)s.area;
    float *to = s.means + (size_t)blockIdx.y * 2 * s.c + c;
    to[0] = mean * gelu_below(mean);
    to[s.c] = s.share * gated * gelu_slope(mean) / (float)s.area;
}

/* Of a cell: the gradients of gates and q, and d of the last level, rounded to R. A warp: one cell.
 */
template <class R, class X, class S> __global__ void gates_kernel(struct images<X, S> s)
{
    const unsigned lane = threadIdx.x % WARP;
    const size_t cells = (size_t)s.n * s.area;
    const typed_cells<S> last = {s.slope.data + (s.levels - 1) * s.level, s.slope.stride};
    for (size_t p = (size_t)blockIdx.x * GATE_WARPS + threadIdx.x / WARP; p < cells;
         p += (size_t)gridDim.x * GATE_WARPS) {
        const float *means = s.means + divide(p, s.area) * 2 * s.c;
        for (unsigned l = 0; l <= s.levels && s.to.data != NULL; l++) {
            const typed_cells<S> ctx = {s.ctx.data + l * s.level, s.ctx.stride};
            float sum = 0;
            for (unsigned c = lane; c < s.c; c += WARP)
                sum += s.g.at(p, c) * (l < s.levels ? ctx.at(p, c) : means[c]);
            sum = warp_sum(sum);
            if (lane == 0)
                s.to.put(p, 2 * s.c + l, s.share * sum);
        }
        const float gate = s.share * s.x.at(p, 2 * s.c + s.levels - 1);
        for (unsigned c = lane; c < s.c; c += WARP) {
            if (s.to.data != NULL)
                s.to.put(p, c, 0);
            const float d = (gate * s.g.at(p, c) + means[s.c + c]) * last.at(p, c);
            last.put(p, c, to_float(from_float<R>(d)));
        }
    }
}

unsigned size_of(const struct cuda_call *call, unsigned level)
{
    return (unsigned)call->node->window + 2 * level;
}

unsigned levels_of(const struct cuda_call *call)
{
    return (unsigned)call->node->levels;
}

/* What an image keeps of all levels, of cells of so many bytes. */
size_t image_bytes(const struct cuda_call *call, size_t cell)
{
    return 2 * levels_of(call) * area(call->in[0].shape) * (size_t)call->in[0].shape.c * cell;
}

/* Images that keep no more than the second-level cache holds, or one. */
unsigned group_of(const struct cuda_call *call, size_t cell)
{
    const size_t most = ((size_t)32 << 20) / image_bytes(call, cell),
                 n = (size_t)call->in[0].shape.n;
    return (unsigned)(most < 1 ? 1 : most > n ? n : most);
}

/* Of either type of scratch: groups of float32 are the smaller. */
unsigned parts_of(const struct cuda_call *call)
{
    const struct tensor_shape s = call->in[0].shape;
    const struct focal_level level = {NULL,          group_of(call, 2), (unsigned)s.h,
                                      (unsigned)s.w, (unsigned)s.c,     1};
    return focal_weights_parts(&level);
}

/* Floats of the first levels' parts of the kernels' gradients. */
size_t parts_floats(const struct cuda_call *call, unsigned levels)
{
    const size_t c = (size_t)call->in[0].shape.c;
    size_t taps = 0;
    for (unsigned l = 0; l < levels; l++)
        taps += (size_t)size_of(call, l) * size_of(call, l);
    return parts_of(call) * taps * c;
}

size_t aligned(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

/* In scratch: parts, means, then ctx and slope of each level. */
size_t means_at(const struct cuda_call *call)
{
    return aligned(parts_floats(call, levels_of(call)) * sizeof(float));
}

size_t levels_at(const struct cuda_call *call)
{
    const size_t of_image = 2 * (size_t)call->in[0].shape.c * sizeof(float);
    return means_at(call) + aligned((size_t)call->in[0].shape.n * of_image);
}

template <class X, class S>
struct images<X, S> images_of(const struct cuda_call *call, X x, X g, X to, size_t first,
                              unsigned n) {
    const size_t cells = area(call->in[0].shape), c = (size_t)call->in[0].shape.c;
    char *scratch = (char *)call->scratch;
    struct images<X, S> s = {
    };
    s.x = x;
    s.g = g;
    s.to = to;
    s.n = n;
    s.area = (unsigned)cells;
    s.c = (unsigned)c;
    s.levels = levels_of(call);
    s.share = call->node->normalize ? 1 / (float)(s.levels + 1) : 1;
    s.level = n * cells * c;
    s.means = (float *)(scratch + means_at(call)) + first * 2 * c;
    s.ctx = typed_cells<S>{(S *)(scratch + levels_at(call)), c};
    s.slope = typed_cells<S>{s.ctx.data + s.levels * s.level, c};
    return s;
}

template <class X, class S>
struct focal_level level_of(const struct cuda_call *call, const struct images<X, S> *s, unsigned l)
{
    const struct tensor_shape shape = call->in[0].shape;
    return focal_level{call->weights[l],  s->n, (unsigned)shape.h,
                       (unsigned)shape.w, s->c, size_of(call, l)};
}

template <class S> typed_cells<S> level(typed_cells<S> first, size_t cells, unsigned l)
{
    return typed_cells<S>{first.data + l * cells, first.stride};
}

template <class X, class S>
cudaError_t forward(const struct cuda_call *call, const struct images<X, S> *s)
{
    const struct focal_forward_call<X, S> first = {
        level_of(call, s, 0), s->x, s->c, s->ctx, s->slope
    };
    cudaError_t r = focal_forward(call->stream, &first);
    for (unsigned l = 1; l < s->levels && r == cudaSuccess; l++) {
        const struct focal_forward_call<typed_cells<S>, S> next = {
            level_of(call, s, l), level(s->ctx, s->level, l - 1), 0, level(s->ctx, s->level, l),
                level(s->slope, s->level, l)
        };
        r = focal_forward(call->stream, &next);
    }
    return r;
}

template <class X, class S>
cudaError_t add_weights(const struct cuda_call *call, const struct images<X, S> *s, unsigned l,
                        bool first)
{
    float *to = (float *)call->scratch + parts_floats(call, l);
    const typed_cells<S> d = level(s->slope, s->level, l);
    if (l == 0) {
        const struct focal_weights_call<X, S> w = {
            level_of(call, s, l), s->x, s->c, d, to, parts_of(call), first
        };
        return focal_weights_add(call->stream, &w);
    }
    const struct focal_weights_call<typed_cells<S>, S> w = {
        level_of(call, s, l), level(s->ctx, s->level, l - 1), 0, d, to, parts_of(call), first
    };
    return focal_weights_add(call->stream, &w);
}

template <class X, class S>
cudaError_t back(const struct cuda_call *call, const struct images<X, S> *s, unsigned l)
{
    const struct focal_level v = level_of(call, s, l);
    const typed_cells<S> d = level(s->slope, s->level, l), none = {};
    if (l == 0 && s->to.data == NULL)
        return cudaSuccess;
    const struct focal_backward_call<X, S> b = {
        v, d, l > 0 ? level(s->slope, s->level, l - 1) : none, s->g, s->x, s->to, l - 1, s->share
    };
    return focal_backward(call->stream, &b);
}

template <class R, class X, class S>
cudaError_t means_and_gates(cudaStream_t stream, const struct images<X, S> *s)
{
    cudaError_t r = launch(means_kernel<X, S>, dim3((s->c + WARP - 1) / WARP, s->n),
                           dim3(GROUPS * WARP), stream, *s);
    if (r == cudaSuccess)
        r = launch(gates_kernel<R, X, S>, blocks_for((size_t)s->n * s->area, GATE_WARPS),
                   dim3(GATE_WARPS * WARP), stream, *s);
    return r;
}

template <class X, class S>
cudaError_t run_images(const struct cuda_call *call, const struct images<X, S> *s, bool weights,
                       bool first)
{
    cudaError_t r = forward(call, s);
    if (r == cudaSuccess)
        r = means_and_gates<S>(call->stream, s);
    for (unsigned l = s->levels; l-- > 0 && r == cudaSuccess;) {
        if (weights)
            r = add_weights(call, s, l, first);
        if (r == cudaSuccess)
            r = back(call, s, l);
    }
    return r;
}

cudaError_t finish_weights(const struct cuda_call *call, float *to)
{
    const unsigned c = (unsigned)call->in[0].shape.c;
    cudaError_t r = cudaSuccess;
    for (unsigned l = 0; l < levels_of(call) && r == cudaSuccess; l++) {
        const unsigned k = size_of(call, l);
        r = focal_weights_finish(call->stream, (float *)call->scratch + parts_floats(call, l),
                                 parts_of(call), c, k, to);
        to += (size_t)c * k * k;
    }
    return r;
}

template <class T> typed_cells<T> behind(typed_cells<T> x, size_t rows)
{
    return typed_cells<T>{x.data == NULL ? NULL : x.data + rows * x.stride, x.stride};
}

any_cells behind(any_cells x, size_t rows)
{
    void *data = x.data == NULL ? NULL : (char *)x.data + rows * x.stride * cell_bytes(x.type);
    return any_cells{data, x.stride, x.type};
}

template <class X, class S>
cudaError_t run_all(const struct cuda_call *call, X x, X g, X to, float *weights_out)
{
    const size_t cells = area(call->in[0].shape);
    const unsigned n = (unsigned)call->in[0].shape.n, group = group_of(call, sizeof(S));
    cudaError_t r = cudaSuccess;
    for (unsigned i = 0; i < n && r == cudaSuccess; i += group) {
        const struct images<X, S> s =
            images_of<X, S>(call, behind(x, i * cells), behind(g, i * cells), behind(to, i * cells),
                            i, n - i < group ? n - i : group);
        r = run_images(call, &s, weights_out != NULL, i == 0);
    }
    return r == cudaSuccess && weights_out != NULL ? finish_weights(call, weights_out) : r;
}

template <class T>
cudaError_t run_typed(const struct cuda_call *call, const struct cuda_tensor *to,
                      float *weights_out)
{
    return run_all<typed_cells<T>, T>(call, typed_cells_of<T>(&call->in[1]),
                                      typed_cells_of<T>(&call->in[0]), typed_cells_of<T>(to),
                                      weights_out);
}

template <class T>
cudaError_t gates(const struct cuda_call *call, const struct cuda_focal_images *part)
{
    const size_t cells = area(call->in[1].shape), rows = part->first * cells;
    auto s =
        images_of<typed_cells<T>, float>(call, behind(typed_cells_of<T>(&call->in[1]), rows),
                                         behind(typed_cells_of<T>(&call->in[0]), rows),
                                         behind(typed_cells_of<T>(&part->to), rows), 0, part->n);
    s.ctx.data = part->ctx;
    s.slope.data = part->slope;
    s.level = part->level_cells;
    s.means = part->means;
    return means_and_gates<T>(call->stream, &s);
}

cudaError_t run(const struct cuda_call *call, const struct cuda_tensor *to, float *weights_out)
{
    const enum cell_type type = call->in[1].type;
    if (call->in[0].type != type || (to->data != NULL && to->type != type))
        return run_all<any_cells, float>(call, any_of(&call->in[1]), any_of(&call->in[0]),
                                         any_of(to), weights_out);
    return type == CELL_FLOAT32    ? run_typed<float>(call, to, weights_out)
           : type == CELL_BFLOAT16 ? run_typed<__nv_bfloat16>(call, to, weights_out)
                                   : run_typed<__half>(call, to, weights_out);
}

} // namespace

cudaError_t focal(const struct cuda_call *call)
{
    return run(call, &call->out, (float *)call->weights_out.data);
}

cudaError_t focal_weights(const struct cuda_call *call)
{
    const struct cuda_tensor none = {};
    return run(call, &none, (float *)call->out.data);
}

/* Groups of float32, which mixed types take, may keep more than those of one half type. */
size_t focal_scratch(const struct cuda_call *call)
{
    const size_t half = group_of(call, 2) * image_bytes(call, 2),
                 whole = group_of(call, 4) * image_bytes(call, 4);
    return levels_at(call) + (half > whole ? half : whole);
}

} // namespace grad

cudaError_t cuda_focal_gates(const struct cuda_call *call, const struct cuda_focal_images *images)
{
    return with_type(call->in[1].type,
                     [&](auto cell) { return grad::gates<decltype(cell)>(call, images); });
}
