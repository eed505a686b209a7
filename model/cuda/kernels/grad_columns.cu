/* SPDX-License-Identifier: Apache-2.0
 * Sums over rows that need no more than rows. */
#include "model/cuda/kernels/grad_columns.h"

#include "model/cuda/kernels/grad_operators.h"

namespace grad
{

namespace
{

constexpr unsigned GROUPS = 16;

/* A block: 32 columns; its warps share the parts. */
__global__ void add_parts_kernel(const float *parts, unsigned n, size_t pitch, size_t columns,
                                 float *to)
{
    __shared__ float sums[GROUPS][WARP];
    const unsigned lane = threadIdx.x % WARP, group = threadIdx.x / WARP;
    const size_t column = (size_t)blockIdx.x * WARP + lane;
    float sum = 0;
    if (column < columns)
        for (unsigned i = group; i < n; i += GROUPS)
            sum += parts[i * pitch + column];
    sums[group][lane] = sum;
    __syncthreads();
    if (group == 0 && column < columns) {
        sum = 0;
#pragma unroll
        for (unsigned i = 0; i < GROUPS; i++)
            sum += sums[i][lane];
        to[column] = sum;
    }
}

struct products {
    any_cells g, x;
    __device__ pair operator()(size_t row, unsigned c) const
    {
        return pair{g.at(row, c) * x.at(row, c), 0};
    }
};

} // namespace

cudaError_t add_parts(cudaStream_t stream, const float *parts, unsigned n, size_t pitch,
                      size_t columns, float *to)
{
    return launch(add_parts_kernel, dim3((unsigned)((columns + WARP - 1) / WARP)),
                  dim3(GROUPS * WARP), stream, parts, n, pitch, columns, to);
}

/* The second sum of each column is of nothing. */
cudaError_t channel_scale_weights(const struct cuda_call *call)
{
    const size_t rows = positions(call->in[0].shape);
    const unsigned c = (unsigned)call->in[0].shape.c;
    const products f = {any_of(&call->in[0]), any_of(&call->in[1])};
    float *parts = (float *)call->scratch;
    const cudaError_t r = column_sum_parts(call->stream, f, rows, c, parts);
    if (r != cudaSuccess)
        return r;
    return add_parts(call->stream, parts, column_parts(rows), 2 * (size_t)c, c,
                     (float *)call->out.data);
}

size_t channel_scale_weights_scratch(const struct cuda_call *call)
{
    return column_parts_bytes(positions(call->in[0].shape), (size_t)call->in[0].shape.c);
}

} // namespace grad
