/* SPDX-License-Identifier: Apache-2.0
 * The operators of the forward pass, one function each, for the table of all kernels. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_FORWARD_H
#define FOCALD_MODEL_CUDA_KERNELS_FORWARD_H

#include "model/cuda/kernels.h"

cudaError_t cuda_layer_norm(const struct cuda_call *call);
cudaError_t cuda_gelu(const struct cuda_call *call);
cudaError_t cuda_relu(const struct cuda_call *call);
cudaError_t cuda_sigmoid(const struct cuda_call *call);
cudaError_t cuda_mul(const struct cuda_call *call);
cudaError_t cuda_add(const struct cuda_call *call);
cudaError_t cuda_sample_scale(const struct cuda_call *call);
cudaError_t cuda_straight_through(const struct cuda_call *call);
cudaError_t cuda_channel_scale(const struct cuda_call *call);
cudaError_t cuda_mean(const struct cuda_call *call);
cudaError_t cuda_channel_l2(const struct cuda_call *call);
cudaError_t cuda_cosine(const struct cuda_call *call);
cudaError_t cuda_focal_context(const struct cuda_call *call);
cudaError_t cuda_resize(const struct cuda_call *call);
cudaError_t cuda_pad(const struct cuda_call *call);
cudaError_t cuda_tokens(const struct cuda_call *call);
cudaError_t cuda_grid(const struct cuda_call *call);
cudaError_t cuda_cls_attention(const struct cuda_call *call);
cudaError_t cuda_attention_map(const struct cuda_call *call);
cudaError_t cuda_nearest(const struct cuda_call *call);
cudaError_t cuda_lookup(const struct cuda_call *call);

/* Bytes of scratch. */
size_t cuda_mean_scratch(const struct cuda_call *call);
size_t cuda_focal_context_scratch(const struct cuda_call *call);
size_t cuda_cls_attention_scratch(const struct cuda_call *call);

#endif
