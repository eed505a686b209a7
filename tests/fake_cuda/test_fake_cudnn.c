/* SPDX-License-Identifier: Apache-2.0
 * The stand-in for cuDNN gives what NVIDIA documents, by plain loops over images and kernels in
 * both layouts, and refuses what is documented as an error. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <cudnn.h>

#include "tests/fake_cuda/fake.h"
#include "tests/fake_cuda/test_cells.h"

#define ok(call) assert_int_equal(call, CUDNN_STATUS_SUCCESS)
#define ARRAY_LEN(x) (sizeof(x) / sizeof((x)[0]))

enum { PERFS = 16, WORKSPACE = 1 << 22 };

struct conv_case {
    int n, c, h, w, k, kh, kw, pad[2], stride[2];
    cudnnTensorFormat_t format;
    cudnnDataType_t type;
    cudnnMathType_t math;
    cudnnConvolutionMode_t mode;
    float alpha, beta;
    int groups;
};

#define NHWC CUDNN_TENSOR_NHWC
#define NCHW CUDNN_TENSOR_NCHW
#define FLOAT CUDNN_DATA_FLOAT
#define HALF CUDNN_DATA_HALF
#define BF16 CUDNN_DATA_BFLOAT16
#define FMA CUDNN_FMA_MATH
#define TENSOR CUDNN_TENSOR_OP_MATH
#define CROSS CUDNN_CROSS_CORRELATION

static const struct conv_case cases[] = {
    {1, 1, 1, 1, 1, 1, 1, {0, 0}, {1, 1}, NHWC, FLOAT, FMA, CROSS, 1, 0, 1},
    {2, 3, 7, 5, 9, 3, 3, {1, 1}, {2, 2}, NHWC, FLOAT, FMA, CROSS, 1, 0, 1},
    {2, 3, 7, 5, 9, 3, 3, {1, 1}, {2, 2}, NCHW, FLOAT, FMA, CROSS, 1, 0, 1},
    {1, 5, 9, 8, 4, 3, 2, {1, 0}, {2, 1}, NHWC, FLOAT, FMA, CROSS, 2, 1, 1},
    {1, 5, 9, 8, 4, 3, 2, {1, 0}, {2, 1}, NCHW, FLOAT, FMA, CUDNN_CONVOLUTION, 2, -1, 1},
    {1, 4, 11, 10, 6, 2, 2, {0, 0}, {3, 3}, NHWC, FLOAT, FMA, CROSS, 1, 0, 1}, /* some not reached
                                                                                */
    {2, 6, 8, 8, 7, 4, 4, {0, 0}, {4, 4}, NHWC, FLOAT, CUDNN_DEFAULT_MATH, CROSS, 1, 0, 1},
    {2, 6, 8, 8, 7, 3, 3, {1, 1}, {1, 1}, NHWC, HALF, TENSOR, CROSS, 1, 0, 1},
    {2, 6, 8, 8, 7, 3, 3, {1, 1}, {1, 1}, NCHW, BF16, TENSOR, CROSS, 1, 1, 1},
    {2, 6, 7, 5, 9, 3, 3, {1, 1}, {2, 2}, NHWC, FLOAT, FMA, CROSS, 1, 1, 3},
    {2, 6, 7, 5, 4, 3, 2, {1, 0}, {1, 2}, NCHW, FLOAT, FMA, CUDNN_CONVOLUTION, 2, 0, 2},
    {2, 7, 6, 9, 7, 5, 5, {2, 2}, {1, 1}, NHWC, FLOAT, FMA, CROSS, 1, 0, 7}, /* depth-wise */
    {2, 8, 6, 5, 8, 3, 3, {1, 1}, {1, 1}, NHWC, HALF, TENSOR, CROSS, 1, 0, 8},
    {1, 8, 6, 5, 16, 3, 3, {1, 1}, {1, 1}, NCHW, BF16, TENSOR, CROSS, 1, 0, 8},
};

/* An image or a kernel: the second dimension is the channels. */
struct image {
    int n, c, h, w;
    cudnnTensorFormat_t format;
    cudaDataType_t type;
    size_t cells;
    float *host;
    void *device;
};

static cudaDataType_t cuda_type(cudnnDataType_t type)
{
    return type == FLOAT ? CUDA_R_32F : type == HALF ? CUDA_R_16F : CUDA_R_16BF;
}

