/* SPDX-License-Identifier: Apache-2.0
 * The cosine of rows x: [A][C] and y: [B][C], g: [A][B] its gradient. With lengths |x|, |y| (or
 * 1e-12, whatever is larger)
 *
 *   t[a] = sum over b of g[a][b] y[b] / |y[b]|
 *   dx[a] = (t[a] - x[a] (t[a] . x[a]) / |x[a]|^2) / |x[a]|
 *
 * without the part along x where that is shorter. For the gradient of the weights x and y change
 * places. */
#include "model/cuda/kernels/grad_cells.h"
#include "model/cuda/kernels/grad_operators.h"

namespace grad
{

namespace
{

constexpr unsigned WARPS = 4;
constexpr float SHORTEST = 1e-12f;

struct sides {
    any_cells g, x, y, to;
    unsigned a, b, c;
    bool turned;      /* g: [B][A] */
    float *y_lengths; /* [B] */
    float *t;         /* [A][C] */
};

/* Scaled by the largest, so that no square of what float32 holds is 0 or infinite. */
__device__ float length_of(const any_cells &x, size_t row, unsigned c)
{
    float largest = 0, sum = 0;
    for (unsigned i = threadIdx.x % WARP; i < c; i += WARP)
        largest = fmaxf(largest, fabsf(x.at(row, i)));
    largest = warp_max(largest);
    const float by = largest > 0 ? largest : 1;
    for (unsigned i = threadIdx.x % WARP; i < c; i += WARP)
        sum += x.at(row, i) / by * (x.at(row, i) / by);
    return by * sqrtf(warp_sum(sum));
}

/* A warp: one row of y. */
__global__ void lengths_kernel(sides s)
{
    const unsigned row = blockIdx.x * WARPS + threadIdx.x / WARP;
    if (row >= s.b)
        return;
    const float length = length_of(s.y, row, s.c);
    if (threadIdx.x % WARP == 0)
        s.y_lengths[row] = fmaxf(length, SHORTEST);
}

__global__ void towards_kernel(sides s)
{
    for (size_t i = first_thread(); i < (size_t)s.a * s.c; i += all_threads()) {
        const size_t a = divide(i, s.c);
        const unsigned c = (unsigned)(i - a * s.c);
        float sum = 0;
        for (unsigned b = 0; b < s.b; b++) {
            const float g = s.turned ? s.g.at(b, (unsigned)a) : s.g.at(a, b);
            sum += g * (s.y.at(b, c) / s.y_lengths[b]);
        }
        s.t[i] = sum;
    }
}

/* A warp: one row of x. */
__global__ void across_kernel(sides s)
{
    const unsigned row = blockIdx.x * WARPS + threadIdx.x / WARP;
    if (row >= s.a)
        return;
    const float *t = s.t + (size_t)row * s.c;
    const float true_length = length_of(s.x, row, s.c), length = fmaxf(true_length, SHORTEST);
    float dot = 0;
    for (unsigned c = threadIdx.x % WARP; c < s.c; c += WARP)
        dot += t[c] * (s.x.at(row, c) / length);
    dot = true_length > SHORTEST ? warp_sum(dot) : 0;
    for (unsigned c = threadIdx.x % WARP; c < s.c; c += WARP)
        s.to.put(row, c, (t[c] - dot * (s.x.at(row, c) / length)) / length);
}

cudaError_t run(const struct cuda_call *call, sides s)
{
    s.y_lengths = (float *)call->scratch;
    s.t = s.y_lengths + s.b;
    cudaError_t r = launch(lengths_kernel, dim3((s.b + WARPS - 1) / WARPS), dim3(WARPS * WARP),
                           call->stream, s);
    if (r == cudaSuccess)
        r = launch(towards_kernel, blocks_for((size_t)s.a * s.c, 128), dim3(128), call->stream, s);
    if (r == cudaSuccess)
        r = launch(across_kernel, dim3((s.a + WARPS - 1) / WARPS), dim3(WARPS * WARP), call->stream,
                   s);
    return r;
}

any_cells weights_of(const struct cuda_call *call)
{
    return any_cells{(void *)call->weights[0], (size_t)call->in[1].shape.c, CELL_FLOAT32};
}

} // namespace

cudaError_t cosine(const struct cuda_call *call)
{
    return run(call, sides{any_of(&call->in[0]), any_of(&call->in[1]), weights_of(call),
                           any_of(&call->out), (unsigned)positions(call->in[0].shape),
                           (unsigned)call->in[0].shape.c, (unsigned)call->in[1].shape.c, false,
                           NULL, NULL});
}

cudaError_t cosine_weights(const struct cuda_call *call)
{
    const size_t c = (size_t)call->in[1].shape.c;
    return run(call,
               sides{any_of(&call->in[0]), weights_of(call), any_of(&call->in[1]),
                     any_cells{call->out.data, c, CELL_FLOAT32}, (unsigned)call->in[0].shape.c,
                     (unsigned)positions(call->in[0].shape), (unsigned)c, true, NULL, NULL});
}

size_t cosine_scratch(const struct cuda_call *call)
{
    const size_t rows = positions(call->in[0].shape), classes = (size_t)call->in[0].shape.c;
    const size_t most = rows > classes ? rows : classes;
    return most * (1 + (size_t)call->in[1].shape.c) * sizeof(float);
}

} // namespace grad
