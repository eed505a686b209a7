/* SPDX-License-Identifier: Apache-2.0
 * The kernels of the backward pass, which cuda_kernel_of and cuda_kernel_scratch also give. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_GRAD_H
#define FOCALD_MODEL_CUDA_KERNELS_GRAD_H

#include "model/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* NULL: none of the backward pass's. */
cuda_kernel cuda_grad_kernel_of(enum graph_op op);
size_t cuda_grad_kernel_scratch(const struct cuda_call *call);

#ifdef __cplusplus
}
#endif

#endif
