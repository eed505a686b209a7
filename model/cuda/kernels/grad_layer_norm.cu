/* SPDX-License-Identifier: Apache-2.0
 * Layer norm over the C channels of a position, unit = (x - mean) / sqrt(variance + eps), h = g *
 * scale:
 *
 *   dx = before + (h - sum h / C - unit sum (h unit) / C) / sqrt(variance + eps)
 *   dscale = sum over positions of g unit, dshift = sum over positions of g
 *
 * A warp takes a position. Where all cells are of one type and come in fours, a lane keeps its
 * channels in registers, their weights' sums included, and each value is read once. */
#include "model/cuda/kernels/grad_columns.h"
#include "model/cuda/kernels/grad_operators.h"

namespace grad
{

namespace
{

constexpr unsigned WARPS = 8, BLOCK = WARPS * WARP;

template <class V> struct rows_of { /* V: typed or any */
    V g, x, before, y;              /* before, y: data NULL: there is none */
    const float *scale;
    size_t rows;
    unsigned c;
    float eps;
};

/* The warps add theirs one after the other. All threads. */
template <int FOURS>
__device__ inline void add_warps(const float (&d_scale)[FOURS][4], const float (&d_shift)[FOURS][4],
                                 unsigned channels, float *parts)
{
    __shared__ float all[2][FOURS * 4 * WARP];
    for (unsigned turn = 0; turn < WARPS; turn++) {
        if (turn == threadIdx.x / WARP) {
#pragma unroll
            for (int i = 0; i < FOURS; i++)
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    const unsigned at = (unsigned)(i * 4 + k) * WARP + threadIdx.x % WARP;
                    all[0][at] = (turn > 0 ? all[0][at] : 0) + d_scale[i][k];
                    all[1][at] = (turn > 0 ? all[1][at] : 0) + d_shift[i][k];
                }
        }
        __syncthreads();
    }
    for (unsigned c = threadIdx.x; c < channels; c += BLOCK) {
        const unsigned at = (c / (4 * WARP) * 4 + c % 4) * WARP + c / 4 % WARP;
        parts[(size_t)blockIdx.x * 2 * channels + c] = all[0][at];
        parts[((size_t)blockIdx.x * 2 + 1) * channels + c] = all[1][at];
    }
}

/* The first of a lane's four channels number i. */
__device__ inline unsigned channel_of(int i)
{
    return 4 * ((unsigned)i * WARP + threadIdx.x % WARP);
}

/* x and g of a row, zero beyond its channels. Returns the lane's sum of x. */
template <class T, int FOURS>
__device__ inline float load_row(const rows_of<typed_cells<T>> &s, size_t row, float (&x)[FOURS][4],
                                 float (&g)[FOURS][4])
{
    float sum = 0;
#pragma unroll
    for (int i = 0; i < FOURS; i++) {
        const unsigned c = channel_of(i);
        pack<T, 4> of_x = {}, of_g = {};
        if (c < s.c) {
            of_x = *(const pack<T, 4> *)(s.x.data + row * s.x.stride + c);
            of_g = *(const pack<T, 4> *)(s.g.data + row * s.g.stride + c);
        }
#pragma unroll
        for (int k = 0; k < 4; k++) {
            x[i][k] = c < s.c ? to_float(of_x.at[k]) : 0;
            g[i][k] = c < s.c ? to_float(of_g.at[k]) : 0;
            sum += x[i][k];
        }
    }
    return sum;
}

/* Takes the mean from x. Returns the lane's sum of squares. */
template <int FOURS>
__device__ inline float center(float (&x)[FOURS][4], float mean, unsigned channels)
{
    float squares = 0;
#pragma unroll
    for (int i = 0; i < FOURS; i++) {
        const bool there = channel_of(i) < channels;
#pragma unroll
        for (int k = 0; k < 4; k++) {
            x[i][k] = there ? x[i][k] - mean : 0;
            squares += x[i][k] * x[i][k];
        }
    }
    return squares;
}

/* The lane's share of a row in the weights' gradients: x is the row's unit. */
template <int FOURS>
__device__ inline void add_row(const float (&x)[FOURS][4], const float (&g)[FOURS][4],
                               float (&d_scale)[FOURS][4], float (&d_shift)[FOURS][4])
{
#pragma unroll
    for (int i = 0; i < FOURS; i++)
#pragma unroll
        for (int k = 0; k < 4; k++) {
            d_scale[i][k] += g[i][k] * x[i][k];
            d_shift[i][k] += g[i][k];
        }
}

/* g becomes h; a, b: the lane's sums of h and of h unit. */
template <int FOURS>
__device__ inline pair weigh(const float (&x)[FOURS][4], float (&g)[FOURS][4], const float *weights,
                             unsigned channels)
{
    pair sums = {0, 0};
#pragma unroll
    for (int i = 0; i < FOURS; i++) {
        const unsigned c = channel_of(i);
        pack<float, 4> scale = {};
        if (c < channels)
            scale = *(const pack<float, 4> *)(weights + c);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            g[i][k] *= scale.at[k];
            sums.a += g[i][k];
            sums.b += g[i][k] * x[i][k];
        }
    }
    return sums;
}

