/* SPDX-License-Identifier: Apache-2.0
 * The exact GELU. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_GELU_H
#define FOCALD_MODEL_CUDA_KERNELS_GELU_H

#include "model/cuda/kernels/device.h"

/* x / 2 (1 + erf(x / sqrt 2)) */
__device__ inline float gelu(float x)
{
    return 0.5f * x * (1 + erff(x * 0.70710678f));
}

#endif
