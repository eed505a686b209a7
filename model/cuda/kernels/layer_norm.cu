/* SPDX-License-Identifier: Apache-2.0
 * Layer norm over c: a warp a row, or several at once where they are short, kept in registers. */
#include "model/cuda/kernels/cells.h"
#include "model/cuda/kernels/forward.h"

namespace
{

constexpr unsigned N = 4;            /* cells of an access */
constexpr unsigned WARPS = 8;        /* of a block */
constexpr unsigned MOST_VECTORS = 8; /* accesses of a lane and row that registers hold */
constexpr unsigned ROW_VECTORS = 4;  /* … under way at once, of as many rows */

struct norms {
    const float *scale, *shift; /* [C] */
    float eps;
    size_t rows;
    unsigned cols;
};

/* y = (x - mean) / sqrt(variance + eps) * scale + shift. The mean is taken twice: the second time
 * of what the first left, so that rows of large equal values give their shift. */
template <class T, unsigned VECTORS, unsigned ROWS>
__global__ void layer_norm(typed_cells<T> x, typed_cells<T> to, norms s)
{
    const size_t warps = (size_t)gridDim.x * WARPS;
    const float c = (float)s.cols;
    for (size_t first = ((size_t)blockIdx.x * WARPS + threadIdx.y) * ROWS; first < s.rows;
         first += warps * ROWS) {
        float v[ROWS][VECTORS][N] = {};
#pragma unroll
        for (unsigned r = 0; r < ROWS; r++)
#pragma unroll
            for (unsigned k = 0; k < VECTORS; k++)
                if (first + r < s.rows && (k * WARP + threadIdx.x) * N < s.cols)
                    x.load(v[r][k], first + r, (k * WARP + threadIdx.x) * N);
        float inverse[ROWS];
#pragma unroll
        for (unsigned r = 0; r < ROWS; r++) {
            float sum = 0, rest = 0, squares = 0;
#pragma unroll
            for (unsigned k = 0; k < VECTORS; k++)
                sum += (v[r][k][0] + v[r][k][1]) + (v[r][k][2] + v[r][k][3]);
            const float mean = warp_sum(sum) / c;
#pragma unroll
            for (unsigned k = 0; k < VECTORS; k++)
#pragma unroll
                for (unsigned i = 0; i < N; i++) {
                    v[r][k][i] -= mean;
                    if ((k * WARP + threadIdx.x) * N < s.cols) {
                        rest += v[r][k][i];
                        squares = fmaf(v[r][k][i], v[r][k][i], squares);
                    }
                }
            rest = warp_sum(rest) / c;
            inverse[r] = rsqrtf(fmaxf(warp_sum(squares) / c - rest * rest, 0) + s.eps);
#pragma unroll
            for (unsigned k = 0; k < VECTORS; k++)
#pragma unroll
                for (unsigned i = 0; i < N; i++)
                    v[r][k][i] -= rest;
        }
#pragma unroll
        for (unsigned k = 0; k < VECTORS; k++) {
            const unsigned col = (k * WARP + threadIdx.x) * N;
            if (col >= s.cols)
                continue;
            float scale[N], shift[N];
            load_cells(scale, s.scale + col);
            load_cells(shift, s.shift + col);
#pragma unroll
            for (unsigned r = 0; r < ROWS; r++) {
                float y[N];
#pragma unroll
                for (unsigned i = 0; i < N; i++)
                    y[i] = fmaf(v[r][k][i] * inverse[r], scale[i], shift[i]);
                if (first + r < s.rows)
                    to.store(y, first + r, col);
            }
        }
    }
}

/* Any width, any types, any alignment: three times over the row. */
__global__ void layer_norm_any(any_cells x, any_cells to, norms s)
{
    const float c = (float)s.cols;
    for (size_t row = (size_t)blockIdx.x * WARPS + threadIdx.y; row < s.rows;
         row += (size_t)gridDim.x * WARPS) {
        float sum = 0, rest = 0, squares = 0;
        for (unsigned i = threadIdx.x; i < s.cols; i += WARP)
            sum += x.at(row, i);
        const float mean = warp_sum(sum) / c;
        for (unsigned i = threadIdx.x; i < s.cols; i += WARP) {
            const float d = x.at(row, i) - mean;
            rest += d;
            squares = fmaf(d, d, squares);
        }
        rest = warp_sum(rest) / c;
        const float inverse = rsqrtf(fmaxf(warp_sum(squares) / c - rest * rest, 0) + s.eps);
        for (unsigned i = threadIdx.x; i < s.cols; i += WARP)
            to.put(row, i, fmaf((x.at(row, i) - mean - rest) * inverse, s.scale[i], s.shift[i]));
    }
}

template <class T, unsigned VECTORS> cudaError_t run(const struct cuda_call *call, const norms &s)
{
    constexpr unsigned ROWS = VECTORS < ROW_VECTORS ? ROW_VECTORS / VECTORS : 1;
    const size_t warps = (s.rows + ROWS - 1) / ROWS;
    return launch(layer_norm<T, VECTORS, ROWS>, blocks_for(warps, WARPS), dim3(WARP, WARPS),
                  call->stream, typed_cells_of<T>(&call->in[0]), typed_cells_of<T>(&call->out), s);
}

template <class T> cudaError_t run_typed(const struct cuda_call *call, const norms &s)
{
    switch ((s.cols + WARP * N - 1) / (WARP * N)) {
    case 1:
        return run<T, 1>(call, s);
    case 2:
        return run<T, 2>(call, s);
    case 3:
        return run<T, 3>(call, s);
    case 4:
        return run<T, 4>(call, s);
    case 5:
    case 6:
        return run<T, 6>(call, s);
    default:
        return run<T, MOST_VECTORS>(call, s);
    }
}

} // namespace

cudaError_t cuda_layer_norm(const struct cuda_call *call)
{
    const struct cuda_tensor *x = &call->in[0], *to = &call->out;
    const norms s = {call->weights[0], call->weights[1], call->node->eps, positions(to->shape),
                     (unsigned)to->shape.c};
    if (x->type != to->type || s.cols % N != 0 || s.cols > MOST_VECTORS * WARP * N ||
        !is_aligned(x, N) || !is_aligned(to, N))
        return launch(layer_norm_any, blocks_for(s.rows, WARPS), dim3(WARP, WARPS), call->stream,
                      any_of(x), any_of(to), s);
    return with_type(to->type, [&](auto cell) { return run_typed<decltype(cell)>(call, s); });
}
