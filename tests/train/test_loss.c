/* SPDX-License-Identifier: Apache-2.0
 * The losses: against the published code on its inputs, against their definitions, and their
 * gradients against finite differences. */
#include "tests/train/published.h"

#include <inttypes.h>

#include "model/train/loss.h"

enum { MAX_CELLS = 16 * 600 };

static const uint64_t SEED = 4242;

/* golden/README: margin losses 2e-5, their gradients 1e-5. */
static void check_published(const struct safetensors *f, const char *in, const char *name,
                            const struct loss_options *options, int n)
{
    enum { C = 50 };
    char text[64];
    float cosines[8 * C], expected[8 * C], grad[8 * C], labels[8], loss;
    struct loss_target targets[8];
    struct error error = {""};
    double found, rows[8], sum = 0;
    size_t cells = (size_t)n * C;
    snprintf(text, sizeof text, "%s.cosine", in);
    published_floats(f, text, cosines, cells);
    snprintf(text, sizeof text, "%s.labels", in);
    published_floats(f, text, labels, (size_t)n);
    for (int i = 0; i < n; i++)
        targets[i] = (struct loss_target){(int32_t)labels[i], (int32_t)labels[i], 1};
    assert_int_equal(loss_classes(options, cosines, targets, n, C, &found, grad, rows, &error), 0);
    snprintf(text, sizeof text, "%s.loss", name);
    published_floats(f, text, &loss, 1);
    assert_near(text, found, (double)loss, 2e-5);
    snprintf(text, sizeof text, "%s.grad", name);
    published_floats(f, text, expected, cells);
    double worst = assert_all_near(text, grad, expected, cells, 1e-5);
    print_message("%s: loss off by %.2g, gradient by %.2g\n", name, fabs(found - (double)loss),
                  worst);
    for (int i = 0; i < n; i++)
        sum += rows[i];
    assert_near("mean of the rows", sum / n, found, 1e-12);
}

static void losses_are_those_of_the_published_code(void **state)
{
    struct safetensors *f = published_open("losses.safetensors");
    struct loss_options o = LOSS_PAPER;
    check_published(f, "in", "am", &o, 8);
    o.kind = LOSS_AAM;
    check_published(f, "in", "aam", &o, 8);
    check_published(f, "edge", "edge.aam", &o, 4);
    o.easy_margin = true;
    check_published(f, "in", "aam_easy", &o, 8);
    o.kind = LOSS_CE;
    check_published(f, "in", "ce", &o, 8);
    safetensors_close(f);
}

static float value(uint64_t *s)
{
    return (float)(random_next(s) >> 40) * 0x1p-23f - 1;
}

/* A loss of x: [n][width] alone, with its gradient. */
typedef double loss_of(const float *x, float *ret_grad, int n, int width, const void *context);

/* Central differences; x + h and x - h are float32, their true distance divides. The step is 2^-9
 * of cosines that a scale of 30 makes 0.06 of a logit: the third derivative (h^2 / 6 * 30^3) leaves
 * up to 2e-3 of a row's share, taken off by Richardson's step with 2 h, which leaves h^4. */
static double difference(loss_of *of, float *x, size_t i, float h, int n, int width,
                         const void *context, float *room)
{
    float kept = x[i];
    x[i] = kept + h;
    double above = of(x, room, n, width, context), top = (double)x[i];
    x[i] = kept - h;
    double below = of(x, room, n, width, context), bottom = (double)x[i];
    x[i] = kept;
    return (above - below) / (top - bottom);
}

