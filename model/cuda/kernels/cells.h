/* SPDX-License-Identifier: Apache-2.0
 * Values as kernels see them: rows of cells, N of which are read or written at once as float32.
 * typed_cells<T> knows its type and lets a thread have several reads under way; any_cells asks at
 * each.
 */
#ifndef FOCALD_MODEL_CUDA_KERNELS_CELLS_H
#define FOCALD_MODEL_CUDA_KERNELS_CELLS_H

#include "model/cuda/kernels/device.h"

constexpr unsigned WIDEST = 16; /* bytes that a thread moves at once */

template <class T, unsigned N> struct alignas(sizeof(T) * N) pack {
    T at[N];
};

/* Cells that one access of up to N takes. */
template <class T, unsigned N>
constexpr unsigned PACK_CELLS = N * sizeof(T) > WIDEST ? WIDEST / (unsigned)sizeof(T) : N;

template <unsigned N, class T> __device__ inline void load_cells(float (&to)[N], const T *from)
{
    constexpr unsigned EACH = PACK_CELLS<T, N>;
#pragma unroll
    for (unsigned i = 0; i < N; i += EACH) {
        const pack<T, EACH> p = *reinterpret_cast<const pack<T, EACH> *>(from + i);
#pragma unroll
        for (unsigned j = 0; j < EACH; j++)
            to[i + j] = to_float(p.at[j]);
    }
}

template <unsigned N, class T> __device__ inline void store_cells(T *to, const float (&from)[N])
{
    constexpr unsigned EACH = PACK_CELLS<T, N>;
#pragma unroll
    for (unsigned i = 0; i < N; i += EACH) {
        pack<T, EACH> p;
#pragma unroll
        for (unsigned j = 0; j < EACH; j++)
            p.at[j] = from_float<T>(from[i + j]);
        *reinterpret_cast<pack<T, EACH> *>(to + i) = p;
    }
}

template <class T> struct typed_cells {
    static constexpr bool KNOWN = true; /* the type, when compiled */
    T *data;
    size_t stride;

    __device__ inline float at(size_t row, size_t col) const
    {
        return to_float(data[row * stride + col]);
    }
    __device__ inline void put(size_t row, size_t col, float x) const
    {
        data[row * stride + col] = from_float<T>(x);
    }
    template <unsigned N> __device__ inline void load(float (&to)[N], size_t row, size_t col) const
    {
        load_cells(to, data + row * stride + col);
    }
    template <unsigned N>
    __device__ inline void store(const float (&from)[N], size_t row, size_t col) const
    {
        store_cells(data + row * stride + col, from);
    }
};

struct any_cells {
    static constexpr bool KNOWN = false;
    void *data;
    size_t stride;
    enum cell_type type;

    __device__ inline float at(size_t row, size_t col) const
    {
        float x[1];
        load(x, row, col);
        return x[0];
    }
    __device__ inline void put(size_t row, size_t col, float x) const
    {
        const float one[1] = {x};
        store(one, row, col);
    }
    template <unsigned N> __device__ inline void load(float (&to)[N], size_t row, size_t col) const
    {
        const size_t at = row * stride + col;
        if (type == CELL_FLOAT32)
            load_cells(to, (const float *)data + at);
        else if (type == CELL_BFLOAT16)
            load_cells(to, (const __nv_bfloat16 *)data + at);
        else
            load_cells(to, (const __half *)data + at);
    }
    template <unsigned N>
    __device__ inline void store(const float (&from)[N], size_t row, size_t col) const
    {
        const size_t at = row * stride + col;
        if (type == CELL_FLOAT32)
            store_cells((float *)data + at, from);
        else if (type == CELL_BFLOAT16)
            store_cells((__nv_bfloat16 *)data + at, from);
        else
            store_cells((__half *)data + at, from);
    }
};

/* Host side */

template <class T> inline typed_cells<T> typed_cells_of(const struct cuda_tensor *t)
{
    return {(T *)t->data, t->stride};
}

inline any_cells any_of(const struct cuda_tensor *t)
{
    return {t->data, t->stride, t->type};
}

/* go(T()) with the type of such cells. */
template <class G> inline cudaError_t with_type(enum cell_type type, G go)
{
    switch (type) {
    case CELL_BFLOAT16:
        return go(__nv_bfloat16());
    case CELL_FLOAT16:
        return go(__half());
    default:
        return go(float());
    }
}

inline size_t positions(struct tensor_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

/* Cells of the type in the widest access. */
inline unsigned widest_cells(enum cell_type type)
{
    return WIDEST / (unsigned)cell_bytes(type);
}

/* Every `n` cells of each row can be one access. */
inline bool is_aligned(const void *data, enum cell_type type, size_t stride, unsigned n)
{
    const size_t bytes = n * cell_bytes(type) < WIDEST ? n * cell_bytes(type) : WIDEST;
    return (uintptr_t)data % bytes == 0 && stride * cell_bytes(type) % bytes == 0;
}

inline bool is_aligned(const struct cuda_tensor *t, unsigned n)
{
    return is_aligned(t->data, t->type, t->stride, n);
}

/* A block whose threads are as wide as rows of so many units, and what blocks cover so many rows
 * (each thread `rows_each`), no more than a grid may have: kernels loop over the rest. */
struct launch_shape {
    dim3 grid, block;
};

inline launch_shape shape_over(size_t rows, size_t units, unsigned rows_each)
{
    constexpr unsigned THREADS = 256, MOST_ROWS = 65535, MOST_COLS = 0x7fffffff;
    unsigned x = 1;
    while (x < THREADS && x < units)
        x *= 2;
    const unsigned y = THREADS / x;
    const size_t cols = (units + x - 1) / x;
    const size_t over = (rows + (size_t)y * rows_each - 1) / ((size_t)y * rows_each);
    return {dim3((unsigned)(cols < MOST_COLS ? cols : MOST_COLS),
                 (unsigned)(over < MOST_ROWS ? over : MOST_ROWS)),
            dim3(x, y)};
}

#endif
