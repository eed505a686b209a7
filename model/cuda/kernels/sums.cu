/* SPDX-License-Identifier: Apache-2.0
 * Rows are summed in chunks, one block each, whose partial sums a second kernel adds up. */
#include "model/cuda/kernels/sums.h"
#include "model/cuda/kernels/forward.h"
#include "model/cuda/kernels/gelu.h"

namespace
{

constexpr unsigned LANES = 8;         /* rows that a block reads side by side */
constexpr unsigned FINISH_LANES = 32; /* likewise, of partial sums, if there are as many */
constexpr size_t LEAST_ROWS = 64;     /* of a chunk */
constexpr size_t MOST_CHUNKS = 1024;

struct chunks {
    size_t count, rows;
};

chunks chunks_of(const sums_shape &s)
{
    size_t rows = (s.rows + MOST_CHUNKS - 1) / MOST_CHUNKS;
    rows = rows < LEAST_ROWS ? LEAST_ROWS : rows;
    return {(s.rows + rows - 1) / rows, rows};
}

/* A block is one chunk of one group over WARP * N columns. to: [groups][chunks][cols] */
template <class C, unsigned N>
__global__ void sum_chunks(C x, any_cells to, sums_shape s, chunks in, float divisor)
{
    __shared__ float partial[LANES][WARP * N];
    const size_t col_blocks = (s.cols + WARP * N - 1) / (WARP * N);
    const size_t which = blockIdx.x / col_blocks, group = which / in.count;
    const size_t col = (blockIdx.x % col_blocks * WARP + threadIdx.x) * N;
    const size_t begin = which % in.count * in.rows;
    const size_t end = begin + in.rows < s.rows ? begin + in.rows : s.rows;
    float sum[N] = {};
    if (col < s.cols) {
#pragma unroll 4
        for (size_t r = begin + threadIdx.y; r < end; r += LANES) {
            float v[N];
            x.load(v, group * s.rows + r, col);
#pragma unroll
            for (unsigned i = 0; i < N; i++)
                sum[i] += v[i];
        }
    }
#pragma unroll
    for (unsigned i = 0; i < N; i++)
        partial[threadIdx.y][i * WARP + threadIdx.x] = sum[i];
    __syncthreads();
    if (threadIdx.y != 0 || col >= s.cols)
        return;
#pragma unroll
    for (unsigned i = 0; i < N; i++) {
        float total = 0;
        for (unsigned y = 0; y < LANES; y++)
            total += partial[y][i * WARP + threadIdx.x];
        to.put(which, col + i, total / divisor);
    }
}

__global__ void __launch_bounds__(WARP *FINISH_LANES)
    finish(const float *from, any_cells to, sums_shape s, float divisor, bool then_gelu)
{
    __shared__ float partial[FINISH_LANES][WARP];
    const size_t col_blocks = (s.cols + WARP - 1) / WARP;
    const size_t group = blockIdx.x / col_blocks;
    const size_t col = blockIdx.x % col_blocks * WARP + threadIdx.x;
    float sum = 0;
    if (col < s.cols) {
#pragma unroll 4
        for (size_t r = threadIdx.y; r < s.rows; r += blockDim.y)
            sum += from[(group * s.rows + r) * s.cols + col];
    }
    partial[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || col >= s.cols)
        return;
    float total = 0;
    for (unsigned y = 0; y < blockDim.y; y++)
        total += partial[y][threadIdx.x];
    total /= divisor;
    to.put(group, col, then_gelu ? gelu(total) : total);
}

template <class C, unsigned N>
cudaError_t run_chunks(cudaStream_t stream, C x, const any_cells &to, const sums_shape &s,
                       float divisor)
{
    const chunks in = chunks_of(s);
    const size_t blocks = (s.cols + WARP * N - 1) / (WARP * N) * in.count * s.groups;
    if (blocks > 0x7fffffff)
        return cudaErrorInvalidValue;
    return launch(sum_chunks<C, N>, dim3((unsigned)blocks), dim3(WARP, LANES), stream, x, to, s, in,
                  divisor);
}

} // namespace

cudaError_t sums_finish(cudaStream_t stream, const any_cells &to, const float *partial,
                        const sums_shape &shape, float divisor, bool then_gelu)
{
    const size_t blocks = (shape.cols + WARP - 1) / WARP * shape.groups;
    if (blocks > 0x7fffffff)
        return cudaErrorInvalidValue;
    const unsigned lanes = shape.rows < FINISH_LANES ? (unsigned)shape.rows : FINISH_LANES;
    return launch(finish, dim3((unsigned)blocks), dim3(WARP, lanes), stream, partial, to, shape,
                  divisor, then_gelu);
}

size_t sums_scratch(const sums_shape &shape)
{
    const size_t count = chunks_of(shape).count;
    return count > 1 ? shape.groups * count * shape.cols : 0;
}

cudaError_t sums_over_rows(cudaStream_t stream, const any_cells &to, const any_cells &x,
                           const sums_shape &shape, float divisor, float *scratch)
{
    const chunks in = chunks_of(shape);
    const bool direct = in.count <= 1;
    const any_cells first = direct ? to : any_cells{scratch, shape.cols, CELL_FLOAT32};
    const float times = direct ? divisor : 1;
    const unsigned n = widest_cells(x.type);
    cudaError_t code;
    if (shape.cols % n == 0 && is_aligned(x.data, x.type, x.stride, n))
        code = with_type(x.type, [&](auto cell) {
            using T = decltype(cell);
            return run_chunks<typed_cells<T>, WIDEST / sizeof(T)>(
                stream, typed_cells<T>{(T *)x.data, x.stride}, first, shape, times);
        });
    else
        code = run_chunks<any_cells, 1>(stream, x, first, shape, times);
    if (code != cudaSuccess || direct)
        return code;
    return sums_finish(stream, to, scratch, {shape.groups, in.count, shape.cols}, divisor, false);
}

static sums_shape mean_shape(const struct cuda_call *call)
{
    const struct tensor_shape in = call->in[0].shape;
    return {(size_t)in.n, (size_t)in.h * (size_t)in.w, (size_t)in.c};
}

cudaError_t cuda_mean(const struct cuda_call *call)
{
    const sums_shape shape = mean_shape(call);
    return sums_over_rows(call->stream, any_of(&call->out), any_of(&call->in[0]), shape,
                          (float)shape.rows, (float *)call->scratch);
}

size_t cuda_mean_scratch(const struct cuda_call *call)
{
    return sums_scratch(mean_shape(call)) * sizeof(float);
}

cudaError_t cuda_column_sums(cudaStream_t stream, float *to, const void *x, enum cell_type type,
                             size_t rows, size_t cols, size_t stride, void *scratch)
{
    return sums_over_rows(stream, {to, cols, CELL_FLOAT32}, {(void *)x, stride, type},
                          {1, rows, cols}, 1, (float *)scratch);
}

size_t cuda_column_sums_scratch(size_t rows, size_t cols)
{
    return sums_scratch({1, rows, cols}) * sizeof(float);
}
