/* SPDX-License-Identifier: Apache-2.0
 * Batch norms on the GPU's backend, where the stand-in is in the GPU's place: in each precision
 * what the reference gives, by running statistics and by the batch's own, forward and backward,
 * each thing computed once, and not where several processes would share it. */
#include <errno.h>
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
#include "model/graph_grad.h"
#include "model/plan.h"
#include "tests/fake_cuda/fake.h"

#define ARRAY_LEN(x) (sizeof(x) / sizeof((x)[0]))

static const struct backend_ops *gpu;

/* gelu, batch norm and, unless it is the last, gelu: the values between them are of the precision's
 * type, the first and the last are float32. */
struct form {
    bool train, last, frozen; /* frozen: nobody wants the gradients of its weights */
};

struct life {
    struct graph_backward backward;
    struct backend *backend;
    struct weights *weights;
    struct plan *plan;
    const struct backend_ops *ops;
    void *arena;
    int input, output, seed;
};

static void build(struct life *l, struct graph *g, struct tensor_shape s, const struct form *form)
{
    static const char *const names[] = {"weight", "bias", "running_mean", "running_var"};
    const int64_t c = s.c;
    int w[4];
    graph_init(g);
    l->input = graph_input(g, s);
    for (int i = 0; i < 4; i++)
        w[i] = graph_weight(g, 1, &c, "bn.%s", names[i]);
    int x = (form->train ? graph_batch_norm_train : graph_batch_norm)(g, graph_gelu(g, l->input), w,
                                                                      1e-5f);
    l->output = graph_output(g, form->last ? x : graph_gelu(g, x));
}

static void begin(struct life *l, const struct backend_ops *ops, enum precision precision,
                  struct tensor_shape s, const struct form *form)
{
    struct graph g;
    struct error error;
    const bool frozen[4] = {form->frozen, form->frozen, form->frozen, form->frozen};
    const struct graph_wanted wanted = {.inputs = true, .frozen = frozen};
    const struct backend_config with = {.threads = 1, .precision = precision};
    *l = (struct life){.ops = ops};
    build(l, &g, s, form);
    if (graph_grad(&g, &l->output, 1, &wanted, &l->seed, &l->backward, &error) < 0 ||
        weights_hashed(&l->weights, &error) < 0 || ops->open(&l->backend, &with, &error) < 0)
        fail_msg("%s", error.text);
    struct plan_config config = {.ops = ops, .backend = l->backend, .weights = l->weights};
    if (plan_create(&l->plan, &g, &config, &error) < 0)
        fail_msg("%s", error.text);
    l->arena = backend_memory(ops, l->backend, plan_arena_bytes(l->plan), &error);
    if (l->arena == NULL || plan_bind(l->plan, l->arena, &error) < 0)
        fail_msg("%s", error.text);
}

static void end(struct life *l)
{
    graph_backward_finish(&l->backward);
    plan_destroy(l->plan);
    backend_memory_free(l->ops, l->backend, l->arena);
    l->ops->close(l->backend);
    weights_destroy(l->weights);
}

static void fill(struct plan *plan, int value, float phase)
{
    struct tensor_shape shape;
    float *x = plan_value(plan, value, &shape);
    for (size_t i = 0; i < tensor_cells(shape); i++)
        x[i] = 2 * sinf((float)(i + 1) * 1.7f + phase * (float)(i % 13));
}

static void run(struct life *l)
{
    struct error error;
    fill(l->plan, l->input, 0.3f);
    fill(l->plan, l->seed, 0.7f);
    if (plan_run(l->plan, &error) < 0)
        fail_msg("%s", error.text);
}

/* The value itself, the input's gradient, then those of the weights and the statistics, each value
 * once; -1: no more. */
static int value_at(const struct life *l, int i)
{
    if (i == 0)
        return l->output;
    if (i == 1)
        return l->backward.values[l->input];
    i -= 2;
    for (int w = 0; w < l->backward.n_weights; w++)
        if (l->backward.weights[w].value >= 0 && l->backward.weights[w].from == 0 && i-- == 0)
            return l->backward.weights[w].value;
    return -1;
}

static double length_of(const float *x, const float *minus, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += pow((double)x[i] - (minus != NULL ? (double)minus[i] : 0), 2);
    return sqrt(sum);
}

/* Half a unit in the last place, of what is stored. */
static double rounding(enum precision precision)
{
    return precision == PRECISION_BFLOAT16 ? 0x1p-8 : precision == PRECISION_FLOAT16 ? 0x1p-11 : 0;
}

static const struct tensor_shape shapes[] = {{1, 2, 4, 3},   {2, 3, 5, 3},  {3, 8, 8, 40},
                                             {5, 16, 9, 66}, {7, 1, 1, 64}, {1, 1, 1, 5}};
static const struct form forms[] = {
    {false, false, false}, {false, true, false}, {false, false, true},
    {true, false, false},  {true, true, false},  {true, false, true},
};

