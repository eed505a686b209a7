/* SPDX-License-Identifier: Apache-2.0
 * Focal contexts on a GPU take one of two ways (docs/gpu.md): which one, that it is found out once,
 * and that what cuDNN cannot do is done without it. The stand-in says how long each takes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"
#include "model/backends.h"
#include "tests/compare.h"
#include "tests/fake_cuda/fake.h"
#include "tests/model/operator_work.h"

enum { MOST_CELLS = 8192 };

static const struct backend_ops *gpu;
static const struct operator_case usual = {P_FOCAL, {4, 5, 6, 8}, 2, 3, 0, 0, false};

/* Kernels of our own that cuDNN's way has not: 1 us each; cuDNN's: as told. */
#define OWN "focal_level:1000,forward_kernel:1000,weights_kernel:1000,backward_kernel:1000"

static void open_work(struct operator_work *w, enum precision precision, enum depthwise depthwise)
{
    struct error error;
    const struct backend_config with = {1, precision, depthwise};
    if (operator_work_open(w, gpu, &with, &error) < 0)
        fail_msg("%s", error.text);
}

static void make_plan(struct operator_work *w, const struct operator_case *c)
{
    struct error error;
    if (operator_work_plan(w, c, true, &error) < 0)
        fail_msg("%s", error.text);
}

static void close_work(struct operator_work *w)
{
    operator_work_close(w);
    assert_int_equal(fake_leaks(true), 0);
}

/* The result and its gradients: how many cells. */
static int results(enum precision precision, enum depthwise depthwise, float *ret)
{
    struct operator_work w;
    struct error error;
    open_work(&w, precision, depthwise);
    make_plan(&w, &usual);
    const int n = operator_work_run(&w, ret, MOST_CELLS, &error);
    if (n < 0)
        fail_msg("%s", error.text);
    close_work(&w);
    return n;
}

static struct depthwise_choice found_of(struct operator_work *w, int i)
{
    struct depthwise_choice found = {.what = ""};
    assert_true(gpu->device->depthwise(w->backend, i, &found));
    return found;
}

static int found_count(struct operator_work *w)
{
    struct depthwise_choice found;
    int n = 0;
    while (gpu->device->depthwise(w->backend, n, &found))
        n++;
    return n;
}

/* Choosing */

/* With that said of times: how many of the context and its gradient are cuDNN's. */
static int cudnn_of(const char *times, struct depthwise_choice found[2])
{
    struct operator_work w;
    fake_set("TIME", times);
    open_work(&w, PRECISION_FLOAT32, DEPTHWISE_AUTO);
    make_plan(&w, &usual);
    assert_int_equal(found_count(&w), 2);
    found[0] = found_of(&w, 0);
    found[1] = found_of(&w, 1);
    close_work(&w);
    fake_set("TIME", NULL);
    return found[0].cudnn + found[1].cudnn;
}

static void what_is_faster_is_taken(void **state)
{
    struct depthwise_choice found[2];
    assert_int_equal(cudnn_of(OWN ",cudnnConvolution:100", found), 2);
    assert_int_equal(cudnn_of(OWN ",cudnnConvolution:2000", found), 0);
    /* two levels: 2 us; forward, kernels' gradients and back: 6 us. Either counts by itself. */
    assert_true(fabs(found[0].kernels_ms - 0.002) < 1e-6 && fabs(found[0].cudnn_ms - 0.004) < 1e-6);
    assert_true(fabs(found[1].kernels_ms - 0.006) < 1e-6 && fabs(found[1].cudnn_ms - 0.012) < 1e-6);
    assert_int_equal(cudnn_of(OWN ",cudnnConvolutionF:100,cudnn:2000", found), 1);
    assert_true(found[0].cudnn && !found[1].cudnn);
    assert_non_null(strstr(found[0].what, "[4][5][6][8] float32, 3 to 5 taps"));
}

static void ours_are_taken_unless_cudnn_is_faster_by_a_tenth(void **state)
{
    struct depthwise_choice found[2];
    assert_int_equal(cudnn_of(OWN ",cudnnConvolution:1000", found), 0);
    assert_int_equal(cudnn_of(OWN ",cudnnConvolution:910", found), 0);
    assert_int_equal(cudnn_of(OWN ",cudnnConvolution:890", found), 2);
}

static void fail_next(const char *call)
{
    char text[64];
    snprintf(text, sizeof text, "%s:%d", call, (int)fake_calls_of(call) + 1);
    fake_set("FAIL", text);
}

static void what_is_alike_is_measured_once(void **state)
{
    struct operator_work w;
    struct error error;
    struct operator_case other = usual;
    fake_set("TIME", OWN ",cudnnConvolution:100");
    open_work(&w, PRECISION_FLOAT32, DEPTHWISE_AUTO);
    make_plan(&w, &usual);
    operator_work_unplan(&w);
    fail_next("cudaEventCreate"); /* nothing is timed any more */
    make_plan(&w, &usual);
    assert_int_equal(found_count(&w), 2);
    operator_work_unplan(&w);
    other.in.h++;
    assert_true(operator_work_plan(&w, &other, true, &error) < 0);
    assert_non_null(strstr(error.text, "an event"));
    assert_int_equal(found_count(&w), 2); /* what failed left no choice behind */
    fake_set("FAIL", NULL);
    operator_work_unplan(&w);
    make_plan(&w, &other);
    assert_int_equal(found_count(&w), 4);
    close_work(&w);
    fake_set("TIME", NULL);
}

