/* SPDX-License-Identifier: Apache-2.0 */
#include "model/cuda/kernels/convolution.h"

#include "model/cuda/kernels/device.h"

constexpr unsigned THREADS = 256;
constexpr unsigned WIDE = 4; /* cells that a thread of the wide kernels takes at once */

/* Four cells that lie in memory as one. */
template <class T> struct alignas(4 * sizeof(T)) quad {
    T x, y, z, w;
};

__device__ static inline size_t first_index()
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ static inline size_t all_threads()
{
    return (size_t)gridDim.x * blockDim.x;
}

template <class To, class From>
__global__ void dense_rows(To *__restrict__ to, const From *__restrict__ from, size_t cells,
                           size_t cols, size_t stride)
{
    for (size_t i = first_index(); i < cells; i += all_threads())
        to[i] = from_float<To>(to_float(from[i / cols * stride + i % cols]));
}

__device__ static inline float biased(float x, const float *__restrict__ bias, size_t col,
                                      bool relu)
{
    x += bias == NULL ? 0 : bias[col];
    return relu && !(x > 0) ? 0 : x; /* as the reference: NaN gives 0 */
}

/* to and from may be the same: without __restrict__ */
template <class To, class From>
__global__ void add_bias(To *to, const From *from, const float *__restrict__ bias, bool relu,
                         size_t cells, size_t cols)
{
    for (size_t i = first_index(); i < cells; i += all_threads())
        to[i] = from_float<To>(biased(to_float(from[i]), bias, i % cols, relu));
}

template <class To, class From>
__global__ void add_bias_wide(quad<To> *to, const quad<From> *from, const float *__restrict__ bias,
                              bool relu, size_t quads, size_t cols)
{
    for (size_t i = first_index(); i < quads; i += all_threads()) {
        const quad<From> x = from[i];
        const size_t col = i * WIDE % cols;
        to[i] = {from_float<To>(biased(to_float(x.x), bias, col, relu)),
                 from_float<To>(biased(to_float(x.y), bias, col + 1, relu)),
                 from_float<To>(biased(to_float(x.z), bias, col + 2, relu)),
                 from_float<To>(biased(to_float(x.w), bias, col + 3, relu))};
    }
}

template <class To>
__global__ void sum_planes(To *__restrict__ to, const float *__restrict__ from, size_t cells,
                           size_t planes, size_t c)
{
    for (size_t i = first_index(); i < cells; i += all_threads()) {
        const float *x = from + i / c * planes * c + i % c;
        float sum = 0;
        for (size_t plane = 0; plane < planes; plane++)
            sum += x[plane * c];
        to[i] = from_float<To>(sum);
    }
}

__global__ void repeat_planes(float *__restrict__ to, const float *__restrict__ from, size_t cells,
                              size_t planes, size_t c)
{
    for (size_t i = first_index(); i < cells; i += all_threads())
        to[i] = from[i / (planes * c) * c + i % c];
}

template <class To, class From> struct conversion {
    static cudaError_t dense(cudaStream_t stream, void *to, const void *from, size_t rows,
                             size_t cols, size_t stride)
    {
        return launch(dense_rows<To, From>, blocks_for(rows * cols, THREADS), dim3(THREADS), stream,
                      (To *)to, (const From *)from, rows * cols, cols, stride);
    }

    static cudaError_t bias(cudaStream_t stream, void *to, const void *from, const float *bias,
                            bool relu, size_t rows, size_t cols)
    {
        const size_t cells = rows * cols, quads = cells / WIDE;
        if (cols % WIDE == 0 && (uintptr_t)to % sizeof(quad<To>) == 0 &&
            (uintptr_t)from % sizeof(quad<From>) == 0)
            return launch(add_bias_wide<To, From>, blocks_for(quads, THREADS), dim3(THREADS),
                          stream, (quad<To> *)to, (const quad<From> *)from, bias, relu, quads,
                          cols);
        return launch(add_bias<To, From>, blocks_for(cells, THREADS), dim3(THREADS), stream,
                      (To *)to, (const From *)from, bias, relu, cells, cols);
    }
};

template <class To, class Call> static cudaError_t from_type(enum cell_type type, const Call &call)
{
    switch (type) {
    case CELL_FLOAT32:
        return call(conversion<To, float>());
    case CELL_BFLOAT16:
        return call(conversion<To, __nv_bfloat16>());
    case CELL_FLOAT16:
        return call(conversion<To, __half>());
    }
    return cudaErrorInvalidValue;
}

/* call(conversion<To, From>()) of the two types */
template <class Call>
static cudaError_t for_types(enum cell_type to, enum cell_type from, const Call &call)
{
    switch (to) {
    case CELL_FLOAT32:
        return from_type<float>(from, call);
    case CELL_BFLOAT16:
        return from_type<__nv_bfloat16>(from, call);
    case CELL_FLOAT16:
        return from_type<__half>(from, call);
    }
    return cudaErrorInvalidValue;
}

cudaError_t cuda_dense_rows(cudaStream_t stream, void *to, enum cell_type to_type, const void *from,
                            enum cell_type from_type, size_t rows, size_t cols, size_t stride)
{
    return for_types(to_type, from_type,
                     [=](auto types) { return types.dense(stream, to, from, rows, cols, stride); });
}

cudaError_t cuda_add_bias(cudaStream_t stream, void *to, enum cell_type to_type, const void *from,
                          enum cell_type from_type, const float *bias, bool relu, size_t rows,
                          size_t cols)
{
    return for_types(to_type, from_type, [=](auto types) {
        return types.bias(stream, to, from, bias, relu, rows, cols);
    });
}

cudaError_t cuda_sum_planes(cudaStream_t stream, void *to, enum cell_type to_type,
                            const float *from, size_t a, size_t b, size_t c)
{
    const dim3 grid = blocks_for(a * c, THREADS), block(THREADS);
    switch (to_type) {
    case CELL_FLOAT32:
        return launch(sum_planes<float>, grid, block, stream, (float *)to, from, a * c, b, c);
    case CELL_BFLOAT16:
        return launch(sum_planes<__nv_bfloat16>, grid, block, stream, (__nv_bfloat16 *)to, from,
                      a * c, b, c);
    case CELL_FLOAT16:
        return launch(sum_planes<__half>, grid, block, stream, (__half *)to, from, a * c, b, c);
    }
    return cudaErrorInvalidValue;
}

cudaError_t cuda_repeat_planes(cudaStream_t stream, float *to, const float *from, size_t a,
                               size_t b, size_t c)
{
    return launch(repeat_planes, blocks_for(a * b * c, THREADS), dim3(THREADS), stream, to, from,
                  a * b * c, b, c);
}
