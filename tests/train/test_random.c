/* SPDX-License-Identifier: Apache-2.0
 * The random numbers of training: the published sequences, streams that do not meet, and figures of
 * each distribution within five standard errors of theory (seeds are fixed, so nothing flickers).
 */
#include "tests/train/published.h"

#include "model/train/random.h"

enum { DRAWS = 200000, SEED = 20240611 };

static int say_seed(void **state)
{
    print_message("seed %d\n", SEED);
    return 0;
}

/* The example of Vigna's splitmix64.c with seed 1234567. */
static void splitmix_gives_its_published_sequence(void **state)
{
    const uint64_t expected[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                 4593380528125082431u, 16408922859458223821u};
    uint64_t s = 1234567;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_true(random_splitmix(&s) == expected[i]);
}

/* From the authors' C code with the state 1, 2, 3, 4, as other libraries test theirs. */
static void xoshiro_gives_its_published_sequence(void **state)
{
    const uint64_t expected[] = {11520u,
                                 0u,
                                 1509978240u,
                                 1215971899390074240u,
                                 1216172134540287360u,
                                 607988272756665600u,
                                 16172922978634559625u,
                                 8476171486693032832u,
                                 10595114339597558777u,
                                 2904607092377533576u};
    struct random r = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_true(random_bits(&r) == expected[i]);
}

