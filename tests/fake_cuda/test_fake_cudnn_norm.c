/* SPDX-License-Identifier: Apache-2.0
 * The stand-in for cuDNN's batch norm gives what NVIDIA documents, by plain loops in both layouts,
 * and refuses what is documented as an error. */
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

#define NHWC CUDNN_TENSOR_NHWC
#define NCHW CUDNN_TENSOR_NCHW
#define FLOAT CUDNN_DATA_FLOAT
#define HALF CUDNN_DATA_HALF
#define BF16 CUDNN_DATA_BFLOAT16
#define SPATIAL CUDNN_BATCHNORM_SPATIAL

static const double epsilon = 1e-3;

struct norm_case {
    int n, c, h, w;
    cudnnTensorFormat_t format;
    cudnnDataType_t type;
    float alpha, beta; /* of the channels' gradients too */
    double factor;     /* of the running values */
};

static const struct norm_case cases[] = {
    {1, 1, 1, 2, NHWC, FLOAT, 1, 0, 1},    {2, 5, 3, 4, NHWC, FLOAT, 1, 0, 1},
    {2, 5, 3, 4, NCHW, FLOAT, 1, 0, 0.25}, {7, 8, 1, 1, NHWC, FLOAT, 2, -1, 0.5},
    {3, 4, 5, 6, NHWC, HALF, 1, 0, 1},     {3, 4, 5, 6, NCHW, BF16, 1, 1, 1},
    {2, 9, 4, 3, NHWC, BF16, 1, 0, 0.125},
};

/* On the host, and as the device has it. */
struct cells {
    size_t n;
    cudaDataType_t type;
    float *host;
    void *device;
};

enum { SCALE, BIAS, MEAN, VARIANCE, SAVED_MEAN, SAVED_INVERSE, DSCALE, DBIAS, CHANNELS };

struct setup {
    const struct norm_case *c;
    cudnnHandle_t handle;
    cudaStream_t stream;
    cudnnTensorDescriptor_t image, channel;
    struct cells x, y, dy;
    struct cells of[CHANNELS];
};

static struct cells make_cells(size_t n, cudnnDataType_t type)
{
    struct cells m = {n,
                      type == FLOAT  ? CUDA_R_32F
                      : type == HALF ? CUDA_R_16F
                                     : CUDA_R_16BF,
                      malloc(n * sizeof *m.host), NULL};
    cells_fill(m.host, m.type, n);
    m.device = cells_to_device(m.host, m.type, n);
    return m;
}

static void free_cells(struct cells *m)
{
    free(m->host);
    assert_int_equal(cudaFree(m->device), cudaSuccess);
}

static struct setup make_setup(const struct norm_case *c)
{
    struct setup s = {.c = c};
    const size_t cells = (size_t)(c->n * c->c * c->h * c->w);
    ok(cudnnCreate(&s.handle));
    assert_int_equal(cudaStreamCreate(&s.stream), cudaSuccess);
    ok(cudnnSetStream(s.handle, s.stream));
    ok(cudnnCreateTensorDescriptor(&s.image));
    ok(cudnnCreateTensorDescriptor(&s.channel));
    ok(cudnnSetTensor4dDescriptor(s.image, c->format, c->type, c->n, c->c, c->h, c->w));
    ok(cudnnSetTensor4dDescriptor(s.channel, c->format, FLOAT, 1, c->c, 1, 1));
    s.x = make_cells(cells, c->type);
    s.y = make_cells(cells, c->type);
    s.dy = make_cells(cells, c->type);
    for (int i = 0; i < CHANNELS; i++)
        s.of[i] = make_cells((size_t)c->c, FLOAT);
    for (int i = 0; i < c->c; i++)
        s.of[VARIANCE].host[i] = fabsf(s.of[VARIANCE].host[i]);
    cells_copy_to_device(s.of[VARIANCE].device, s.of[VARIANCE].host, CUDA_R_32F, (size_t)c->c);
    return s;
}

