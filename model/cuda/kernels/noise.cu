/* SPDX-License-Identifier: Apache-2.0
 * Noise by a hash of the cell's number. */
#include "model/cuda/kernels/device.h"

constexpr unsigned THREADS = 256;

template <class T> __global__ void noise(T *to, size_t cells, unsigned seed)
{
    const size_t step = (size_t)gridDim.x * THREADS;
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < cells; i += step) {
        unsigned x = (unsigned)i * 2654435761u + seed * 40503u;
        x = (x ^ x >> 16) * 0x7feb352du;
        x = (x ^ x >> 15) * 0x846ca68bu;
        to[i] = from_float<T>((float)(x ^ x >> 16) * 0x1p-31f - 1.0f);
    }
}

cudaError_t cuda_noise(cudaStream_t stream, void *to, enum cell_type type, size_t cells,
                       unsigned seed)
{
    const dim3 grid = blocks_for(cells, THREADS), block(THREADS);
    if (type == CELL_BFLOAT16)
        return launch(noise<__nv_bfloat16>, grid, block, stream, (__nv_bfloat16 *)to, cells, seed);
    if (type == CELL_FLOAT16)
        return launch(noise<__half>, grid, block, stream, (__half *)to, cells, seed);
    return launch(noise<float>, grid, block, stream, (float *)to, cells, seed);
}
