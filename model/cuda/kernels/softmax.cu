/* SPDX-License-Identifier: Apache-2.0
 * Softmax over rows and its gradient: a warp a row, which its registers hold if it is short. */
#include "model/cuda/kernels/cells.h"

namespace
{

constexpr unsigned WARPS = 4; /* of a block */

/* CELLS of a row a lane. */
template <class C, class D, unsigned CELLS>
__global__ void softmax(C x, D to, float scale, size_t rows, size_t cols)
{
    for (size_t row = (size_t)blockIdx.x * WARPS + threadIdx.y; row < rows;
         row += (size_t)gridDim.x * WARPS) {
        float v[CELLS], largest = -INFINITY, sum = 0;
#pragma unroll
        for (unsigned i = 0; i < CELLS; i++) {
            const unsigned col = i * WARP + threadIdx.x;
            v[i] = col < cols ? scale * x.at(row, col) : -INFINITY;
            largest = fmaxf(largest, v[i]);
        }
        largest = warp_max(largest);
#pragma unroll
        for (unsigned i = 0; i < CELLS; i++) {
            v[i] = i * WARP + threadIdx.x < cols ? expf(v[i] - largest) : 0;
            sum += v[i];
        }
        const float inverse = 1 / warp_sum(sum);
#pragma unroll
        for (unsigned i = 0; i < CELLS; i++)
            if (i * WARP + threadIdx.x < cols)
                to.put(row, i * WARP + threadIdx.x, v[i] * inverse);
    }
}

/* Rows of any length: three times over them. */
__global__ void softmax_any(any_cells x, any_cells to, float scale, size_t rows, size_t cols)
{
    for (size_t row = (size_t)blockIdx.x * WARPS + threadIdx.y; row < rows;
         row += (size_t)gridDim.x * WARPS) {
        float largest = -INFINITY, sum = 0;
        for (size_t col = threadIdx.x; col < cols; col += WARP)
            largest = fmaxf(largest, scale * x.at(row, col));
        largest = warp_max(largest);
        for (size_t col = threadIdx.x; col < cols; col += WARP)
            sum += expf(scale * x.at(row, col) - largest);
        const float inverse = 1 / warp_sum(sum);
        for (size_t col = threadIdx.x; col < cols; col += WARP)
            to.put(row, col, expf(scale * x.at(row, col) - largest) * inverse);
    }
}

template <class C, class D, unsigned CELLS>
__global__ void softmax_grad(C y, C g, D to, float scale, size_t rows, size_t cols)
{
    for (size_t row = (size_t)blockIdx.x * WARPS + threadIdx.y; row < rows;
         row += (size_t)gridDim.x * WARPS) {
        float a[CELLS], b[CELLS], sum = 0;
#pragma unroll
        for (unsigned i = 0; i < CELLS; i++) {
            const unsigned col = i * WARP + threadIdx.x;
            a[i] = col < cols ? y.at(row, col) : 0;
            b[i] = col < cols ? g.at(row, col) : 0;
            sum = fmaf(a[i], b[i], sum);
        }
        sum = warp_sum(sum);
#pragma unroll
        for (unsigned i = 0; i < CELLS; i++)
            if (i * WARP + threadIdx.x < cols)
                to.put(row, i * WARP + threadIdx.x, scale * a[i] * (b[i] - sum));
    }
}

__global__ void softmax_grad_any(any_cells y, any_cells g, any_cells to, float scale, size_t rows,
                                 size_t cols)
{
    for (size_t row = (size_t)blockIdx.x * WARPS + threadIdx.y; row < rows;
         row += (size_t)gridDim.x * WARPS) {
        float sum = 0;
        for (size_t col = threadIdx.x; col < cols; col += WARP)
            sum = fmaf(y.at(row, col), g.at(row, col), sum);
        sum = warp_sum(sum);
        for (size_t col = threadIdx.x; col < cols; col += WARP)
            to.put(row, col, scale * y.at(row, col) * (g.at(row, col) - sum));
    }
}

/* Lengths of rows that have a kernel: no more than this times WARP. */
constexpr size_t SHORT = 8, LONG = 32;

struct rows_of {
    dim3 grid, block;
    cudaStream_t stream;
    float scale;
    size_t rows, cols;
};

template <class T, class U>
cudaError_t run_softmax(const rows_of &r, const any_cells &x, const any_cells &to)
{
    const typed_cells<T> from = {(T *)x.data, r.cols};
    const typed_cells<U> into = {(U *)to.data, r.cols};
    return launch(r.cols <= SHORT * WARP ? softmax<typed_cells<T>, typed_cells<U>, SHORT>
                                         : softmax<typed_cells<T>, typed_cells<U>, LONG>,
                  r.grid, r.block, r.stream, from, into, r.scale, r.rows, r.cols);
}

template <class T, class U>
cudaError_t run_grad(const rows_of &r, const any_cells &y, const any_cells &g, const any_cells &to)
{
    const typed_cells<T> a = {(T *)y.data, r.cols}, b = {(T *)g.data, r.cols};
    const typed_cells<U> into = {(U *)to.data, r.cols};
    return launch(r.cols <= SHORT * WARP ? softmax_grad<typed_cells<T>, typed_cells<U>, SHORT>
                                         : softmax_grad<typed_cells<T>, typed_cells<U>, LONG>,
                  r.grid, r.block, r.stream, a, b, into, r.scale, r.rows, r.cols);
}

rows_of rows_over(cudaStream_t stream, float scale, size_t rows, size_t cols)
{
    return {blocks_for(rows, WARPS), dim3(WARP, WARPS), stream, scale, rows, cols};
}

} // namespace

cudaError_t cuda_softmax(cudaStream_t stream, void *to, enum cell_type to_type, const void *from,
                         enum cell_type from_type, float scale, size_t rows, size_t cols)
{
    const rows_of r = rows_over(stream, scale, rows, cols);
    const any_cells x = {(void *)from, cols, from_type}, into = {to, cols, to_type};
    const bool fits = cols <= LONG * WARP;
    if (fits && from_type == to_type)
        return with_type(to_type, [&](auto cell) {
            return run_softmax<decltype(cell), decltype(cell)>(r, x, into);
        });
    if (fits && from_type == CELL_FLOAT32)
        return with_type(to_type,
                         [&](auto cell) { return run_softmax<float, decltype(cell)>(r, x, into); });
    return launch(softmax_any, r.grid, r.block, stream, x, into, scale, rows, cols);
}

cudaError_t cuda_softmax_grad(cudaStream_t stream, void *to, enum cell_type to_type, const void *y,
                              const void *g, enum cell_type type, float scale, size_t rows,
                              size_t cols)
{
    const rows_of r = rows_over(stream, scale, rows, cols);
    const any_cells a = {(void *)y, cols, type}, b = {(void *)g, cols, type};
    const any_cells into = {to, cols, to_type};
    if (cols <= LONG * WARP && type == to_type)
        return with_type(type, [&](auto cell) {
            return run_grad<decltype(cell), decltype(cell)>(r, a, b, into);
        });
    return launch(softmax_grad_any, r.grid, r.block, stream, a, b, into, scale, rows, cols);
}
