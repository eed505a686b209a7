/* SPDX-License-Identifier: Apache-2.0
 * The figures of interpretations: against the published code's on its inputs, and against their
 * definitions where no published numbers are at hand. */
#include "tests/model/places.h"

#include <inttypes.h>
#include <math.h>

#include "model/interpret/metrics.h"
#include "model/weights/safetensors.h"

enum { SAMPLES = 12, CLASSES = 5 };

static struct safetensors *published;

static int open_golden(void **state)
{
    struct error error = {""};
    if (safetensors_open(&published, golden("metrics.safetensors").path, &error) < 0)
        fail_msg("%s", error.text);
    return 0;
}

static int close_golden(void **state)
{
    safetensors_close(published);
    return 0;
}

static void tensor(const char *name, float *ret, size_t cells)
{
    const struct safetensors_tensor *t = safetensors_find(published, name);
    if (t == NULL || t->cells != cells)
        fail_msg("%s is not in metrics.safetensors with %zu cells", name, cells);
    safetensors_float(t, ret);
}

static float p[SAMPLES][CLASSES], p_in[SAMPLES][CLASSES], p_out[SAMPLES][CLASSES];

static void read_inputs(void)
{
    tensor("in.p", p[0], SAMPLES * CLASSES);
    tensor("in.p_maskin", p_in[0], SAMPLES * CLASSES);
    tensor("in.p_maskout", p_out[0], SAMPLES * CLASSES);
}

static void close_to(const char *what, double found, float expected, double limit)
{
    if (!(fabs(found - (double)expected) <= limit))
        fail_msg("%s: %.9g, the published code gives %.9g", what, found, (double)expected);
}

typedef double (*figure)(const float *p, const float *masked, int n);

/* other: what the figure compares p with. */
static void check_figure(const char *name, figure of, float (*other)[CLASSES], double limit)
{
    char per_sample[64];
    float expected[SAMPLES], mean;
    double found[SAMPLES];
    snprintf(per_sample, sizeof per_sample, "%s.per_sample", name);
    tensor(per_sample, expected, SAMPLES);
    tensor(name, &mean, 1);
    for (int i = 0; i < SAMPLES; i++) {
        found[i] = of(p[i], other[i], CLASSES);
        close_to(per_sample, found[i], expected[i], limit);
    }
    close_to(name, metrics_mean(found, SAMPLES), mean, limit);
}

/* The published code works in float32, we in double from the same float32 probabilities. A
 * difference of probabilities is then off by an ulp of 1 at most (1.2e-7 with its rounding). The
 * percentages divide it by p_c, 0.2 or more for the largest of five: 100 * 1.2e-7 / 0.2 = 6e-5.
 * AG divides by 1 - p_c, which may be smaller, but the sizes here keep it above 0.1. A second
 * softmax in float32 adds three roundings: twice as much again. */
static void figures_are_those_of_the_published_code(void **state)
{
    read_inputs();
    check_figure("fid_i", metrics_fidelity, p_in, 1.2e-7); /* the mean in float32 */
    check_figure("fa_eq7", metrics_faithfulness, p_out, 1.2e-7);
    check_figure("ff", metrics_faithfulness, p_out, 1.2e-7);
    check_figure("fa_amt_recipe", metrics_faithfulness, p_in, 1.2e-7);
    check_figure("ai", metrics_increase, p_in, 1e-5); /* the mean of 100s in float32 */
    check_figure("ad_standard", metrics_drop, p_in, 6e-5);
    check_figure("ad_double_softmax", metrics_drop_double_softmax, p_in, 1.2e-4);
    check_figure("ag", metrics_gain, p_in, 6e-5);
}

