/* SPDX-License-Identifier: Apache-2.0
 * Focal contexts and their gradients, in one of two ways: kernels of our own that do a level at
 * once, or cuDNN's depth-wise convolutions with small kernels around them (focal_library.c). */
#ifndef FOCALD_MODEL_CUDA_FOCAL_H
#define FOCALD_MODEL_CUDA_FOCAL_H

#include "model/cuda/cuda.h"

/* cuDNN's way. */
struct cuda_focal_library;

/* 1: cuDNN has none for this. */
int cuda_focal_library_create(struct cuda_focal_library **ret, struct cuda_step *step,
                              struct error *error);
void cuda_focal_library_destroy(struct cuda_focal_library *library); /* takes NULL */
size_t cuda_focal_library_scratch(const struct cuda_focal_library *library);
/* Enqueues the step, which is bound. 1: cuDNN refuses what it said it could do. */
int cuda_focal_library_run(struct cuda_focal_library *library, struct cuda_step *step,
                           struct error *error);

/* The way of our own. */
int cuda_focal_kernels_run(struct cuda_step *step, struct error *error);

/* Whether cuDNN's way is taken, by what the backend was opened with; tried or measured on memory of
 * its own, once for all steps alike. 1: it is, 0: it is not. */
int cuda_focal_choose(struct cuda_step *step, struct cuda_focal_library *library,
                      struct error *error);

#endif