/* means: of h and of h unit. */
template <class T, int FOURS>
__device__ inline void store_row(const rows_of<typed_cells<T>> &s, size_t row,
                                 const float (&x)[FOURS][4], const float (&h)[FOURS][4], pair means,
                                 float inverse)
{
#pragma unroll
    for (int i = 0; i < FOURS; i++) {
        const unsigned c = channel_of(i);
        if (c >= s.c)
            continue;
        pack<T, 4> before = {}, to;
        if (s.before.data != NULL)
            before = *(const pack<T, 4> *)(s.before.data + row * s.before.stride + c);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const float dx = inverse * (h[i][k] - means.a - x[i][k] * means.b);
            to.at[k] = from_float<T>(s.before.data != NULL ? to_float(before.at[k]) + dx : dx);
        }
        *(pack<T, 4> *)(s.y.data + row * s.y.stride + c) = to;
    }
}

/* parts: [gridDim.x][2][c] */
template <class T, int FOURS, bool WEIGHTS>
__global__ void __launch_bounds__(BLOCK, 1) row_kernel(rows_of<typed_cells<T>> s, float *parts)
{
    const float share = 1 / (float)s.c;
    float d_scale[FOURS][4], d_shift[FOURS][4];
#pragma unroll
    for (int i = 0; i < FOURS; i++)
#pragma unroll
        for (int k = 0; k < 4; k++)
            d_scale[i][k] = d_shift[i][k] = 0;
    for (size_t row = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP; row < s.rows;
         row += (size_t)gridDim.x * WARPS) {
        float x[FOURS][4], g[FOURS][4];
        const float mean = warp_sum(load_row(s, row, x, g)) * share;
        const float variance = warp_sum(center(x, mean, s.c)) * share;
        const float inverse = 1 / sqrtf(variance + s.eps);
#pragma unroll
        for (int i = 0; i < FOURS; i++)
#pragma unroll
            for (int k = 0; k < 4; k++)
                x[i][k] *= inverse;
        if (WEIGHTS)
            add_row(x, g, d_scale, d_shift);
        if (s.y.data == NULL)
            continue;
        const pair sums = weigh(x, g, s.scale, s.c);
        const pair means = {warp_sum(sums.a) * share, warp_sum(sums.b) * share};
        store_row(s, row, x, g, means, inverse);
    }
    if (WEIGHTS)
        add_warps<FOURS>(d_scale, d_shift, s.c, parts);
}

/* Any types, any number of channels. norms: [rows][2] mean and inverse, or NULL */
__global__ void __launch_bounds__(BLOCK) any_row_kernel(rows_of<any_cells> s, float *norms)
{
    const unsigned lane = threadIdx.x % WARP;
    const float share = 1 / (float)s.c;
    for (size_t row = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP; row < s.rows;
         row += (size_t)gridDim.x * WARPS) {
        float sum = 0, squares = 0, sums = 0, products = 0;
        for (unsigned c = lane; c < s.c; c += WARP)
            sum += s.x.at(row, c);
        const float mean = warp_sum(sum) * share;
        for (unsigned c = lane; c < s.c; c += WARP)
            squares += (s.x.at(row, c) - mean) * (s.x.at(row, c) - mean);
        const float inverse = 1 / sqrtf(warp_sum(squares) * share + s.eps);
        if (norms != NULL && lane == 0) {
            norms[row * 2] = mean;
            norms[row * 2 + 1] = inverse;
        }
        if (s.y.data == NULL)
            continue;
        for (unsigned c = lane; c < s.c; c += WARP) {
            const float h = s.g.at(row, c) * s.scale[c];
            sums += h;
            products += h * (s.x.at(row, c) - mean) * inverse;
        }
        sums = warp_sum(sums) * share;
        products = warp_sum(products) * share;
        for (unsigned c = lane; c < s.c; c += WARP) {
            const float unit = (s.x.at(row, c) - mean) * inverse;
            const float dx = inverse * (s.g.at(row, c) * s.scale[c] - sums - unit * products);
            s.y.put(row, c, s.before.data != NULL ? s.before.at(row, c) + dx : dx);
        }
    }
}

struct of_weights {
    any_cells g, x;
    const float *norms;
    __device__ pair operator()(size_t row, unsigned c) const
    {
        const float g_at = g.at(row, c);
        return pair{g_at * (x.at(row, c) - norms[row * 2]) * norms[row * 2 + 1], g_at};
    }
};