static void free_setup(struct setup *s)
{
    free_cells(&s->x);
    free_cells(&s->y);
    free_cells(&s->dy);
    for (int i = 0; i < CHANNELS; i++)
        free_cells(&s->of[i]);
    ok(cudnnDestroyTensorDescriptor(s->image));
    ok(cudnnDestroyTensorDescriptor(s->channel));
    assert_int_equal(cudaStreamDestroy(s->stream), cudaSuccess);
    ok(cudnnDestroy(s->handle));
    assert_int_equal(fake_leaks(true), 0);
}

/* After an error of the device, with which its memory is lost. */
static void abandon_setup(struct setup *s)
{
    free(s->x.host);
    free(s->y.host);
    free(s->dy.host);
    for (int i = 0; i < CHANNELS; i++)
        free(s->of[i].host);
    ok(cudnnDestroyTensorDescriptor(s->image));
    ok(cudnnDestroyTensorDescriptor(s->channel));
    ok(cudnnDestroy(s->handle));
    fake_restart();
}

/* Expected */

static int count_of(const struct norm_case *c)
{
    return c->n * c->h * c->w;
}

/* Cell i, of all positions, of channel k. */
static size_t cell(const struct norm_case *c, int i, int k)
{
    const int area = c->h * c->w;
    return (size_t)(c->format == NHWC ? i * c->c + k : (i / area * c->c + k) * area + i % area);
}

struct moments {
    double mean, variance; /* of the batch: divided by its count */
};

static struct moments moments_of(const struct setup *s, int k)
{
    const int count = count_of(s->c);
    struct moments m = {0, 0};
    for (int i = 0; i < count; i++)
        m.mean += (double)s->x.host[cell(s->c, i, k)] / count;
    for (int i = 0; i < count; i++)
        m.variance += pow((double)s->x.host[cell(s->c, i, k)] - m.mean, 2) / count;
    return m;
}

static void check_cell(const struct setup *s, const char *what, double got, double want,
                       double size, cudaDataType_t type)
{
    if (!(fabs(got - want) <= 4e-7 * (4 + size) + cells_step(type) * fabs(want)))
        fail_msg("case %td, %s: %g instead of %g", s->c - cases, what, got, want);
}

static float *fetch(const struct setup *s, const struct cells *m)
{
    float *got = malloc(m->n * sizeof *got);
    assert_int_equal(cudaStreamSynchronize(s->stream), cudaSuccess);
    cells_to_host(got, m->device, m->type, m->n);
    return got;
}

/* y: scale (x - mean) / sqrt(variance + epsilon) + bias, blended with what was there. */
static void check_normalized(const struct setup *s, bool batch)
{
    float *got = fetch(s, &s->y);
    for (int k = 0; k < s->c->c; k++) {
        const struct moments of_batch = moments_of(s, k);
        const double mean = batch ? of_batch.mean : (double)s->of[MEAN].host[k];
        const double variance = batch ? of_batch.variance : (double)s->of[VARIANCE].host[k];
        for (int i = 0; i < count_of(s->c); i++) {
            const size_t at = cell(s->c, i, k);
            const double y = ((double)s->x.host[at] - mean) / sqrt(variance + epsilon) *
                                 (double)s->of[SCALE].host[k] +
                             (double)s->of[BIAS].host[k];
            check_cell(s, "y", (double)got[at],
                       (double)s->c->alpha * y + (double)s->c->beta * (double)s->y.host[at],
                       fabs(y), s->y.type);
        }
    }
    free(got);
}

static void check_channels(const struct setup *s, int which, const char *what,
                           double (*want)(const struct setup *s, int k))
{
    float *got = fetch(s, &s->of[which]);
    for (int k = 0; k < s->c->c; k++) {
        const double expected = want(s, k);
        check_cell(s, what, (double)got[k], expected, fabs(expected), CUDA_R_32F);
    }
    free(got);
}

static double running(const struct setup *s, int which, int k, double now)
{
    return (double)s->of[which].host[k] * (1 - s->c->factor) + now * s->c->factor;
}

static double running_mean(const struct setup *s, int k)
{
    return running(s, MEAN, k, moments_of(s, k).mean);
}

