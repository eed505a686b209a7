/* SPDX-License-Identifier: Apache-2.0
 * What goes over each cell between the depth-wise convolutions of a focal context's gradient. */
#include "model/cuda/kernels/focal_parts.h"

#include "model/cuda/kernels/gelu.h"
#include "model/cuda/kernels/grad_cells.h"

namespace grad
{

namespace
{

constexpr unsigned THREADS = 256;

template <class T> __device__ inline float rounded(float x)
{
    return to_float(from_float<T>(x));
}

/* slope NULL: z is in ctx. */
template <class T, unsigned N>
__global__ void activate_kernel(float *ctx, float *slope, size_t cells)
{
    for (size_t i = first_thread() * N; i < cells; i += all_threads() * N) {
        float z[N], y[N];
        load_cells(z, (slope != nullptr ? slope : ctx) + i);
#pragma unroll
        for (unsigned k = 0; k < N; k++) {
            y[k] = rounded<T>(gelu(z[k]));
            z[k] = rounded<T>(gelu_slope(z[k]));
        }
        store_cells(ctx + i, y);
        if (slope != nullptr)
            store_cells(slope + i, z);
    }
}

template <class T> cudaError_t activate(cudaStream_t stream, float *ctx, float *slope, size_t cells)
{
    constexpr unsigned N = WIDEST / sizeof(float);
    const bool wide = cells % N == 0 && is_aligned(ctx, CELL_FLOAT32, 0, N) &&
                      is_aligned(slope, CELL_FLOAT32, 0, N);
    return launch(wide ? activate_kernel<T, N> : activate_kernel<T, 1>,
                  blocks_for(cells / (wide ? N : 1), THREADS), dim3(THREADS), stream, ctx, slope,
                  cells);
}

/* slope: dense gelu'(z), becomes d */
template <class T> struct before {
    typed_cells<T> x, g;
    typed_cells<float> slope;
    const float *dctx;
    size_t rows;
    unsigned channels, gate; /* gate: its cell of x */
    float share;
};

template <class T, unsigned N> __global__ void before_kernel(struct before<T> s)
{
    const size_t col_step = (size_t)gridDim.x * blockDim.x * N;
    const size_t row_step = (size_t)gridDim.y * blockDim.y;
    for (size_t c = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * N; c < s.channels;
         c += col_step)
        for (size_t row = (size_t)blockIdx.y * blockDim.y + threadIdx.y; row < s.rows;
             row += row_step) {
            float d[N], g[N], slope[N];
            const float of_gate = s.share * s.x.at(row, s.gate);
            load_cells(d, s.dctx + row * s.channels + c);
            s.g.load(g, row, c);
            s.slope.load(slope, row, c);
#pragma unroll
            for (unsigned i = 0; i < N; i++)
                slope[i] = rounded<T>(fmaf(of_gate, g[i], d[i]) * slope[i]);
            s.slope.store(slope, row, c);
        }
}

/* Of dense dctx into cells C ... 2 C of x's gradient. */
template <class T>
__global__ void spread_kernel(typed_cells<T> to, const float *dctx, size_t rows, unsigned channels)
{
    for (size_t i = first_thread(); i < rows * channels; i += all_threads()) {
        const size_t row = divide(i, channels);
        to.put(row, channels + (i - row * channels), dctx[i]);
    }
}

/* Cells of an image's first row on. */
template <class T> typed_cells<T> image_of(const struct cuda_tensor *t, size_t image)
{
    return typed_cells<T>{(T *)t->data + image * area(t->shape) * t->stride, t->stride};
}

template <class T, unsigned N>
cudaError_t run_before(cudaStream_t stream, const struct before<T> &s)
{
    const launch_shape over = shape_over(s.rows, s.channels / N, 1);
    return launch(before_kernel<T, N>, over.grid, over.block, stream, s);
}

template <class T>
cudaError_t go_before(const struct cuda_call *call, const struct cuda_focal_images *images,
                      unsigned level, const float *dctx)
{
    const struct cuda_tensor *x = &call->in[1], *g = &call->in[0];
    const unsigned c = (unsigned)g->shape.c;
    const size_t rows = images->n * area(g->shape);
    if (level == 0)
        return launch(spread_kernel<T>, blocks_for(rows * c, THREADS), dim3(THREADS), call->stream,
                      image_of<T>(&images->to, images->first), dctx, rows, c);
    constexpr unsigned N = WIDEST / sizeof(T);
    float *slope = images->slope + (level - 1) * images->level_cells;
    const float levels = (float)call->node->levels;
    const struct before<T> s = {
        image_of<T>(x, images->first), image_of<T>(g, images->first),
            typed_cells<float>{slope, c}, dctx, rows, c,
            2 * c + level - 1, call->node->normalize ? 1 / (levels + 1) : 1
    };
    const bool wide = c % N == 0 && is_aligned(g, N) && is_aligned(slope, CELL_FLOAT32, c, N) &&
                      is_aligned(dctx, CELL_FLOAT32, c, N);
    return wide ? run_before<T, N>(call->stream, s) : run_before<T, 1>(call->stream, s);
}

} // namespace

} // namespace grad

cudaError_t cuda_focal_activate(cudaStream_t stream, float *ctx, float *slope, enum cell_type type,
                                size_t cells)
{
    return with_type(
        type, [&](auto cell) { return grad::activate<decltype(cell)>(stream, ctx, slope, cells); });
}

cudaError_t cuda_focal_before(const struct cuda_call *call, const struct cuda_focal_images *images,
                              unsigned level, const float *dctx)
{
    return with_type(call->in[1].type, [&](auto cell) {
        return grad::go_before<decltype(cell)>(call, images, level, dctx);
    });
}
