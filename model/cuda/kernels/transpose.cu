/* SPDX-License-Identifier: Apache-2.0
 * Matrices transposed through shared memory, so that both sides are read and written in rows. */
#include "model/cuda/kernels/cells.h"

namespace
{

constexpr unsigned LANES = 8; /* rows of a tile that a block moves at once */

/* Matrix z: [b][c] -> [c][b]. A block loops over tiles of WARP x WARP. */
__global__ void transpose(any_cells from, any_cells to, size_t b, size_t c, size_t down,
                          size_t across, size_t tiles)
{
    __shared__ float tile[WARP][WARP + 1];
    for (size_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        const size_t matrix = t / across / down;
        const size_t row = t / across % down * WARP, col = t % across * WARP;
        for (unsigned i = threadIdx.y; i < WARP; i += LANES)
            if (row + i < b && col + threadIdx.x < c)
                tile[i][threadIdx.x] = from.at(matrix * b + row + i, col + threadIdx.x);
        __syncthreads();
        for (unsigned i = threadIdx.y; i < WARP; i += LANES)
            if (col + i < c && row + threadIdx.x < b)
                to.put(matrix * c + col + i, row + threadIdx.x, tile[threadIdx.x][i]);
        __syncthreads();
    }
}

} // namespace

cudaError_t cuda_transpose(cudaStream_t stream, void *to, enum cell_type to_type, const void *from,
                           enum cell_type from_type, size_t a, size_t b, size_t c)
{
    const size_t down = (b + WARP - 1) / WARP, across = (c + WARP - 1) / WARP;
    const size_t tiles = a * down * across;
    return launch(transpose, blocks_for(tiles, 1), dim3(WARP, LANES), stream,
                  any_cells{(void *)from, c, from_type}, any_cells{to, b, to_type}, b, c, down,
                  across, tiles);
}