static double running_variance(const struct setup *s, int k)
{
    const int count = count_of(s->c);
    return running(s, VARIANCE, k, moments_of(s, k).variance * count / (count - 1));
}

static double saved_mean(const struct setup *s, int k)
{
    return moments_of(s, k).mean;
}

static double saved_inverse(const struct setup *s, int k)
{
    return 1 / sqrt(moments_of(s, k).variance + epsilon);
}

static double unblended_dscale(const struct setup *s, int k)
{
    double sum = 0;
    for (int i = 0; i < count_of(s->c); i++) {
        const size_t at = cell(s->c, i, k);
        sum += (double)s->dy.host[at] * ((double)s->x.host[at] - saved_mean(s, k)) *
               saved_inverse(s, k);
    }
    return sum;
}

static double unblended_dbias(const struct setup *s, int k)
{
    double sum = 0;
    for (int i = 0; i < count_of(s->c); i++)
        sum += (double)s->dy.host[cell(s->c, i, k)];
    return sum;
}

static double blended(const struct setup *s, int which, int k, double x)
{
    return (double)s->c->alpha * x + (double)s->c->beta * (double)s->of[which].host[k];
}

static double dscale(const struct setup *s, int k)
{
    return blended(s, DSCALE, k, unblended_dscale(s, k));
}

static double dbias(const struct setup *s, int k)
{
    return blended(s, DBIAS, k, unblended_dbias(s, k));
}

/* Through mean and variance too. */
static void check_dx(const struct setup *s)
{
    float *got = fetch(s, &s->y);
    for (int k = 0; k < s->c->c; k++) {
        const double mean = saved_mean(s, k), inverse = saved_inverse(s, k);
        const double by_mean = unblended_dbias(s, k) / count_of(s->c);
        const double by_deviation = unblended_dscale(s, k) / count_of(s->c);
        for (int i = 0; i < count_of(s->c); i++) {
            const size_t at = cell(s->c, i, k);
            const double unit = ((double)s->x.host[at] - mean) * inverse;
            const double dx = (double)s->of[SCALE].host[k] * inverse *
                              ((double)s->dy.host[at] - by_mean - unit * by_deviation);
            check_cell(s, "dx", (double)got[at],
                       (double)s->c->alpha * dx + (double)s->c->beta * (double)s->y.host[at],
                       4 * inverse, s->y.type);
        }
    }
    free(got);
}

/* Calls */

static cudnnStatus_t infer(const struct setup *s)
{
    return cudnnBatchNormalizationForwardInference(
        s->handle, SPATIAL, &s->c->alpha, &s->c->beta, s->image, s->x.device, s->image, s->y.device,
        s->channel, s->of[SCALE].device, s->of[BIAS].device, s->of[MEAN].device,
        s->of[VARIANCE].device, epsilon);
}

static cudnnStatus_t train(const struct setup *s)
{
    return cudnnBatchNormalizationForwardTraining(
        s->handle, SPATIAL, &s->c->alpha, &s->c->beta, s->image, s->x.device, s->image, s->y.device,
        s->channel, s->of[SCALE].device, s->of[BIAS].device, s->c->factor, s->of[MEAN].device,
        s->of[VARIANCE].device, epsilon, s->of[SAVED_MEAN].device, s->of[SAVED_INVERSE].device);
}

static cudnnStatus_t back(const struct setup *s, const void *mean, const void *inverse)
{
    const float *alpha = &s->c->alpha, *beta = &s->c->beta;
    return cudnnBatchNormalizationBackward(
        s->handle, SPATIAL, alpha, beta, alpha, beta, s->image, s->x.device, s->image, s->dy.device,
        s->image, s->y.device, s->channel, s->of[SCALE].device, s->of[DSCALE].device,
        s->of[DBIAS].device, epsilon, mean, inverse);
}

static void inference_is_what_the_documentation_says(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct setup s = make_setup(&cases[i]);
        ok(infer(&s));
        check_normalized(&s, false);
        free_setup(&s);
    }
}

