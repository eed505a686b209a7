/* SPDX-License-Identifier: Apache-2.0
 * One list of cases, each a small graph, run by the reference and by the cpu backend on the same
 * random weights and hostile inputs; the reference's values lie apart, between guards, and begin as
 * NaN.
 * test_operators --bench times the same cases on both; --backend NAME [cudnn] runs them on another
 * backend, and with cudnn its focal contexts by cuDNN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "model/cpu/loops.h"
#include "model/backends.h"
#include "model/graph_grad.h"
#include "model/plan.h"
#include "tests/compare.h"
#include "tests/model/operator_cases.h"

static uint64_t seed_value = 20240917;

static double uniform(uint64_t *state) /* [-1, 1) */
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-52 - 1;
}

static void fill(float *x, struct tensor_shape s, uint64_t state)
{
    for (size_t i = 0; i < tensor_cells(s); i++)
        x[i] = (float)uniform(&state);
}

/* Rows of different sizes: ordinary, tiny, large, constant, zero. */
static void fill_hostile(float *x, struct tensor_shape s, uint64_t state)
{
    size_t rows = tensor_cells(s) / (size_t)s.c;
    for (size_t r = 0; r < rows; r++) {
        double scale = r % 7 == 3 ? 1e-20 : r % 7 == 5 ? 30 : 1;
        double offset = r % 11 == 4 ? 10 : 0;
        if (r % 13 == 9)
            scale = 0;
        for (size_t c = 0; c < (size_t)s.c; c++)
            x[r * (size_t)s.c + c] = (float)(offset + scale * uniform(&state));
    }
}

static const struct backend_ops *tested_ops = &backend_cpu;
static enum depthwise tested_depthwise;
/* A few roundings of float32, as an interpolation has. */
static const double device_tolerance = 1e-6;
/* Scores are float32: half a unit in the last place of a score of 2^11, which these inputs have, is
 * 2^-14 of its exponential. */
static const double score_tolerance = 0x1p-13;
enum { HOSTILE, ORDINARY, FILLINGS };

/* Of max(1, the largest reference value). Attention of ordinary inputs has scores near 1. */
static double tolerance_of(const struct operator_case *c, int filling, double ordinary)
{
    return c->program == P_ATTENTION && filling == HOSTILE ? score_tolerance : ordinary;
}

/* Running */

struct run {
    struct graph_backward backward; /* empty where not asked for */
    int seed, inputs[2];
    struct backend *backend;
    struct weights *weights;
    struct plan *plan;
    void *arena;
    int output;
};

/* All that is a focal context is cuDNN's. */
static void check_cudnn(const struct run *r, const struct operator_case *c, bool backward)
{
    struct depthwise_choice found;
    int n = 0;
    for (; tested_ops->device->depthwise(r->backend, n, &found); n++)
        if (!found.cudnn)
            fail_msg("%s: %s is not", operator_programs[c->program].name, found.what);
    assert_true(n >= (backward ? 2 : 1));
}

static void start(struct run *r, const struct operator_case *c, const struct backend_ops *ops,
                  bool isolate, bool backward, int filling)
{
    struct error error;
    struct graph g;
    int inputs[2];
    graph_init(&g);
    r->output = graph_output(&g, operator_build(&g, c, inputs));
    r->backward = (struct graph_backward){0};
    r->inputs[0] = inputs[0];
    r->inputs[1] = inputs[1];
    const struct graph_wanted wanted = {.inputs = true};
    if (backward && graph_grad(&g, &r->output, 1, &wanted, &r->seed, &r->backward, &error) < 0)
        fail_msg("%s", error.text);
    const struct backend_config with = {.threads = 2, .depthwise = tested_depthwise};
    if (ops->open(&r->backend, &with, &error) < 0 || weights_hashed(&r->weights, &error) < 0)
        fail_msg("%s", error.text);
    struct plan_config config = {
        .ops = ops, .backend = r->backend, .weights = r->weights, .isolate = isolate};
    if (plan_create(&r->plan, &g, &config, &error) < 0)
        fail_msg("%s: %s", operator_programs[c->program].name, error.text);
    r->arena = backend_memory(ops, r->backend, plan_arena_bytes(r->plan), &error);
    if (r->arena == NULL)
        fail_msg("%s", error.text);
    if (plan_bind(r->plan, r->arena, &error) < 0)
        fail_msg("%s", error.text);
    if (with.depthwise == DEPTHWISE_CUDNN && ops->device != NULL)
        check_cudnn(r, c, backward);
    for (int i = 0; i < 2 && inputs[i] >= 0; i++) {
        struct tensor_shape s;
        float *x = plan_value(r->plan, inputs[i], &s);
        /* Where a length is zero it has no gradient. */
        if (filling == ORDINARY || (backward && c->program == P_CHANNEL_L2))
            fill(x, s, seed_value + (uint64_t)i);
        else
            fill_hostile(x, s, seed_value + (uint64_t)i);
    }
    if (backward) {
        struct tensor_shape s;
        float *x = plan_value(r->plan, r->seed, &s);
        fill(x, s, seed_value + 7);
    }
}