static struct image make_image(const struct conv_case *c, int n, int channels, int h, int w)
{
    struct image m = {n, channels, h, w, c->format, cuda_type(c->type), 0, NULL, NULL};
    m.cells = (size_t)n * (size_t)channels * (size_t)h * (size_t)w;
    m.host = malloc(m.cells * sizeof *m.host);
    cells_fill(m.host, m.type, m.cells);
    m.device = cells_to_device(m.host, m.type, m.cells);
    return m;
}

static size_t cell(const struct image *m, int n, int c, int h, int w)
{
    return (size_t)(m->format == NHWC ? ((n * m->h + h) * m->w + w) * m->c + c
                                      : ((n * m->c + c) * m->h + h) * m->w + w);
}

struct setup {
    cudnnHandle_t handle;
    cudaStream_t stream;
    struct image x, w, y, bias;
    cudnnTensorDescriptor_t x_desc, y_desc, bias_desc;
    cudnnFilterDescriptor_t w_desc;
    cudnnConvolutionDescriptor_t conv;
    cudnnActivationDescriptor_t act;
    void *workspace;
};

static cudnnTensorDescriptor_t tensor_of(const struct conv_case *c, const struct image *m)
{
    cudnnTensorDescriptor_t ret;
    ok(cudnnCreateTensorDescriptor(&ret));
    ok(cudnnSetTensor4dDescriptor(ret, c->format, c->type, m->n, m->c, m->h, m->w));
    return ret;
}

static struct setup make_setup(const struct conv_case *c)
{
    struct setup s = {0};
    ok(cudnnCreate(&s.handle));
    assert_int_equal(cudaStreamCreate(&s.stream), cudaSuccess);
    ok(cudnnSetStream(s.handle, s.stream));
    s.x = make_image(c, c->n, c->c, c->h, c->w);
    s.w = make_image(c, c->k, c->c / c->groups, c->kh, c->kw);
    s.y = make_image(c, c->n, c->k, 1 + (c->h + 2 * c->pad[0] - c->kh) / c->stride[0],
                     1 + (c->w + 2 * c->pad[1] - c->kw) / c->stride[1]);
    s.bias = make_image(c, 1, c->k, 1, 1);
    s.x_desc = tensor_of(c, &s.x);
    s.y_desc = tensor_of(c, &s.y);
    s.bias_desc = tensor_of(c, &s.bias);
    ok(cudnnCreateFilterDescriptor(&s.w_desc));
    ok(cudnnSetFilter4dDescriptor(s.w_desc, c->type, c->format, c->k, c->c / c->groups, c->kh,
                                  c->kw));
    ok(cudnnCreateConvolutionDescriptor(&s.conv));
    ok(cudnnSetConvolution2dDescriptor(s.conv, c->pad[0], c->pad[1], c->stride[0], c->stride[1], 1,
                                       1, c->mode, FLOAT));
    ok(cudnnSetConvolutionMathType(s.conv, c->math));
    if (c->groups > 1)
        ok(cudnnSetConvolutionGroupCount(s.conv, c->groups));
    ok(cudnnCreateActivationDescriptor(&s.act));
    ok(cudnnSetActivationDescriptor(s.act, CUDNN_ACTIVATION_IDENTITY, CUDNN_NOT_PROPAGATE_NAN, 0));
    assert_int_equal(cudaMalloc(&s.workspace, WORKSPACE), cudaSuccess);
    return s;
}

static void free_image(struct image *m)
{
    free(m->host);
    assert_int_equal(cudaFree(m->device), cudaSuccess);
}

static void free_setup(struct setup *s)
{
    free_image(&s->x);
    free_image(&s->w);
    free_image(&s->y);
    free_image(&s->bias);
    assert_int_equal(cudaFree(s->workspace), cudaSuccess);
    ok(cudnnDestroyTensorDescriptor(s->x_desc));
    ok(cudnnDestroyTensorDescriptor(s->y_desc));
    ok(cudnnDestroyTensorDescriptor(s->bias_desc));
    ok(cudnnDestroyFilterDescriptor(s->w_desc));
    ok(cudnnDestroyConvolutionDescriptor(s->conv));
    ok(cudnnDestroyActivationDescriptor(s->act));
    assert_int_equal(cudaStreamDestroy(s->stream), cudaSuccess);
    ok(cudnnDestroy(s->handle));
    assert_int_equal(fake_leaks(true), 0);
}

