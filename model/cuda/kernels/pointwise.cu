/* SPDX-License-Identifier: Apache-2.0
 * Operators that take a cell of each input to one of the output. */
#include "model/cuda/kernels/cells.h"
#include "model/cuda/kernels/forward.h"
#include "model/cuda/kernels/gelu.h"

namespace
{

/* What is done with cells x, y of a row. PAIR: there is a second input. */
struct copied {
    static constexpr bool PAIR = false;
    __device__ inline float of(float x, float y, size_t row) const
    {
        return x;
    }
};

struct gelu_of {
    static constexpr bool PAIR = false;
    __device__ inline float of(float x, float y, size_t row) const
    {
        return gelu(x);
    }
};

struct relu_of {
    static constexpr bool PAIR = false;
    __device__ inline float of(float x, float y, size_t row) const
    {
        return x > 0 ? x : 0;
    }
};

struct sigmoid_of {
    static constexpr bool PAIR = false;
    __device__ inline float of(float x, float y, size_t row) const
    {
        return 1 / (1 + expf(-x));
    }
};

struct product {
    static constexpr bool PAIR = true;
    __device__ inline float of(float x, float y, size_t row) const
    {
        return x * y;
    }
};

struct sum {
    static constexpr bool PAIR = true;
    __device__ inline float of(float x, float y, size_t row) const
    {
        return x + y;
    }
};

/* Every so many rows times a number. */
struct scaled_rows {
    static constexpr bool PAIR = false;
    any_cells by; /* data NULL: 1 */
    size_t rows_each;
    __device__ inline float of(float x, float y, size_t row) const
    {
        return by.data == nullptr ? x : x * by.at(rows_each == 1 ? row : row / rows_each, 0);
    }
};

/* `to` may be `a`: each thread writes the cells that it read. */
template <class F, class C, unsigned N, unsigned ROWS>
__global__ void pointwise(C a, C b, C to, size_t rows, size_t cols, F f)
{
    const size_t col_step = (size_t)gridDim.x * blockDim.x * N;
    const size_t row_step = (size_t)gridDim.y * blockDim.y;
    for (size_t col = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * N; col < cols;
         col += col_step)
        for (size_t first = (size_t)blockIdx.y * blockDim.y + threadIdx.y; first < rows;
             first += row_step * ROWS) {
            float x[ROWS][N], y[ROWS][N] = {};
#pragma unroll
            for (unsigned r = 0; r < ROWS; r++)
                if (first + r * row_step < rows) {
                    a.load(x[r], first + r * row_step, col);
                    if (F::PAIR)
                        b.load(y[r], first + r * row_step, col);
                }
#pragma unroll
            for (unsigned r = 0; r < ROWS; r++)
                if (first + r * row_step < rows) {
#pragma unroll
                    for (unsigned i = 0; i < N; i++)
                        x[r][i] = f.of(x[r][i], y[r][i], first + r * row_step);
                    to.store(x[r], first + r * row_step, col);
                }
        }
}

struct operands {
    struct cuda_tensor a, b, to; /* b as a where there is one input */
    size_t rows, cols;
};

constexpr unsigned SCALAR_ROWS = 4; /* under way at once where accesses are narrow */

template <class F> cudaError_t run_mixed(cudaStream_t stream, const operands &o, F f)
{
    const launch_shape s = shape_over(o.rows, o.cols, SCALAR_ROWS);
    return launch(pointwise<F, any_cells, 1, SCALAR_ROWS>, s.grid, s.block, stream, any_of(&o.a),
                  any_of(&o.b), any_of(&o.to), o.rows, o.cols, f);
}

template <class F, class T> cudaError_t run_typed(cudaStream_t stream, const operands &o, F f)
{
    constexpr unsigned N = WIDEST / sizeof(T);
    const typed_cells<T> a = typed_cells_of<T>(&o.a), b = typed_cells_of<T>(&o.b),
                         to = typed_cells_of<T>(&o.to);
    if (o.cols % N == 0 && is_aligned(&o.a, N) && is_aligned(&o.b, N) && is_aligned(&o.to, N)) {
        const launch_shape s = shape_over(o.rows, o.cols / N, 1);
        return launch(pointwise<F, typed_cells<T>, N, 1>, s.grid, s.block, stream, a, b, to, o.rows,
                      o.cols, f);
    }
    if constexpr (F::PAIR) { /* slices, whose rows begin anywhere */
        const launch_shape s = shape_over(o.rows, o.cols, SCALAR_ROWS);
        return launch(pointwise<F, typed_cells<T>, 1, SCALAR_ROWS>, s.grid, s.block, stream, a, b,
                      to, o.rows, o.cols, f);
    }
    return run_mixed(stream, o, f);
}

template <class F> cudaError_t run(cudaStream_t stream, const operands &o, F f)
{
    if (o.a.type != o.to.type || o.b.type != o.to.type)
        return run_mixed(stream, o, f);
    return with_type(o.to.type,
                     [&](auto cell) { return run_typed<F, decltype(cell)>(stream, o, f); });
}

/* Dense rows that nothing tells apart are one. */
void join_rows(operands *o, size_t keep)
{
    const size_t c = o->cols;
    if (o->a.stride != c || o->b.stride != c || o->to.stride != c)
        return;
    o->cols *= o->rows / keep;
    o->rows = keep;
    o->a.stride = o->b.stride = o->to.stride = o->cols;
}

template <class F> cudaError_t run_call(const struct cuda_call *call, F f)
{
    operands o = {call->in[0], F::PAIR ? call->in[1] : call->in[0], call->out,
                  positions(call->out.shape), (size_t)call->out.shape.c};
    join_rows(&o, 1);
    return run(call->stream, o, f);
}

operands dense(void *to, enum cell_type to_type, const void *from, enum cell_type from_type,
               size_t rows, size_t cols)
{
    const struct cuda_tensor a = {(void *)from, from_type, {}, cols};
    return {a, a, {to, to_type, {}, cols}, rows, cols};
}

} // namespace