static void training_is_what_the_documentation_says(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct setup s = make_setup(&cases[i]);
        ok(train(&s));
        check_normalized(&s, true);
        check_channels(&s, MEAN, "running mean", running_mean);
        check_channels(&s, VARIANCE, "running variance", running_variance);
        check_channels(&s, SAVED_MEAN, "saved mean", saved_mean);
        check_channels(&s, SAVED_INVERSE, "saved inverse", saved_inverse);
        free_setup(&s);
    }
}

static void backward_is_what_the_documentation_says(void **state)
{
    for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
        struct setup s = make_setup(&cases[i / 2]);
        if (i % 2 == 0) {
            ok(back(&s, NULL, NULL));
        } else { /* what was saved is used */
            for (int k = 0; k < s.c->c; k++) {
                s.of[SAVED_MEAN].host[k] = (float)saved_mean(&s, k);
                s.of[SAVED_INVERSE].host[k] = (float)saved_inverse(&s, k);
            }
            for (int k = SAVED_MEAN; k <= SAVED_INVERSE; k++)
                cells_copy_to_device(s.of[k].device, s.of[k].host, CUDA_R_32F, s.of[k].n);
            ok(back(&s, s.of[SAVED_MEAN].device, s.of[SAVED_INVERSE].device));
        }
        check_dx(&s);
        check_channels(&s, DSCALE, "dscale", dscale);
        check_channels(&s, DBIAS, "dbias", dbias);
        free_setup(&s);
    }
}

static void what_was_saved_is_not_computed_again(void **state)
{
    struct setup s = make_setup(&cases[1]);
    for (int k = 0; k < s.c->c; k++) {
        s.of[SAVED_MEAN].host[k] = 0;
        s.of[SAVED_INVERSE].host[k] = 2;
    }
    for (int k = SAVED_MEAN; k <= SAVED_INVERSE; k++)
        cells_copy_to_device(s.of[k].device, s.of[k].host, CUDA_R_32F, s.of[k].n);
    ok(back(&s, s.of[SAVED_MEAN].device, s.of[SAVED_INVERSE].device));
    float *got = fetch(&s, &s.of[DSCALE]);
    for (int k = 0; k < s.c->c; k++) {
        double want = 0;
        for (int i = 0; i < count_of(s.c); i++)
            want += 2 * (double)s.dy.host[cell(s.c, i, k)] * (double)s.x.host[cell(s.c, i, k)];
        check_cell(&s, "dscale", (double)got[k], want, fabs(want), CUDA_R_32F);
    }
    free(got);
    free_setup(&s);
}

/* Misuse */

static cudnnStatus_t any_call(const struct setup *s, int i)
{
    return i == 0 ? infer(s) : i == 1 ? train(s) : back(s, NULL, NULL);
}

static void check_refused(const struct setup *s, cudnnStatus_t status)
{
    for (int i = 0; i < 3; i++)
        assert_int_equal(any_call(s, i), status);
}

static void wrong_descriptors_are_refused(void **state)
{
    struct setup s = make_setup(&cases[1]);
    ok(cudnnSetTensor4dDescriptor(s.channel, NHWC, FLOAT, 1, 4, 1, 1)); /* one too few */
    check_refused(&s, CUDNN_STATUS_BAD_PARAM);
    ok(cudnnSetTensor4dDescriptor(s.channel, NHWC, FLOAT, 1, 5, 3, 4)); /* another mode's */
    check_refused(&s, CUDNN_STATUS_BAD_PARAM);
    ok(cudnnSetTensor4dDescriptor(s.channel, NHWC, HALF, 1, 5, 1, 1));
    check_refused(&s, CUDNN_STATUS_NOT_SUPPORTED);
    ok(cudnnSetTensor4dDescriptor(s.channel, NHWC, FLOAT, 1, 5, 1, 1));
    const cudnnTensorDescriptor_t image = s.image;
    s.image = NULL;
    check_refused(&s, CUDNN_STATUS_BAD_PARAM);
    ok(cudnnCreateTensorDescriptor(&s.image)); /* not set */
    check_refused(&s, CUDNN_STATUS_BAD_PARAM);
    ok(cudnnDestroyTensorDescriptor(s.image));
    s.image = image;
    const cudnnHandle_t handle = s.handle;
    s.handle = NULL;
    check_refused(&s, CUDNN_STATUS_BAD_PARAM);
    s.handle = handle;
    free_setup(&s);
}