static void a_median_is_the_lower_of_the_middle_two(void **state)
{
    double fa[SAMPLES];
    float expected;
    read_inputs();
    for (int i = 0; i < SAMPLES; i++)
        fa[i] = metrics_faithfulness(p[i], p_out[i], CLASSES);
    tensor("fa_eq7.median", &expected, 1);
    close_to("fa_eq7.median", metrics_lower_median(fa, SAMPLES), expected, 1.2e-7);
    for (int i = 0; i < SAMPLES; i++)
        fa[i] = metrics_faithfulness(p[i], p_in[i], CLASSES);
    tensor("fa_amt_recipe.median", &expected, 1);
    close_to("fa_amt_recipe.median", metrics_lower_median(fa, SAMPLES), expected, 1.2e-7);
    assert_true(metrics_lower_median(NULL, 0) == 0 && metrics_mean(NULL, 0) == 0);
}

/* Masks */

static uint32_t random_state;

static float random_value(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) * 0x1p-24f;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* quantus, to the letter: a / max + 1e-7, sorted; sum((2 i - n - 1) a) / (n sum a). */
static double gini_by_definition(const float *a, size_t n)
{
    double *b = malloc(n * sizeof *b), max = 0, above = 0, sum = 0;
    assert_non_null(b);
    for (size_t i = 0; i < n; i++)
        max = fmax(max, (double)a[i]);
    for (size_t i = 0; i < n; i++)
        b[i] = (double)a[i] / max + 0.0000001;
    qsort(b, n, sizeof *b, by_value);
    for (size_t i = 0; i < n; i++) {
        above += (2 * (double)(i + 1) - (double)n - 1) * b[i];
        sum += b[i];
    }
    free(b);
    return above / ((double)n * sum);
}

static double entropy_by_definition(const float *a, size_t n)
{
    double sum = 0, entropy = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i];
    for (size_t i = 0; i < n; i++)
        entropy -= a[i] > 0 ? (double)a[i] / sum * log((double)a[i] / sum) : 0;
    return entropy;
}

static void check_mask(const float *a, size_t n, const char *what)
{
    float *room = malloc(2 * n * sizeof *room);
    double sparseness, complexity;
    assert_non_null(room);
    assert_true(metrics_sparseness(a, n, room, &sparseness));
    assert_true(metrics_complexity(a, n, &complexity));
    double gini = gini_by_definition(a, n), entropy = entropy_by_definition(a, n);
    if (!(fabs(sparseness - gini) <= 1e-9))
        fail_msg("%s, n %zu: sparseness %.12g, by definition %.12g", what, n, sparseness, gini);
    if (!(fabs(complexity - entropy) <= 1e-9))
        fail_msg("%s, n %zu: complexity %.12g, by definition %.12g", what, n, complexity, entropy);
    free(room);
}

/* Sums of a few thousand doubles in another order agree to 1e-12; 1e-9 is far from any mistake. */
static void sparseness_and_complexity_follow_their_definitions(void **state)
{
    random_state = 7;
    print_message("seed %" PRIu32 "\n", random_state);
    const size_t sizes[] = {1, 2, 7, 513, 431 * 13};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s];
        float *a = malloc(n * sizeof *a);
        assert_non_null(a);
        for (size_t i = 0; i < n; i++)
            a[i] = random_value();
        check_mask(a, n, "soft");
        for (size_t i = 0; i < n; i++)
            a[i] = random_value() < 0.5f ? 0 : 1e-3f * random_value() + 1e-30f;
        a[n - 1] = 3;
        check_mask(a, n, "zeros, small values, one above 1");
        for (size_t i = 0; i < n; i++)
            a[i] = random_value() >= 0.9f;
        a[n / 2] = 1;
        check_mask(a, n, "ones and zeros");
        for (size_t i = 0; i < n; i++)
            a[i] = 0.25f;
        check_mask(a, n, "constant");
        free(a);
    }
}

/* A mask that keeps k of n cells: entropy ln k; Gini 1 - k / n but for the 1e-7. */
static void a_tenth_kept_is_nine_tenths_sparse(void **state)
{
    enum { N = 1000, KEPT = 100 };
    float a[N] = {0}, room[2 * N];
    double found;
    for (int i = 0; i < KEPT; i++)
        a[7 * i] = 1;
    assert_true(metrics_sparseness(a, N, room, &found));
    assert_true(fabs(found - 0.9) < 1e-6);
    assert_true(metrics_complexity(a, N, &found));
    assert_true(fabs(found - log(KEPT)) < 1e-12);
}

