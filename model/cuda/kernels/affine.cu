/* SPDX-License-Identifier: Apache-2.0
 * Operators that give each channel a scale and a shift: layer scale and batch norm. */
#include "model/cuda/kernels/cells.h"
#include "model/cuda/kernels/forward.h"
#include "model/cuda/kernels/sums.h"

namespace
{

/* (x - mean) * scale / sqrt(variance + eps) + shift. All [C]; NULL: 0, 1, 1 - eps, 0. */
struct channels {
    const float *mean, *scale, *variance, *shift;
    float eps;
};

template <unsigned N>
__device__ inline void load_or(float (&to)[N], const float *from, size_t at, float otherwise)
{
#pragma unroll
    for (unsigned i = 0; i < N; i++)
        to[i] = from == nullptr ? otherwise : from[at + i];
}

/* `to` may be x. */
template <class C, unsigned N, unsigned ROWS>
__global__ void affine(C x, C to, size_t rows, size_t cols, channels by)
{
    const size_t col_step = (size_t)gridDim.x * blockDim.x * N;
    const size_t row_step = (size_t)gridDim.y * blockDim.y;
    for (size_t col = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * N; col < cols;
         col += col_step) {
        float mean[N], scale[N], variance[N], shift[N];
        load_or(mean, by.mean, col, 0);
        load_or(scale, by.scale, col, 1);
        load_or(shift, by.shift, col, 0);
        load_or(variance, by.variance, col, 1 - by.eps);
#pragma unroll
        for (unsigned i = 0; i < N; i++)
            scale[i] = by.variance == nullptr ? scale[i] : scale[i] / sqrtf(variance[i] + by.eps);
        for (size_t first = (size_t)blockIdx.y * blockDim.y + threadIdx.y; first < rows;
             first += row_step * ROWS) {
            float v[ROWS][N];
#pragma unroll
            for (unsigned r = 0; r < ROWS; r++)
                if (first + r * row_step < rows)
                    x.load(v[r], first + r * row_step, col);
#pragma unroll
            for (unsigned r = 0; r < ROWS; r++)
                if (first + r * row_step < rows) {
#pragma unroll
                    for (unsigned i = 0; i < N; i++)
                        v[r][i] = (v[r][i] - mean[i]) * scale[i] + shift[i];
                    to.store(v[r], first + r * row_step, col);
                }
        }
    }
}

cudaError_t run(const struct cuda_call *call, const channels &by)
{
    constexpr unsigned VECTOR_ROWS = 2, SCALAR_ROWS = 4;
    const struct cuda_tensor *x = &call->in[0], *to = &call->out;
    const size_t rows = positions(to->shape), cols = (size_t)to->shape.c;
    const unsigned n = widest_cells(to->type);
    if (x->type == to->type && cols % n == 0 && is_aligned(x, n) && is_aligned(to, n))
        return with_type(to->type, [&](auto cell) {
            using T = decltype(cell);
            constexpr unsigned N = WIDEST / sizeof(T);
            const launch_shape s = shape_over(rows, cols / N, VECTOR_ROWS);
            return launch(affine<typed_cells<T>, N, VECTOR_ROWS>, s.grid, s.block, call->stream,
                          typed_cells_of<T>(x), typed_cells_of<T>(to), rows, cols, by);
        });
    const launch_shape s = shape_over(rows, cols, SCALAR_ROWS);
    return launch(affine<any_cells, 1, SCALAR_ROWS>, s.grid, s.block, call->stream, any_of(x),
                  any_of(to), rows, cols, by);
}

} // namespace

cudaError_t cuda_channel_scale(const struct cuda_call *call)
{
    return run(call, {nullptr, call->weights[0], nullptr, nullptr, 0});
}

/* In training by the batch's own mean and biased variance. */
cudaError_t cuda_batch_norm(const struct cuda_call *call)
{
    const float *mean = call->weights[2], *variance = call->weights[3];
    if (call->node->train) {
        struct statistics s;
        cudaError_t code = sums_statistics(call->stream, &call->in[0], call->scratch, &s);
        if (code != cudaSuccess)
            return code;
        mean = s.mean;
        variance = s.variance;
    }
    return run(call, {mean, call->weights[0], variance, call->weights[1], call->node->eps});
}

size_t cuda_batch_norm_scratch(const struct cuda_call *call)
{
    return call->node->train ? sums_statistics_scratch(&call->in[0]) : 0;
}