static void images_of_different_kinds_are_refused(void **state)
{
    struct setup s = make_setup(&cases[1]);
    const struct {
        cudnnTensorFormat_t format;
        cudnnDataType_t type;
        int w;
        cudnnStatus_t status;
    } others[] = {{NHWC, FLOAT, 3, CUDNN_STATUS_BAD_PARAM},
                  {NHWC, HALF, 4, CUDNN_STATUS_BAD_PARAM},
                  {NCHW, FLOAT, 4, CUDNN_STATUS_NOT_SUPPORTED}};
    cudnnTensorDescriptor_t other;
    ok(cudnnCreateTensorDescriptor(&other));
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        ok(cudnnSetTensor4dDescriptor(other, others[i].format, others[i].type, 2, 5, 3,
                                      others[i].w));
        assert_int_equal(cudnnBatchNormalizationForwardInference(
                             s.handle, SPATIAL, &s.c->alpha, &s.c->beta, s.image, s.x.device, other,
                             s.y.device, s.channel, s.of[SCALE].device, s.of[BIAS].device,
                             s.of[MEAN].device, s.of[VARIANCE].device, epsilon),
                         others[i].status);
    }
    ok(cudnnDestroyTensorDescriptor(other));
    free_setup(&s);
}

static void wrong_pointers_are_refused(void **state)
{
    struct setup s = make_setup(&cases[1]);
    void **const places[] = {&s.x.device, &s.y.device, &s.of[SCALE].device};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        void *place = *places[i];
        *places[i] = NULL;
        check_refused(&s, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
        *places[i] = (char *)place + 4;
        check_refused(&s, CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
        *places[i] = place;
    }
    /* one of two that belong together */
    const int twins[] = {MEAN, VARIANCE, SAVED_MEAN, SAVED_INVERSE};
    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        void *place = s.of[twins[i]].device;
        s.of[twins[i]].device = NULL;
        assert_int_equal(train(&s) / 1000, CUDNN_STATUS_BAD_PARAM / 1000);
        s.of[twins[i]].device = place;
    }
    assert_int_equal(back(&s, s.of[MEAN].device, NULL) / 1000, CUDNN_STATUS_BAD_PARAM / 1000);
    free_setup(&s);
}

static cudnnStatus_t infer_with(const struct setup *s, cudnnBatchNormMode_t mode, double eps)
{
    return cudnnBatchNormalizationForwardInference(
        s->handle, mode, &s->c->alpha, &s->c->beta, s->image, s->x.device, s->image, s->y.device,
        s->channel, s->of[SCALE].device, s->of[BIAS].device, s->of[MEAN].device,
        s->of[VARIANCE].device, eps);
}

static void other_modes_and_epsilons_are_refused(void **state)
{
    struct setup s = make_setup(&cases[1]);
    assert_int_equal(infer_with(&s, CUDNN_BATCHNORM_SPATIAL_PERSISTENT, epsilon),
                     CUDNN_STATUS_NOT_SUPPORTED);
    assert_int_equal(infer_with(&s, (cudnnBatchNormMode_t)3, epsilon), CUDNN_STATUS_BAD_PARAM);
    assert_int_equal(infer_with(&s, SPATIAL, -1e-9), CUDNN_STATUS_BAD_PARAM);
    assert_int_equal(infer_with(&s, SPATIAL, (double)NAN), CUDNN_STATUS_BAD_PARAM);
    ok(infer_with(&s, SPATIAL, CUDNN_BN_MIN_EPSILON));
    assert_int_equal(cudaStreamSynchronize(s.stream), cudaSuccess);
    free_setup(&s);
}

