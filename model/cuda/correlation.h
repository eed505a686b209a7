/* SPDX-License-Identifier: Apache-2.0
 * One convolution by cuDNN, in any of its three directions: a window of taps of a large image lies
 * over each cell of a small one. Descriptors and algorithm are chosen once. */
#ifndef FOCALD_MODEL_CUDA_CORRELATION_H
#define FOCALD_MODEL_CUDA_CORRELATION_H

#include "model/cuda/cuda.h"

enum cuda_direction { CUDA_TO_SMALL, CUDA_TO_LARGE, CUDA_TO_KERNEL };

struct cuda_correlation_spec {
    enum cuda_direction direction;
    struct tensor_shape large, small; /* dense */
    int kernel[2], stride[2], pad;
    enum cell_type type; /* of all three */
    bool exact;          /* float32: no product of fewer bits */
    bool bias;           /* TO_SMALL: [small.c] of the same type is added, if it can be */
    bool depthwise;      /* each channel by itself: the kernel is [c][kh][kw] */
};

struct cuda_correlation;

/* 1: it is depth-wise, and cuDNN has no way of computing it with channels last. */
int cuda_correlation_create(struct cuda_correlation **ret, struct backend *backend,
                            const struct cuda_correlation_spec *spec, struct error *error);
void cuda_correlation_destroy(struct cuda_correlation *correlation); /* takes NULL */
size_t cuda_correlation_workspace(const struct cuda_correlation *correlation);
/* The images are [n][c][h][w] and the kernel is [small c][large c][kh][kw]: cuDNN knows no other
 * way of computing it. Else [n][h][w][c] and [small c][kh][kw][large c]. */
bool cuda_correlation_planar(const struct cuda_correlation *correlation);

struct cuda_correlation_places {
    void *large, *small, *kernel; /* the direction's is written */
    const void *bias;
    void *workspace;
    bool add; /* to what is there instead of in its place */
};
/* Enqueues. ret_biased: the bias was added. 1: it is depth-wise, and cuDNN refuses it after all. */
int cuda_correlation_run(struct cuda_correlation *correlation,
                         const struct cuda_correlation_places *places, bool *ret_biased,
                         struct error *error);

#endif
