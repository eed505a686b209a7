/* SPDX-License-Identifier: Apache-2.0
 * One level of the focal context, forward and back: a depthwise convolution and what follows it. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_GRAD_FOCAL_LEVELS_H
#define FOCALD_MODEL_CUDA_KERNELS_GRAD_FOCAL_LEVELS_H

#include "model/cuda/kernels/grad_focal.h"

namespace grad
{

/* next: gelu(z), slope: gelu'(z), z = depthwise(ctx) */
template <class In, class S> struct focal_forward_call {
    struct focal_level level;
    In ctx; /* channels from `from` on */
    unsigned from;
    typed_cells<S> next, slope;
};
template <class In, class S>
cudaError_t focal_forward(cudaStream_t stream, const struct focal_forward_call<In, S> *call);

/* before: what was gelu'(z) of the level before becomes its d = (share g gate + depthwise^T(d))
 * gelu'(z); before.data NULL: to = depthwise^T(d). */
template <class X, class S> struct focal_backward_call {
    struct focal_level level;
    typed_cells<S> d, before;
    X g, x, to; /* to: channels from C on */
    unsigned gate;
    float share;
};
template <class X, class S>
cudaError_t focal_backward(cudaStream_t stream, const struct focal_backward_call<X, S> *call);

} // namespace grad

#endif
