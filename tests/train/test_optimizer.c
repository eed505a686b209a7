/* SPDX-License-Identifier: Apache-2.0
 * Adam and AdamW against their published formulae in double, ranges that are left alone, and runs
 * that give the same bits on any number of threads and after a stop. */
#include "tests/train/published.h"

#include <float.h>
#include <inttypes.h>
#include <omp.h>

#include "model/train/optimizer.h"

static const uint64_t SEED = 77;

static double uniform(uint64_t *s) /* -1..1 */
{
    return (double)(random_next(s) >> 11) * 0x1p-52 - 1;
}

static struct optimizer made(const struct optimizer_options *options, size_t parameters,
                             const struct optimizer_range *ranges, size_t n)
{
    struct optimizer o;
    struct error error = {""};
    if (optimizer_init(&o, options, NULL, parameters, ranges, n, &error) < 0)
        fail_msg("%s", error.text);
    return o;
}

static double norm_of(struct optimizer *o, const float *g)
{
    double norm = NAN;
    assert_int_equal(optimizer_norm(o, g, &norm, NULL), 0);
    return norm;
}

static void step(struct optimizer *o, float *w, const float *g, double rate)
{
    struct error error = {""};
    if (optimizer_step(o, w, g, norm_of(o, g), rate, &error) < 0)
        fail_msg("%s", error.text);
}

/* One parameter by the published formula, everything in double. */
struct exact {
    double w, m, v;
};

static void exact_step(struct exact *e, const struct optimizer_options *o, double g, double decay,
                       double rate, int t)
{
    if (o->kind == OPTIMIZER_ADAM)
        g += decay * e->w;
    else
        e->w -= rate * decay * e->w;
    e->m = o->beta1 * e->m + (1 - o->beta1) * g;
    e->v = o->beta2 * e->v + (1 - o->beta2) * g * g;
    double m = e->m / (1 - pow(o->beta1, t)), v = e->v / (1 - pow(o->beta2, t));
    e->w -= rate * m / (sqrt(v) + o->epsilon);
}

/* Weights stay below 2, so every step rounds by up to 6e-8; a thousand roundings that know nothing
 * of each other make some 2e-6, and what m and v are off by moves a step by 1e-6 of itself. */
static void check_thousand_steps(enum optimizer_kind kind, double decay)
{
    enum { N = 1003, HALF = 500, STEPS = 1000 };
    static struct exact exact[N];
    static float w[N], g[N];
    uint64_t s = SEED;
    struct optimizer_options options = OPTIMIZER_PAPER;
    options.kind = kind;
    options.weight_decay = decay;
    const struct optimizer_range ranges[] = {{0, HALF, 1, false, true},
                                             {HALF, N - HALF, 0.25, false, false}};
    struct optimizer o = made(&options, N, ranges, 2);
    for (int i = 0; i < N; i++) {
        w[i] = (float)uniform(&s);
        exact[i] = (struct exact){.w = (double)w[i]};
    }
    int clipped = 0;
    for (int t = 1; t <= STEPS; t++) {
        /* one gradient in three is clipped; each parameter has a size of its own, 1e-12..1 */
        double size = t % 3 == 0 ? 10 : 0.1, rate = 1e-3 * (1 + uniform(&s) / 2), sum = 0;
        for (int i = 0; i < N; i++) {
            g[i] = (float)(size * (uniform(&s) + 0.3) * pow(10, -12.0 * (i % 7) / 6));
            sum += (double)g[i] * (double)g[i];
        }
        double norm = sqrt(sum), clip = fmin(1, 5 / (norm + 1e-6));
        assert_near("norm", norm_of(&o, g), norm, 1e-12 * norm);
        clipped += clip < 1;
        step(&o, w, g, rate);
        for (int i = 0; i < N; i++)
            exact_step(&exact[i], &options, clip * (double)g[i], i < HALF ? decay : 0,
                       rate * (i < HALF ? 1 : 0.25), t);
    }
    double worst = 0, moved = 0;
    for (int i = 0; i < N; i++) {
        assert_near("weight", (double)w[i], exact[i].w, 1e-5);
        assert_near("m", (double)o.m[i], exact[i].m, 1e-5 * sqrt(exact[i].v) + 1e-30);
        assert_near("v", (double)o.v[i], exact[i].v, 1e-4 * exact[i].v + 1e-30);
        worst = fmax(worst, fabs((double)w[i] - exact[i].w));
        moved = fmax(moved, fabs(exact[i].w));
    }
    print_message("%s, decay %g, %d of %d clipped: weights within %.2g, up to %.2g\n",
                  kind == OPTIMIZER_ADAM ? "Adam" : "AdamW", decay, clipped, STEPS, worst, moved);
    assert_true(clipped > 300 && clipped < 400);
    assert_true(o.step == STEPS);
    optimizer_finish(&o);
}

