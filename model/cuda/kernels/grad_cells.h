/* SPDX-License-Identifier: Apache-2.0
 * What kernels of the backward pass share: a value that is computed cell by cell. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_GRAD_CELLS_H
#define FOCALD_MODEL_CUDA_KERNELS_GRAD_CELLS_H

#include "model/cuda/kernels/cells.h"

namespace grad
{

inline size_t area(struct tensor_shape s)
{
    return (size_t)s.h * (size_t)s.w;
}

/* Rows that four cells at a time may be read of; NULL is such a value. */
inline bool by_fours(const struct cuda_tensor *t)
{
    return t->data == NULL || (t->shape.c % 4 == 0 && is_aligned(t, 4));
}

/* A 64-bit division takes many times as long as one of 32 bits. */
__device__ inline size_t divide(size_t i, unsigned by)
{
    return i <= 0xffffffffu ? (size_t)((unsigned)i / by) : i / by;
}

__device__ inline size_t first_thread()
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ inline size_t all_threads()
{
    return (size_t)gridDim.x * blockDim.x;
}

/* Cell (row, c) of out becomes f(row, c). */
template <class F> __global__ void fill_kernel(F f, any_cells out, size_t rows, unsigned c)
{
    for (size_t i = first_thread(); i < rows * c; i += all_threads()) {
        const size_t row = divide(i, c);
        const unsigned channel = (unsigned)(i - row * c);
        out.put(row, channel, f(row, channel));
    }
}

template <class F> inline cudaError_t fill(const struct cuda_call *call, F f)
{
    const size_t rows = positions(call->out.shape);
    const unsigned c = (unsigned)call->out.shape.c;
    return launch(fill_kernel<F>, blocks_for(rows * c, 256), dim3(256), call->stream, f,
                  any_of(&call->out), rows, c);
}

} // namespace grad

#endif
