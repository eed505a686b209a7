/* SPDX-License-Identifier: Apache-2.0
 * What all kernels share: cells of any type as float32, launching, and sums over a warp or block.
 */
#ifndef FOCALD_MODEL_CUDA_KERNELS_DEVICE_H
#define FOCALD_MODEL_CUDA_KERNELS_DEVICE_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#include "model/cuda/kernels.h"

constexpr unsigned WARP = 32, EVERY_LANE = 0xffffffffu;

template <class T> __device__ inline float to_float(T x);
template <> __device__ inline float to_float(float x)
{
    return x;
}
template <> __device__ inline float to_float(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}
template <> __device__ inline float to_float(__half x)
{
    return __half2float(x);
}

template <class T> __device__ inline T from_float(float x);
template <> __device__ inline float from_float(float x)
{
    return x;
}
template <> __device__ inline __nv_bfloat16 from_float(float x)
{
    return __float2bfloat16(x);
}
template <> __device__ inline __half from_float(float x)
{
    return __float2half(x);
}

/* Starts kernel(args…); the launch's own error. */
template <class... P, class... A>
inline cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, cudaStream_t stream,
                          A... args)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);
}

/* Blocks of `threads` for so many cells, no more than a grid may have: loops over the rest. */
inline dim3 blocks_for(size_t cells, unsigned threads)
{
    size_t blocks = (cells + threads - 1) / threads;
    return dim3((unsigned)(blocks < 1 ? 1 : blocks > 0x7fffffff ? 0x7fffffff : blocks));
}

__device__ inline float warp_sum(float x)
{
    for (unsigned offset = WARP / 2; offset > 0; offset /= 2)
        x += __shfl_xor_sync(EVERY_LANE, x, (int)offset);
    return x;
}

__device__ inline float warp_max(float x)
{
    for (unsigned offset = WARP / 2; offset > 0; offset /= 2)
        x = fmaxf(x, __shfl_xor_sync(EVERY_LANE, x, (int)offset));
    return x;
}

#endif
