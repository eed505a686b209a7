/* SPDX-License-Identifier: Apache-2.0 */
#include "model/cuda/correlation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { CANDIDATES = 16 };
static const size_t workspace_limit = (size_t)256 << 20;

/* What cuDNN says of an algorithm of whichever direction. */
struct candidate {
    int algorithm;
    cudnnStatus_t status;
    cudnnDeterminism_t determinism;
    cudnnMathType_t math;
};

struct cuda_correlation {
    struct cuda_correlation_spec spec;
    cudnnHandle_t cudnn;
    cudnnTensorDescriptor_t large, small, bias;
    cudnnFilterDescriptor_t kernel;
    cudnnConvolutionDescriptor_t window;
    cudnnActivationDescriptor_t identity;
    int algorithm; /* the direction's enumeration */
    size_t workspace_bytes;
    bool planar, adds_bias;
    char what[128];
};

static int check(const struct cuda_correlation *c, cudnnStatus_t code, const char *call,
                 struct error *error)
{
    int r = cuda_check_cudnn(code, call, error);
    return r == 0 ? 0 : error_prefix(error, r, "%s", c->what);
}

static cudnnDataType_t data_type(enum cell_type type)
{
    return type == CELL_FLOAT32    ? CUDNN_DATA_FLOAT
           : type == CELL_BFLOAT16 ? CUDNN_DATA_BFLOAT16
                                   : CUDNN_DATA_HALF;
}

static int create_descriptors(struct cuda_correlation *c, struct error *error)
{
    int r = check(c, cudnnCreateTensorDescriptor(&c->large), "cudnnCreateTensorDescriptor", error);
    if (r == 0)
        r = check(c, cudnnCreateTensorDescriptor(&c->small), "cudnnCreateTensorDescriptor", error);
    if (r == 0)
        r = check(c, cudnnCreateFilterDescriptor(&c->kernel), "cudnnCreateFilterDescriptor", error);
    if (r == 0)
        r = check(c, cudnnCreateConvolutionDescriptor(&c->window),
                  "cudnnCreateConvolutionDescriptor", error);
    if (r < 0 || !c->spec.bias)
        return r;
    r = check(c, cudnnCreateTensorDescriptor(&c->bias), "cudnnCreateTensorDescriptor", error);
    if (r == 0)
        r = check(c, cudnnCreateActivationDescriptor(&c->identity),
                  "cudnnCreateActivationDescriptor", error);
    return r;
}

static int set_tensor(const struct cuda_correlation *c, cudnnTensorDescriptor_t tensor,
                      struct tensor_shape s, struct error *error)
{
    return check(c,
                 cudnnSetTensor4dDescriptor(tensor,
                                            c->planar ? CUDNN_TENSOR_NCHW : CUDNN_TENSOR_NHWC,
                                            data_type(c->spec.type), s.n, s.c, s.h, s.w),
                 "cudnnSetTensor4dDescriptor", error);
}

static int set_layout(struct cuda_correlation *c, bool planar, struct error *error)
{
    const struct cuda_correlation_spec *s = &c->spec;
    c->planar = planar;
    int r = set_tensor(c, c->large, s->large, error);
    if (r == 0)
        r = set_tensor(c, c->small, s->small, error);
    if (r == 0 && s->bias)
        r = set_tensor(c, c->bias, (struct tensor_shape){1, 1, 1, s->small.c}, error);
    if (r == 0)
        r = check(c,
                  cudnnSetFilter4dDescriptor(
                      c->kernel, data_type(s->type), planar ? CUDNN_TENSOR_NCHW : CUDNN_TENSOR_NHWC,
                      s->small.c, s->depthwise ? 1 : s->large.c, s->kernel[0], s->kernel[1]),
                  "cudnnSetFilter4dDescriptor", error);
    return r;
}