/* Expected: each product x w belongs to one y; where[] says which of the three is summed into. */

static double multiplied(const struct conv_case *c, float x)
{
    return (double)(c->type == FLOAT && c->math != FMA ? cells_tf32(x) : x);
}

struct expected {
    double *sums, *sizes; /* by cells of the result */
};

static void add_product(const struct conv_case *c, const struct setup *s, const struct image *to,
                        struct expected *e, size_t x, size_t w, size_t y)
{
    const double product = to == &s->y ? multiplied(c, s->x.host[x]) * multiplied(c, s->w.host[w])
                           : to == &s->x
                               ? multiplied(c, s->y.host[y]) * multiplied(c, s->w.host[w])
                               : multiplied(c, s->x.host[x]) * multiplied(c, s->y.host[y]);
    const size_t at = to == &s->y ? y : to == &s->x ? x : w;
    e->sums[at] += product;
    e->sizes[at] += fabs(product);
}

static struct expected expect(const struct conv_case *c, const struct setup *s,
                              const struct image *to)
{
    struct expected e = {calloc(to->cells, sizeof(double)), calloc(to->cells, sizeof(double))};
    const int planes = c->c / c->groups, kernels = c->k / c->groups; /* of a group */
    for (int n = 0; n < c->n; n++)
        for (int k = 0; k < c->k; k++)
            for (int i = 0; i < s->y.h * s->y.w; i++)
                for (int t = 0; t < c->kh * c->kw; t++)
                    for (int ch = 0; ch < planes; ch++) {
                        const int ty = t / c->kw, tx = t % c->kw;
                        const bool flip = c->mode == CUDNN_CONVOLUTION;
                        const int h =
                            i / s->y.w * c->stride[0] - c->pad[0] + (flip ? c->kh - 1 - ty : ty);
                        const int w =
                            i % s->y.w * c->stride[1] - c->pad[1] + (flip ? c->kw - 1 - tx : tx);
                        if (h >= 0 && h < c->h && w >= 0 && w < c->w)
                            add_product(c, s, to, &e,
                                        cell(&s->x, n, k / kernels * planes + ch, h, w),
                                        cell(&s->w, k, ch, ty, tx),
                                        cell(&s->y, n, k, i / s->y.w, i % s->y.w));
                    }
    return e;
}

static void check_result(const struct conv_case *c, const struct setup *s, const struct image *to,
                         const float *bias)
{
    struct expected e = expect(c, s, to);
    float *got = malloc(to->cells * sizeof *got);
    cells_to_host(got, to->device, to->type, to->cells);
    for (size_t i = 0; i < to->cells; i++) {
        const size_t area = (size_t)(to->h * to->w);
        const size_t channel = to->format == NHWC ? i % (size_t)to->c : i / area % (size_t)to->c;
        double want = (double)c->alpha * e.sums[i] + (double)c->beta * (double)to->host[i];
        want += bias != NULL ? (double)bias[channel] : 0;
        double tolerance = 4e-7 * (4 + 2 * e.sizes[i]) + cells_step(to->type) * fabs(want);
        if (!(fabs((double)got[i] - want) <= tolerance))
            fail_msg("case %td, cell %zu: %g instead of %g", c - cases, i, (double)got[i], want);
    }
    cells_copy_to_device(to->device, to->host, to->type, to->cells);
    free(got);
    free(e.sums);
    free(e.sizes);
}

static void finish(const struct setup *s)
{
    assert_int_equal(cudaStreamSynchronize(s->stream), cudaSuccess);
}