static void check_gradient(const char *what, loss_of *of, float *x, int n, int width,
                           const void *context, double limit)
{
    static float grad[MAX_CELLS], room[MAX_CELLS];
    size_t cells = (size_t)n * (size_t)width;
    double largest = 0, worst = 0;
    assert_true(cells <= MAX_CELLS);
    of(x, grad, n, width, context);
    for (size_t i = 0; i < cells; i++)
        largest = fmax(largest, fabs((double)grad[i]));
    for (size_t i = 0; i < cells; i++) {
        const float h = 0x1p-10f;
        double one = difference(of, x, i, h, n, width, context, room);
        double two = difference(of, x, i, 2 * h, n, width, context, room);
        double off = fabs((4 * one - two) / 3 - (double)grad[i]) / largest;
        if (!(off <= limit))
            fail_msg("%s, cell %zu of %d x %d: gradient %.9g, differences %.9g", what, i, n, width,
                     (double)grad[i], (4 * one - two) / 3);
        worst = fmax(worst, off);
    }
    print_message("%s %d x %d: gradient within %.2g of its largest\n", what, n, width, worst);
}

struct class_case {
    struct loss_options options;
    struct loss_target targets[16];
};

static double classes(const float *x, float *ret_grad, int n, int width, const void *context)
{
    const struct class_case *c = context;
    double loss = 0;
    struct error error = {""};
    if (loss_classes(&c->options, x, c->targets, n, width, &loss, ret_grad, NULL, &error) < 0)
        fail_msg("%s", error.text);
    return loss;
}

/* Differences of float32 steps: 1e-6 of the largest gradient is far below any mistake. Cosines stay
 * away from where the angular margin changes branch. */
static void gradients_of_class_losses_follow_finite_differences(void **state)
{
    uint64_t s = SEED;
    print_message("seed %" PRIu64 "\n", s);
    const int sizes[][2] = {{1, 2}, {3, 7}, {8, 50}};
    for (int kind = 0; kind < 3; kind++)
        for (int variant = 0; variant < 4; variant++)
            for (size_t k = 0; k < 3; k++) {
                int n = sizes[k][0], width = sizes[k][1];
                struct class_case c = {.options = LOSS_PAPER};
                float x[8 * 50];
                c.options.kind = (enum loss_kind)kind;
                c.options.easy_margin = variant & 1;
                c.options.smoothing = variant & 2 ? 0.1 : 0;
                for (int i = 0; i < n * width; i++)
                    x[i] = 0.9f * value(&s);
                for (int i = 0; i < n; i++) {
                    struct loss_target *t = &c.targets[i];
                    t->label_a = (int32_t)(random_next(&s) % (uint64_t)width);
                    t->label_b = (int32_t)(random_next(&s) % (uint64_t)width);
                    t->weight_a = (float)(random_next(&s) >> 40) * 0x1p-24f;
                    /* |x| > 0.02: not at the easy margin's branch */
                    for (int y = 0; y < 2; y++) {
                        float *own = &x[i * width + (y ? t->label_b : t->label_a)];
                        *own = copysignf(fmaxf(fabsf(*own), 0.02f), *own);
                    }
                }
                check_gradient(loss_name(c.options.kind), classes, x, n, width, &c, 1e-6);
            }
}

static void a_mixed_target_costs_the_weighted_sum_of_both(void **state)
{
    enum { C = 50 };
    uint64_t s = SEED;
    float x[C], grad[C], grad_a[C], grad_b[C];
    for (int i = 0; i < C; i++)
        x[i] = value(&s);
    for (int kind = 0; kind < 3; kind++) {
        struct loss_options o = LOSS_PAPER;
        o.kind = (enum loss_kind)kind;
        struct loss_target mixed = {3, 8, 0.3f}, a = {3, 3, 1}, b = {8, 8, 1};
        double loss, loss_a, loss_b;
        assert_int_equal(loss_classes(&o, x, &mixed, 1, C, &loss, grad, NULL, NULL), 0);
        assert_int_equal(loss_classes(&o, x, &a, 1, C, &loss_a, grad_a, NULL, NULL), 0);
        assert_int_equal(loss_classes(&o, x, &b, 1, C, &loss_b, grad_b, NULL, NULL), 0);
        double w = (double)mixed.weight_a;
        assert_near("loss", loss, w * loss_a + (1 - w) * loss_b, 1e-12);
        for (int i = 0; i < C; i++)
            assert_near("gradient", (double)grad[i],
                        w * (double)grad_a[i] + (1 - w) * (double)grad_b[i], 4e-6);
    }
}

