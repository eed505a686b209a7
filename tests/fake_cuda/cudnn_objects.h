/* SPDX-License-Identifier: Apache-2.0
 * What the stand-in for cuDNN keeps behind its handles. */
#ifndef FAKE_CUDA_CUDNN_OBJECTS_H
#define FAKE_CUDA_CUDNN_OBJECTS_H

#include "cells.h"
#pragma GCC visibility push(default)
#include "cudnn.h"
#pragma GCC visibility pop

struct cudnnContext {
    cudaStream_t stream;
};

struct cudnnTensorStruct {
    bool set;
    cudnnTensorFormat_t format;
    cudnnDataType_t type;
    int n, c, h, w;
};

struct cudnnFilterStruct {
    bool set;
    cudnnTensorFormat_t format;
    cudnnDataType_t type;
    int k, c, h, w;
};

struct cudnnConvolutionStruct {
    bool set;
    int pad[2], stride[2], dilation[2];
    cudnnConvolutionMode_t mode;
    cudnnDataType_t compute;
    cudnnMathType_t math;
    int groups = 1;
};

struct cudnnActivationStruct {
    bool set;
    cudnnActivationMode_t mode;
    cudnnNanPropagation_t nan;
};

namespace dnn
{
extern made<cudnnContext> handles;
extern made<cudnnTensorStruct> tensors;
extern made<cudnnFilterStruct> filters;
extern made<cudnnConvolutionStruct> convolutions;
extern made<cudnnActivationStruct> activations;
} // namespace dnn

#endif
