/* SPDX-License-Identifier: Apache-2.0
 * What the stand-in for cuBLASLt keeps behind its handles. */
#ifndef FAKE_CUDA_CUBLASLT_OBJECTS_H
#define FAKE_CUDA_CUBLASLT_OBJECTS_H

#include "cells.h"
#pragma GCC visibility push(default)
#include "cublasLt.h"
#pragma GCC visibility pop

struct cublasLtContext {
};

struct cublasLtMatrixLayoutOpaque_t {
    cudaDataType type;
    int32_t order, batches;
    uint32_t batch_mode;
    uint64_t rows, cols;
    int64_t ld, stride, plane;
};

struct cublasLtMatmulDescOpaque_t {
    cublasComputeType_t compute;
    cudaDataType_t scale;
    int32_t pointer_mode, a, b, c, fill;
    uint32_t epilogue;
    const void *bias;
    int64_t bias_stride;
    int32_t bias_type;
};

struct cublasLtMatmulPreferenceOpaque_t {
    uint32_t search, reduction, align[4]; /* A, B, C, D */
    uint64_t workspace, implementations;
    float waves;
};

namespace lt
{
extern made<cublasLtContext> handles;
extern made<cublasLtMatrixLayoutOpaque_t> layouts;
extern made<cublasLtMatmulDescOpaque_t> descs;
extern made<cublasLtMatmulPreferenceOpaque_t> preferences;
} // namespace lt

#endif
