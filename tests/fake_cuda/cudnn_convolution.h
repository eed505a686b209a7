/* SPDX-License-Identifier: Apache-2.0
 * A convolution in one of its three directions. x: large, w: kernel, y: small.
 *
 * With groups, the channels of x and of y are cut into as many parts: a part of y is made of the
 * same part of x alone, so that the kernel has but a part's channels of x. */
#ifndef FAKE_CUDA_CUDNN_CONVOLUTION_H
#define FAKE_CUDA_CUDNN_CONVOLUTION_H

#include "cudnn_objects.h"

namespace dnn
{
struct problem {
    cudnnTensorStruct x, y;
    cudnnFilterStruct w;
    cudnnConvolutionStruct conv;
};

enum direction { FORWARD, DATA, FILTER };

struct operands {
    problem p;
    direction way;
    float alpha, beta;
    char *x, *w, *y, *workspace;
    size_t workspace_bytes;
    /* with a bias: y = act(alpha conv + beta z + bias) */
    bool fused, relu;
    const char *z, *bias;
};

/* In device work. Products are summed in float32. */
cudaError_t run_convolution(const operands &o);
} // namespace dnn

#endif
