/* SPDX-License-Identifier: Apache-2.0
 * Gradients cell by cell: of g and x (GELU) or g and y (ReLU, sigmoid). Bound by memory: 16 bytes a
 * thread where types and rows allow. */
#include "model/cuda/kernels/gelu.h"
#include "model/cuda/kernels/grad_cells.h"
#include "model/cuda/kernels/grad_operators.h"

namespace grad
{

namespace
{

struct of_gelu {
    __device__ float operator()(float g, float x) const
    {
        return g * gelu_slope(x);
    }
};

struct of_relu {
    __device__ float operator()(float g, float y) const
    {
        return y > 0 ? g : 0;
    }
};

struct of_sigmoid {
    __device__ float operator()(float g, float y) const
    {
        return g * y * (1 - y);
    }
};

template <class T, class F> struct wide {
    static constexpr unsigned CELLS = WIDEST / sizeof(T);
    typedef pack<T, CELLS> vector;
};

/* vectors: of a row; strides and the row are in vectors too. */
template <class T, class F>
__global__ void wide_kernel(F f, const typename wide<T, F>::vector *g, size_t g_stride,
                            const typename wide<T, F>::vector *x, size_t x_stride,
                            typename wide<T, F>::vector *y, size_t y_stride, size_t rows,
                            unsigned vectors)
{
    for (size_t i = first_thread(); i < rows * vectors; i += all_threads()) {
        const size_t row = divide(i, vectors), at = i - row * vectors;
        const typename wide<T, F>::vector a = g[row * g_stride + at], b = x[row * x_stride + at];
        typename wide<T, F>::vector to;
#pragma unroll
        for (unsigned k = 0; k < wide<T, F>::CELLS; k++)
            to.at[k] = from_float<T>(f(to_float(a.at[k]), to_float(b.at[k])));
        y[row * y_stride + at] = to;
    }
}

template <class F> struct any_pair {
    F f;
    any_cells g, x;
    __device__ float operator()(size_t row, unsigned c) const
    {
        return f(g.at(row, c), x.at(row, c));
    }
};

template <class T> bool is_wide(const struct cuda_tensor *t, enum cell_type type)
{
    const unsigned cells = WIDEST / sizeof(T);
    return t->type == type && (unsigned)t->shape.c % cells == 0 && is_aligned(t, cells);
}

template <class T, class F> bool run_wide(const struct cuda_call *call, F f, cudaError_t *ret)
{
    typedef typename wide<T, F>::vector vector;
    const struct cuda_tensor *g = &call->in[0], *x = &call->in[1], *y = &call->out;
    if (!is_wide<T>(g, y->type) || !is_wide<T>(x, y->type) || !is_wide<T>(y, y->type))
        return false;
    const size_t rows = positions(y->shape), vectors = (size_t)y->shape.c / wide<T, F>::CELLS;
    *ret = launch(wide_kernel<T, F>, blocks_for(rows * vectors, 256), dim3(256), call->stream, f,
                  (const vector *)g->data, g->stride / wide<T, F>::CELLS, (const vector *)x->data,
                  x->stride / wide<T, F>::CELLS, (vector *)y->data, y->stride / wide<T, F>::CELLS,
                  rows, (unsigned)vectors);
    return true;
}

template <class F> cudaError_t run(const struct cuda_call *call, F f)
{
    cudaError_t r = cudaSuccess;
    const enum cell_type type = call->out.type;
    if (type == CELL_FLOAT32    ? run_wide<float>(call, f, &r)
        : type == CELL_BFLOAT16 ? run_wide<__nv_bfloat16>(call, f, &r)
                                : run_wide<__half>(call, f, &r))
        return r;
    return fill(call, any_pair<F>{f, any_of(&call->in[0]), any_of(&call->in[1])});
}

} // namespace

cudaError_t gelu(const struct cuda_call *call)
{
    return run(call, of_gelu());
}

cudaError_t relu(const struct cuda_call *call)
{
    return run(call, of_relu());
}

cudaError_t sigmoid(const struct cuda_call *call)
{
    return run(call, of_sigmoid());
}

} // namespace grad