static void a_smoothed_target_asks_a_little_of_every_class(void **state)
{
    enum { C = 5 };
    const float x[C] = {0.5f, -0.25f, 0.125f, 0, -1};
    struct loss_options o = {.kind = LOSS_CE, .smoothing = 0.2};
    struct loss_target target = {1, 1, 1};
    float grad[C];
    double loss, sum = 0, expected = 0;
    assert_int_equal(loss_classes(&o, x, &target, 1, C, &loss, grad, NULL, NULL), 0);
    for (int i = 0; i < C; i++)
        sum += exp((double)x[i]);
    for (int i = 0; i < C; i++) {
        double t = 0.04 + (i == 1 ? 0.8 : 0), p = exp((double)x[i]) / sum;
        expected -= t * log(p);
        assert_near("gradient", (double)grad[i], p - t, 1e-7);
    }
    assert_near("loss", loss, expected, 1e-12);
}

static void nothing_broken_passes_unseen(void **state)
{
    enum { N = 3, C = 4 };
    const float broken[] = {NAN, INFINITY, -INFINITY};
    const struct loss_target targets[N] = {{0, 0, 1}, {1, 1, 1}, {2, 2, 1}};
    float half[N * C];
    for (int i = 0; i < N * C; i++)
        half[i] = 0.5f;
    for (int kind = 0; kind < 3; kind++)
        for (int b = 0; b < 3; b++)
            for (int at = 0; at < C; at++) {
                float x[N * C] = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.4f, 0.3f, 0.2f, 0.1f},
                            grad[N * C];
                struct loss_options o = LOSS_PAPER;
                double loss, rows[N];
                o.kind = (enum loss_kind)kind;
                x[C + at] = broken[b];
                assert_int_equal(loss_classes(&o, x, targets, N, C, &loss, grad, rows, NULL), 0);
                assert_true(isnan(loss) && isnan(rows[1]));
                assert_true(isfinite(rows[0]) && isfinite(rows[2]));
                for (int i = 0; i < N * C; i++)
                    assert_true(isnan(grad[i]) == (i / C == 1));
                assert_true(isnan(loss_squares(x, half, N, C, grad)));
                assert_true(isnan(grad[C]) && isfinite(grad[0]));
                assert_true(isnan(loss_cosine(x, half, N, C, grad)));
                assert_true(isnan(grad[C]) && isfinite(grad[0]));
                assert_true(isnan(loss_binary(x, half, N, C, grad)));
                assert_true(isnan(grad[C]) && isfinite(grad[0]));
                assert_true(isnan(loss_squares(half, x, N, C, grad)));
                assert_true(isnan(loss_cosine(half, x, N, C, grad)));
                assert_true(isnan(loss_binary(half, x, N, C, grad)));
            }
}

static void a_label_that_is_no_class_is_refused_by_its_row(void **state)
{
    float x[6] = {0}, grad[6] = {7, 7, 7, 7, 7, 7};
    const struct loss_target bad[] = {
        {3, 0, 0.5f}, {0, -1, 0.5f}, {0, 0, 1.5f}, {0, 0, -0.1f}, {0, 1, NAN}};
    struct loss_options o = LOSS_PAPER;
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        struct loss_target targets[2] = {{0, 0, 1}, bad[k]};
        struct error error = {""};
        double loss = 5;
        assert_int_equal(loss_classes(&o, x, targets, 2, 3, &loss, grad, NULL, &error), -EINVAL);
        assert_line(&error, "row 1", NULL);
        assert_true(loss == 5 && grad[0] == 7);
    }
}

static void names_of_losses_go_both_ways(void **state)
{
    for (int kind = 0; kind < 3; kind++) {
        enum loss_kind found = LOSS_CE;
        assert_true(loss_by_name(loss_name((enum loss_kind)kind), &found));
        assert_int_equal(found, kind);
    }
    enum loss_kind untouched = LOSS_AAM;
    assert_false(loss_by_name("aaam", &untouched));
    assert_int_equal(untouched, LOSS_AAM);
}