static void a_thousand_steps_follow_the_published_formula(void **state)
{
    print_message("seed %" PRIu64 "\n", SEED);
    check_thousand_steps(OPTIMIZER_ADAM, 2e-6);
    check_thousand_steps(OPTIMIZER_ADAM, 0.01);
    check_thousand_steps(OPTIMIZER_ADAMW, 0.05);
}

/* The first step is by the rate, whatever the gradient's size, against its sign. */
static void the_first_step_is_one_learning_rate_long(void **state)
{
    const struct optimizer_range all = {0, 3, 1, false, false};
    struct optimizer_options options = OPTIMIZER_PAPER;
    struct optimizer o = made(&options, 3, &all, 1);
    float w[] = {1, 1, 1};
    const float g[] = {1e-3f, -2, 0};
    step(&o, w, g, 0.125);
    assert_near("down", (double)w[0], 0.875, 2e-6); /* epsilon is 1e-5 of this gradient */
    assert_near("up", (double)w[1], 1.125, 1e-6);
    assert_true(w[2] == 1);
    optimizer_finish(&o);
}

static void frozen_ranges_and_gaps_are_left_alone(void **state)
{
    enum { N = 70000 };
    static float w[N], before[N], g[N];
    uint64_t s = SEED;
    const struct optimizer_range ranges[] = {{10, 20, 1, false, true},
                                             {40, 100, 1, true, true},
                                             {200, 40000, 0.5, false, true},
                                             {40200, 0, 1, false, true},
                                             {50000, 19999, 1, false, false}};
    for (int kind = 0; kind < 2; kind++) {
        struct optimizer_options options = OPTIMIZER_PAPER;
        double sum = 0;
        options.kind = (enum optimizer_kind)kind;
        options.weight_decay = 0.1;
        struct optimizer o = made(&options, N, ranges, 5);
        for (int i = 0; i < N; i++) {
            bool trained =
                (i >= 10 && i < 30) || (i >= 200 && i < 40200) || (i >= 50000 && i < 69999);
            before[i] = w[i] = (float)uniform(&s);
            g[i] = trained ? (float)uniform(&s) : NAN; /* what is not trained is not even read */
            sum += trained ? (double)g[i] * (double)g[i] : 0;
        }
        assert_near("norm", norm_of(&o, g), sqrt(sum), 1e-12 * sqrt(sum));
        for (int t = 0; t < 3; t++)
            step(&o, w, g, 1e-3);
        for (int i = 0; i < N; i++)
            assert_true((w[i] == before[i]) == isnan(g[i]));
        optimizer_finish(&o);
    }
}

static void decay_pulls_only_where_it_is_asked_for(void **state)
{
    const struct optimizer_range ranges[] = {{0, 1, 1, false, true}, {1, 1, 1, false, false}};
    const float g[] = {0, 0};
    struct optimizer_options options = OPTIMIZER_PAPER;
    options.kind = OPTIMIZER_ADAMW;
    options.weight_decay = 0.5;
    struct optimizer o = made(&options, 2, ranges, 2);
    float w[] = {1, 1};
    step(&o, w, g, 0.125);
    assert_true(w[0] == 1 - 0.125f * 0.5f && w[1] == 1);
    optimizer_finish(&o);
}