/* Blocks of row_kernel: at least four positions to a warp, where there are so many. */
unsigned row_blocks(size_t rows)
{
    const size_t blocks = (rows + 4 * WARPS - 1) / (4 * WARPS);
    return (unsigned)(blocks < 1 ? 1 : blocks > 512 ? 512 : blocks);
}

template <class T, int FOURS>
cudaError_t run_rows(const struct cuda_call *call, const struct cuda_tensor *y, float *weights_out)
{
    const rows_of<typed_cells<T>> s = {typed_cells_of<T>(&call->in[0]),
                                       typed_cells_of<T>(&call->in[1]),
                                       typed_cells_of<T>(&call->residual),
                                       typed_cells_of<T>(y),
                                       call->weights[0],
                                       positions(call->in[0].shape),
                                       (unsigned)call->in[0].shape.c,
                                       call->node->eps};
    float *parts = (float *)call->scratch;
    const unsigned blocks = row_blocks(s.rows);
    if (weights_out == NULL)
        return launch(row_kernel<T, FOURS, false>, dim3(blocks), dim3(BLOCK), call->stream, s,
                      parts);
    const cudaError_t r =
        launch(row_kernel<T, FOURS, true>, dim3(blocks), dim3(BLOCK), call->stream, s, parts);
    if (r != cudaSuccess)
        return r;
    return add_parts(call->stream, parts, blocks, 2 * (size_t)s.c, 2 * (size_t)s.c, weights_out);
}

template <class T>
cudaError_t run_typed(const struct cuda_call *call, const struct cuda_tensor *y, float *weights_out)
{
    const int c = call->in[0].shape.c, lanes = 4 * (int)WARP;
    return c <= lanes       ? run_rows<T, 1>(call, y, weights_out)
           : c <= 2 * lanes ? run_rows<T, 2>(call, y, weights_out)
           : c <= 3 * lanes ? run_rows<T, 3>(call, y, weights_out)
           : c <= 4 * lanes ? run_rows<T, 4>(call, y, weights_out)
           : c <= 6 * lanes ? run_rows<T, 6>(call, y, weights_out)
                            : run_rows<T, 8>(call, y, weights_out);
}

constexpr int MOST = 8 * 4 * (int)WARP;

bool is_typed(const struct cuda_call *call, const struct cuda_tensor *y)
{
    const enum cell_type type = call->in[0].type;
    return call->in[0].shape.c <= MOST && by_fours(&call->in[0]) && by_fours(&call->in[1]) &&
           by_fours(&call->residual) && by_fours(y) &&
           is_aligned(call->weights[0], CELL_FLOAT32, 4, 4) && call->in[1].type == type &&
           (y->data == NULL || y->type == type) &&
           (call->residual.data == NULL || call->residual.type == type);
}

cudaError_t run_any(const struct cuda_call *call, const struct cuda_tensor *y, float *weights_out)
{
    const size_t rows = positions(call->in[0].shape);
    const unsigned c = (unsigned)call->in[0].shape.c;
    float *norms = (float *)call->scratch, *parts = norms + 2 * rows;
    const rows_of<any_cells> s = {any_of(&call->in[0]),
                                  any_of(&call->in[1]),
                                  any_of(&call->residual),
                                  any_of(y),
                                  call->weights[0],
                                  rows,
                                  c,
                                  call->node->eps};
    const cudaError_t r = launch(any_row_kernel, blocks_for(rows, WARPS), dim3(BLOCK), call->stream,
                                 s, weights_out != NULL ? norms : NULL);
    if (r != cudaSuccess || weights_out == NULL)
        return r;
    return column_sums(call->stream, of_weights{s.g, s.x, norms}, rows, c, parts, weights_out);
}

cudaError_t run(const struct cuda_call *call, const struct cuda_tensor *y, float *weights_out)
{
    if (!is_typed(call, y))
        return run_any(call, y, weights_out);
    switch (call->in[0].type) {
    case CELL_BFLOAT16:
        return run_typed<__nv_bfloat16>(call, y, weights_out);
    case CELL_FLOAT16:
        return run_typed<__half>(call, y, weights_out);
    default:
        return run_typed<float>(call, y, weights_out);
    }
}

} // namespace

cudaError_t layer_norm(const struct cuda_call *call)
{
    return run(call, &call->out, (float *)call->weights_out.data);
}

cudaError_t layer_norm_weights(const struct cuda_call *call)
{
    struct cuda_call only = *call;
    const struct cuda_tensor none = {};
    only.residual = none;
    return run(&only, &none, (float *)call->out.data);
}

/* Of both ways, as pointers are not known yet. */
size_t layer_norm_scratch(const struct cuda_call *call)
{
    const size_t rows = positions(call->in[0].shape), c = (size_t)call->in[0].shape.c;
    const size_t typed = row_blocks(rows) * 2 * c * sizeof(float),
                 any_cells = 2 * rows * sizeof(float) + column_parts_bytes(rows, c);
    return typed > any_cells ? typed : any_cells;
}

} // namespace grad
