/* SPDX-License-Identifier: Apache-2.0
 * The gradients of a focal context's kernels: every tap of every channel is a sum over all cells. A
 * lane keeps all taps of its channel in registers while it goes through the strips of its part. */
#include "model/cuda/kernels/grad_focal.h"

namespace grad
{

namespace
{

template <int K, class In, class S>
__global__ void __launch_bounds__(FOCAL_WARPS *WARP, 1)
    weights_kernel(struct focal_weights_call<In, S> s)
{
    const struct focal_level v = s.level;
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned c = blockIdx.y * WARP + lane, at_c = c < v.c ? c : v.c - 1;
    const unsigned strips = strips_of(&v), all = strips * v.images;
    float sums[K * K];
#pragma unroll
    for (int t = 0; t < K * K; t++)
        sums[t] = 0;
    for (unsigned i = blockIdx.x * FOCAL_WARPS + warp; i < all; i += gridDim.x * FOCAL_WARPS) {
        const unsigned image = i / strips, strip = i % strips;
        const int y = (int)(strip % v.h), x = (int)(strip / v.h * STRIP);
        const size_t base = (size_t)image * v.h * v.w;
        float d[STRIP];
#pragma unroll
        for (int j = 0; j < (int)STRIP; j++)
            d[j] = x + j < (int)v.w ? s.d.at(base + (size_t)y * v.w + (size_t)(x + j), at_c) : 0;
#pragma unroll
        for (int ky = 0; ky < K; ky++) {
            const int row = y + ky - K / 2;
            if (row < 0 || row >= (int)v.h)
                continue;
#pragma unroll
            for (int j = 0; j < (int)STRIP + K - 1; j++) {
                const int col = x + j - K / 2;
                const bool there = col >= 0 && col < (int)v.w;
                const float ctx =
                    there ? s.ctx.at(base + (size_t)row * v.w + (size_t)col, s.from + at_c) : 0;
#pragma unroll
                for (int kx = 0; kx < K; kx++)
                    if (j - kx >= 0 && j - kx < (int)STRIP)
                        sums[ky * K + kx] += d[j - kx] * ctx;
            }
        }
    }
    __shared__ float block[K * K][WARP];
    for (unsigned turn = 0; turn < FOCAL_WARPS; turn++) {
        if (turn == warp) {
#pragma unroll
            for (int t = 0; t < K * K; t++)
                block[t][lane] = (turn > 0 ? block[t][lane] : 0) + sums[t];
        }
        __syncthreads();
    }
    for (unsigned t = warp; t < (unsigned)(K * K) && c < v.c; t += FOCAL_WARPS) {
        float *to = s.to + ((size_t)blockIdx.x * (K * K) + t) * v.c + c;
        *to = (s.first ? 0 : *to) + block[t][lane];
    }
}

/* Any size: blockIdx.z is the tap. */
template <class In, class S>
__global__ void __launch_bounds__(FOCAL_WARPS *WARP)
    any_weights_kernel(struct focal_weights_call<In, S> s)
{
    __shared__ float block[FOCAL_WARPS][WARP];
    const struct focal_level v = s.level;
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned c = blockIdx.y * WARP + lane, at_c = c < v.c ? c : v.c - 1;
    const int dy = (int)(blockIdx.z / v.k) - (int)v.k / 2,
              dx = (int)(blockIdx.z % v.k) - (int)v.k / 2;
    const unsigned rows = v.images * v.h;
    float sum = 0;
    for (unsigned i = blockIdx.x * FOCAL_WARPS + warp; i < rows; i += gridDim.x * FOCAL_WARPS) {
        const int y = (int)(i % v.h) + dy;
        if (y < 0 || y >= (int)v.h)
            continue;
        const size_t to = (size_t)i * v.w, from = (size_t)(i - i % v.h + (unsigned)y) * v.w;
        for (int x = dx < 0 ? -dx : 0; x < (int)v.w && x + dx < (int)v.w; x++)
            sum += s.d.at(to + (size_t)x, at_c) * s.ctx.at(from + (size_t)(x + dx), s.from + at_c);
    }
    block[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || c >= v.c)
        return;
    float *to = s.to + ((size_t)blockIdx.x * (v.k * v.k) + blockIdx.z) * v.c + c;
    sum = s.first ? 0 : *to;
    for (unsigned i = 0; i < FOCAL_WARPS; i++)
        sum += block[i][lane];
    *to = sum;
}

/* parts: [n][k k][C] */
__global__ void finish_kernel(const float *parts, unsigned n, unsigned taps, unsigned c, float *to)
{
    for (size_t i = first_thread(); i < (size_t)taps * c; i += all_threads()) {
        const size_t tap = divide(i, c), channel = i - tap * c;
        float sum = 0;
        for (unsigned k = 0; k < n; k++)
            sum += parts[(size_t)k * taps * c + i];
        to[channel * taps + tap] = sum;
    }
}

template <int K, class In, class S>
cudaError_t add(cudaStream_t stream, const struct focal_weights_call<In, S> *call)
{
    return launch(weights_kernel<K, In, S>, dim3(call->parts, channel_blocks(&call->level)),
                  dim3(FOCAL_WARPS * WARP), stream, *call);
}

} // namespace

/* Some five hundred blocks, whatever the channels, where each warp then has two strips or more. */
unsigned focal_weights_parts(const struct focal_level *level)
{
    const unsigned blocks = channel_blocks(level), most = blocks >= 64 ? 8 : 512 / blocks,
                   each = 2 * FOCAL_WARPS,
                   parts = (strips_of(level) * level->images + each - 1) / each;
    return parts < most ? parts : most;
}

template <class In, class S>
cudaError_t focal_weights_add(cudaStream_t stream, const struct focal_weights_call<In, S> *call)
{
    if constexpr (In::KNOWN) { /* mixed types are too rare for kernels of their own */
        switch (call->level.k) {
        case 3:
            return add<3>(stream, call);
        case 5:
            return add<5>(stream, call);
        case 7:
            return add<7>(stream, call);
        case 9:
            return add<9>(stream, call);
        }
    }
    return launch(any_weights_kernel<In, S>,
                  dim3(call->parts, channel_blocks(&call->level), call->level.k * call->level.k),
                  dim3(FOCAL_WARPS * WARP), stream, *call);
}

template cudaError_t
focal_weights_add(cudaStream_t, const struct focal_weights_call<typed_cells<float>, float> *);
template cudaError_t
focal_weights_add(cudaStream_t,
                  const struct focal_weights_call<typed_cells<__nv_bfloat16>, __nv_bfloat16> *);
template cudaError_t
focal_weights_add(cudaStream_t, const struct focal_weights_call<typed_cells<__half>, __half> *);
template cudaError_t focal_weights_add(cudaStream_t,
                                       const struct focal_weights_call<any_cells, float> *);

cudaError_t focal_weights_finish(cudaStream_t stream, const float *from, unsigned parts, unsigned c,
                                 unsigned k, float *to)
{
    return launch(finish_kernel, blocks_for((size_t)k * k * c, 128), dim3(128), stream, from, parts,
                  k * k, c, to);
}

} // namespace grad
