/* SPDX-License-Identifier: Apache-2.0
 * Lengths of vectors over c, and cosines between them: a warp for each number. */
#include "model/cuda/kernels/cells.h"
#include "model/cuda/kernels/forward.h"

namespace
{

constexpr unsigned WARPS = 8; /* of a block */

/* to: [rows] */
template <class C, unsigned N>
__global__ void lengths(C x, any_cells to, size_t rows, unsigned cols)
{
    for (size_t row = (size_t)blockIdx.x * WARPS + threadIdx.y; row < rows;
         row += (size_t)gridDim.x * WARPS) {
        float sum = 0;
#pragma unroll 2
        for (unsigned col = threadIdx.x * N; col < cols; col += WARP * N) {
            float v[N];
            x.load(v, row, col);
#pragma unroll
            for (unsigned i = 0; i < N; i++)
                sum = fmaf(v[i], v[i], sum);
        }
        sum = warp_sum(sum);
        if (threadIdx.x == 0)
            to.put(row, 0, sqrtf(sum));
    }
}

/* x: [rows][cols], w: [classes][cols] -> [rows][classes] */
__global__ void cosines(any_cells x, const float *w, any_cells to, size_t rows, unsigned cols,
                        unsigned classes)
{
    for (size_t i = (size_t)blockIdx.x * WARPS + threadIdx.y; i < rows * classes;
         i += (size_t)gridDim.x * WARPS) {
        const size_t row = i / classes, class_of = i % classes;
        float dot = 0, xx = 0, ww = 0;
        for (unsigned col = threadIdx.x; col < cols; col += WARP) {
            const float a = x.at(row, col), b = w[class_of * cols + col];
            dot = fmaf(a, b, dot);
            xx = fmaf(a, a, xx);
            ww = fmaf(b, b, ww);
        }
        dot = warp_sum(dot);
        xx = fmaxf(sqrtf(warp_sum(xx)), 1e-12f);
        ww = fmaxf(sqrtf(warp_sum(ww)), 1e-12f);
        if (threadIdx.x == 0)
            to.put(row, class_of, dot / xx / ww);
    }
}

} // namespace

cudaError_t cuda_channel_l2(const struct cuda_call *call)
{
    const struct cuda_tensor *x = &call->in[0];
    const size_t rows = positions(call->out.shape);
    const unsigned cols = (unsigned)x->shape.c, n = widest_cells(x->type);
    const dim3 grid = blocks_for(rows, WARPS), block(WARP, WARPS);
    if (cols % n == 0 && is_aligned(x, n))
        return with_type(x->type, [&](auto cell) {
            using T = decltype(cell);
            return launch(lengths<typed_cells<T>, WIDEST / sizeof(T)>, grid, block, call->stream,
                          typed_cells_of<T>(x), any_of(&call->out), rows, cols);
        });
    return launch(lengths<any_cells, 1>, grid, block, call->stream, any_of(x), any_of(&call->out),
                  rows, cols);
}

cudaError_t cuda_cosine(const struct cuda_call *call)
{
    const size_t rows = positions(call->out.shape);
    const unsigned classes = (unsigned)call->out.shape.c;
    return launch(cosines, blocks_for(rows * classes, WARPS), dim3(WARP, WARPS), call->stream,
                  any_of(&call->in[0]), call->weights[0], any_of(&call->out), rows,
                  (unsigned)call->in[0].shape.c, classes);
}
