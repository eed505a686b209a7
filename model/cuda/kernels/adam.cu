/* SPDX-License-Identifier: Apache-2.0
 * What an optimizer does to parameters, span by span. Spans begin where a weight does, so that four
 * cells at a time would not be aligned; a warp reads 128 bytes at once all the same. */
#include "model/cuda/kernels/device.h"

namespace
{

constexpr unsigned BLOCK = 256, WARPS = BLOCK / WARP;
constexpr unsigned SHARES = 4; /* blocks of a span */

__global__ void mix_kernel(float *to, const float *from, size_t n, float keep, float take)
{
    for (size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x; i < n; i += (size_t)gridDim.x * BLOCK)
        to[i] = (keep != 0 ? keep * to[i] : 0) + take * from[i];
}

/* A block: a span. */
__global__ void squares_kernel(const float *x, const struct backend_span *spans, float *parts)
{
    __shared__ float sums[WARPS];
    const struct backend_span span = spans[blockIdx.x];
    float sum = 0;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < span.count; i += BLOCK)
        sum += x[span.begin + i] * x[span.begin + i];
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0)
        sums[threadIdx.x / WARP] = sum;
    __syncthreads();
    if (threadIdx.x > 0)
        return;
    sum = 0;
#pragma unroll
    for (unsigned i = 0; i < WARPS; i++)
        sum += sums[i];
    parts[blockIdx.x] = sum;
}

/* One block. In double, as the spans may be thousands, and only one of them be large. */
__global__ void total_kernel(const float *parts, size_t n, double *to)
{
    __shared__ double sums[BLOCK];
    double sum = 0;
    for (size_t i = threadIdx.x; i < n; i += BLOCK)
        sum += (double)parts[i];
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = BLOCK / 2; half > 0; half /= 2) {
        if (threadIdx.x < half)
            sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0)
        *to = sums[0];
}

__global__ void adam_kernel(struct backend_adam f, const struct backend_span *spans, float *w,
                            const float *gradient, float *m, float *v)
{
    const struct backend_span span = spans[blockIdx.x];
    const float decay = f.add_decay * span.decay, pull = f.pull * span.rate * span.decay,
                learn = f.learn * span.rate;
#pragma unroll 2
    for (unsigned i = blockIdx.y * BLOCK + threadIdx.x; i < span.count; i += SHARES * BLOCK) {
        const size_t at = span.begin + i;
        const float now = w[at], g = gradient[at] * f.clip + now * decay;
        const float first = m[at] * f.keep1 + g * f.take1,
                    second = v[at] * f.keep2 + g * f.take2 * g;
        m[at] = first;
        v[at] = second;
        w[at] = now - (pull * now + learn * first / (sqrtf(second) * f.whole + f.epsilon));
    }
}

} // namespace

cudaError_t cuda_mix(cudaStream_t stream, float *to, const float *from, size_t n, float keep,
                     float take)
{
    return launch(mix_kernel, blocks_for(n, BLOCK), dim3(BLOCK), stream, to, from, n, keep, take);
}

cudaError_t cuda_squares(cudaStream_t stream, const float *x, const struct backend_span *spans,
                         size_t n, float *parts, double *sum)
{
    const cudaError_t r =
        n == 0 ? cudaSuccess
               : launch(squares_kernel, dim3((unsigned)n), dim3(BLOCK), stream, x, spans, parts);
    return r == cudaSuccess ? launch(total_kernel, dim3(1), dim3(BLOCK), stream, parts, n, sum) : r;
}

cudaError_t cuda_adam(cudaStream_t stream, const struct backend_adam *factors,
                      const struct backend_span *spans, size_t n, float *w, const float *gradient,
                      float *m, float *v)
{
    if (n == 0)
        return cudaSuccess;
    return launch(adam_kernel, dim3((unsigned)n, SHARES), dim3(BLOCK), stream, *factors, spans, w,
                  gradient, m, v);
}
