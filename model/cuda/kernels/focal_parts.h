/* SPDX-License-Identifier: Apache-2.0
 * What stands around the depth-wise convolutions of a focal context and of its gradient where cuDNN
 * computes them; focal.cu and grad_focal.h tell what they are parts of. What is in between lies
 * dense float32, contexts and slopes of all levels as [L] of [images][A][C], level_cells apart; but
 * contexts, slopes and their gradients are rounded to x's type as our own kernels keep them, so
 * that both ways give the same but for the order of sums. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_FOCAL_PARTS_H
#define FOCALD_MODEL_CUDA_KERNELS_FOCAL_PARTS_H

#include "model/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ctx: of all levels -> the call's result. scratch: of cuda_focal_finish_scratch bytes. */
cudaError_t cuda_focal_finish(const struct cuda_call *call, const float *ctx, size_t level_cells,
                              void *scratch);
size_t cuda_focal_finish_scratch(const struct cuda_call *call);

/* Some images of a gradient's call. to: x's gradient, its data NULL where that is not wanted. */
struct cuda_focal_images {
    size_t first;
    unsigned n;
    struct cuda_tensor to;
    float *ctx, *slope; /* of all levels */
    size_t level_cells;
    float *means; /* [n][2][C] */
};

/* A level's z, in ctx -> gelu(z); or, with a slope, z in slope -> ctx: gelu(z), slope: gelu'(z).
 * type: what both are rounded to. */
cudaError_t cuda_focal_activate(cudaStream_t stream, float *ctx, float *slope, enum cell_type type,
                                size_t cells);
/* Gradients of gates and q, and the last level's d in place of gelu'(z). */
cudaError_t cuda_focal_gates(const struct cuda_call *call, const struct cuda_focal_images *images);
/* dctx: depthwise^T(d) of a level -> the d of the level before in place of its gelu'(z); of the
 * first level: x's gradient. */
cudaError_t cuda_focal_before(const struct cuda_call *call, const struct cuda_focal_images *images,
                              unsigned level, const float *dctx);

#ifdef __cplusplus
}
#endif

#endif
