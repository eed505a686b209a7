/* SPDX-License-Identifier: Apache-2.0
 * Sums over rows, of each column, in an order that the shapes alone decide. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_SUMS_H
#define FOCALD_MODEL_CUDA_KERNELS_SUMS_H

#include "model/cuda/kernels/cells.h"

/* [groups][rows][cols] -> [groups][cols] */
struct sums_shape {
    size_t groups, rows, cols;
};

/* Of x, whose rows are x.stride apart, divided by a number. */
cudaError_t sums_over_rows(cudaStream_t stream, const any_cells &to, const any_cells &x,
                           const sums_shape &shape, float divisor, float *scratch);
size_t sums_scratch(const sums_shape &shape); /* floats */

/* The last step alone: partial: [groups][rows][cols], few rows. */
cudaError_t sums_finish(cudaStream_t stream, const any_cells &to, const float *partial,
                        const sums_shape &shape, float divisor, bool then_gelu);

#endif