enum { LARGE = 300001 };

static void train_large(struct optimizer *o, float *w, int from, int to)
{
    static float g[LARGE];
    for (int t = from; t < to; t++) {
        uint64_t s = SEED + (uint64_t)t;
        for (int i = 0; i < LARGE; i++)
            g[i] = (float)uniform(&s) * 0.05f;
        step(o, w, g, 1e-3);
    }
}

static const struct optimizer_range large_ranges[] = {{3, 100000, 1, false, true},
                                                      {100007, LARGE - 100007, 0.3, false, false}};

static void the_number_of_threads_changes_no_bit(void **state)
{
    static float first[LARGE], w[LARGE];
    const int threads[] = {1, 2, 3, 8};
    struct optimizer_options options = OPTIMIZER_PAPER;
    int kept = omp_get_max_threads();
    for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
        struct optimizer o = made(&options, LARGE, large_ranges, 2);
        memset(w, 0, sizeof w);
        omp_set_num_threads(threads[k]);
        train_large(&o, w, 0, 4);
        if (k == 0)
            memcpy(first, w, sizeof w);
        assert_memory_equal(first, w, sizeof w);
        optimizer_finish(&o);
    }
    omp_set_num_threads(kept);
}

static void a_resumed_run_goes_on_bit_for_bit(void **state)
{
    static float whole[LARGE], parts[LARGE];
    struct optimizer_options options = OPTIMIZER_PAPER;
    struct optimizer o = made(&options, LARGE, large_ranges, 2);
    train_large(&o, whole, 0, 7);
    struct optimizer a = made(&options, LARGE, large_ranges, 2);
    train_large(&a, parts, 0, 3);
    struct optimizer b = made(&options, LARGE, large_ranges, 2);
    memcpy(b.m, a.m, LARGE * sizeof *b.m);
    memcpy(b.v, a.v, LARGE * sizeof *b.v);
    b.step = a.step;
    optimizer_finish(&a);
    train_large(&b, parts, 3, 7);
    assert_memory_equal(whole, parts, sizeof whole);
    assert_memory_equal(o.m, b.m, LARGE * sizeof *o.m);
    assert_memory_equal(o.v, b.v, LARGE * sizeof *o.v);
    optimizer_finish(&o);
    optimizer_finish(&b);
}

static void a_gradient_that_is_not_finite_changes_nothing(void **state)
{
    const float bad[] = {NAN, INFINITY, -INFINITY};
    const struct optimizer_range all = {0, 4, 1, false, true};
    struct optimizer_options options = OPTIMIZER_PAPER;
    struct optimizer o = made(&options, 4, &all, 1);
    for (int k = 0; k < 3; k++) {
        float w[] = {1, 2, 3, 4}, g[] = {0.5f, bad[k], 0.25f, 1};
        const float before[] = {1, 2, 3, 4}, zero[4] = {0};
        struct error error = {""};
        double norm = norm_of(&o, g);
        assert_false(isfinite(norm));
        assert_int_equal(optimizer_step(&o, w, g, norm, 1e-3, &error), -EDOM);
        assert_line(&error, "step 1", "not finite", NULL);
        assert_int_equal(optimizer_step(&o, w, g, 1, (double)NAN, &error), -EDOM);
        assert_line(&error, "step 1", "rate", NULL);
        assert_memory_equal(w, before, sizeof w);
        assert_memory_equal(o.m, zero, sizeof zero);
        assert_memory_equal(o.v, zero, sizeof zero);
        assert_true(o.step == 0);
    }
    const float huge[] = {FLT_MAX, FLT_MAX, -FLT_MAX, 0}; /* its squares fit into double */
    assert_near("norm", norm_of(&o, huge), sqrt(3) * (double)FLT_MAX, 1e24);
    optimizer_finish(&o);
}