static void finish(struct run *r, const struct backend_ops *ops)
{
    graph_backward_finish(&r->backward);
    plan_destroy(r->plan);
    backend_memory_free(ops, r->backend, r->arena);
    ops->close(r->backend);
    weights_destroy(r->weights);
}

static void run_once(struct run *r)
{
    struct error error;
    if (plan_run(r->plan, &error) < 0)
        fail_msg("%s", error.text);
}

static void check_placed(const struct operator_case *c, bool isolate, int filling)
{
    struct run ref, tested;
    struct tensor_shape shape;
    start(&ref, c, &backend_ref, true, false, filling);
    start(&tested, c, tested_ops, isolate, false, filling);
    run_once(&ref);
    run_once(&tested);
    const float *a = plan_value(ref.plan, ref.output, &shape);
    const float *b = plan_value(tested.plan, tested.output, NULL);
    const struct distance d = distance_between(b, a, tensor_cells(shape));
    const double error = d.off / fmax(1, d.largest);
    double limit = tolerance_of(c, filling, operator_programs[c->program].tolerance);
    if (tested_ops->device != NULL) /* where the cpu does the reference's own arithmetic */
        limit = fmax(limit, device_tolerance);
    if (!(error <= limit))
        fail_msg("%s of [%d, %d, %d, %d] -> %d: error %g, limit %g",
                 operator_programs[c->program].name, c->in.n, c->in.h, c->in.w, c->in.c, c->out,
                 error, limit);
    if (!plan_guards_intact(ref.plan) || (isolate && !plan_guards_intact(tested.plan)))
        fail_msg("%s of [%d, %d, %d, %d] writes outside its value",
                 operator_programs[c->program].name, c->in.n, c->in.h, c->in.w, c->in.c);
    finish(&ref, &backend_ref);
    finish(&tested, tested_ops);
}

/* The inputs' gradients are outputs; others' places may have been used again. */
static bool is_input(const struct run *r, int value)
{
    return value == r->inputs[0] || value == r->inputs[1];
}

/* Values that are gradients of inputs or weights; -1 behind the last. */
static int gradient_at(const struct run *r, int i)
{
    for (int value = 0; value < r->backward.n_values; value++)
        if (is_input(r, value) && r->backward.values[value] >= 0 && i-- == 0)
            return r->backward.values[value];
    for (int w = 0; w < r->backward.n_weights; w++)
        if (r->backward.weights[w].value >= 0 && i-- == 0)
            return r->backward.weights[w].value;
    return -1;
}

/* Gradients are sums of up to some hundred products of factors up to 300 (1 / sqrt(eps) of a norm),
 * compared by max(1, the largest). */
static void check_gradients(const struct operator_case *c, bool isolate, int filling)
{
    struct run ref, tested;
    struct tensor_shape shape;
    start(&ref, c, &backend_ref, true, true, filling);
    start(&tested, c, tested_ops, isolate, true, filling);
    run_once(&ref);
    run_once(&tested);
    const double limit = tolerance_of(c, filling, 2e-5);
    int value, n = 0;
    for (; (value = gradient_at(&ref, n)) >= 0; n++) {
        const float *a = plan_value(ref.plan, value, &shape);
        const float *b = plan_value(tested.plan, value, NULL);
        const struct distance d = distance_between(b, a, tensor_cells(shape));
        const double error = d.off / fmax(1, d.largest);
        if (!(error <= limit))
            fail_msg("gradient %d of %s of [%d, %d, %d, %d] -> %d: error %g", n,
                     operator_programs[c->program].name, c->in.n, c->in.h, c->in.w, c->in.c, c->out,
                     error);
    }
    assert_true(n > 0);
    assert_true(plan_guards_intact(ref.plan) && (!isolate || plan_guards_intact(tested.plan)));
    finish(&ref, &backend_ref);
    finish(&tested, tested_ops);
}

