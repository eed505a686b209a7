/* SPDX-License-Identifier: Apache-2.0
 * Layer scale: each channel times a number of its own. */
#include "model/cuda/kernels/cells.h"
#include "model/cuda/kernels/forward.h"

namespace
{

/* scales: [cols]. `to` may be x. */
template <class C, unsigned N, unsigned ROWS>
__global__ void scale_columns(C x, C to, size_t rows, size_t cols, const float *scales)
{
    const size_t col_step = (size_t)gridDim.x * blockDim.x * N;
    const size_t row_step = (size_t)gridDim.y * blockDim.y;
    for (size_t col = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * N; col < cols;
         col += col_step) {
        float scale[N];
#pragma unroll
        for (unsigned i = 0; i < N; i++)
            scale[i] = scales[col + i];
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
                        v[r][i] *= scale[i];
                    to.store(v[r], first + r * row_step, col);
                }
        }
    }
}

} // namespace

cudaError_t cuda_channel_scale(const struct cuda_call *call)
{
    constexpr unsigned VECTOR_ROWS = 2, SCALAR_ROWS = 4;
    const struct cuda_tensor *x = &call->in[0], *to = &call->out;
    const float *scales = call->weights[0];
    const size_t rows = positions(to->shape), cols = (size_t)to->shape.c;
    const unsigned n = widest_cells(to->type);
    if (x->type == to->type && cols % n == 0 && is_aligned(x, n) && is_aligned(to, n))
        return with_type(to->type, [&](auto cell) {
            using T = decltype(cell);
            constexpr unsigned N = WIDEST / sizeof(T);
            const launch_shape s = shape_over(rows, cols / N, VECTOR_ROWS);
            return launch(scale_columns<typed_cells<T>, N, VECTOR_ROWS>, s.grid, s.block,
                          call->stream, typed_cells_of<T>(x), typed_cells_of<T>(to), rows, cols,
                          scales);
        });
    const launch_shape s = shape_over(rows, cols, SCALAR_ROWS);
    return launch(scale_columns<any_cells, 1, SCALAR_ROWS>, s.grid, s.block, call->stream,
                  any_of(x), any_of(to), rows, cols, scales);
}