/* Sums are in float32 whatever the type. */
static int set_window(struct cuda_correlation *c, struct error *error)
{
    const struct cuda_correlation_spec *s = &c->spec;
    int r =
        check(c,
              cudnnSetConvolution2dDescriptor(c->window, s->pad, s->pad, s->stride[0], s->stride[1],
                                              1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
              "cudnnSetConvolution2dDescriptor", error);
    if (r == 0 && s->depthwise)
        r = check(c, cudnnSetConvolutionGroupCount(c->window, s->large.c),
                  "cudnnSetConvolutionGroupCount", error);
    if (r == 0 && s->bias)
        r = check(c,
                  cudnnSetActivationDescriptor(c->identity, CUDNN_ACTIVATION_IDENTITY,
                                               CUDNN_NOT_PROPAGATE_NAN, 0),
                  "cudnnSetActivationDescriptor", error);
    return r;
}

/* Codes have a category and what they say in particular. */
static bool is_not_supported(cudnnStatus_t code)
{
    return code / 1000 == CUDNN_STATUS_NOT_SUPPORTED / 1000;
}

/* Choosing */

static cudnnStatus_t list_to_small(const struct cuda_correlation *c, struct candidate *ret, int *n)
{
    cudnnConvolutionFwdAlgoPerf_t perf[CANDIDATES];
    cudnnStatus_t code = cudnnGetConvolutionForwardAlgorithm_v7(
        c->cudnn, c->large, c->kernel, c->window, c->small, CANDIDATES, n, perf);
    for (int i = 0; code == CUDNN_STATUS_SUCCESS && i < *n; i++)
        ret[i] = (struct candidate){(int)perf[i].algo, perf[i].status, perf[i].determinism,
                                    perf[i].mathType};
    return code;
}

static cudnnStatus_t list_to_large(const struct cuda_correlation *c, struct candidate *ret, int *n)
{
    cudnnConvolutionBwdDataAlgoPerf_t perf[CANDIDATES];
    cudnnStatus_t code = cudnnGetConvolutionBackwardDataAlgorithm_v7(
        c->cudnn, c->kernel, c->small, c->window, c->large, CANDIDATES, n, perf);
    for (int i = 0; code == CUDNN_STATUS_SUCCESS && i < *n; i++)
        ret[i] = (struct candidate){(int)perf[i].algo, perf[i].status, perf[i].determinism,
                                    perf[i].mathType};
    return code;
}

static cudnnStatus_t list_to_kernel(const struct cuda_correlation *c, struct candidate *ret, int *n)
{
    cudnnConvolutionBwdFilterAlgoPerf_t perf[CANDIDATES];
    cudnnStatus_t code = cudnnGetConvolutionBackwardFilterAlgorithm_v7(
        c->cudnn, c->large, c->small, c->window, c->kernel, CANDIDATES, n, perf);
    for (int i = 0; code == CUDNN_STATUS_SUCCESS && i < *n; i++)
        ret[i] = (struct candidate){(int)perf[i].algo, perf[i].status, perf[i].determinism,
                                    perf[i].mathType};
    return code;
}

/* What the direction's algorithm wants; fails where it is none for this. */
static cudnnStatus_t workspace_of(const struct cuda_correlation *c, int algorithm, size_t *ret)
{
    switch (c->spec.direction) {
    case CUDA_TO_SMALL:
        return cudnnGetConvolutionForwardWorkspaceSize(c->cudnn, c->large, c->kernel, c->window,
                                                       c->small,
                                                       (cudnnConvolutionFwdAlgo_t)algorithm, ret);
    case CUDA_TO_LARGE:
        return cudnnGetConvolutionBackwardDataWorkspaceSize(
            c->cudnn, c->kernel, c->small, c->window, c->large,
            (cudnnConvolutionBwdDataAlgo_t)algorithm, ret);
    default:
        return cudnnGetConvolutionBackwardFilterWorkspaceSize(
            c->cudnn, c->large, c->small, c->window, c->kernel,
            (cudnnConvolutionBwdFilterAlgo_t)algorithm, ret);
    }
}

static cudnnMathType_t wanted_math(const struct cuda_correlation *c)
{
    return c->spec.exact                  ? CUDNN_FMA_MATH
           : c->spec.type == CELL_FLOAT32 ? CUDNN_DEFAULT_MATH
                                          : CUDNN_TENSOR_OP_MATH;
}

/* The same bits every time, and no products of fewer bits than asked for. */
static bool acceptable(const struct cuda_correlation *c, const struct candidate *a)
{
    return a->status == CUDNN_STATUS_SUCCESS && a->determinism == CUDNN_DETERMINISTIC &&
           a->math != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION &&
           !(c->spec.exact && a->math == CUDNN_TENSOR_OP_MATH);
}

/* Takes the candidate. 1: it cannot be run so. */
static int take(struct cuda_correlation *c, const struct candidate *a, struct error *error)
{
    size_t workspace = 0;
    const cudnnMathType_t math = c->spec.exact ? CUDNN_FMA_MATH : a->math;
    int r = check(c, cudnnSetConvolutionMathType(c->window, math), "cudnnSetConvolutionMathType",
                  error);
    if (r < 0)
        return r;
    cudnnStatus_t code = workspace_of(c, a->algorithm, &workspace);
    if (is_not_supported(code) || workspace > workspace_limit)
        return 1;
    r = check(c, code, "cudnnGetConvolution…WorkspaceSize", error);
    if (r < 0)
        return r;
    c->algorithm = a->algorithm;
    c->workspace_bytes = workspace;
    /* without an activation it is the only one that adds a bias */
    c->adds_bias = c->spec.bias && a->algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
    return 0;
}

/* The first acceptable of those that cuDNN expects to be fast. 1: there is none. */
static int choose(struct cuda_correlation *c, bool planar, struct error *error)
{
    struct candidate candidates[CANDIDATES];
    int n = 0, r = set_layout(c, planar, error);
    if (r == 0)
        r = check(c, cudnnSetConvolutionMathType(c->window, wanted_math(c)),
                  "cudnnSetConvolutionMathType", error);
    if (r < 0)
        return r;
    cudnnStatus_t code = c->spec.direction == CUDA_TO_SMALL   ? list_to_small(c, candidates, &n)
                         : c->spec.direction == CUDA_TO_LARGE ? list_to_large(c, candidates, &n)
                                                              : list_to_kernel(c, candidates, &n);
    if (is_not_supported(code))
        return 1;
    r = check(c, code, "cudnnGetConvolution…Algorithm_v7", error);
    if (r < 0)
        return r;
    r = 1;
    for (int i = 0; i < n && r > 0; i++)
        if (acceptable(c, &candidates[i]))
            r = take(c, &candidates[i], error);
    return r;
}

int cuda_correlation_create(struct cuda_correlation **ret, struct backend *backend,
                            const struct cuda_correlation_spec *spec, struct error *error)
{
    struct cuda_correlation *c = calloc(1, sizeof *c);
    if (c == NULL)
        return error_set(error, ENOMEM, "out of memory");
    c->spec = *spec;
    c->cudnn = backend->cudnn;
    snprintf(c->what, sizeof c->what,
             "convolution of [%d][%d][%d][%d] and [%d][%d][%d][%d], %d by %d taps", spec->large.n,
             spec->large.h, spec->large.w, spec->large.c, spec->small.n, spec->small.h,
             spec->small.w, spec->small.c, spec->kernel[0], spec->kernel[1]);
    int r = create_descriptors(c, error);
    if (r == 0)
        r = set_window(c, error);
    if (r == 0)
        r = choose(c, false, error);
    if (r > 0 && !spec->depthwise)
        r = choose(c, true, error);
    if (r > 0 && !spec->depthwise)
        r = error_set(error, EIO, "%s: cuDNN has no algorithm for it", c->what);
    if (r != 0) {
        cuda_correlation_destroy(c);
        return r;
    }
    *ret = c;
    return 0;
}

void cuda_correlation_destroy(struct cuda_correlation *c)
{
    if (c == NULL)
        return;
    if (c->identity != NULL)
        cudnnDestroyActivationDescriptor(c->identity);
    if (c->bias != NULL)
        cudnnDestroyTensorDescriptor(c->bias);
    if (c->window != NULL)
        cudnnDestroyConvolutionDescriptor(c->window);
    if (c->kernel != NULL)
        cudnnDestroyFilterDescriptor(c->kernel);
    if (c->small != NULL)
        cudnnDestroyTensorDescriptor(c->small);
    if (c->large != NULL)
        cudnnDestroyTensorDescriptor(c->large);
    free(c);
}

size_t cuda_correlation_workspace(const struct cuda_correlation *c)
{
    return c->workspace_bytes;
}

bool cuda_correlation_planar(const struct cuda_correlation *c)
{
    return c->planar;
}

/* Running */

static cudnnStatus_t run_with_bias(const struct cuda_correlation *c,
                                   const struct cuda_correlation_places *p)
{
    const float one = 1, zero = 0;
    return cudnnConvolutionBiasActivationForward(
        c->cudnn, &one, c->large, p->large, c->kernel, p->kernel, c->window,
        (cudnnConvolutionFwdAlgo_t)c->algorithm, p->workspace, c->workspace_bytes, &zero, c->small,
        p->small, c->bias, p->bias, c->identity, c->small, p->small);
}

static cudnnStatus_t run(const struct cuda_correlation *c, const struct cuda_correlation_places *p)
{
    const float one = 1, before = p->add ? 1 : 0;
    switch (c->spec.direction) {
    case CUDA_TO_SMALL:
        return cudnnConvolutionForward(c->cudnn, &one, c->large, p->large, c->kernel, p->kernel,
                                       c->window, (cudnnConvolutionFwdAlgo_t)c->algorithm,
                                       p->workspace, c->workspace_bytes, &before, c->small,
                                       p->small);
    case CUDA_TO_LARGE:
        return cudnnConvolutionBackwardData(
            c->cudnn, &one, c->kernel, p->kernel, c->small, p->small, c->window,
            (cudnnConvolutionBwdDataAlgo_t)c->algorithm, p->workspace, c->workspace_bytes, &before,
            c->large, p->large);
    default:
        return cudnnConvolutionBackwardFilter(
            c->cudnn, &one, c->large, p->large, c->small, p->small, c->window,
            (cudnnConvolutionBwdFilterAlgo_t)c->algorithm, p->workspace, c->workspace_bytes,
            &before, c->kernel, p->kernel);
    }
}

int cuda_correlation_run(struct cuda_correlation *c, const struct cuda_correlation_places *p,
                         bool *ret_biased, struct error *error)
{
    *ret_biased = false;
    if (c->adds_bias) {
        cudnnStatus_t code = run_with_bias(c, p);
        *ret_biased = code == CUDNN_STATUS_SUCCESS;
        if (!is_not_supported(code))
            return check(c, code, "cudnnConvolutionBiasActivationForward", error);
        c->adds_bias = false; /* nothing was enqueued: what there is no query for shows here */
    }
    cudnnStatus_t code = run(c, p);
    if (c->spec.depthwise && is_not_supported(code))
        return 1;
    return check(c, code, "cudnnConvolution…", error);
}
