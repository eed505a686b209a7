/* SPDX-License-Identifier: Apache-2.0
 * What stands around the vendor's libraries: inputs and kernels of convolutions in the order they
 * want, biases behind them. Enqueued; each gives what the launch gave. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_CONVOLUTION_H
#define FOCALD_MODEL_CUDA_KERNELS_CONVOLUTION_H

#include <cuda_runtime_api.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "model/backend.h"

/* Rows of `cols` cells, `stride` cells apart, -> [rows][cols], converted. */
cudaError_t cuda_dense_rows(cudaStream_t stream, void *to, enum cell_type to_type, const void *from,
                            enum cell_type from_type, size_t rows, size_t cols, size_t stride);
/* [rows][cols] + bias [cols] (NULL: none), then ReLU if so, converted; to may be from if the types
 * are the same. */
cudaError_t cuda_add_bias(cudaStream_t stream, void *to, enum cell_type to_type, const void *from,
                          enum cell_type from_type, const float *bias, bool relu, size_t rows,
                          size_t cols);
/* [a][b][c] -> [a][c], sums over b in its order, converted: the kernel of a convolution for one
 * plane that stands for all b. */
cudaError_t cuda_sum_planes(cudaStream_t stream, void *to, enum cell_type to_type,
                            const float *from, size_t a, size_t b, size_t c);
/* [a][c] -> [a][b][c]: the gradient of such a kernel. */
cudaError_t cuda_repeat_planes(cudaStream_t stream, float *to, const float *from, size_t a,
                               size_t b, size_t c);

#ifdef __cplusplus
}
#endif

#endif
