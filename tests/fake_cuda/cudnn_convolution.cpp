/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for cuDNN, to its documentation: convolutions, and which algorithms there are for each.
 */
#include <functional>
#include <vector>

#include "cudnn_convolution.h"
#include "internal.h"

using namespace dnn;

/* 0: the window does not fit */
static int small_size(const problem &p, int i, int large, int taps)
{
    const int room = large + 2 * p.conv.pad[i] - (1 + (taps - 1) * p.conv.dilation[i]);
    return room < 0 ? 0 : 1 + room / p.conv.stride[i];
}

static cudnnStatus_t find(problem *ret, cudnnHandle_t handle, cudnnTensorDescriptor_t x,
                          cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t conv,
                          cudnnTensorDescriptor_t y)
{
    if (!handles.has(handle) || !tensors.has(x) || !filters.has(w) || !convolutions.has(conv) ||
        !tensors.has(y))
        return CUDNN_STATUS_BAD_PARAM;
    if (!x->set || !w->set || !conv->set || !y->set)
        return CUDNN_STATUS_BAD_PARAM;
    *ret = {*x, *y, *w, *conv};
    if (x->n != y->n || (size_t)x->c != (size_t)w->c * (size_t)conv->groups ||
        w->k % conv->groups != 0 || y->c != w->k || x->type != w->type || y->type != w->type ||
        y->h != small_size(*ret, 0, x->h, w->h) || y->w != small_size(*ret, 1, x->w, w->w))
        return CUDNN_STATUS_BAD_PARAM;
    /* FLOAT_CONFIG, PSEUDO_HALF_CONFIG, PSEUDO_BFLOAT16_CONFIG */
    if ((x->type != CUDNN_DATA_FLOAT && x->type != CUDNN_DATA_HALF &&
         x->type != CUDNN_DATA_BFLOAT16) ||
        conv->compute != CUDNN_DATA_FLOAT)
        return CUDNN_STATUS_NOT_SUPPORTED;
    if (x->format != w->format || y->format != w->format ||
        (x->format == CUDNN_TENSOR_NHWC && (conv->dilation[0] > 1 || conv->dilation[1] > 1)))
        return CUDNN_STATUS_NOT_SUPPORTED;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t c, int groupCount)
{
    if (fake_fails("cudnnSetConvolutionGroupCount") || !convolutions.has(c) || groupCount < 1)
        return CUDNN_STATUS_BAD_PARAM;
    c->groups = groupCount;
    return CUDNN_STATUS_SUCCESS;
}

/* Algorithms */

static size_t kernel_cells(const problem &p)
{
    return (size_t)p.w.k * (size_t)p.w.c * (size_t)p.w.h * (size_t)p.w.w;
}

static size_t small_positions(const problem &p)
{
    return (size_t)p.y.n * (size_t)p.y.h * (size_t)p.y.w;
}

static bool deterministic(direction way, int algo)
{
    return way == FORWARD || (way == DATA ? algo != CUDNN_CONVOLUTION_BWD_DATA_ALGO_0
                                          : algo != CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 &&
                                                algo != CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3);
}

static bool groups_have(direction way, int algo)
{
    const std::string groups = setting("CUDNN_GROUPS");
    return groups != "none" && !(groups == "any" && way != FORWARD && deterministic(way, algo));
}

/* Whether there is the algorithm for this, and its workspace. Channels last have fewer. With
 * CUDNN_LAYOUT=planar they have none, with CUDNN_GROUPS=none groups have none, and with
 * CUDNN_GROUPS=any none that gives the same bits every time. */
static bool workspace_of(const problem &p, direction way, int algo, size_t *ret)
{
    const bool last = p.x.format == CUDNN_TENSOR_NHWC;
    const size_t patches =
        small_positions(p) * (size_t)p.w.c * (size_t)p.w.h * (size_t)p.w.w * sizeof(float);
    *ret = 0;
    if (last && setting("CUDNN_LAYOUT") == "planar")
        return false;
    if (p.conv.groups > 1 && !groups_have(way, algo))
        return false;
    switch (way) {
    case FORWARD:
        if (algo == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM)
            *ret = small_positions(p) * sizeof(int32_t);
        else if (algo == CUDNN_CONVOLUTION_FWD_ALGO_GEMM && !last)
            *ret = patches;
        else
            return algo == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM;
        return true;
    case DATA:
        *ret = algo == CUDNN_CONVOLUTION_BWD_DATA_ALGO_1 ? kernel_cells(p) * sizeof(float) : 0;
        return algo == CUDNN_CONVOLUTION_BWD_DATA_ALGO_0 ||
               algo == CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
    default:
        *ret = algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1   ? 2 * kernel_cells(p) * sizeof(float)
               : algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3 ? patches
                                                             : 0;
        return algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 ||
               algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1 ||
               (algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3 && !last);
    }
}