/* Values of what is tested apart, between guards; then as they share memory in earnest. */
static void check_case(const struct operator_case *c)
{
    for (int filling = 0; filling < FILLINGS; filling++) {
        check_placed(c, true, filling);
        check_placed(c, false, filling);
    }
}

/* The cpu's own loops with this vector extension; NULL: as it is. */
static void with_simd(const char *simd)
{
    if (simd != NULL && !loop_force(simd)) {
        print_message("skipped: this processor has no %s\n", simd);
        skip();
    }
}

static bool is_focal(const struct operator_case *c)
{
    return c->program == P_FOCAL || c->program == P_FOCAL_NORMALIZED;
}

/* Of a device's two ways of computing focal contexts the one that is not a kernel of our own; else
 * all but batch norms of several processes, which share them on the CPU alone. */
static bool is_tested(const struct operator_case *c)
{
    if (tested_depthwise != DEPTHWISE_KERNELS)
        return is_focal(c);
    return tested_ops->device == NULL || c->program != P_BATCH_NORM_SHARED;
}

static void every_case_agrees_with_the_reference(void **state)
{
    print_message("seed %llu (FOCALD_SEED)\n", (unsigned long long)seed_value);
    with_simd(*state);
    for (size_t i = 0; i < (size_t)n_operator_cases; i++)
        if (is_tested(&operator_cases[i]))
            check_case(&operator_cases[i]);
    loop_force(NULL);
}

static void gradients_agree_as_well(void **state)
{
    with_simd(*state);
    for (size_t i = 0; i < (size_t)n_operator_cases; i++) {
        for (int filling = 0; filling < FILLINGS && is_tested(&operator_cases[i]); filling++) {
            check_gradients(&operator_cases[i], true, filling);
            check_gradients(&operator_cases[i], false, filling);
        }
    }
    loop_force(NULL);
}

/* Shapes nobody thought of; false: one that cannot be. */
static bool random_case(int i, uint64_t *s, struct operator_case *ret)
{
    struct operator_case c = {.program = (enum program)(i % PROGRAMS)};
    c.in.n = 1 + (int)(1.5 + 1.5 * uniform(s));
    c.in.h = 1 + (int)(6 + 6 * uniform(s));
    c.in.w = 1 + (int)(6 + 6 * uniform(s));
    c.in.c = 3 + (int)(40 + 40 * uniform(s));
    c.out = 1 + (int)(30 + 30 * uniform(s));
    c.kernel = 1 + (int)(2.5 + 2.5 * uniform(s));
    c.stride = 1 + (int)(1.5 + 1.5 * uniform(s));
    c.pad = c.kernel / 2;
    c.slice = i % 3 == 2;
    if (c.program == P_CONV_PLANE)
        c.in.c = 1;
    if (is_focal(&c)) {
        c.out = 1 + c.out % 4;
        c.kernel |= 1;
    }
    bool attends = c.program == P_ATTENTION || c.program == P_CLS_ATTENTION;
    if (attends || c.program == P_ATTENTION_MAP) {
        c.in.h = 1;
        c.in.w++;
        c.in.c *= c.kernel;
    }
    if (c.program == P_PAD) {
        c.kernel += c.in.h;
        c.stride += c.in.w;
    }
    if (c.program == P_QUANTISE)
        c.out += OPERATOR_CLASSES + OPERATOR_SHARED;
    if (c.program == P_TRANSPOSED || c.program == P_TRANSPOSED_RELU)
        c.pad = c.kernel > 3; /* something is left of a single cell */
    if (c.program == P_MEAN || c.program == P_COSINE || c.program == P_BATCH_NORM)
        c.in.h = c.in.w = 1;
    *ret = c;
    return c.program == P_PAD || (c.in.h + 2 * c.pad >= c.kernel && c.in.w + 2 * c.pad >= c.kernel);
}