static void a_choice_that_is_given_is_not_measured(void **state)
{
    struct operator_work w;
    float cells[MOST_CELLS];
    fail_next("cudaEventCreate");
    assert_true(results(PRECISION_BFLOAT16, DEPTHWISE_KERNELS, cells) > 0);
    assert_true(results(PRECISION_BFLOAT16, DEPTHWISE_CUDNN, cells) > 0);
    open_work(&w, PRECISION_FLOAT32, DEPTHWISE_CUDNN);
    make_plan(&w, &usual);
    assert_true(found_of(&w, 0).cudnn && found_of(&w, 1).cudnn);
    assert_true(found_of(&w, 0).cudnn_ms == 0 && found_of(&w, 0).kernels_ms == 0);
    close_work(&w);
    fake_set("FAIL", NULL);
}

/* What cuDNN cannot do */

static void check_as_ours(const char *setting, const char *value)
{
    static float ours[MOST_CELLS], got[MOST_CELLS];
    const enum precision precisions[] = {PRECISION_FLOAT32, PRECISION_FLOAT16};
    const enum depthwise wished[] = {DEPTHWISE_CUDNN, DEPTHWISE_AUTO};
    fake_set("TIME", OWN);
    for (int p = 0; p < 2; p++) {
        const int n = results(precisions[p], DEPTHWISE_KERNELS, ours);
        fake_set(setting, value);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(results(precisions[p], wished[i], got), n);
            assert_memory_equal(got, ours, (size_t)n * sizeof *got);
        }
        fake_set(setting, NULL);
    }
    fake_set("TIME", NULL);
}

static void what_cudnn_has_no_algorithm_for_is_ours(void **state)
{
    check_as_ours("CUDNN_GROUPS", "none");
    check_as_ours("CUDNN_LAYOUT", "planar");
}

static void what_cudnn_refuses_when_it_runs_is_ours(void **state)
{
    check_as_ours("CUDNN_GROUPS", "late");
}

/* The forward pass has nothing that may come out differently. */
static void what_would_not_give_the_same_bits_is_not_taken(void **state)
{
    struct operator_work w;
    fake_set("CUDNN_GROUPS", "any");
    open_work(&w, PRECISION_FLOAT32, DEPTHWISE_CUDNN);
    make_plan(&w, &usual);
    assert_int_equal(found_count(&w), 1);
    assert_non_null(strstr(found_of(&w, 0).what, "focal_context"));
    close_work(&w);
    fake_set("CUDNN_GROUPS", NULL);
}

/* Results */

static void both_ways_give_the_same_in_every_precision(void **state)
{
    static float ours[MOST_CELLS], cudnn[MOST_CELLS];
    /* The same values are rounded, so that sums in another order move some of them by a step. */
    const float steps[PRECISIONS] = {[PRECISION_FLOAT32] = 0x1p-23f,
                                     [PRECISION_TF32] = 0x1p-23f,
                                     [PRECISION_BFLOAT16] = 0x1p-8f,
                                     [PRECISION_FLOAT16] = 0x1p-11f};
    for (int p = 0; p < PRECISIONS; p++) {
        const int n = results((enum precision)p, DEPTHWISE_KERNELS, ours);
        assert_int_equal(results((enum precision)p, DEPTHWISE_CUDNN, cudnn), n);
        const struct distance d = distance_between(cudnn, ours, (size_t)n);
        const double off = d.off / d.largest;
        if (!(off <= 4 * (double)steps[p]))
            fail_msg("%s: off by %g", precision_name((enum precision)p), off);
        if (p == PRECISION_FLOAT32) /* two ways they are */
            assert_memory_not_equal(ours, cudnn, (size_t)n * sizeof *ours);
    }
}

static void the_same_bits_come_out_every_time(void **state)
{
    static float once[MOST_CELLS], again[MOST_CELLS];
    const int n = results(PRECISION_TF32, DEPTHWISE_CUDNN, once);
    assert_int_equal(results(PRECISION_TF32, DEPTHWISE_CUDNN, again), n);
    assert_memory_equal(once, again, (size_t)n * sizeof *once);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_faster_is_taken),
        cmocka_unit_test(ours_are_taken_unless_cudnn_is_faster_by_a_tenth),
        cmocka_unit_test(what_is_alike_is_measured_once),
        cmocka_unit_test(a_choice_that_is_given_is_not_measured),
        cmocka_unit_test(what_cudnn_has_no_algorithm_for_is_ours),
        cmocka_unit_test(what_cudnn_refuses_when_it_runs_is_ours),
        cmocka_unit_test(what_would_not_give_the_same_bits_is_not_taken),
        cmocka_unit_test(both_ways_give_the_same_in_every_precision),
        cmocka_unit_test(the_same_bits_come_out_every_time),
    };
    struct error error;
    if (backend_find("cuda", &gpu, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
