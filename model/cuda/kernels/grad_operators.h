/* SPDX-License-Identifier: Apache-2.0
 * What each file of the backward pass has for the table in grad.cpp. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_GRAD_OPERATORS_H
#define FOCALD_MODEL_CUDA_KERNELS_GRAD_OPERATORS_H

#include "model/cuda/kernels.h"

namespace grad
{

cudaError_t gelu(const struct cuda_call *call);
cudaError_t relu(const struct cuda_call *call);
cudaError_t sigmoid(const struct cuda_call *call);

cudaError_t slice(const struct cuda_call *call);
cudaError_t mean(const struct cuda_call *call);
cudaError_t channel_l2(const struct cuda_call *call);
cudaError_t resize(const struct cuda_call *call);
cudaError_t grid(const struct cuda_call *call);
cudaError_t attention_map(const struct cuda_call *call);

cudaError_t layer_norm(const struct cuda_call *call);
cudaError_t layer_norm_weights(const struct cuda_call *call);
size_t layer_norm_scratch(const struct cuda_call *call);

/* By running statistics. */
cudaError_t batch_norm(const struct cuda_call *call);
cudaError_t batch_norm_weights(const struct cuda_call *call);
size_t batch_norm_weights_scratch(const struct cuda_call *call);

cudaError_t channel_scale_weights(const struct cuda_call *call);
size_t channel_scale_weights_scratch(const struct cuda_call *call);

cudaError_t cosine(const struct cuda_call *call);
cudaError_t cosine_weights(const struct cuda_call *call);
size_t cosine_scratch(const struct cuda_call *call);

cudaError_t focal(const struct cuda_call *call);
cudaError_t focal_weights(const struct cuda_call *call);
size_t focal_scratch(const struct cuda_call *call);

cudaError_t tokens_weights(const struct cuda_call *call);
cudaError_t lookup_weights(const struct cuda_call *call);
cudaError_t cls_attention(const struct cuda_call *call);
size_t cls_attention_scratch(const struct cuda_call *call);

} // namespace grad

#endif
