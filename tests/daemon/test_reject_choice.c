/* SPDX-License-Identifier: Apache-2.0
 * The choice of a threshold: at most so many of the unknown are named, and as many of the known as
 * that leaves, whatever the scores are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/reject_choice.h"

#define KNOWN(score)                                                                               \
    {                                                                                              \
        score, true, true                                                                          \
    }
#define WRONG(score)                                                                               \
    {                                                                                              \
        score, true, false                                                                         \
    }
#define UNKNOWN(score)                                                                             \
    {                                                                                              \
        score, false, false                                                                        \
    }

static struct reject_choice choose_well(enum reject_score score, const struct reject_scored *clips,
                                        size_t n, double share)
{
    struct reject_choice choice;
    struct error error = {""};
    if (reject_choose(score, clips, (int)n, share, &choice, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(choice.reject.score, score);
    assert_int_equal(reject_check(&choice.reject, "chosen", &error), 0);
    return choice;
}

static void refused(int code, const struct reject_scored *clips, size_t n, double share,
                    const char *piece)
{
    struct reject_choice choice = {.bound = -7};
    struct error error = {""};
    assert_int_equal(reject_choose(REJECT_COSINE, clips, (int)n, share, &choice, &error), code);
    assert_non_null(strstr(error.text, piece));
    assert_true(choice.bound == -7); /* untouched */
}

static void the_share_is_kept_to_the_clip(void **state)
{
    struct reject_scored clips[41] = {KNOWN(0.5f)};
    (void)state;
    for (int i = 1; i <= 40; i++)
        clips[i] = (struct reject_scored)UNKNOWN((float)i / 100);
    /* of 40, 5 % are two, 4.9 % are one, 2.5 % one, 2.4 % none */
    const struct {
        double share;
        int named;
        float low, high;
    } want[] = {{0.05, 2, 0.38f, 0.39f},
                {0.049, 1, 0.39f, 0.40f},
                {0.025, 1, 0.39f, 0.40f},
                {0.024, 0, 0.40f, 0.50f},
                {0, 0, 0.40f, 0.50f}};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        struct reject_choice c = choose_well(REJECT_COSINE, clips, ARRAY_LEN(clips), want[i].share);
        assert_int_equal(c.counts.named_unknown, want[i].named);
        assert_int_equal(c.counts.unknown, 40);
        assert_int_equal(c.counts.right_named, 1);
        assert_true(c.reject.below > want[i].low && c.reject.below <= want[i].high);
    }
}

/* 0.29 of 100 is 28.999… in binary, and 29 of 100 is no more than 0.29. */
static void a_share_that_binary_cannot_say_costs_no_clip(void **state)
{
    struct reject_scored clips[101] = {KNOWN(2)};
    (void)state;
    for (int i = 1; i <= 100; i++)
        clips[i] = (struct reject_scored)UNKNOWN((float)i / 200);
    for (int hundredths = 0; hundredths < 100; hundredths++)
        assert_int_equal(
            choose_well(REJECT_MARGIN, clips, 101, hundredths / 100.0).counts.named_unknown,
            hundredths);
}

static void unknown_clips_that_score_the_same_are_all_named_or_none(void **state)
{
    const struct reject_scored clips[] = {UNKNOWN(0.7f), UNKNOWN(0.7f), UNKNOWN(0.7f),
                                          UNKNOWN(0.1f), KNOWN(0.7f),   KNOWN(0.71f),
                                          WRONG(0.9f),   KNOWN(0.2f)};
    (void)state;
    struct reject_choice c = choose_well(REJECT_COSINE, clips, ARRAY_LEN(clips), 0.5);
    assert_int_equal(c.counts.named_unknown, 0); /* two of four may be, but the three are one */
    assert_int_equal(c.counts.right_named, 1);
    assert_int_equal(c.counts.wrong_named, 1);
    assert_int_equal(c.counts.right, 3);
    assert_int_equal(c.counts.known, 4);
    assert_true(c.reject.below > 0.7f && c.reject.below <= 0.71f);
    c = choose_well(REJECT_COSINE, clips, ARRAY_LEN(clips), 0.75);
    assert_int_equal(c.counts.named_unknown, 3);
    assert_int_equal(c.counts.right_named, 3);
}

static void scores_that_are_next_to_each_other_are_still_told_apart(void **state)
{
    const float low = 0.3f, high = nextafterf(0.3f, 1);
    const struct reject_scored clips[] = {UNKNOWN(low), KNOWN(high)};
    (void)state;
    struct reject_choice c = choose_well(REJECT_COSINE, clips, 2, 0.05);
    assert_true(c.reject.below == high);
    assert_int_equal(c.counts.named_unknown, 0);
    assert_int_equal(c.counts.right_named, 1);
}