/* What each may be run in: the descriptor's wish first. */
static std::vector<cudnnMathType_t> maths_of(const problem &p)
{
    if (p.conv.math == CUDNN_FMA_MATH)
        return {CUDNN_FMA_MATH};
    if (p.x.type != CUDNN_DATA_FLOAT)
        return {CUDNN_TENSOR_OP_MATH, CUDNN_DEFAULT_MATH};
    if (p.conv.math == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION)
        return {CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION, CUDNN_DEFAULT_MATH};
    return {CUDNN_DEFAULT_MATH};
}

/* Fast ones first, then those that are not for this, with that as their status. */
template <class Perf, class Algo>
static cudnnStatus_t list(const problem &p, direction way, const std::vector<Algo> &fastest_first,
                          int requested, int *returned, Perf *results)
{
    if (requested < 1 || !returned || !results)
        return CUDNN_STATUS_BAD_PARAM;
    std::vector<Perf> all;
    float time = 0;
    for (bool wanted : {true, false})
        for (Algo algo : fastest_first)
            for (cudnnMathType_t math : maths_of(p)) {
                size_t workspace;
                if (workspace_of(p, way, algo, &workspace) != wanted)
                    continue;
                Perf perf = {};
                perf.algo = algo;
                perf.status = wanted ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
                perf.time = wanted ? (time += 1) : -1;
                perf.memory = workspace;
                perf.determinism =
                    deterministic(way, algo) ? CUDNN_DETERMINISTIC : CUDNN_NON_DETERMINISTIC;
                perf.mathType = math;
                all.push_back(perf);
            }
    *returned = 0;
    for (const Perf &perf : all)
        if (*returned < requested)
            results[(*returned)++] = perf;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t srcDesc,
    const cudnnFilterDescriptor_t filterDesc, const cudnnConvolutionDescriptor_t convDesc,
    const cudnnTensorDescriptor_t destDesc, const int requestedAlgoCount, int *returnedAlgoCount,
    cudnnConvolutionFwdAlgoPerf_t *perfResults)
{
    problem p;
    if (fake_fails("cudnnGetConvolutionForwardAlgorithm_v7"))
        return CUDNN_STATUS_INTERNAL_ERROR;
    cudnnStatus_t status = find(&p, handle, srcDesc, filterDesc, convDesc, destDesc);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    const std::vector<cudnnConvolutionFwdAlgo_t> algorithms = {
        CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, CUDNN_CONVOLUTION_FWD_ALGO_GEMM,
        CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, CUDNN_CONVOLUTION_FWD_ALGO_DIRECT,
        CUDNN_CONVOLUTION_FWD_ALGO_FFT};
    return list(p, FORWARD, algorithms, requestedAlgoCount, returnedAlgoCount, perfResults);
}

cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t filterDesc,
    const cudnnTensorDescriptor_t diffDesc, const cudnnConvolutionDescriptor_t convDesc,
    const cudnnTensorDescriptor_t gradDesc, const int requestedAlgoCount, int *returnedAlgoCount,
    cudnnConvolutionBwdDataAlgoPerf_t *perfResults)
{
    problem p;
    if (fake_fails("cudnnGetConvolutionBackwardDataAlgorithm_v7"))
        return CUDNN_STATUS_INTERNAL_ERROR;
    cudnnStatus_t status = find(&p, handle, gradDesc, filterDesc, convDesc, diffDesc);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    const std::vector<cudnnConvolutionBwdDataAlgo_t> algorithms = {
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT};
    return list(p, DATA, algorithms, requestedAlgoCount, returnedAlgoCount, perfResults);
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t srcDesc,
    const cudnnTensorDescriptor_t diffDesc, const cudnnConvolutionDescriptor_t convDesc,
    const cudnnFilterDescriptor_t gradDesc, const int requestedAlgoCount, int *returnedAlgoCount,
    cudnnConvolutionBwdFilterAlgoPerf_t *perfResults)
{
    problem p;
    if (fake_fails("cudnnGetConvolutionBackwardFilterAlgorithm_v7"))
        return CUDNN_STATUS_INTERNAL_ERROR;
    cudnnStatus_t status = find(&p, handle, srcDesc, gradDesc, convDesc, diffDesc);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    const std::vector<cudnnConvolutionBwdFilterAlgo_t> algorithms = {
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT};
    return list(p, FILTER, algorithms, requestedAlgoCount, returnedAlgoCount, perfResults);
}

