/* SPDX-License-Identifier: Apache-2.0
 * What the gradient of the focal context is made of. A: cells of an image, C: channels, L: levels,
 * k: a level's kernel size. x is [q | ctx | gates] with C, C, L + 1 channels. Forward, per channel:
 *
 *   z[l] = depthwise(ctx[l]), ctx[l + 1] = gelu(z[l])
 *   y = share (sum of ctx[l + 1] gate[l] + gelu(mean of ctx[L]) gate[L])
 *
 * and back, with d[l] the gradient of z[l]:
 *
 *   d[L - 1] = (share g gate[L - 1] + of_mean) gelu'(z[L - 1])
 *   d[l - 1] = (share g gate[l - 1] + depthwise^T(d[l])) gelu'(z[l - 1])
 *   dctx[0] = depthwise^T(d[0]), dgate[l] = share (sum over channels of g ctx[l + 1])
 *   dkernel[l] = sum over cells of d[l] ctx[l], as the taps meet
 *
 * The forward pass is done again: of each level ctx[l + 1] and gelu'(z[l]) are kept in scratch, and
 * d[l] takes the latter's place. Images go through all of it in groups that stay in the cache.
 *
 * A warp is 32 channels, which lie beside each other; a lane takes a strip of cells of a row, so
 * that a cell it has read serves several taps. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_GRAD_FOCAL_H
#define FOCALD_MODEL_CUDA_KERNELS_GRAD_FOCAL_H

#include "model/cuda/kernels/grad_cells.h"

namespace grad
{

constexpr unsigned STRIP = 8;       /* cells of a row */
constexpr unsigned FOCAL_WARPS = 8; /* of a block */

/* One level, of some images. */
struct focal_level {
    const float *kernel; /* [C][k][k] */
    unsigned images, h, w, c, k;
};

inline unsigned channel_blocks(const struct focal_level *s)
{
    return (s->c + WARP - 1) / WARP;
}

/* Strips of an image lie column by column: warps of a block share rows. */
__host__ __device__ inline unsigned strips_of(const struct focal_level *s)
{
    return (s->w + STRIP - 1) / STRIP * s->h;
}

/* to: [parts][k k][C] += what images add to the kernel's gradient, or = of the first ones. */
template <class In, class S> struct focal_weights_call {
    struct focal_level level;
    In ctx; /* channels from `from` on */
    unsigned from;
    typed_cells<S> d;
    float *to;
    unsigned parts;
    bool first;
};

/* Of groups of so many images or less. */
unsigned focal_weights_parts(const struct focal_level *level);
template <class In, class S>
cudaError_t focal_weights_add(cudaStream_t stream, const struct focal_weights_call<In, S> *call);
/* to: [C][k][k] */
cudaError_t focal_weights_finish(cudaStream_t stream, const float *from, unsigned parts, unsigned c,
                                 unsigned k, float *to);

} // namespace grad

#endif
