/* SPDX-License-Identifier: Apache-2.0
 * Operators between rows and columns and a transformer's tokens. T: tokens, C: channels. */
#include "model/cuda/kernels/cells.h"
#include "model/cuda/kernels/forward.h"

namespace
{

constexpr unsigned THREADS = 256;

/* x: [n][T - 1][C], cls: [C], positions: [T][C] -> [n][T][C] */
__global__ void tokens(any_cells x, const float *cls, const float *positions, any_cells to,
                       size_t rows, unsigned t, unsigned c)
{
    for (size_t row = (size_t)blockIdx.y * blockDim.y + threadIdx.y; row < rows;
         row += (size_t)gridDim.y * blockDim.y) {
        const size_t image = row / t, token = row % t;
        for (size_t col = (size_t)blockIdx.x * blockDim.x + threadIdx.x; col < c;
             col += (size_t)gridDim.x * blockDim.x) {
            const float v = token == 0 ? cls[col] : x.at(row - image - 1, col);
            to.put(row, col, v + positions[token * c + col]);
        }
    }
}

/* x: [n][1 + A][C] -> [n][A][C] */
__global__ void grid_of(any_cells x, any_cells to, size_t rows, size_t area, unsigned c)
{
    for (size_t row = (size_t)blockIdx.y * blockDim.y + threadIdx.y; row < rows;
         row += (size_t)gridDim.y * blockDim.y) {
        const size_t from = row + row / area + 1;
        for (size_t col = (size_t)blockIdx.x * blockDim.x + threadIdx.x; col < c;
             col += (size_t)gridDim.x * blockDim.x)
            to.put(row, col, x.at(from, col));
    }
}

/* x: [n][heads][1 + A] -> [n][A] */
__global__ void attention_map(any_cells x, any_cells to, size_t rows, size_t area, unsigned heads)
{
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < rows;
         i += (size_t)gridDim.x * THREADS) {
        const size_t image = i / area, cell = i % area;
        float sum = 0;
        for (unsigned h = 0; h < heads; h++)
            sum += x.at(image * heads + h, 1 + cell);
        to.put(i, 0, sum / (float)heads);
    }
}

} // namespace

cudaError_t cuda_tokens(const struct cuda_call *call)
{
    const struct tensor_shape out = call->out.shape;
    const launch_shape s = shape_over(positions(out), (size_t)out.c, 1);
    return launch(tokens, s.grid, s.block, call->stream, any_of(&call->in[0]), call->weights[0],
                  call->weights[1], any_of(&call->out), positions(out), (unsigned)out.w,
                  (unsigned)out.c);
}

cudaError_t cuda_grid(const struct cuda_call *call)
{
    const struct tensor_shape out = call->out.shape;
    const launch_shape s = shape_over(positions(out), (size_t)out.c, 1);
    return launch(grid_of, s.grid, s.block, call->stream, any_of(&call->in[0]), any_of(&call->out),
                  positions(out), (size_t)out.h * (size_t)out.w, (unsigned)out.c);
}

cudaError_t cuda_attention_map(const struct cuda_call *call)
{
    const struct tensor_shape out = call->out.shape;
    return launch(attention_map, blocks_for(positions(out), THREADS), dim3(THREADS), call->stream,
                  any_of(&call->in[0]), any_of(&call->out), positions(out),
                  (size_t)out.h * (size_t)out.w, (unsigned)call->in[0].shape.w);
}