static void what_is_no_number_is_never_named(void **state)
{
    const struct reject_scored clips[] = {UNKNOWN(NAN), UNKNOWN(NAN), UNKNOWN(0.2f),
                                          KNOWN(NAN),   KNOWN(0.25f), KNOWN(-0.5f)};
    (void)state;
    struct reject_choice c = choose_well(REJECT_COSINE, clips, ARRAY_LEN(clips), 0.05);
    assert_int_equal(c.counts.named_unknown, 0);
    assert_int_equal(c.counts.right_named, 1);
    assert_int_equal(c.counts.known, 3);
    /* one of three may be named: only NaN must not, which no threshold names */
    c = choose_well(REJECT_COSINE, clips, ARRAY_LEN(clips), 0.34);
    assert_int_equal(c.counts.named_unknown, 1);
    assert_int_equal(c.counts.right_named, 2);
    assert_true(c.reject.below == reject_least(REJECT_COSINE));
    const struct model_reject any = {REJECT_COSINE, -1};
    assert_true(reject_is_unknown(&any, NAN));
    assert_false(reject_is_unknown(&any, -1));
}

static void nothing_to_choose_by_is_told(void **state)
{
    const struct reject_scored known[] = {KNOWN(0.5f), KNOWN(0.6f)};
    const struct reject_scored unknown[] = {UNKNOWN(0.5f)};
    const struct reject_scored hopeless[] = {KNOWN(0.5f), UNKNOWN(0.6f)};
    const struct reject_scored full[] = {KNOWN(1.5f), UNKNOWN(1)}; /* beyond what a cosine is */
    (void)state;
    refused(-EINVAL, known, 2, 0.05, "unknown sounds");
    refused(-EINVAL, unknown, 1, 0.05, "known sounds");
    refused(-EINVAL, NULL, 0, 0.05, "unknown sounds");
    refused(-ERANGE, hopeless, 2, 0.05, "at most 5 %");
    refused(-ERANGE, full, 2, 0.05, "at most 5 %");
    refused(-EINVAL, hopeless, 2, 1, "0 to below 1");
    refused(-EINVAL, hopeless, 2, (double)NAN, "0 to below 1");
}

/* Against counting all pairs, and against all thresholds there are, on random clips of few values
 * with many ties. */
static void no_other_threshold_would_leave_more(void **state)
{
    unsigned seed = 5;
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct reject_scored clips[60];
        const int n = 2 + rand_r(&seed) % 58, values = 2 + rand_r(&seed) % 30;
        const double share = (rand_r(&seed) % 90) / 100.0;
        clips[0] = (struct reject_scored)KNOWN(0.99f);
        clips[1] = (struct reject_scored)UNKNOWN(0);
        for (int i = 2; i < n; i++) {
            clips[i] = (struct reject_scored){.score = (float)(rand_r(&seed) % values) / 40,
                                              .known = rand_r(&seed) % 2};
            clips[i].right = clips[i].known && rand_r(&seed) % 2;
        }
        struct reject_choice c = choose_well(REJECT_COSINE, clips, (size_t)n, share);
        assert_true((double)c.counts.named_unknown / c.counts.unknown <= share);
        for (int i = 0; i < n; i++) { /* every other threshold names more unknown than it may */
            const struct model_reject other = {REJECT_COSINE, clips[i].score};
            struct reject_counts counts;
            reject_count(&other, clips, n, &counts);
            if (counts.right_named > c.counts.right_named)
                assert_false((double)counts.named_unknown / counts.unknown <= share);
        }
        double pairs = 0, won = 0;
        for (int i = 0; i < n; i++)
            for (int k = 0; k < n; k++)
                if (clips[i].known && !clips[k].known) {
                    pairs++;
                    won += clips[i].score > clips[k].score    ? 1
                           : clips[i].score == clips[k].score ? 0.5
                                                              : 0;
                }
        assert_true(fabs(c.area - won / pairs) <= 1e-12);
    }
}

/* For 0 of n it is 1 - 0.05^(1/n), for n - 1 of n 0.95^(1/n), and what
 * remains is checked by the binomial sum itself. */
static void the_bound_is_that_of_clopper_and_pearson(void **state)
{
    (void)state;
    for (int n = 1; n < 2000; n = 2 * n + 1) {
        assert_true(fabs(reject_upper_bound(0, n) - (1 - pow(0.05, 1.0 / n))) <= 1e-9);
        assert_true(fabs(reject_upper_bound(n - 1, n) - pow(0.95, 1.0 / n)) <= 1e-9);
        assert_true(reject_upper_bound(n, n) == 1);
    }
    assert_true(reject_upper_bound(0, 0) == 1);
    for (int hits = 1; hits < 20; hits++) {
        const double p = reject_upper_bound(hits, 20);
        double sum = 0, term = pow(1 - p, 20); /* P(0), P(1), … by their ratio */
        for (int k = 0; k <= hits; k++) {
            sum += term;
            term *= (20.0 - k) / (k + 1) * p / (1 - p);
        }
        assert_true(fabs(sum - 0.05) <= 1e-9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_share_is_kept_to_the_clip),
        cmocka_unit_test(a_share_that_binary_cannot_say_costs_no_clip),
        cmocka_unit_test(unknown_clips_that_score_the_same_are_all_named_or_none),
        cmocka_unit_test(scores_that_are_next_to_each_other_are_still_told_apart),
        cmocka_unit_test(what_is_no_number_is_never_named),
        cmocka_unit_test(nothing_to_choose_by_is_told),
        cmocka_unit_test(no_other_threshold_would_leave_more),
        cmocka_unit_test(the_bound_is_that_of_clopper_and_pearson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
