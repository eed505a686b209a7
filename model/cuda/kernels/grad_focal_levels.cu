/* SPDX-License-Identifier: Apache-2.0 */
#include "model/cuda/kernels/grad_focal_levels.h"

#include "model/cuda/kernels/gelu.h"

namespace grad
{

namespace
{

/* What a block's warps go through. */
struct place {
    size_t base; /* the image's first cell */
    int y, x;
};

__device__ inline place place_of(const struct focal_level &v, unsigned strip)
{
    const unsigned strips = strips_of(&v), of_image = strip % strips;
    return place{(size_t)(strip / strips) * v.h * v.w, (int)(of_image % v.h),
                 (int)(of_image / v.h * STRIP)};
}

/* kernel: [k k][WARP] of the block's channels, the other way round where turned. All threads. */
template <int K>
__device__ inline void load_kernel(const struct focal_level &v, bool turned, float (*kernel)[WARP])
{
    const unsigned first = blockIdx.y * WARP, taps = K * K;
    for (unsigned i = threadIdx.x; i < taps * WARP; i += blockDim.x) {
        const unsigned c = i / taps, t = i % taps;
        kernel[turned ? taps - 1 - t : t][c] =
            first + c < v.c ? v.kernel[(size_t)(first + c) * taps + t] : 0;
    }
    __syncthreads();
}

/* sums: of the strip at p, over taps of x's channel c. */
template <int K, class In>
__device__ inline void convolve(const struct focal_level &v, const place &p, const In &x,
                                unsigned c, const float (*kernel)[WARP], float *sums)
{
    const unsigned lane = threadIdx.x % WARP;
#pragma unroll
    for (int j = 0; j < (int)STRIP; j++)
        sums[j] = 0;
#pragma unroll
    for (int ky = 0; ky < K; ky++) {
        const int row = p.y + ky - K / 2;
        if (row < 0 || row >= (int)v.h)
            continue;
        float cells[STRIP + K - 1];
#pragma unroll
        for (int j = 0; j < (int)STRIP + K - 1; j++) {
            const int col = p.x + j - K / 2;
            cells[j] =
                col >= 0 && col < (int)v.w ? x.at(p.base + (size_t)row * v.w + (size_t)col, c) : 0;
        }
#pragma unroll
        for (int kx = 0; kx < K; kx++) {
            const float tap = kernel[ky * K + kx][lane];
#pragma unroll
            for (int j = 0; j < (int)STRIP; j++)
                sums[j] += tap * cells[j + kx];
        }
    }
}

/* One cell, any size. */
template <class In>
__device__ inline float convolve_any(const struct focal_level &v, const place &p, const In &x,
                                     unsigned c, const float *kernel, bool turned)
{
    const int k = (int)v.k;
    float sum = 0;
    for (int t = 0; t < k * k; t++) {
        const int row = p.y + t / k - k / 2, col = p.x + t % k - k / 2;
        if (row >= 0 && row < (int)v.h && col >= 0 && col < (int)v.w)
            sum += kernel[turned ? k * k - 1 - t : t] *
                   x.at(p.base + (size_t)row * v.w + (size_t)col, c);
    }
    return sum;
}

template <class In, class S>
__device__ inline void forward_end(const struct focal_forward_call<In, S> &s, size_t cell,
                                   unsigned c, float z)
{
    s.next.put(cell, c, gelu(z));
    s.slope.put(cell, c, gelu_slope(z));
}

template <class X, class S>
__device__ inline void backward_end(const struct focal_backward_call<X, S> &s, size_t cell,
                                    unsigned c, float d)
{
    const unsigned channels = s.level.c;
    if (s.before.data == NULL) {
        s.to.put(cell, channels + c, d);
        return;
    }
    const float of_gate = s.share * s.g.at(cell, c) * s.x.at(cell, 2 * channels + s.gate);
    s.before.put(cell, c, (d + of_gate) * s.before.at(cell, c));
}

template <int K, class In, class S>
__global__ void __launch_bounds__(FOCAL_WARPS *WARP, 1)
    forward_kernel(struct focal_forward_call<In, S> s)
{
    __shared__ float kernel[K * K][WARP];
    const struct focal_level v = s.level;
    const unsigned c = blockIdx.y * WARP + threadIdx.x % WARP, all = strips_of(&v) * v.images;
    load_kernel<K>(v, false, kernel);
    for (unsigned i = blockIdx.x * FOCAL_WARPS + threadIdx.x / WARP; i < all && c < v.c;
         i += gridDim.x * FOCAL_WARPS) {
        const place p = place_of(v, i);
        float z[STRIP];
        convolve<K>(v, p, s.ctx, s.from + c, kernel, z);
#pragma unroll
        for (int j = 0; j < (int)STRIP; j++)
            if (p.x + j < (int)v.w)
                forward_end(s, p.base + (size_t)p.y * v.w + (size_t)(p.x + j), c, z[j]);
    }
}

template <int K, class X, class S>
__global__ void __launch_bounds__(FOCAL_WARPS *WARP, 1)
    backward_kernel(struct focal_backward_call<X, S> s)
{
    __shared__ float kernel[K * K][WARP];
    const struct focal_level v = s.level;
    const unsigned c = blockIdx.y * WARP + threadIdx.x % WARP, all = strips_of(&v) * v.images;
    load_kernel<K>(v, true, kernel);
    for (unsigned i = blockIdx.x * FOCAL_WARPS + threadIdx.x / WARP; i < all && c < v.c;
         i += gridDim.x * FOCAL_WARPS) {
        const place p = place_of(v, i);
        float d[STRIP];
        convolve<K>(v, p, s.d, c, kernel, d);
#pragma unroll
        for (int j = 0; j < (int)STRIP; j++)
            if (p.x + j < (int)v.w)
                backward_end(s, p.base + (size_t)p.y * v.w + (size_t)(p.x + j), c, d[j]);
    }
}

__device__ inline place cell_of(const struct focal_level &v, size_t cell)
{
    const size_t line = divide(cell, v.w), image = divide(line, v.h);
    return place{image * v.h * v.w, (int)(line - image * v.h), (int)(cell - line * v.w)};
}

template <class In, class S> __global__ void any_forward_kernel(struct focal_forward_call<In, S> s)
{
    const struct focal_level v = s.level;
    const size_t cells = (size_t)v.images * v.h * v.w;
    for (size_t i = first_thread(); i < cells * v.c; i += all_threads()) {
        const size_t cell = divide(i, v.c);
        const unsigned c = (unsigned)(i - cell * v.c);
        forward_end(s, cell, c,
                    convolve_any(v, cell_of(v, cell), s.ctx, s.from + c,
                                 v.kernel + (size_t)c * v.k * v.k, false));
    }
}

template <class X, class S> __global__ void any_backward_kernel(struct focal_backward_call<X, S> s)
{
    const struct focal_level v = s.level;
    const size_t cells = (size_t)v.images * v.h * v.w;
    for (size_t i = first_thread(); i < cells * v.c; i += all_threads()) {
        const size_t cell = divide(i, v.c);
        const unsigned c = (unsigned)(i - cell * v.c);
        backward_end(
            s, cell, c,
            convolve_any(v, cell_of(v, cell), s.d, c, v.kernel + (size_t)c * v.k * v.k, true));
    }
}

/* No more blocks than that each has several strips for the kernel it loads. */
dim3 strips_grid(const struct focal_level *v)
{
    const unsigned blocks = (strips_of(v) * v->images + FOCAL_WARPS - 1) / FOCAL_WARPS,
                   channels = channel_blocks(v), most = channels >= 256 ? 8 : 2048 / channels;
    return dim3(blocks < most ? blocks : most, channels);
}

} // namespace

template <class In, class S>
cudaError_t focal_forward(cudaStream_t stream, const struct focal_forward_call<In, S> *call)
{
    const struct focal_level *v = &call->level;
    const dim3 grid = strips_grid(v), block = dim3(FOCAL_WARPS * WARP);
    if constexpr (In::KNOWN) { /* mixed types are too rare for kernels of their own */
        switch (v->k) {
        case 3:
            return launch(forward_kernel<3, In, S>, grid, block, stream, *call);
        case 5:
            return launch(forward_kernel<5, In, S>, grid, block, stream, *call);
        case 7:
            return launch(forward_kernel<7, In, S>, grid, block, stream, *call);
        case 9:
            return launch(forward_kernel<9, In, S>, grid, block, stream, *call);
        }
    }
    return launch(any_forward_kernel<In, S>,
                  blocks_for((size_t)v->images * v->h * v->w * v->c, 256), dim3(256), stream,
                  *call);
}

template <class X, class S>
cudaError_t focal_backward(cudaStream_t stream, const struct focal_backward_call<X, S> *call)
{
    const struct focal_level *v = &call->level;
    const dim3 grid = strips_grid(v), block = dim3(FOCAL_WARPS * WARP);
    if constexpr (X::KNOWN) { /* mixed types are too rare for kernels of their own */
        switch (v->k) {
        case 3:
            return launch(backward_kernel<3, X, S>, grid, block, stream, *call);
        case 5:
            return launch(backward_kernel<5, X, S>, grid, block, stream, *call);
        case 7:
            return launch(backward_kernel<7, X, S>, grid, block, stream, *call);
        case 9:
            return launch(backward_kernel<9, X, S>, grid, block, stream, *call);
        }
    }
    return launch(any_backward_kernel<X, S>,
                  blocks_for((size_t)v->images * v->h * v->w * v->c, 256), dim3(256), stream,
                  *call);
}

#define BOTH(X, S)                                                                                 \
    template cudaError_t focal_forward(cudaStream_t, const struct focal_forward_call<X, S> *);     \
    template cudaError_t focal_backward(cudaStream_t, const struct focal_backward_call<X, S> *);
BOTH(typed_cells<float>, float)
BOTH(typed_cells<__nv_bfloat16>, __nv_bfloat16)
BOTH(typed_cells<__half>, __half)
BOTH(any_cells, float)
#undef BOTH

} // namespace grad