/* With factor 1 too: 0 times what is there is no number if that is none. */
static void running_values_are_read_before_they_become_others(void **state)
{
    struct setup s = make_setup(&cases[1]);
    void *mean = s.of[MEAN].device, *fresh = NULL;
    assert_int_equal(cudaMalloc(&fresh, s.of[MEAN].n * sizeof(float)), cudaSuccess);
    float *none = malloc(s.of[MEAN].n * sizeof *none);
    for (size_t i = 0; i < s.of[MEAN].n; i++)
        none[i] = NAN;
    cells_copy_to_device(fresh, none, CUDA_R_32F, s.of[MEAN].n);
    free(none);
    s.of[MEAN].device = fresh;
    ok(train(&s));
    float *got = fetch(&s, &s.of[MEAN]);
    assert_true(isnan(got[0]));
    free(got);
    s.of[MEAN].device = mean;
    assert_int_equal(cudaFree(fresh), cudaSuccess);
    free_setup(&s);
}

static void of_one_cell_there_is_no_running_variance(void **state)
{
    const struct norm_case single = {1, 3, 1, 1, NHWC, FLOAT, 1, 0, 1};
    struct setup s = make_setup(&single);
    ok(train(&s));
    float *got = fetch(&s, &s.of[VARIANCE]), *y = fetch(&s, &s.y);
    for (int k = 0; k < 3; k++) {
        assert_true(isnan(got[k]));
        assert_true(y[k] == s.of[BIAS].host[k]);
    }
    free(got);
    free(y);
    free_setup(&s);
}

static void a_made_failure_is_given_once(void **state)
{
    static const char *const names[] = {"cudnnBatchNormalizationForwardInference:1",
                                        "cudnnBatchNormalizationForwardTraining:1",
                                        "cudnnBatchNormalizationBackward:1"};
    for (int i = 0; i < 3; i++) {
        fake_restart(); /* calls are counted from here */
        struct setup s = make_setup(&cases[1]);
        fake_set("FAIL", names[i]);
        assert_int_equal(any_call(&s, i), CUDNN_STATUS_EXECUTION_FAILED);
        ok(any_call(&s, i));
        fake_set("FAIL", NULL);
        assert_int_equal(cudaStreamSynchronize(s.stream), cudaSuccess);
        free_setup(&s);
    }
}

/* The last ones: what device work was told of stays. */
static void what_was_never_written_is_told(void **state)
{
    if (!fake_checks_kernels()) {
        print_message("skipped: with gcc only, and not under ThreadSanitizer\n");
        skip();
    }
    fake_restart();
    struct setup s = make_setup(&cases[1]);
    void *fresh = NULL;
    assert_int_equal(cudaMalloc(&fresh, s.of[MEAN].n * sizeof(float)), cudaSuccess);
    s.of[MEAN].device = fresh;
    ok(train(&s));
    assert_int_equal(cudaStreamSynchronize(s.stream), cudaErrorIllegalAddress);
    assert_non_null(strstr(fake_last_report(), "nothing wrote"));
    abandon_setup(&s);
}

static void a_result_in_the_place_of_an_operand_is_told(void **state)
{
    fake_restart();
    struct setup s = make_setup(&cases[1]);
    s.y.device = s.x.device;
    ok(infer(&s));
    assert_int_equal(cudaStreamSynchronize(s.stream), cudaErrorInvalidValue);
    abandon_setup(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inference_is_what_the_documentation_says),
        cmocka_unit_test(training_is_what_the_documentation_says),
        cmocka_unit_test(backward_is_what_the_documentation_says),
        cmocka_unit_test(what_was_saved_is_not_computed_again),
        cmocka_unit_test(wrong_descriptors_are_refused),
        cmocka_unit_test(images_of_different_kinds_are_refused),
        cmocka_unit_test(wrong_pointers_are_refused),
        cmocka_unit_test(other_modes_and_epsilons_are_refused),
        cmocka_unit_test(running_values_are_read_before_they_become_others),
        cmocka_unit_test(of_one_cell_there_is_no_running_variance),
        cmocka_unit_test(a_made_failure_is_given_once),
        cmocka_unit_test(what_was_never_written_is_told),
        cmocka_unit_test(a_result_in_the_place_of_an_operand_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