static void forward_is_what_the_documentation_says(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct conv_case *c = &cases[i];
        struct setup s = make_setup(c);
        cudnnConvolutionFwdAlgoPerf_t perf[PERFS];
        int n = 0, good = 0;
        ok(cudnnGetConvolutionForwardAlgorithm_v7(s.handle, s.x_desc, s.w_desc, s.conv, s.y_desc,
                                                  PERFS, &n, perf));
        for (int k = 0; k < n; k++) {
            size_t bytes = 0;
            cudnnStatus_t status = cudnnGetConvolutionForwardWorkspaceSize(
                s.handle, s.x_desc, s.w_desc, s.conv, s.y_desc, perf[k].algo, &bytes);
            assert_int_equal(status, perf[k].status);
            if (status != CUDNN_STATUS_SUCCESS)
                continue;
            good++;
            assert_int_equal(bytes, perf[k].memory);
            ok(cudnnConvolutionForward(s.handle, &c->alpha, s.x_desc, s.x.device, s.w_desc,
                                       s.w.device, s.conv, perf[k].algo, s.workspace, bytes,
                                       &c->beta, s.y_desc, s.y.device));
            finish(&s);
            check_result(c, &s, &s.y, NULL);
        }
        assert_true(good >= 2);
        free_setup(&s);
    }
}

static void backward_data_is_what_the_documentation_says(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct conv_case *c = &cases[i];
        struct setup s = make_setup(c);
        cudnnConvolutionBwdDataAlgoPerf_t perf[PERFS];
        int n = 0, deterministic = 0;
        ok(cudnnGetConvolutionBackwardDataAlgorithm_v7(s.handle, s.w_desc, s.y_desc, s.conv,
                                                       s.x_desc, PERFS, &n, perf));
        for (int k = 0; k < n; k++) {
            size_t bytes = 0;
            cudnnStatus_t status = cudnnGetConvolutionBackwardDataWorkspaceSize(
                s.handle, s.w_desc, s.y_desc, s.conv, s.x_desc, perf[k].algo, &bytes);
            assert_int_equal(status, perf[k].status);
            if (status != CUDNN_STATUS_SUCCESS)
                continue;
            assert_int_equal(bytes, perf[k].memory);
            deterministic += perf[k].determinism == CUDNN_DETERMINISTIC;
            ok(cudnnConvolutionBackwardData(s.handle, &c->alpha, s.w_desc, s.w.device, s.y_desc,
                                            s.y.device, s.conv, perf[k].algo, s.workspace, bytes,
                                            &c->beta, s.x_desc, s.x.device));
            finish(&s);
            check_result(c, &s, &s.x, NULL);
        }
        assert_true(deterministic > 0);
        assert_int_equal(perf[0].determinism, CUDNN_NON_DETERMINISTIC);
        free_setup(&s);
    }
}

static void backward_filter_is_what_the_documentation_says(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct conv_case *c = &cases[i];
        struct setup s = make_setup(c);
        cudnnConvolutionBwdFilterAlgoPerf_t perf[PERFS];
        int n = 0, deterministic = 0;
        ok(cudnnGetConvolutionBackwardFilterAlgorithm_v7(s.handle, s.x_desc, s.y_desc, s.conv,
                                                         s.w_desc, PERFS, &n, perf));
        for (int k = 0; k < n; k++) {
            size_t bytes = 0;
            cudnnStatus_t status = cudnnGetConvolutionBackwardFilterWorkspaceSize(
                s.handle, s.x_desc, s.y_desc, s.conv, s.w_desc, perf[k].algo, &bytes);
            assert_int_equal(status, perf[k].status);
            if (status != CUDNN_STATUS_SUCCESS)
                continue;
            deterministic += perf[k].determinism == CUDNN_DETERMINISTIC;
            ok(cudnnConvolutionBackwardFilter(s.handle, &c->alpha, s.x_desc, s.x.device, s.y_desc,
                                              s.y.device, s.conv, perf[k].algo, s.workspace, bytes,
                                              &c->beta, s.w_desc, s.w.device));
            finish(&s);
            check_result(c, &s, &s.w, NULL);
        }
        assert_true(deterministic > 0);
        free_setup(&s);
    }
}

static cudnnStatus_t run_with_bias(const struct conv_case *c, struct setup *s,
                                   cudnnConvolutionFwdAlgo_t algo)
{
    return cudnnConvolutionBiasActivationForward(
        s->handle, &c->alpha, s->x_desc, s->x.device, s->w_desc, s->w.device, s->conv, algo,
        s->workspace, WORKSPACE, &c->beta, s->y_desc, s->y.device, s->bias_desc, s->bias.device,
        s->act, s->y_desc, s->y.device);
}

