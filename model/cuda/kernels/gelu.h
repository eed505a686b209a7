/* SPDX-License-Identifier: Apache-2.0
 * The exact GELU, and its slope. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_GELU_H
#define FOCALD_MODEL_CUDA_KERNELS_GELU_H

#include "model/cuda/kernels/device.h"

/* Phi(x) = (1 + erf(x / sqrt 2)) / 2 */
__device__ inline float gelu_below(float x)
{
    return 0.5f * (1 + erff(x * 0.70710678f));
}

/* x Phi(x) */
__device__ inline float gelu(float x)
{
    return x * gelu_below(x);
}

/* Its derivative, Phi(x) + x phi(x) */
__device__ inline float gelu_slope(float x)
{
    return gelu_below(x) + x * expf(-0.5f * x * x) * 0.39894228f;
}

#endif