cudaError_t cuda_gelu(const struct cuda_call *call)
{
    return run_call(call, gelu_of());
}

cudaError_t cuda_relu(const struct cuda_call *call)
{
    return run_call(call, relu_of());
}

cudaError_t cuda_sigmoid(const struct cuda_call *call)
{
    return run_call(call, sigmoid_of());
}

cudaError_t cuda_mul(const struct cuda_call *call)
{
    return run_call(call, product());
}

cudaError_t cuda_add(const struct cuda_call *call)
{
    return run_call(call, sum());
}

cudaError_t cuda_straight_through(const struct cuda_call *call)
{
    return run_call(call, copied());
}

/* in: [N][P][C], [N] */
cudaError_t cuda_sample_scale(const struct cuda_call *call)
{
    const size_t samples = (size_t)call->out.shape.n;
    operands o = {call->in[0], call->in[0], call->out, positions(call->out.shape),
                  (size_t)call->out.shape.c};
    join_rows(&o, samples);
    return run(call->stream, o, scaled_rows{any_of(&call->in[1]), o.rows / samples});
}

cudaError_t cuda_convert(cudaStream_t stream, void *to, enum cell_type to_type, const void *from,
                         enum cell_type from_type, size_t cells)
{
    return run(stream, dense(to, to_type, from, from_type, 1, cells), copied());
}

cudaError_t cuda_scale_rows(cudaStream_t stream, void *to, enum cell_type to_type,
                            const float *from, const float *scale, size_t rows, size_t cols)
{
    return run(stream, dense(to, to_type, from, CELL_FLOAT32, rows, cols),
               scaled_rows{{(void *)scale, 1, CELL_FLOAT32}, 1});
}

cudaError_t cuda_gelu_in_place(cudaStream_t stream, void *x, enum cell_type type, size_t cells)
{
    return run(stream, dense(x, type, x, type, 1, cells), gelu_of());
}