static void a_bias_is_added_by_one_algorithm(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct setup s = make_setup(&cases[i]);
        assert_int_equal(run_with_bias(&cases[i], &s, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM),
                         CUDNN_STATUS_NOT_SUPPORTED);
        ok(run_with_bias(&cases[i], &s, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM));
        finish(&s);
        check_result(&cases[i], &s, &s.y, s.bias.host);
        fake_set("CUDNN_BIAS", "none");
        assert_int_equal(
            run_with_bias(&cases[i], &s, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM),
            CUDNN_STATUS_NOT_SUPPORTED);
        fake_set("CUDNN_BIAS", NULL);
        free_setup(&s);
    }
}

static void channels_last_may_have_no_algorithm(void **state)
{
    const struct conv_case *c = &cases[1];
    struct setup s = make_setup(c);
    cudnnConvolutionFwdAlgoPerf_t perf[PERFS];
    int n = 0;
    fake_set("CUDNN_LAYOUT", "planar");
    ok(cudnnGetConvolutionForwardAlgorithm_v7(s.handle, s.x_desc, s.w_desc, s.conv, s.y_desc, PERFS,
                                              &n, perf));
    for (int i = 0; i < n; i++)
        assert_int_equal(perf[i].status, CUDNN_STATUS_NOT_SUPPORTED);
    fake_set("CUDNN_LAYOUT", NULL);
    free_setup(&s);
}

/* Statuses of the algorithms that are listed for each direction. */
static int listed(const struct setup *s, int way, cudnnStatus_t *status, cudnnDeterminism_t *same)
{
    cudnnConvolutionFwdAlgoPerf_t fwd[PERFS];
    cudnnConvolutionBwdDataAlgoPerf_t data[PERFS];
    cudnnConvolutionBwdFilterAlgoPerf_t filter[PERFS];
    int n = 0;
    ok(way == 0   ? cudnnGetConvolutionForwardAlgorithm_v7(s->handle, s->x_desc, s->w_desc, s->conv,
                                                           s->y_desc, PERFS, &n, fwd)
       : way == 1 ? cudnnGetConvolutionBackwardDataAlgorithm_v7(s->handle, s->w_desc, s->y_desc,
                                                                s->conv, s->x_desc, PERFS, &n, data)
                  : cudnnGetConvolutionBackwardFilterAlgorithm_v7(
                        s->handle, s->x_desc, s->y_desc, s->conv, s->w_desc, PERFS, &n, filter));
    for (int i = 0; i < n; i++) {
        status[i] = way == 0 ? fwd[i].status : way == 1 ? data[i].status : filter[i].status;
        same[i] = way == 0   ? fwd[i].determinism
                  : way == 1 ? data[i].determinism
                             : filter[i].determinism;
    }
    return n;
}

static cudnnStatus_t run_forward(const struct conv_case *c, struct setup *s, size_t workspace);

static void groups_may_have_no_algorithm(void **state)
{
    const struct conv_case *depthwise = &cases[11];
    cudnnStatus_t status[PERFS];
    cudnnDeterminism_t same[PERFS];
    struct setup s = make_setup(depthwise);
    assert_int_equal(depthwise->groups, depthwise->c);
    for (int way = 0; way < 3; way++) {
        fake_set("CUDNN_GROUPS", "none");
        for (int i = listed(&s, way, status, same); i-- > 0;)
            assert_int_equal(status[i], CUDNN_STATUS_NOT_SUPPORTED);
        fake_set("CUDNN_GROUPS", "any");
        for (int i = listed(&s, way, status, same); i-- > 0;)
            assert_true(way == 0 || status[i] == CUDNN_STATUS_NOT_SUPPORTED ||
                        same[i] == CUDNN_NON_DETERMINISTIC);
        assert_int_equal(status[0], CUDNN_STATUS_SUCCESS);
    }
    fake_set("CUDNN_GROUPS", "late");
    assert_true(listed(&s, 0, status, same) > 0 && status[0] == CUDNN_STATUS_SUCCESS);
    assert_int_equal(run_forward(depthwise, &s, WORKSPACE), CUDNN_STATUS_NOT_SUPPORTED);
    fake_set("CUDNN_GROUPS", NULL);
    free_setup(&s);
}

static cudnnStatus_t run_forward(const struct conv_case *c, struct setup *s, size_t workspace)
{
    return cudnnConvolutionForward(s->handle, &c->alpha, s->x_desc, s->x.device, s->w_desc,
                                   s->w.device, s->conv,
                                   CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, s->workspace,
                                   workspace, &c->beta, s->y_desc, s->y.device);
}