static void what_makes_no_sense_is_refused(void **state)
{
    const struct optimizer_range all = {0, 4, 1, false, true};
    const struct optimizer_range bad[][2] = {{{0, 5, 1, false, true}, {5, 0, 1, false, true}},
                                             {{2, 1, 1, false, true}, {0, 1, 1, false, true}},
                                             {{0, 2, 1, false, true}, {1, 2, 1, false, true}},
                                             {{5, 0, 1, false, true}, {5, 0, 1, false, true}},
                                             {{1, SIZE_MAX, 1, false, true}, {0}},
                                             {{0, 1, -1, false, true}, {1, 1, 1, false, true}},
                                             {{0, 1, (double)NAN, false, true}, {0}}};
    struct optimizer_options options = OPTIMIZER_PAPER;
    struct optimizer o;
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        struct error error = {""};
        assert_int_equal(optimizer_init(&o, &options, NULL, 4, bad[k], 2, &error), -EINVAL);
        assert_line(&error, "optimizer: range", NULL);
    }
    struct error error = {""};
    assert_int_equal(optimizer_init(&o, &options, NULL, 4, NULL, 0, &error), -EINVAL);
    assert_line(&error, "nothing to train", NULL);
    for (int k = 0; k < 6; k++) {
        struct optimizer_options wrong = OPTIMIZER_PAPER;
        wrong.beta1 = k == 0 ? 1 : wrong.beta1;
        wrong.beta2 = k == 1 ? -0.1 : wrong.beta2;
        wrong.epsilon = k == 2 ? 0 : wrong.epsilon;
        wrong.weight_decay = k == 3 ? -1 : k == 4 ? (double)INFINITY : wrong.weight_decay;
        wrong.max_norm = k == 5 ? (double)NAN : wrong.max_norm;
        assert_int_equal(optimizer_init(&o, &wrong, NULL, 4, &all, 1, &error), -EINVAL);
        assert_line(&error, "optimizer: ", NULL);
    }
    assert_int_equal(optimizer_init(&o, &options, NULL, SIZE_MAX / 2, &all, 1, &error), -ENOMEM);
    struct optimizer none = {0};
    optimizer_finish(&none);
}

/* golden/README: the norm of step 1 within 1e-2; grad1 holds every gradient of that step. */
static void the_norm_is_that_of_the_published_step(void **state)
{
    struct safetensors *f = published_open("train_steps.safetensors");
    size_t n = 0, at = 0;
    for (size_t i = 0; i < safetensors_count(f); i++)
        n +=
            strncmp(safetensors_at(f, i)->name, "grad1.", 6) == 0 ? safetensors_at(f, i)->cells : 0;
    float *g = malloc(n * sizeof *g), norms[5];
    assert_true(n > 400000 && g != NULL);
    for (size_t i = 0; i < safetensors_count(f); i++) {
        const struct safetensors_tensor *t = safetensors_at(f, i);
        if (strncmp(t->name, "grad1.", 6) == 0) {
            safetensors_float(t, g + at);
            at += t->cells;
        }
    }
    const struct optimizer_range all = {0, n, 1, false, true};
    struct optimizer_options options = OPTIMIZER_PAPER;
    struct optimizer o = made(&options, n, &all, 1);
    published_floats(f, "am.grad_norm", norms, 5);
    double norm = norm_of(&o, g);
    print_message("norm %.7g, published %.7g\n", norm, (double)norms[0]);
    assert_near("norm", norm, (double)norms[0], 1e-2);
    free(g);
    optimizer_finish(&o);
    safetensors_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_steps_follow_the_published_formula),
        cmocka_unit_test(the_first_step_is_one_learning_rate_long),
        cmocka_unit_test(frozen_ranges_and_gaps_are_left_alone),
        cmocka_unit_test(decay_pulls_only_where_it_is_asked_for),
        cmocka_unit_test(the_number_of_threads_changes_no_bit),
        cmocka_unit_test(a_resumed_run_goes_on_bit_for_bit),
        cmocka_unit_test(a_gradient_that_is_not_finite_changes_nothing),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(the_norm_is_that_of_the_published_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
