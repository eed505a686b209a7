/* SPDX-License-Identifier: Apache-2.0
 * How kernels of the backward pass reach cells: of one type known when compiled, or of any; and a
 * value that is computed cell by cell. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_GRAD_CELLS_H
#define FOCALD_MODEL_CUDA_KERNELS_GRAD_CELLS_H

#include "model/cuda/kernels/device.h"

namespace grad
{

/* Rows of cells of type T, `stride` cells apart. */
template <class T> struct typed {
    static constexpr bool KNOWN = true;
    T *data;
    size_t stride;
    __device__ float at(size_t row, unsigned c) const
    {
        return to_float(data[row * stride + c]);
    }
    __device__ void put(size_t row, unsigned c, float x) const
    {
        data[row * stride + c] = from_float<T>(x);
    }
};

/* The same of any type: all threads take the same branch. */
struct any {
    static constexpr bool KNOWN = false;
    void *data;
    size_t stride;
    enum cell_type type;
    __device__ float at(size_t row, unsigned c) const
    {
        const size_t i = row * stride + c;
        if (type == CELL_FLOAT32)
            return ((const float *)data)[i];
        return type == CELL_BFLOAT16 ? to_float(((const __nv_bfloat16 *)data)[i])
                                     : to_float(((const __half *)data)[i]);
    }
    __device__ void put(size_t row, unsigned c, float x) const
    {
        const size_t i = row * stride + c;
        if (type == CELL_FLOAT32)
            ((float *)data)[i] = x;
        else if (type == CELL_BFLOAT16)
            ((__nv_bfloat16 *)data)[i] = from_float<__nv_bfloat16>(x);
        else
            ((__half *)data)[i] = from_float<__half>(x);
    }
};

template <class T> inline typed<T> typed_of(const struct cuda_tensor *t)
{
    return typed<T>{(T *)t->data, t->stride};
}

inline any any_of(const struct cuda_tensor *t)
{
    return any{t->data, t->stride, t->type};
}

inline size_t positions(struct tensor_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

inline size_t area(struct tensor_shape s)
{
    return (size_t)s.h * (size_t)s.w;
}

/* Four cells in one access. */
template <class T> struct alignas(4 * sizeof(T)) four {
    T x[4];
};

inline bool is_aligned(const void *p, size_t to)
{
    return (uintptr_t)p % to == 0;
}

/* Rows that four cells at a time may be read of; NULL is such a value. */
inline bool by_fours(const struct cuda_tensor *t)
{
    return t->data == NULL || (t->shape.c % 4 == 0 && t->stride % 4 == 0 &&
                               is_aligned(t->data, 4 * cell_bytes(t->type)));
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

/* gelu(z), and its derivative Phi(z) + z phi(z) */
__device__ inline float gelu_below(float z)
{
    return 0.5f * (1 + erff(z * 0.70710678118654752f));
}

__device__ inline float gelu_slope(float z)
{
    return gelu_below(z) + z * expf(-0.5f * z * z) * 0.39894228040143268f;
}

/* Cell (row, c) of out becomes f(row, c). */
template <class F> __global__ void fill_kernel(F f, any out, size_t rows, unsigned c)
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