/* On the way to the input's gradient lie a handful of values that were rounded. */
static void check(enum precision precision, struct tensor_shape s, const struct form *form)
{
    struct life here, there;
    struct tensor_shape shape;
    const double limit = 1e-5 + 8 * rounding(precision);
    int value, n = 0;
    begin(&here, &backend_ref, PRECISION_FLOAT32, s, form);
    begin(&there, gpu, precision, s, form);
    run(&here);
    run(&there);
    for (; (value = value_at(&here, n)) >= 0; n++) {
        const float *want = plan_value(here.plan, value, &shape);
        const float *got = plan_value(there.plan, value, NULL);
        const size_t cells = tensor_cells(shape);
        const double off = length_of(got, want, cells), length = length_of(want, NULL, cells);
        if (!(off <= limit * fmax(length, 1)))
            fail_msg("value %d of [%d][%d][%d][%d]%s%s in %s: off by %g of %g", n, s.n, s.h, s.w,
                     s.c, form->train ? " in training" : "", form->last ? ", last" : "",
                     precision_name(precision), off, length);
    }
    assert_int_equal(n, 2 + (form->frozen ? 0 : 1) + (form->train ? 1 : 0));
    end(&here);
    end(&there);
}

static void every_precision_gives_what_the_reference_gives(void **state)
{
    const enum precision precisions[] = {PRECISION_FLOAT32, PRECISION_TF32, PRECISION_BFLOAT16,
                                         PRECISION_FLOAT16};
    (void)state;
    for (size_t p = 0; p < ARRAY_LEN(precisions); p++)
        for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
            for (size_t f = 0; f < ARRAY_LEN(forms); f++)
                check(precisions[p], shapes[i], &forms[f]);
}

/* The first run, the recorded one and its replay. */
static void each_run_gives_the_same_bits(void **state)
{
    const struct tensor_shape s = shapes[3];
    const struct form form = {true, false, false};
    struct life l;
    struct tensor_shape shape;
    (void)state;
    begin(&l, gpu, PRECISION_BFLOAT16, s, &form);
    run(&l);
    float *first[4] = {NULL};
    for (int i = 0; i < 4; i++) {
        const float *x = plan_value(l.plan, value_at(&l, i), &shape);
        first[i] = malloc(tensor_cells(shape) * sizeof *x);
        assert_non_null(first[i]);
        memcpy(first[i], x, tensor_cells(shape) * sizeof *x);
    }
    for (int k = 0; k < 2; k++) {
        run(&l);
        for (int i = 0; i < 4; i++) {
            const float *x = plan_value(l.plan, value_at(&l, i), &shape);
            assert_memory_equal(x, first[i], tensor_cells(shape) * sizeof *x);
        }
    }
    for (int i = 0; i < 4; i++)
        free(first[i]);
    end(&l);
}

/* Result and statistics are one call, and so are all gradients: there is no second that could fail.
 */
static void nothing_is_computed_twice(void **state)
{
    static const char *const second[] = {"cudnnBatchNormalizationForwardTraining:2",
                                         "cudnnBatchNormalizationBackward:2"};
    const struct form form = {true, false, false};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(second); i++) {
        struct life l;
        struct error error;
        fake_restart();
        begin(&l, gpu, PRECISION_FLOAT32, shapes[2], &form);
        fake_set("FAIL", second[i]);
        run(&l);
        assert_true(plan_run(l.plan, &error) < 0); /* it is the next run's */
        assert_non_null(strstr(error.text, "cudnnBatchNormalization"));
        fake_set("FAIL", NULL);
        end(&l);
    }
}

static void what_processes_share_is_refused(void **state)
{
    struct life l = {.ops = gpu};
    struct graph g;
    struct error error;
    const struct backend_config with = {.threads = 1};
    const int64_t c = 5;
    int w[4];
    (void)state;
    graph_init(&g);
    for (int i = 0; i < 4; i++)
        w[i] = graph_weight(&g, 1, &c, "bn.%d", i);
    graph_output(&g, graph_batch_norm_shared(&g, graph_input(&g, (struct tensor_shape){2, 3, 4, 5}),
                                             w, 1e-5f, 2));
    assert_int_equal(gpu->open(&l.backend, &with, &error), 0);
    assert_int_equal(weights_hashed(&l.weights, &error), 0);
    struct plan_config config = {.ops = gpu, .backend = l.backend, .weights = l.weights};
    assert_int_equal(plan_create(&l.plan, &g, &config, &error), -ENOTSUP);
    assert_non_null(strstr(error.text, "share"));
    gpu->close(l.backend);
    weights_destroy(l.weights);
}

static void nothing_is_left(void **state)
{
    (void)state;
    assert_int_equal(fake_leaks(true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_precision_gives_what_the_reference_gives),
        cmocka_unit_test(each_run_gives_the_same_bits),
        cmocka_unit_test(nothing_is_computed_twice),
        cmocka_unit_test(what_processes_share_is_refused),
        cmocka_unit_test(nothing_is_left),
    };
    struct error error;
    if (backend_find("cuda", &gpu, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