static void misuse_gives_the_documented_status(void **state)
{
    const struct conv_case *c = &cases[1];
    struct setup s = make_setup(c);
    const cudnnHandle_t handle = s.handle;
    void *x = s.x.device;
    size_t bytes = 0;
    ok(cudnnGetConvolutionForwardWorkspaceSize(s.handle, s.x_desc, s.w_desc, s.conv, s.y_desc,
                                               CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
                                               &bytes));
    assert_true(bytes > 0);
    assert_int_equal(run_forward(c, &s, bytes - 1) / 1000, CUDNN_STATUS_BAD_PARAM / 1000);
    s.handle = NULL;
    assert_int_equal(run_forward(c, &s, bytes) / 1000, CUDNN_STATUS_BAD_PARAM / 1000);
    s.handle = handle;
    s.x.device = NULL;
    assert_int_equal(run_forward(c, &s, bytes) / 1000, CUDNN_STATUS_BAD_PARAM / 1000);
    s.x.device = (char *)x + 4;
    assert_int_equal(run_forward(c, &s, bytes), CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
    s.x.device = x;
    assert_int_equal(cudnnSetTensor4dDescriptor(s.y_desc, NHWC, FLOAT, 2, 9, 0, 3),
                     CUDNN_STATUS_BAD_PARAM);
    assert_int_equal(cudnnSetConvolution2dDescriptor(s.conv, -1, 0, 1, 1, 1, 1, CROSS, FLOAT),
                     CUDNN_STATUS_BAD_PARAM);
    ok(cudnnSetConvolutionGroupCount(s.conv, 3)); /* of 3 channels, but the kernel has all */
    assert_int_equal(run_forward(c, &s, bytes) / 1000, CUDNN_STATUS_BAD_PARAM / 1000);
    ok(cudnnSetConvolutionGroupCount(s.conv, 1));
    assert_int_equal(cudnnSetConvolutionGroupCount(s.conv, 0), CUDNN_STATUS_BAD_PARAM);
    assert_int_equal(cudnnSetConvolutionGroupCount(NULL, 1), CUDNN_STATUS_BAD_PARAM);
    assert_int_equal(cudnnSetConvolution2dDescriptor(s.conv, 0, 0, 0, 1, 1, 1, CROSS, FLOAT),
                     CUDNN_STATUS_BAD_PARAM);
    ok(cudnnSetTensor4dDescriptor(s.y_desc, NHWC, FLOAT, 2, 9, 5, 3)); /* a row too many */
    assert_int_equal(run_forward(c, &s, bytes), CUDNN_STATUS_BAD_PARAM);
    ok(cudnnSetTensor4dDescriptor(s.y_desc, NCHW, FLOAT, 2, 9, 4, 3)); /* layouts mixed */
    assert_int_equal(run_forward(c, &s, bytes), CUDNN_STATUS_NOT_SUPPORTED);
    ok(cudnnSetTensor4dDescriptor(s.y_desc, NHWC, HALF, 2, 9, 4, 3));
    assert_int_equal(run_forward(c, &s, bytes), CUDNN_STATUS_BAD_PARAM);
    free_setup(&s);
}

static void a_made_failure_is_given_once(void **state)
{
    const struct conv_case *c = &cases[1];
    fake_restart(); /* calls are counted from here */
    struct setup s = make_setup(c);
    fake_set("FAIL", "cudnnConvolutionForward:1");
    assert_int_equal(run_forward(c, &s, WORKSPACE), CUDNN_STATUS_EXECUTION_FAILED);
    ok(run_forward(c, &s, WORKSPACE));
    fake_set("FAIL", NULL);
    finish(&s);
    check_result(c, &s, &s.y, NULL);
    free_setup(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_is_what_the_documentation_says),
        cmocka_unit_test(backward_data_is_what_the_documentation_says),
        cmocka_unit_test(backward_filter_is_what_the_documentation_says),
        cmocka_unit_test(a_bias_is_added_by_one_algorithm),
        cmocka_unit_test(channels_last_may_have_no_algorithm),
        cmocka_unit_test(groups_may_have_no_algorithm),
        cmocka_unit_test(misuse_gives_the_documented_status),
        cmocka_unit_test(a_made_failure_is_given_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
