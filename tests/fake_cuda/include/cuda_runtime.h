/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for CUDA's header of this name: what kernels are written in, as host C++17. The runtime
 * beside it runs every thread of every block; kernels are compiled with -fsanitize=thread, whose
 * calls it answers with its own checks (checks.cpp). */
#ifndef FAKE_CUDA_RUNTIME_H
#define FAKE_CUDA_RUNTIME_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>
#include <utility>

#include "cuda_runtime_api.h"
#include "library_types.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
/* One for all blocks: they run one after the other, and each must write before it reads. */
#define __shared__ static

#pragma GCC visibility push(default)
/* Constant as long as a thread runs; the runtime sets them before it goes on with a thread. */
extern "C" const uint3 threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;

enum fake_warp_op {
    FAKE_SYNCWARP,
    FAKE_SHFL,
    FAKE_SHFL_UP,
    FAKE_SHFL_DOWN,
    FAKE_SHFL_XOR,
    FAKE_BALLOT
};
extern "C" {
void __syncthreads(void);
void __threadfence_block(void);
void __threadfence(void);
/* The calling lane's part in an operation of all lanes in mask. */
uint64_t fake_warp(enum fake_warp_op op, unsigned mask, uint64_t value, unsigned lane, int width);
cudaError_t fake_launch(const cudaLaunchConfig_t *config, const void *kernel,
                        void (*run)(const void *packet), const void *packet, size_t bytes);
}
#pragma GCC visibility pop

inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    fake_warp(FAKE_SYNCWARP, mask, 0, 0, warpSize);
}

template <class T>
inline T fake_shuffle(enum fake_warp_op op, unsigned mask, T x, unsigned lane, int width)
{
    static_assert(std::is_arithmetic<T>::value && sizeof x <= 8, "what CUDA shuffles");
    uint64_t bits = 0;
    memcpy(&bits, &x, sizeof x);
    bits = fake_warp(op, mask, bits, lane, width);
    memcpy(&x, &bits, sizeof x);
    return x;
}
template <class T> inline T __shfl_sync(unsigned mask, T x, int lane, int width = warpSize)
{
    return fake_shuffle(FAKE_SHFL, mask, x, (unsigned)lane, width);
}
template <class T> inline T __shfl_up_sync(unsigned mask, T x, unsigned delta, int width = warpSize)
{
    return fake_shuffle(FAKE_SHFL_UP, mask, x, delta, width);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T x, unsigned delta, int width = warpSize)
{
    return fake_shuffle(FAKE_SHFL_DOWN, mask, x, delta, width);
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T x, int lanes, int width = warpSize)
{
    return fake_shuffle(FAKE_SHFL_XOR, mask, x, (unsigned)lanes, width);
}
inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    return (unsigned)fake_warp(FAKE_BALLOT, mask, predicate != 0, 0, warpSize);
}
inline int __any_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, !predicate) == 0;
}

/* The arguments of a launch, as they are when it is enqueued. */
template <size_t I, class T> struct fake_argument {
    T value;
};
template <class Indices, class... P> struct fake_packet;
template <size_t... I, class... P>
struct fake_packet<std::index_sequence<I...>, P...> : fake_argument<I, P>... {
    void (*kernel)(P...);

    fake_packet(void (*kernel_)(P...), P... p) : fake_argument<I, P>{p}..., kernel(kernel_)
    {
    }
    __attribute__((no_sanitize("thread"))) static void run(const void *packet)
    {
        const fake_packet *self = (const fake_packet *)packet;
        self->kernel(static_cast<const fake_argument<I, P> *>(self)->value...);
    }
};

template <class... P, class... A>
inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...),
                                      A &&...args)
{
    static_assert((std::is_trivially_copyable<P>::value && ...), "arguments are copied as bytes");
    using packet = fake_packet<std::index_sequence_for<P...>, P...>;
    packet p(kernel, static_cast<P>(args)...);
    return fake_launch(config, (const void *)kernel, packet::run, &p, sizeof p);
}

template <class T> inline cudaError_t cudaMalloc(T **devPtr, size_t size)
{
    return cudaMalloc((void **)(void *)devPtr, size);
}
template <class T> inline cudaError_t cudaMallocHost(T **ptr, size_t size)
{
    return cudaMallocHost((void **)(void *)ptr, size);
}
template <class... P>
inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attr, void (*kernel)(P...))
{
    return cudaFuncGetAttributes(attr, (const void *)kernel);
}

#include "device_functions.h"

#endif