static cudnnStatus_t size_of(const char *call, direction way, cudnnHandle_t handle,
                             cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                             cudnnConvolutionDescriptor_t conv, cudnnTensorDescriptor_t y, int algo,
                             size_t *ret)
{
    problem p;
    if (fake_fails(call))
        return CUDNN_STATUS_INTERNAL_ERROR;
    cudnnStatus_t status = find(&p, handle, x, w, conv, y);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!ret)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    return workspace_of(p, way, algo, ret) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t xDesc, const cudnnFilterDescriptor_t wDesc,
    const cudnnConvolutionDescriptor_t convDesc, const cudnnTensorDescriptor_t yDesc,
    cudnnConvolutionFwdAlgo_t algo, size_t *sizeInBytes)
{
    return size_of("cudnnGetConvolutionForwardWorkspaceSize", FORWARD, handle, xDesc, wDesc,
                   convDesc, yDesc, algo, sizeInBytes);
}

cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t wDesc, const cudnnTensorDescriptor_t dyDesc,
    const cudnnConvolutionDescriptor_t convDesc, const cudnnTensorDescriptor_t dxDesc,
    cudnnConvolutionBwdDataAlgo_t algo, size_t *sizeInBytes)
{
    return size_of("cudnnGetConvolutionBackwardDataWorkspaceSize", DATA, handle, dxDesc, wDesc,
                   convDesc, dyDesc, algo, sizeInBytes);
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t xDesc, const cudnnTensorDescriptor_t dyDesc,
    const cudnnConvolutionDescriptor_t convDesc, const cudnnFilterDescriptor_t gradDesc,
    cudnnConvolutionBwdFilterAlgo_t algo, size_t *sizeInBytes)
{
    return size_of("cudnnGetConvolutionBackwardFilterWorkspaceSize", FILTER, handle, xDesc,
                   gradDesc, convDesc, dyDesc, algo, sizeInBytes);
}

/* What all directions check, and then the work. */
static cudnnStatus_t enqueue(operands o, const char *name, cudnnHandle_t handle, int algo,
                             void *workspace, size_t workspace_bytes)
{
    if (!o.x || !o.w || !o.y)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (!workspace_of(o.p, o.way, algo, &o.workspace_bytes) ||
        (o.p.conv.groups > 1 && setting("CUDNN_GROUPS") == "late"))
        return CUDNN_STATUS_NOT_SUPPORTED;
    if (o.workspace_bytes > workspace_bytes || (o.workspace_bytes > 0 && !workspace))
        return CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT;
    if (!aligned_to(o.x, 16) || !aligned_to(o.w, 16) || !aligned_to(o.y, 16) ||
        (o.workspace_bytes > 0 && !aligned_to(workspace, 16)))
        return CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER;
    o.workspace = (char *)workspace;
    return fake_enqueue(handle->stream, name, [o] { return run_convolution(o); }) == cudaSuccess
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_EXECUTION_FAILED;
}

static char *writable(const void *p)
{
    return (char *)const_cast<void *>(p);
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha,
                                      const cudnnTensorDescriptor_t xDesc, const void *x,
                                      const cudnnFilterDescriptor_t wDesc, const void *w,
                                      const cudnnConvolutionDescriptor_t convDesc,
                                      cudnnConvolutionFwdAlgo_t algo, void *workSpace,
                                      size_t workSpaceSizeInBytes, const void *beta,
                                      const cudnnTensorDescriptor_t yDesc, void *y)
{
    operands o = {};
    if (fake_fails("cudnnConvolutionForward"))
        return CUDNN_STATUS_EXECUTION_FAILED;
    cudnnStatus_t status = find(&o.p, handle, xDesc, wDesc, convDesc, yDesc);
    if (status != CUDNN_STATUS_SUCCESS || !alpha || !beta)
        return status != CUDNN_STATUS_SUCCESS ? status : CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    o.way = FORWARD;
    o.alpha = *(const float *)alpha;
    o.beta = *(const float *)beta;
    o.x = writable(x);
    o.w = writable(w);
    o.y = (char *)y;
    return enqueue(o, "cudnnConvolutionForward", handle, algo, workSpace, workSpaceSizeInBytes);
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha,
                                           const cudnnFilterDescriptor_t wDesc, const void *w,
                                           const cudnnTensorDescriptor_t dyDesc, const void *dy,
                                           const cudnnConvolutionDescriptor_t convDesc,
                                           cudnnConvolutionBwdDataAlgo_t algo, void *workSpace,
                                           size_t workSpaceSizeInBytes, const void *beta,
                                           const cudnnTensorDescriptor_t dxDesc, void *dx)
{
    operands o = {};
    if (fake_fails("cudnnConvolutionBackwardData"))
        return CUDNN_STATUS_EXECUTION_FAILED;
    cudnnStatus_t status = find(&o.p, handle, dxDesc, wDesc, convDesc, dyDesc);
    if (status != CUDNN_STATUS_SUCCESS || !alpha || !beta)
        return status != CUDNN_STATUS_SUCCESS ? status : CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    o.way = DATA;
    o.alpha = *(const float *)alpha;
    o.beta = *(const float *)beta;
    o.x = (char *)dx;
    o.w = writable(w);
    o.y = writable(dy);
    return enqueue(o, "cudnnConvolutionBackwardData", handle, algo, workSpace,
                   workSpaceSizeInBytes);
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha,
                                             const cudnnTensorDescriptor_t xDesc, const void *x,
                                             const cudnnTensorDescriptor_t dyDesc, const void *dy,
                                             const cudnnConvolutionDescriptor_t convDesc,
                                             cudnnConvolutionBwdFilterAlgo_t algo, void *workSpace,
                                             size_t workSpaceSizeInBytes, const void *beta,
                                             const cudnnFilterDescriptor_t dwDesc, void *dw)
{
    operands o = {};
    if (fake_fails("cudnnConvolutionBackwardFilter"))
        return CUDNN_STATUS_EXECUTION_FAILED;
    cudnnStatus_t status = find(&o.p, handle, xDesc, dwDesc, convDesc, dyDesc);
    if (status != CUDNN_STATUS_SUCCESS || !alpha || !beta)
        return status != CUDNN_STATUS_SUCCESS ? status : CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    o.way = FILTER;
    o.alpha = *(const float *)alpha;
    o.beta = *(const float *)beta;
    o.x = writable(x);
    o.w = (char *)dw;
    o.y = writable(dy);
    return enqueue(o, "cudnnConvolutionBackwardFilter", handle, algo, workSpace,
                   workSpaceSizeInBytes);
}