static void a_saved_state_goes_on_where_it_was(void **state)
{
    struct random r, saved;
    random_seed(&r, SEED);
    for (int i = 0; i < 101; i++)
        random_normal(&r);
    saved = r;
    double a[64];
    for (int i = 0; i < 64; i++)
        a[i] = i % 2 ? random_normal(&r) : random_beta(&r, 0.3);
    for (int i = 0; i < 64; i++)
        assert_true(a[i] == (i % 2 ? random_normal(&saved) : random_beta(&saved, 0.3)));
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Swapped, shifted and neighbouring arguments too. */
static void no_two_streams_are_alike(void **state)
{
    enum { SEEDS = 4, EPOCHS = 100, CLIPS = 100, ALL = SEEDS * EPOCHS * CLIPS };
    uint64_t *first = malloc(ALL * sizeof *first), n = 0;
    assert_non_null(first);
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        for (uint64_t epoch = 0; epoch < EPOCHS; epoch++)
            for (uint64_t clip = 0; clip < CLIPS; clip++) {
                struct random r, again;
                random_stream(&r, seed, epoch, clip);
                random_stream(&again, seed, epoch, clip);
                assert_memory_equal(&r, &again, sizeof r);
                first[n++] = random_bits(&r);
            }
    qsort(first, n, sizeof *first, by_value);
    for (uint64_t i = 1; i < n; i++)
        assert_true(first[i] != first[i - 1]);
    free(first);
}

/* First values of neighbouring streams: as uniform and as unrelated as values of one stream. */
static void streams_of_neighbouring_clips_are_unrelated(void **state)
{
    double sum = 0, product = 0, before = 0.5;
    for (uint64_t clip = 0; clip < DRAWS; clip++) {
        struct random r;
        random_stream(&r, SEED, 3, clip);
        double u = random_uniform(&r);
        sum += u;
        product += (u - 0.5) * (before - 0.5);
        before = u;
    }
    assert_near("mean", sum / DRAWS, 0.5, 5 * sqrt(1.0 / 12 / DRAWS));
    assert_near("covariance", product / DRAWS, 0, 5 / 12.0 / sqrt(DRAWS));
}

static void uniform_fills_its_range_evenly(void **state)
{
    enum { BINS = 64 };
    int count[BINS] = {0};
    struct random r;
    random_seed(&r, SEED);
    for (int i = 0; i < DRAWS; i++) {
        double u = random_uniform(&r), v = random_between(&r, -3, 5);
        assert_true(u >= 0 && u < 1);
        assert_true(v >= -3 && v <= 5);
        count[(int)(u * BINS)]++;
    }
    double chi = 0, each = (double)DRAWS / BINS;
    for (int k = 0; k < BINS; k++)
        chi += (count[k] - each) * (count[k] - each) / each;
    assert_near("chi squared", chi, BINS - 1, 5 * sqrt(2.0 * (BINS - 1)));
}

static void integers_reach_both_ends_and_favour_none(void **state)
{
    int count[7] = {0};
    struct random r;
    random_seed(&r, SEED);
    for (int i = 0; i < DRAWS; i++) {
        int64_t k = random_integer(&r, -3, 3);
        assert_true(k >= -3 && k <= 3);
        count[k + 3]++;
    }
    for (int k = 0; k < 7; k++)
        assert_near("share of an integer", (double)count[k] / DRAWS, 1.0 / 7,
                    5 * sqrt(6.0 / 49 / DRAWS));
    assert_int_equal(random_integer(&r, 9, 9), 9);
    random_integer(&r, INT64_MIN, INT64_MAX);
    /* three quarters of 2^64: by plain division the lower half of the values would come twice */
    int low = 0;
    for (int i = 0; i < DRAWS; i++)
        low +=
            random_integer(&r, INT64_MIN, ((int64_t)1 << 62) - 1) < INT64_MIN + ((int64_t)3 << 61);
    assert_near("share of the lower half", (double)low / DRAWS, 0.5, 5 * sqrt(0.25 / DRAWS));
}

static void normal_has_its_moments_and_tails(void **state)
{
    double sum = 0, squares = 0, fourth = 0;
    int beyond = 0;
    struct random r;
    random_seed(&r, SEED);
    for (int i = 0; i < DRAWS; i++) {
        double x = random_normal(&r);
        assert_true(isfinite(x));
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
        beyond += fabs(x) > 1.959963985;
    }
    assert_near("mean", sum / DRAWS, 0, 5 / sqrt(DRAWS));
    assert_near("variance", squares / DRAWS, 1, 5 * sqrt(2.0 / DRAWS));
    assert_near("fourth moment", fourth / DRAWS, 3, 5 * sqrt(96.0 / DRAWS));
    assert_near("share of the tails", (double)beyond / DRAWS, 0.05, 5 * sqrt(0.0475 / DRAWS));
}

/* Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)); Beta(1, 1) is uniform. */
static void beta_has_its_moments(void **state)
{
    const double as[] = {0.05, 0.2, 1, 4};
    struct random r;
    random_seed(&r, SEED);
    for (size_t k = 0; k < sizeof as / sizeof *as; k++) {
        double sum = 0, squares = 0, variance = 1 / (4 * (2 * as[k] + 1));
        for (int i = 0; i < DRAWS; i++) {
            double x = random_beta(&r, as[k]);
            assert_true(x >= 0 && x <= 1);
            sum += x;
            squares += (x - 0.5) * (x - 0.5);
        }
        print_message("Beta(%g, %g): variance %.5f of %.5f\n", as[k], as[k], squares / DRAWS,
                      variance);
        assert_near("mean", sum / DRAWS, 0.5, 5 * sqrt(variance / DRAWS));
        /* (x - 1/2)^2 lies in 0..1/4, so its variance is at most variance / 4 */
        assert_near("variance", squares / DRAWS, variance, 5 * sqrt(variance / 4 / DRAWS));
    }
}

static void chance_keeps_its_probability(void **state)
{
    int yes = 0;
    struct random r;
    random_seed(&r, SEED);
    for (int i = 0; i < DRAWS; i++) {
        yes += random_chance(&r, 0.75);
        assert_false(random_chance(&r, 0));
        assert_true(random_chance(&r, 1));
    }
    assert_near("share", (double)yes / DRAWS, 0.75, 5 * sqrt(0.75 * 0.25 / DRAWS));
}

static void shuffling_gives_every_order_alike(void **state)
{
    enum { ROUNDS = 48000 };
    int count[256] = {0};
    struct random r;
    random_seed(&r, SEED);
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t x[] = {0, 1, 2, 3};
        random_shuffle(&r, x, 4);
        assert_int_equal(1 << x[0] | 1 << x[1] | 1 << x[2] | 1 << x[3], 15);
        count[x[0] << 6 | x[1] << 4 | x[2] << 2 | x[3]]++;
    }
    int orders = 0;
    for (int k = 0; k < 256; k++)
        if (count[k] > 0) {
            orders++;
            assert_near("share of an order", (double)count[k] / ROUNDS, 1.0 / 24,
                        5 * sqrt(23.0 / 576 / ROUNDS));
        }
    assert_int_equal(orders, 24);
    random_shuffle(&r, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splitmix_gives_its_published_sequence),
        cmocka_unit_test(xoshiro_gives_its_published_sequence),
        cmocka_unit_test(a_saved_state_goes_on_where_it_was),
        cmocka_unit_test(no_two_streams_are_alike),
        cmocka_unit_test(streams_of_neighbouring_clips_are_unrelated),
        cmocka_unit_test(uniform_fills_its_range_evenly),
        cmocka_unit_test(integers_reach_both_ends_and_favour_none),
        cmocka_unit_test(normal_has_its_moments_and_tails),
        cmocka_unit_test(beta_has_its_moments),
        cmocka_unit_test(chance_keeps_its_probability),
        cmocka_unit_test(shuffling_gives_every_order_alike),
    };
    return cmocka_run_group_tests(tests, say_seed, NULL);
}
