/* SPDX-License-Identifier: Apache-2.0
 * Sums over rows of what a function makes of them, two of each column at once: in parts, whose
 * number the shapes decide, then over the parts. What lies in memory as it is to be summed is
 * sums.h's, which reads it in wide steps. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_GRAD_COLUMNS_H
#define FOCALD_MODEL_CUDA_KERNELS_GRAD_COLUMNS_H

#include "model/cuda/kernels/grad_cells.h"

namespace grad
{

constexpr unsigned COLUMN_GROUPS = 8; /* warps of a block: rows that it takes at a time */

struct pair {
    float a, b;
};

inline unsigned column_parts(size_t rows)
{
    const size_t parts = (rows + 63) / 64;
    return (unsigned)(parts < 1 ? 1 : parts > 128 ? 128 : parts);
}

inline size_t column_parts_bytes(size_t rows, size_t c)
{
    return column_parts(rows) * 2 * c * sizeof(float);
}

/* to: [parts][2][c]. A block: 32 columns of a part. */
template <class F> __global__ void column_sums_kernel(F f, size_t rows, unsigned c, float *to)
{
    __shared__ float sums[2][COLUMN_GROUPS][WARP];
    const unsigned lane = threadIdx.x % WARP, group = threadIdx.x / WARP;
    const unsigned column = blockIdx.x * WARP + lane;
    const size_t end = rows * (blockIdx.y + 1) / gridDim.y;
    float a = 0, b = 0;
    if (column < c)
        for (size_t row = rows * blockIdx.y / gridDim.y + group; row < end; row += COLUMN_GROUPS) {
            const pair p = f(row, column);
            a += p.a;
            b += p.b;
        }
    sums[0][group][lane] = a;
    sums[1][group][lane] = b;
    __syncthreads();
    if (group < 2 && column < c) {
        float sum = 0;
#pragma unroll
        for (unsigned i = 0; i < COLUMN_GROUPS; i++)
            sum += sums[group][i][lane];
        to[((size_t)blockIdx.y * 2 + group) * c + column] = sum;
    }
}

/* to: [columns], the sums of n parts, `pitch` floats apart */
cudaError_t add_parts(cudaStream_t stream, const float *parts, unsigned n, size_t pitch,
                      size_t columns, float *to);

/* parts: of column_parts_bytes */
template <class F>
inline cudaError_t column_sum_parts(cudaStream_t stream, F f, size_t rows, unsigned c, float *parts)
{
    return launch(column_sums_kernel<F>, dim3((c + WARP - 1) / WARP, column_parts(rows)),
                  dim3(COLUMN_GROUPS * WARP), stream, f, rows, c, parts);
}

/* to: [2][c], f's sums over rows */
template <class F>
inline cudaError_t column_sums(cudaStream_t stream, F f, size_t rows, unsigned c, float *parts,
                               float *to)
{
    const cudaError_t r = column_sum_parts(stream, f, rows, c, parts);
    if (r != cudaSuccess)
        return r;
    return add_parts(stream, parts, column_parts(rows), 2 * (size_t)c, 2 * (size_t)c, to);
}

} // namespace grad

#endif
