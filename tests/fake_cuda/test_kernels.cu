/* SPDX-License-Identifier: Apache-2.0
 * The kernels of test_kernels.h. */
#include "model/cuda/kernels/device.h"
#include "tests/fake_cuda/test_kernels.h"

static __global__ void axpy(float *__restrict__ y, const float *__restrict__ x, float a, size_t n)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = fmaf(a, x[i], y[i]);
}

cudaError_t run_axpy(float *y, const float *x, float a, size_t n, cudaStream_t stream)
{
    return launch(axpy, blocks_for(n, 256), dim3(256), stream, y, x, a, n);
}

static __global__ void row_sums(float *y, const float *x, unsigned cols)
{
    __shared__ float partial[WARP];
    float sum = 0;
    for (unsigned i = threadIdx.x; i < cols; i += blockDim.x)
        sum += x[(size_t)blockIdx.x * cols + i];
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0)
        partial[threadIdx.x / WARP] = sum;
    __syncthreads();
    if (threadIdx.x < WARP) {
        sum = warp_sum(threadIdx.x < blockDim.x / WARP ? partial[threadIdx.x] : 0);
        if (threadIdx.x == 0)
            y[blockIdx.x] = sum;
    }
}

cudaError_t run_row_sums(float *y, const float *x, unsigned rows, unsigned cols, unsigned threads,
                         cudaStream_t stream)
{
    return launch(row_sums, dim3(rows), dim3(threads), stream, y, x, cols);
}

static __global__ void reverse(uint32_t *y, const uint32_t *x)
{
    __shared__ uint32_t cells[1024];
    unsigned i = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    cells[i] = x[block * 1024 + i];
    __syncthreads();
    y[block * 1024 + i] = cells[1023 - i];
}

cudaError_t run_reverse(uint32_t *y, const uint32_t *x, dim3 grid, cudaStream_t stream)
{
    return launch(reverse, grid, dim3(32, 16, 2), stream, y, x);
}

static __global__ void shuffle(int *y, int kind, unsigned mask, int argument, int width)
{
    int lane = (int)threadIdx.x;
    if (!(mask >> lane & 1))
        return;
    y[lane] = kind == 0   ? __shfl_sync(mask, lane, argument, width)
              : kind == 1 ? __shfl_up_sync(mask, lane, (unsigned)argument, width)
              : kind == 2 ? __shfl_down_sync(mask, lane, (unsigned)argument, width)
              : kind == 3 ? __shfl_xor_sync(mask, lane, argument, width)
                          : (int)__ballot_sync(mask, lane % argument == 0);
}

cudaError_t run_shuffle(int *y, int kind, unsigned mask, int argument, int width, unsigned threads,
                        cudaStream_t stream)
{
    return launch(shuffle, dim3(1), dim3(threads), stream, y, kind, mask, argument, width);
}

static __global__ void copy16(float4 *to, const float4 *from, size_t n)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        to[i] = from[i];
}

cudaError_t run_copy16(void *to, const void *from, size_t bytes, cudaStream_t stream)
{
    return launch(copy16, blocks_for(bytes / 16, 128), dim3(128), stream, (float4 *)to,
                  (const float4 *)from, bytes / 16);
}

static __global__ void sum4(float *to, const float4 *from)
{
    float4 v = from[threadIdx.x];
    to[threadIdx.x] = v.x + v.y + v.z + v.w;
}

cudaError_t run_sum4(float *to, const void *from, cudaStream_t stream)
{
    return launch(sum4, dim3(1), dim3(4), stream, to, (const float4 *)from);
}

static __global__ void nothing()
{
}

cudaError_t run_shape(dim3 grid, dim3 block, cudaStream_t stream)
{
    return launch(nothing, grid, block, stream);
}

static __global__ void mistaken(int m, float *y)
{
    __shared__ float cells[64];
    unsigned i = threadIdx.x;
    if (m == LEAVES_EARLY && i == 17)
        return;
    if (m == WAITS_ON_HALF && i >= 32)
        return;
    if (m == WAITS_ON_HALF || m == LEAVES_EARLY)
        __syncthreads();
    if (m == LANE_MISSING) {
        if (i != 3)
            y[i] = __shfl_sync(EVERY_LANE, (float)i, 0);
        else
            __syncthreads();
    }
    if (m == MASK_WITHOUT)
        y[i] = __shfl_sync(0xfffffffeu, (float)i, 1);
    if (m == SHARED_WRITES)
        cells[i / 2] = (float)i;
    if (m >= SHARED_RACE && m != SHARED_WRITES && m != SHARED_UNWRITTEN && m != SHARED_INDEX) {
        cells[i] = (float)i;
        if (m == NO_MISTAKE || m == SHARED_READ_THEN_WRITE)
            __syncthreads();
        if (m == WARP_BARRIER || m == WARP_BARRIER_ONLY)
            __syncwarp();
        y[i] = cells[m == WARP_BARRIER                                ? i ^ 1
                     : m == NO_MISTAKE || m == SHARED_READ_THEN_WRITE ? (i + 1) % 64
                     : i > 0                                          ? i - 1
                                                                      : 0];
        if (m == NO_MISTAKE)
            __syncthreads();
        if (m == NO_MISTAKE || m == SHARED_READ_THEN_WRITE)
            cells[i] = 0;
    }
    if (m == SHARED_INDEX)
        cells[i + 1] = 1;
    if (m == SHARED_UNWRITTEN)
        y[i] = cells[i];
}

cudaError_t run_mistake(enum mistake m, float *y, cudaStream_t stream)
{
    return launch(mistaken, dim3(1), dim3(64), stream, (int)m, y);
}

uint16_t half_from_float(float x)
{
    return __half_as_ushort(__float2half(x));
}

float half_to_float(uint16_t bits)
{
    return __half2float(__ushort_as_half(bits));
}

uint16_t bfloat16_from_float(float x)
{
    return __bfloat16_as_ushort(__float2bfloat16(x));
}

float bfloat16_to_float(uint16_t bits)
{
    return __bfloat162float(__ushort_as_bfloat16(bits));
}
