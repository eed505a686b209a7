/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for cuDNN, to its documentation: which algorithms there are for a convolution, and its
 * three directions. x: large, w: kernel, y: small. Products are summed in float32. */
#include <functional>
#include <vector>

#include <oneapi/dnnl/dnnl.h>

#include "cudnn_objects.h"
#include "internal.h"

using namespace dnn;

namespace
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

/* Four dimensions of which the second is the channels. */
struct cells4 {
    char *at;
    cudaDataType_t type;
    bool last;
    size_t n, c, h, w;
};
} // namespace

static cudaDataType_t cuda_type(cudnnDataType_t type)
{
    return type == CUDNN_DATA_HALF       ? CUDA_R_16F
           : type == CUDNN_DATA_BFLOAT16 ? CUDA_R_16BF
                                         : CUDA_R_32F;
}

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
    if (x->n != y->n || x->c != w->c || y->c != w->k || x->type != w->type || y->type != w->type ||
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

/* Algorithms */

static size_t kernel_cells(const problem &p)
{
    return (size_t)p.w.k * (size_t)p.w.c * (size_t)p.w.h * (size_t)p.w.w;
}

static size_t small_positions(const problem &p)
{
    return (size_t)p.y.n * (size_t)p.y.h * (size_t)p.y.w;
}

/* Whether there is the algorithm for this, and its workspace. Channels last have fewer. With
 * CUDNN_LAYOUT=planar they have none. */
static bool workspace_of(const problem &p, direction way, int algo, size_t *ret)
{
    const bool last = p.x.format == CUDNN_TENSOR_NHWC;
    const size_t patches =
        small_positions(p) * (size_t)p.w.c * (size_t)p.w.h * (size_t)p.w.w * sizeof(float);
    *ret = 0;
    if (last && setting("CUDNN_LAYOUT") == "planar")
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

static bool deterministic(direction way, int algo)
{
    return way == FORWARD || (way == DATA ? algo != CUDNN_CONVOLUTION_BWD_DATA_ALGO_0
                                          : algo != CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 &&
                                                algo != CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3);
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

/* Running. Images are taken into float32 as [n][h][w][c], kernels as [k][h][w][c]. */

static size_t count(const cells4 &t)
{
    return t.n * t.c * t.h * t.w;
}

static size_t bytes(const cells4 &t)
{
    return count(t) * cell_bytes(t.type);
}

static cells4 cells_of(char *at, const cudnnTensorStruct &t)
{
    return {at,          cuda_type(t.type), t.format == CUDNN_TENSOR_NHWC, (size_t)t.n, (size_t)t.c,
            (size_t)t.h, (size_t)t.w};
}

static cells4 cells_of(char *at, const cudnnFilterStruct &f)
{
    return {at,          cuda_type(f.type), f.format == CUDNN_TENSOR_NHWC, (size_t)f.k, (size_t)f.c,
            (size_t)f.h, (size_t)f.w};
}

/* each(index by channels last, index in memory) */
template <class Each> static void for_cells(const cells4 &t, Each each)
{
    size_t i = 0;
    for (size_t n = 0; n < t.n; n++)
        for (size_t p = 0; p < t.h * t.w; p++)
            for (size_t c = 0; c < t.c; c++, i++)
                each(i, t.last ? i : (n * t.c + c) * t.h * t.w + p);
}

static std::vector<float> take(const cells4 &t, bool tf32)
{
    std::vector<float> ret(count(t));
    for_cells(t, [&](size_t i, size_t at) {
        float x = cell_get(t.at, t.type, at);
        ret[i] = tf32 ? to_tf32(x) : x;
    });
    return ret;
}

/* to = alpha x + beta to */
static void give(const cells4 &to, const std::vector<float> &x, float alpha, float beta)
{
    for_cells(to, [&](size_t i, size_t at) {
        float before = beta != 0 ? beta * cell_get(to.at, to.type, at) : 0;
        cell_put(to.at, to.type, at, alpha * x[i] + before);
    });
}

static void give_fused(const operands &o, const cells4 &to, const std::vector<float> &x)
{
    for_cells(to, [&](size_t i, size_t at) {
        float y = o.alpha * x[i] + cell_get(o.bias, to.type, i % to.c);
        y += o.beta != 0 ? o.beta * cell_get(o.z, to.type, at) : 0;
        cell_put(to.at, to.type, at, o.relu && !(y > 0) ? 0 : y);
    });
}

/* One image's patches, [h][w of y][taps][c], to or from the image. */
static void patches(const problem &p, float *image, float *patch, bool back)
{
    const int c = p.x.c;
    for (int oy = 0; oy < p.y.h; oy++)
        for (int ox = 0; ox < p.y.w; ox++)
            for (int ky = 0; ky < p.w.h; ky++)
                for (int kx = 0; kx < p.w.w; kx++, patch += c) {
                    const bool flip = p.conv.mode == CUDNN_CONVOLUTION;
                    const int ty = flip ? p.w.h - 1 - ky : ky, tx = flip ? p.w.w - 1 - kx : kx;
                    const int y = oy * p.conv.stride[0] + ty * p.conv.dilation[0] - p.conv.pad[0];
                    const int x = ox * p.conv.stride[1] + tx * p.conv.dilation[1] - p.conv.pad[1];
                    const bool inside = y >= 0 && y < p.x.h && x >= 0 && x < p.x.w;
                    float *cell =
                        inside ? image + ((size_t)y * (size_t)p.x.w + (size_t)x) * (size_t)c : NULL;
                    for (int i = 0; i < c; i++)
                        if (!back)
                            patch[i] = cell ? cell[i] : 0;
                        else if (cell)
                            cell[i] += patch[i];
                }
}

static bool product(char a, char b, size_t m, size_t n, size_t k, const float *x, size_t ldx,
                    const float *y, size_t ldy, float beta, float *to)
{
    return dnnl_sgemm(a, b, (dnnl_dim_t)m, (dnnl_dim_t)n, (dnnl_dim_t)k, 1, x, (dnnl_dim_t)ldx, y,
                      (dnnl_dim_t)ldy, beta, to, (dnnl_dim_t)n) == dnnl_success;
}

/* The result of the direction from the two others. */
static bool convolve(const problem &p, direction way, std::vector<float> &x, std::vector<float> &w,
                     std::vector<float> &y)
{
    const size_t positions = (size_t)p.y.h * (size_t)p.y.w, k = (size_t)p.w.k;
    const size_t taps = (size_t)p.w.h * (size_t)p.w.w * (size_t)p.w.c;
    const size_t area = (size_t)p.x.h * (size_t)p.x.w * (size_t)p.x.c;
    std::vector<float> patch(positions * taps);
    bool good = true;
    for (int n = 0; n < p.x.n && good; n++) {
        float *image = &x[(size_t)n * area], *small = &y[(size_t)n * positions * k];
        if (way != DATA)
            patches(p, image, patch.data(), false);
        if (way == FORWARD)
            good =
                product('N', 'T', positions, k, taps, patch.data(), taps, w.data(), taps, 0, small);
        else if (way == FILTER)
            good = product('T', 'N', k, taps, positions, small, k, patch.data(), taps, 1, w.data());
        else
            good = product('N', 'N', positions, taps, k, small, k, w.data(), taps, 0, patch.data());
        if (way == DATA)
            patches(p, image, patch.data(), true);
    }
    return good;
}

static region whole(const char *at, size_t bytes)
{
    return {at, 0, bytes, 1};
}

static cudaError_t check_places(const operands &o, const cells4 &x, const cells4 &w,
                                const cells4 &y)
{
    const cells4 &to = o.way == FORWARD ? y : o.way == DATA ? x : w;
    const region result = whole(to.at, bytes(to));
    const region workspace = whole(o.workspace, o.workspace_bytes);
    for (const cells4 *t : {&x, &w, &y}) {
        const region r = whole(t->at, bytes(*t));
        if (overlap(workspace, r) || (t != &to && overlap(result, r))) {
            fprintf(stderr, "fake CUDA: a convolution's operands overlap\n");
            return cudaErrorInvalidValue;
        }
        if ((t != &to || o.beta != 0) && !o.fused && !fake_reads(t->at, bytes(*t)))
            return cudaErrorIllegalAddress;
    }
    if (o.fused && (!fake_reads(x.at, bytes(x)) || !fake_reads(w.at, bytes(w)) ||
                    (o.beta != 0 && !fake_reads(o.z, bytes(y))) ||
                    !fake_reads(o.bias, y.c * cell_bytes(y.type))))
        return cudaErrorIllegalAddress;
    return fake_writes(to.at, bytes(to)) && use_workspace(o.workspace, o.workspace_bytes)
               ? cudaSuccess
               : cudaErrorIllegalAddress;
}

static cudaError_t run(const operands &o)
{
    const cells4 x = cells_of(o.x, o.p.x), w = cells_of(o.w, o.p.w), y = cells_of(o.y, o.p.y);
    cudaError_t code = check_places(o, x, w, y);
    if (code != cudaSuccess)
        return code;
    /* On an Ampere and later, float32 goes through TF32 unless FMA_MATH forbids it. */
    const bool tf32 = o.p.x.type == CUDNN_DATA_FLOAT && o.p.conv.math != CUDNN_FMA_MATH;
    std::vector<float> xs = o.way == DATA ? std::vector<float>(count(x)) : take(x, tf32);
    std::vector<float> ws = o.way == FILTER ? std::vector<float>(count(w)) : take(w, tf32);
    std::vector<float> ys = o.way == FORWARD ? std::vector<float>(count(y)) : take(y, tf32);
    if (!convolve(o.p, o.way, xs, ws, ys))
        return cudaErrorUnknown;
    if (o.fused)
        give_fused(o, y, ys);
    else if (o.way == FORWARD)
        give(y, ys, o.alpha, o.beta);
    else if (o.way == DATA)
        give(x, xs, o.alpha, o.beta);
    else
        give(w, ws, o.alpha, o.beta);
    return cudaSuccess;
}

/* What all directions check, and then the work. */
static cudnnStatus_t enqueue(operands o, const char *name, cudnnHandle_t handle, int algo,
                             void *workspace, size_t workspace_bytes)
{
    if (!o.x || !o.w || !o.y)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (!workspace_of(o.p, o.way, algo, &o.workspace_bytes))
        return CUDNN_STATUS_NOT_SUPPORTED;
    if (o.workspace_bytes > workspace_bytes || (o.workspace_bytes > 0 && !workspace))
        return CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT;
    if (!aligned_to(o.x, 16) || !aligned_to(o.w, 16) || !aligned_to(o.y, 16) ||
        (o.workspace_bytes > 0 && !aligned_to(workspace, 16)))
        return CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER;
    o.workspace = (char *)workspace;
    return fake_enqueue(handle->stream, name, [o] { return run(o); }) == cudaSuccess
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
