/* SPDX-License-Identifier: Apache-2.0
 * Whether the card has an image of this module's kernels: it was compiled for some, and as PTX for
 * later ones. */
#include "model/cuda/kernels.h"
#include "model/cuda/kernels/device.h"

namespace
{

__global__ void nothing()
{
}

} // namespace

cudaError_t cuda_try_image(void)
{
    struct cudaFuncAttributes attributes;
    return cudaFuncGetAttributes(&attributes, nothing);
}