static void a_mask_that_keeps_nothing_has_neither(void **state)
{
    float a[4] = {0}, room[8];
    double found = -1;
    assert_false(metrics_sparseness(a, 4, room, &found));
    assert_false(metrics_complexity(a, 4, &found));
    assert_true(found == -1);
}

/* Ranks */

/* Ranks by counting: how many are smaller, and half of the others that are equal. */
static double spearman_by_counting(const float *x, const float *y, size_t n)
{
    double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
    for (size_t i = 0; i < n; i++) {
        double rx = 0, ry = 0;
        for (size_t k = 0; k < n; k++) {
            rx += x[k] < x[i] ? 1 : k != i && x[k] == x[i] ? 0.5 : 0;
            ry += y[k] < y[i] ? 1 : k != i && y[k] == y[i] ? 0.5 : 0;
        }
        sx += rx;
        sy += ry;
        sxx += rx * rx;
        syy += ry * ry;
        sxy += rx * ry;
    }
    double m = (double)n;
    return (m * sxy - sx * sy) / sqrt((m * sxx - sx * sx) * (m * syy - sy * sy));
}

static void rank_correlation_follows_its_definition(void **state)
{
    random_state = 11;
    print_message("seed %" PRIu32 "\n", random_state);
    for (size_t n = 2; n < 80; n++) {
        float x[80], y[80];
        double found;
        for (size_t i = 0; i < n; i++) {
            x[i] = floorf(random_value() * 9); /* many are equal */
            y[i] = x[i] + floorf(random_value() * 6);
        }
        x[0] = -1, y[0] = -2, x[n - 1] = 10, y[n - 1] = -1;
        assert_true(metrics_rank_correlation(x, y, n, &found));
        double expected = spearman_by_counting(x, y, n);
        if (!(fabs(found - expected) <= 1e-12))
            fail_msg("n %zu: %.15g, by counting %.15g", n, found, expected);
    }
}

/* Hours of television and IQ: the worked example of Wikipedia's page on Spearman's coefficient. */
static void rank_correlation_of_a_known_example(void **state)
{
    const float iq[] = {106, 100, 86, 101, 99, 103, 97, 113, 112, 110};
    const float hours[] = {7, 27, 2, 50, 28, 29, 20, 12, 6, 17};
    double found;
    assert_true(metrics_rank_correlation(iq, hours, 10, &found));
    assert_true(fabs(found - -29.0 / 165) < 1e-15);
}

static void what_has_no_ranks_has_no_correlation(void **state)
{
    const float same[] = {2, 2, 2}, rising[] = {1, 2, 3}, bad[] = {1, NAN, 3};
    double found = 5;
    assert_false(metrics_rank_correlation(same, rising, 3, &found));
    assert_false(metrics_rank_correlation(rising, same, 3, &found));
    assert_false(metrics_rank_correlation(rising, bad, 3, &found));
    assert_false(metrics_rank_correlation(rising, rising, 0, &found));
    assert_true(found == 5);
    assert_true(metrics_rank_correlation(rising, rising, 3, &found) && found == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_of_the_published_code),
        cmocka_unit_test(a_median_is_the_lower_of_the_middle_two),
        cmocka_unit_test(sparseness_and_complexity_follow_their_definitions),
        cmocka_unit_test(a_tenth_kept_is_nine_tenths_sparse),
        cmocka_unit_test(a_mask_that_keeps_nothing_has_neither),
        cmocka_unit_test(rank_correlation_follows_its_definition),
        cmocka_unit_test(rank_correlation_of_a_known_example),
        cmocka_unit_test(what_has_no_ranks_has_no_correlation),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
