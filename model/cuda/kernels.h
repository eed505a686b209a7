/* SPDX-License-Identifier: Apache-2.0
 * The operators that are kernels of our own, as host functions that enqueue them. Every operator of
 * graph.h that neither cuBLASLt nor cuDNN computes has one; ref/ says what each gives.
 *
 * Sums are in float32, in an order that the shapes alone decide: the same inputs give the same
 * bits. No kernel uses atomics, dynamic shared memory or local arrays. */
#ifndef FOCALD_MODEL_CUDA_KERNELS_H
#define FOCALD_MODEL_CUDA_KERNELS_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "model/backend.h"

/* A value in the device's memory: n h w positions, `stride` cells apart, of c cells each. */
struct cuda_tensor {
    void *data; /* NULL: there is none */
    enum cell_type type;
    struct tensor_shape shape;
    size_t stride;
};

struct cuda_call {
    cudaStream_t stream;
    const struct graph_node *node;            /* attributes */
    const struct graph_weight *weight_shapes; /* of the graph: node->weights index them */
    struct cuda_tensor in[GRAPH_MAX_INPUTS], residual, out, weights_out;
    const float *weights[GRAPH_MAX_NODE_WEIGHTS]; /* in the device's memory, as published */
    void *scratch;                                /* of cuda_kernel_scratch bytes */
};

/* Enqueues; gives what the launch gave. Any mix of cell types is taken. */
typedef cudaError_t (*cuda_kernel)(const struct cuda_call *call);

/* NULL: no kernel's operator. */
cuda_kernel cuda_kernel_of(enum graph_op op);
/* Bytes that the call wants in scratch; only node and the tensors' shapes and types are read. */
size_t cuda_kernel_scratch(const struct cuda_call *call);

/* What the backend needs beside operators. */

/* Takes the card. cudaErrorNoKernelImageForDevice where the module was not compiled for it. */
cudaError_t cuda_try_image(void);

/* softmax(scale x) of each row of dense [rows][cols]. to may be `from` where the types are one. */
cudaError_t cuda_softmax(cudaStream_t stream, void *to, enum cell_type to_type, const void *from,
                         enum cell_type from_type, float scale, size_t rows, size_t cols);
/* The gradient of x, from y = softmax(scale x) and its gradient g, both of `type`, dense:
 * scale y (g - sum(y g)). to may be y or g where the types are one. */
cudaError_t cuda_softmax_grad(cudaStream_t stream, void *to, enum cell_type to_type, const void *y,
                              const void *g, enum cell_type type, float scale, size_t rows,
                              size_t cols);

/* [cells] of one type into another; may be the same type. */
cudaError_t cuda_convert(cudaStream_t stream, void *to, enum cell_type to_type, const void *from,
                         enum cell_type from_type, size_t cells);
/* Row r of matrix [rows][cols] times scale[r] (NULL: 1), converted: a linear layer's weights with
 * the layer scale folded in. */
cudaError_t cuda_scale_rows(cudaStream_t stream, void *to, enum cell_type to_type,
                            const float *from, const float *scale, size_t rows, size_t cols);
/* [a][b][c] -> [a][c][b], converted: kernels of convolutions between their layouts. */
cudaError_t cuda_transpose(cudaStream_t stream, void *to, enum cell_type to_type, const void *from,
                           enum cell_type from_type, size_t a, size_t b, size_t c);
/* Exact GELU of dense [cells], in place: behind a product whose library has only the approximation
 * by tanh. */
cudaError_t cuda_gelu_in_place(cudaStream_t stream, void *x, enum cell_type type, size_t cells);
/* Sums over rows of x: [rows][cols], `stride` cells apart, -> [cols] float32. scratch: of
 * cuda_column_sums_scratch bytes. */
cudaError_t cuda_column_sums(cudaStream_t stream, float *to, const void *x, enum cell_type type,
                             size_t rows, size_t cols, size_t stride, void *scratch);
size_t cuda_column_sums_scratch(size_t rows, size_t cols);

/* 1 / sqrt(variance + eps) of each: [c]. */
cudaError_t cuda_inverse_deviations(cudaStream_t stream, float *to, const float *variance,
                                    float eps, size_t c);

/* [cells] between -1 and 1, by a seed: what a product is timed on. */
cudaError_t cuda_noise(cudaStream_t stream, void *to, enum cell_type type, size_t cells,
                       unsigned seed);

/* Of backend_training. */
cudaError_t cuda_mix(cudaStream_t stream, float *to, const float *from, size_t n, float keep,
                     float take);
cudaError_t cuda_squares(cudaStream_t stream, const float *x, const struct backend_span *spans,
                         size_t n, float *parts, double *sum);
cudaError_t cuda_adam(cudaStream_t stream, const struct backend_adam *factors,
                      const struct backend_span *spans, size_t n, float *w, const float *gradient,
                      float *m, float *v);

#ifdef __cplusplus
}
#endif

#endif
