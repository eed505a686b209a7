/* SPDX-License-Identifier: Apache-2.0
 * Each call of CUDA, cuBLASLt and cuDNN fails once, in turn, while an operator and its gradient are
 * made, run and taken down: either it is told in a line, or the result is what it is without. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model/backends.h"
#include "tests/fake_cuda/fake.h"
#include "tests/model/operator_work.h"

enum { MOST_CALLS = 2000, MOST_CELLS = 4096 };

static const struct backend_ops *gpu;

/* How each life is lived. */
static enum depthwise depthwise;

/* The result and its gradients: how many cells, or a negative errno. */
static int run_once(const struct operator_case *c, enum precision precision, float *ret,
                    struct error *error)
{
    const struct backend_config with = {1, precision, depthwise};
    struct operator_work w;
    int r = operator_work_open(&w, gpu, &with, error);
    if (r == 0)
        r = operator_work_plan(&w, c, true, error);
    if (r == 0)
        r = operator_work_run(&w, ret, MOST_CELLS, error);
    operator_work_close(&w);
    return r;
}

/* One life in which call `fails` fails; 0: none does. */
static int live(const struct operator_case *c, enum precision precision, unsigned fails, float *ret,
                uint64_t *ret_calls)
{
    struct error error = {""};
    char call[32];
    fake_restart();
    snprintf(call, sizeof call, "%u", fails);
    fake_set("FAIL", fails > 0 ? call : NULL);
    int r = run_once(c, precision, ret, &error);
    fake_set("FAIL", NULL);
    if (r < 0 && error.text[0] == '\0')
        fail_msg("%s, call %u: failed without a word", operator_programs[c->program].name, fails);
    if (r < 0 && strchr(error.text, '\n') != NULL)
        fail_msg("more than one line: %s", error.text);
    if (fake_leaks(true) != 0)
        fail_msg("%s, call %u: leaks", operator_programs[c->program].name, fails);
    *ret_calls = fake_calls();
    return r;
}

static void check_case(const struct operator_case *c, enum precision precision)
{
    static float want[MOST_CELLS], got[MOST_CELLS];
    uint64_t calls, all;
    unsigned told = 0;
    const int cells = live(c, precision, 0, want, &all);
    assert_true(cells > 0);
    for (unsigned fails = 1; fails <= all && fails < MOST_CALLS; fails++) {
        int r = live(c, precision, fails, got, &calls);
        told += r < 0;
        if (r >= 0)
            assert_memory_equal(got, want, (size_t)cells * sizeof *got);
    }
    assert_true(told > all / 2); /* what takes things down tells nobody */
}

static const struct operator_case cases[] = {
    {P_LINEAR_GELU, {2, 3, 5, 8}, 7, 0, 0, 0, false},
    {P_CONV, {2, 7, 5, 3}, 9, 3, 2, 1, false},
    {P_TRANSPOSED_RELU, {1, 5, 5, 8}, 3, 3, 4, 1, false},
    {P_ATTENTION, {2, 1, 7, 12}, 0, 3, 0, 0, true},
    {P_BATCH_NORM_INNER, {2, 3, 5, 7}, 0, 0, 0, 0, false},
    {P_BATCH_NORM_TRAIN, {2, 3, 5, 7}, 0, 0, 0, 0, true},
};

static void each_call_may_fail_once(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_case(&cases[i], PRECISION_FLOAT32);
}

static void each_call_may_fail_once_in_half_precision(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_case(&cases[i], PRECISION_BFLOAT16);
}

/* In each of the two ways, and while they are compared, which cuDNN's wins. */
static void each_call_of_a_focal_context_may_fail_once(void **state)
{
    static const struct operator_case focal = {P_FOCAL, {2, 3, 4, 8}, 2, 3, 0, 0, false};
    check_case(&focal, PRECISION_FLOAT32);
    depthwise = DEPTHWISE_CUDNN;
    check_case(&focal, PRECISION_BFLOAT16);
    depthwise = DEPTHWISE_AUTO;
    fake_set("TIME", "focal_level:1000,forward_kernel:1000,backward_kernel:1000");
    check_case(&focal, PRECISION_FLOAT32);
    fake_set("TIME", NULL);
    depthwise = DEPTHWISE_KERNELS;
}

/* What cuDNN has no algorithm for is computed another way, with the same sums. */
static void check_fallback(const char *setting, const char *value, enum precision precision,
                           float tolerance)
{
    static float want[MOST_CELLS], got[MOST_CELLS];
    uint64_t calls;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float largest = 1;
        const int cells = live(&cases[i], precision, 0, want, &calls);
        fake_set(setting, value);
        assert_int_equal(live(&cases[i], precision, 0, got, &calls), cells);
        fake_set(setting, NULL);
        for (int k = 0; k < cells; k++)
            largest = fmaxf(largest, fabsf(want[k]));
        for (int k = 0; k < cells; k++)
            if (!(fabsf(want[k] - got[k]) <= tolerance * largest))
                fail_msg("%s, cell %d: %g instead of %g", operator_programs[cases[i].program].name,
                         k, (double)got[k], (double)want[k]);
    }
}

static void convolutions_go_by_planes_where_they_must(void **state)
{
    check_fallback("CUDNN_LAYOUT", "planar", PRECISION_FLOAT32, 1e-6f);
    check_fallback("CUDNN_LAYOUT", "planar", PRECISION_BFLOAT16, 0x1p-7f); /* rounded twice */
}

static void a_bias_is_added_where_cudnn_does_not(void **state)
{
    check_fallback("CUDNN_BIAS", "none", PRECISION_FLOAT32, 1e-6f);
    check_fallback("CUDNN_BIAS", "none", PRECISION_BFLOAT16, 0x1p-7f);
}

/* Of a card that nobody can look at, the line is all there is. */
static void a_line_names_the_function_that_failed(void **state)
{
    static const char *const names[] = {"cudaStreamCreateWithFlags", "cudaMallocHost",
                                        "cudaGraphLaunch", "cudnnCreate",
                                        "cudnnBatchNormalizationBackward"};
    const struct operator_case c = {P_BATCH_NORM_TRAIN, {2, 3, 5, 7}, 0, 0, 0, 0, true};
    static float ret[MOST_CELLS];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct error error = {""};
        char first[64];
        fake_restart();
        snprintf(first, sizeof first, "%s:1", names[i]);
        fake_set("FAIL", first);
        int r = run_once(&c, PRECISION_FLOAT32, ret, &error);
        fake_set("FAIL", NULL);
        assert_true(r < 0);
        if (strstr(error.text, names[i]) == NULL)
            fail_msg("%s is not told by: %s", names[i], error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_go_by_planes_where_they_must),
        cmocka_unit_test(a_bias_is_added_where_cudnn_does_not),
        cmocka_unit_test(a_line_names_the_function_that_failed),
        cmocka_unit_test(each_call_may_fail_once),
        cmocka_unit_test(each_call_may_fail_once_in_half_precision),
        cmocka_unit_test(each_call_of_a_focal_context_may_fail_once),
    };
    struct error error;
    if (backend_find("cuda", &gpu, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