static void random_shapes_agree_with_the_reference(void **state)
{
    (void)state;
    uint64_t s = seed_value;
    print_message("seed %llu (FOCALD_SEED)\n", (unsigned long long)seed_value);
    for (int i = 0; i < 310; i++) {
        struct operator_case c;
        if (random_case(i, &s, &c) && is_tested(&c))
            check_case(&c);
    }
}

static void random_shapes_gradients_agree_as_well(void **state)
{
    (void)state;
    uint64_t s = seed_value + 1;
    print_message("seed %llu (FOCALD_SEED)\n", (unsigned long long)seed_value);
    for (int i = 0; i < 5 * PROGRAMS; i++) {
        struct operator_case c;
        if (random_case(i, &s, &c))
            for (int filling = 0; filling < FILLINGS; filling++)
                check_gradients(&c, false, filling);
    }
}

/* By cuDNN, of a gradient no more images are computed at once than the card's cache holds: the
 * stand-in's 4 MB two of these. */
static void images_one_after_the_other_agree_as_well(void **state)
{
    static const struct operator_case large = {P_FOCAL, {6, 40, 42, 31}, 3, 3, 0, 0, false};
    (void)state;
    if (tested_depthwise == DEPTHWISE_CUDNN) /* the kernels have no such limit */
        check_gradients(&large, false, ORDINARY);
}

/* Timing */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The fastest of the runs of about 50 ms; backward: of both passes together. */
static double time_us(const struct operator_case *c, const struct backend_ops *ops, bool backward)
{
    struct run r;
    double best = INFINITY, end = now_s() + 0.05;
    start(&r, c, ops, false, backward, ORDINARY);
    do {
        double begin = now_s();
        run_once(&r);
        best = fmin(best, now_s() - begin);
    } while (now_s() < end);
    finish(&r, ops);
    return 1e6 * best;
}

static void bench_case(const struct operator_case *c, bool backward)
{
    char shape[64];
    double ref = time_us(c, &backend_ref, backward), cpu = time_us(c, &backend_cpu, backward);
    snprintf(shape, sizeof shape, "[%d, %d, %d, %d]", c->in.n, c->in.h, c->in.w, c->in.c);
    printf("%-34s %-22s %5d %-8s %12.1f %12.1f %8.1f\n", operator_programs[c->program].name, shape,
           c->out, backward ? "and back" : "", ref, cpu, ref / cpu);
}

static int bench(void)
{
    printf("%-34s %-22s %5s %-8s %12s %12s %8s\n", "operator", "input", "out", "", "ref us",
           "cpu us", "ratio");
    for (size_t i = 0; i < (size_t)n_operator_cases; i++) {
        bench_case(&operator_cases[i], false);
        bench_case(&operator_cases[i], true);
    }
    return 0;
}

static char simd_avx512[] = "avx512", simd_avx2[] = "avx2", simd_generic[] = "generic";

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_case_agrees_with_the_reference, simd_avx512),
        cmocka_unit_test_prestate(every_case_agrees_with_the_reference, simd_avx2),
        cmocka_unit_test_prestate(every_case_agrees_with_the_reference, simd_generic),
        cmocka_unit_test(random_shapes_agree_with_the_reference),
        cmocka_unit_test_prestate(gradients_agree_as_well, simd_avx512),
        cmocka_unit_test_prestate(gradients_agree_as_well, simd_avx2),
        cmocka_unit_test_prestate(gradients_agree_as_well, simd_generic),
        cmocka_unit_test(random_shapes_gradients_agree_as_well),
    };
    const struct CMUnitTest of_a_device[] = {
        cmocka_unit_test(every_case_agrees_with_the_reference),
        cmocka_unit_test(random_shapes_agree_with_the_reference),
        cmocka_unit_test(gradients_agree_as_well),
        cmocka_unit_test(images_one_after_the_other_agree_as_well),
    };
    if (getenv("FOCALD_SEED") != NULL)
        seed_value = strtoull(getenv("FOCALD_SEED"), NULL, 0);
    if (argc > 1 && strcmp(argv[1], "--bench") == 0)
        return bench();
    if (argc > 2 && strcmp(argv[1], "--backend") == 0) {
        struct error error;
        if (backend_find(argv[2], &tested_ops, &error) == 0 &&
            (argc < 4 || depthwise_parse(argv[3], &tested_depthwise, &error) == 0))
            return cmocka_run_group_tests_name(argv[2], of_a_device, NULL, NULL);
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
