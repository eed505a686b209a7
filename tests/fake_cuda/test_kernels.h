/* SPDX-License-Identifier: Apache-2.0
 * Kernels that are right, and kernels with one mistake each; as host functions that enqueue them.
 */
#ifndef FAKE_CUDA_TEST_KERNELS_H
#define FAKE_CUDA_TEST_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y[i] = a x[i] + y[i] for n cells, one a thread, in blocks of 256 */
cudaError_t run_axpy(float *y, const float *x, float a, size_t n, cudaStream_t stream);
/* y[row] = sum of x[row][cols], a block of `threads` each: shared memory, barriers, shuffles */
cudaError_t run_row_sums(float *y, const float *x, unsigned rows, unsigned cols, unsigned threads,
                         cudaStream_t stream);
/* y[i] = x[i] reversed within each block of 32 y 16 z 2 threads: three-dimensional indices */
cudaError_t run_reverse(uint32_t *y, const uint32_t *x, dim3 grid, cudaStream_t stream);
/* y[lane] of 32: what each shuffle gives for its own lane as value; kinds as in the .cu file */
cudaError_t run_shuffle(int *y, int kind, unsigned mask, int argument, int width, unsigned threads,
                        cudaStream_t stream);
/* 16 bytes a thread */
cudaError_t run_copy16(void *to, const void *from, size_t bytes, cudaStream_t stream);
/* to[i] = sum of the 4 from[i], 4 threads: a vector by its components */
cudaError_t run_sum4(float *to, const void *from, cudaStream_t stream);
cudaError_t run_shape(dim3 grid, dim3 block, cudaStream_t stream);

enum mistake {
    WAITS_ON_HALF, /* only the lower half of the block reaches __syncthreads */
    LEAVES_EARLY,  /* one thread returns before it */
    LANE_MISSING,  /* a lane named in the mask is not at the shuffle */
    MASK_WITHOUT,  /* the caller is not in its own mask */
    SHARED_RACE,   /* a neighbour's cell read without a barrier */
    SHARED_WRITES, /* two threads write one cell */
    SHARED_READ_THEN_WRITE,
    SHARED_UNWRITTEN, /* read before any thread of the block wrote */
    SHARED_INDEX,     /* one behind the end of an array */
    NO_MISTAKE,       /* the same with barriers */
    WARP_BARRIER,     /* neighbours of one warp, __syncwarp between: right */
    WARP_BARRIER_ONLY /* neighbours of all warps, __syncwarp between */
};
cudaError_t run_mistake(enum mistake m, float *y, cudaStream_t stream);

/* Conversions, of bits. */
uint16_t half_from_float(float x), bfloat16_from_float(float x);
float half_to_float(uint16_t bits), bfloat16_to_float(uint16_t bits);

#ifdef __cplusplus
}
#endif

#endif