static double squares(const float *x, float *ret_grad, int n, int width, const void *target)
{
    return loss_squares(x, target, n, width, ret_grad);
}

static double cosine(const float *x, float *ret_grad, int n, int width, const void *target)
{
    return loss_cosine(x, target, n, width, ret_grad);
}

static double binary(const float *x, float *ret_grad, int n, int width, const void *target)
{
    return loss_binary(x, target, n, width, ret_grad);
}

static void gradients_of_a_teachers_losses_follow_finite_differences(void **state)
{
    static float x[MAX_CELLS], target[MAX_CELLS];
    const int sizes[][2] = {{1, 1}, {3, 5}, {4, 521}};
    uint64_t s = SEED;
    print_message("seed %" PRIu64 "\n", s);
    for (size_t k = 0; k < 3; k++) {
        int n = sizes[k][0], width = sizes[k][1];
        for (int i = 0; i < n * width; i++) {
            x[i] = 3 * value(&s);
            target[i] = 0.5f + 0.5f * value(&s);
        }
        check_gradient("squares", squares, x, n, width, target, 1e-6);
        check_gradient("binary", binary, x, n, width, target, 1e-6);
        if (width > 1) /* of one value the angle is constant */
            check_gradient("cosine", cosine, x, n, width, target, 1e-6);
    }
}

static void a_teachers_losses_follow_their_definitions(void **state)
{
    const float x[] = {3, 4, 0, -2}, t[] = {4, 3, 0, 2}, p[] = {0.25f, 1, 0, 0.5f};
    float grad[4];
    assert_near("squares", loss_squares(x, t, 2, 2, grad), (1 + 1 + 0 + 16) / 4.0, 1e-15);
    assert_near("cosine", loss_cosine(x, t, 2, 2, grad), (1 - 24 / 25.0 + 2) / 2, 1e-15);
    double expected = 0;
    for (int i = 0; i < 4; i++) {
        double m = 1 / (1 + exp(-(double)x[i])), q = (double)p[i];
        expected -= q * log(m) + (1 - q) * log(1 - m);
    }
    assert_near("binary", loss_binary(x, p, 1, 4, grad), expected / 4, 1e-12);
    const float loud[] = {1e4f, -1e4f}, sure[] = {1, 0}, wrong[] = {0, 1};
    assert_near("sure", loss_binary(loud, sure, 1, 2, grad), 0, 0);
    assert_near("surely wrong", loss_binary(loud, wrong, 1, 2, grad), 1e4, 1e-8);
    const float over[] = {1.5f, 0};
    assert_true(isnan(loss_binary(loud, over, 1, 2, grad)));
}

static void silence_of_a_teacher_pulls_nowhere(void **state)
{
    const float x[] = {1, 2, 0, 0}, t[] = {0, 0, 0, 0};
    float grad[4] = {9, 9, 9, 9};
    assert_near("loss", loss_cosine(x, t, 2, 2, grad), 1, 0);
    for (int i = 0; i < 4; i++)
        assert_true(grad[i] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_those_of_the_published_code),
        cmocka_unit_test(gradients_of_class_losses_follow_finite_differences),
        cmocka_unit_test(a_mixed_target_costs_the_weighted_sum_of_both),
        cmocka_unit_test(a_smoothed_target_asks_a_little_of_every_class),
        cmocka_unit_test(nothing_broken_passes_unseen),
        cmocka_unit_test(a_label_that_is_no_class_is_refused_by_its_row),
        cmocka_unit_test(names_of_losses_go_both_ways),
        cmocka_unit_test(gradients_of_a_teachers_losses_follow_finite_differences),
        cmocka_unit_test(a_teachers_losses_follow_their_definitions),
        cmocka_unit_test(silence_of_a_teacher_pulls_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
