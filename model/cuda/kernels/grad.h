/* SPDX-License-Identifier: Apache-2.0
 * The kernels of the backward pass, as the table of all kernels asks for them. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_GRAD_H
#define FOCALD_MODEL_CUDA_KERNELS_GRAD_H

#include "model/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

cuda_kernel cuda_grad_kernel_of(enum graph_op op);
size_t cuda_grad_kernel_scratch(const struct cuda_call *call);

#ifdef __cplusplus
}
#endif

#endif