/* Without an activation, only one algorithm. With CUDNN_BIAS=none, none at all. */
static cudnnStatus_t check_fused(const operands &o, cudnnTensorDescriptor_t z,
                                 cudnnTensorDescriptor_t bias, cudnnActivationDescriptor_t act,
                                 cudnnConvolutionFwdAlgo_t algo)
{
    if (!tensors.has(z) || !tensors.has(bias) || !activations.has(act) || !z->set || !bias->set ||
        !act->set)
        return CUDNN_STATUS_BAD_PARAM;
    if (bias->n != 1 || bias->h != 1 || bias->w != 1 || bias->c != o.p.w.k || z->n != o.p.y.n ||
        z->c != o.p.y.c || z->h != o.p.y.h || z->w != o.p.y.w)
        return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
    if (bias->type != o.p.y.type || z->type != o.p.y.type || z->format != o.p.y.format)
        return CUDNN_STATUS_NOT_SUPPORTED;
    if (setting("CUDNN_BIAS") == "none")
        return CUDNN_STATUS_NOT_SUPPORTED;
    const bool identity = act->mode == CUDNN_ACTIVATION_IDENTITY;
    if ((!identity && act->mode != CUDNN_ACTIVATION_RELU) ||
        (identity && algo != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM))
        return CUDNN_STATUS_NOT_SUPPORTED;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnConvolutionBiasActivationForward(
    cudnnHandle_t handle, const void *alpha1, const cudnnTensorDescriptor_t xDesc, const void *x,
    const cudnnFilterDescriptor_t wDesc, const void *w, const cudnnConvolutionDescriptor_t convDesc,
    cudnnConvolutionFwdAlgo_t algo, void *workSpace, size_t workSpaceSizeInBytes,
    const void *alpha2, const cudnnTensorDescriptor_t zDesc, const void *z,
    const cudnnTensorDescriptor_t biasDesc, const void *bias,
    const cudnnActivationDescriptor_t activationDesc, const cudnnTensorDescriptor_t yDesc, void *y)
{
    operands o = {};
    if (fake_fails("cudnnConvolutionBiasActivationForward"))
        return CUDNN_STATUS_EXECUTION_FAILED;
    cudnnStatus_t status = find(&o.p, handle, xDesc, wDesc, convDesc, yDesc);
    if (status == CUDNN_STATUS_SUCCESS)
        status = check_fused(o, zDesc, biasDesc, activationDesc, algo);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!alpha1 || !alpha2 || !z || !bias)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    o.way = FORWARD;
    o.fused = true;
    o.relu = activationDesc->mode == CUDNN_ACTIVATION_RELU;
    o.alpha = *(const float *)alpha1;
    o.beta = *(const float *)alpha2;
    o.x = writable(x);
    o.w = writable(w);
    o.y = (char *)y;
    o.z = (const char *)z;
    o.bias = (const char *)bias;
    return enqueue(o, "cudnnConvolutionBiasActivationForward", handle, algo, workSpace,
                   workSpaceSizeInBytes);
}
