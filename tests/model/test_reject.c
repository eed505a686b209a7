/* SPDX-License-Identifier: Apache-2.0
 * The scores that tell the known from the unknown, by their equations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "model/reject.h"

static bool near(float got, double want)
{
    return fabs((double)got - want) <= 1e-6;
}

/* c = log(5, 3, 2) / 10 and s = 10: exp(s c) are 5, 3 and 2. */
static void each_score_is_its_equation(void **state)
{
    const float c[] = {logf(3) / 10, logf(5) / 10, logf(2) / 10};
    (void)state;
    assert_true(near(reject_score(REJECT_COSINE, c, 3, 10), log(5) / 10));
    assert_true(near(reject_score(REJECT_MARGIN, c, 3, 10), log(5.0 / 3) / 10));
    assert_true(near(reject_score(REJECT_PROBABILITY, c, 3, 10), 0.5));
    assert_true(near(reject_score(REJECT_ENERGY, c, 3, 10), log(10) / 10));
}

static void the_classes_order_does_not_count_and_ties_have_no_margin(void **state)
{
    const float c[] = {-0.5f, 0.25f, 0.25f, -1};
    (void)state;
    assert_true(reject_score(REJECT_COSINE, c, 4, 30) == 0.25f);
    assert_true(reject_score(REJECT_MARGIN, c, 4, 30) == 0);
    for (int s = REJECT_NONE + 1; s < REJECT_COUNT; s++) {
        const float turned[] = {0.25f, -1, 0.25f, -0.5f};
        assert_true(near(reject_score((enum reject_score)s, c, 4, 30),
                         (double)reject_score((enum reject_score)s, turned, 4, 30)));
    }
}

static void one_class_and_large_scales_are_no_trouble(void **state)
{
    const float one[] = {0.5f}, two[] = {1, -1};
    (void)state;
    assert_true(reject_score(REJECT_COSINE, one, 1, 1000) == 0.5f);
    assert_true(reject_score(REJECT_MARGIN, one, 1, 1000) == 1.5f);
    assert_true(reject_score(REJECT_PROBABILITY, one, 1, 1000) == 1);
    assert_true(reject_score(REJECT_ENERGY, one, 1, 1000) == 0.5f);
    assert_true(near(reject_score(REJECT_PROBABILITY, two, 2, 1000), 1));
    assert_true(near(reject_score(REJECT_ENERGY, two, 2, 1000), 1));
}

static void a_cosine_that_is_no_number_has_no_score_and_no_name(void **state)
{
    const float c[] = {0.9f, NAN, 0.1f};
    const struct model_reject never = {REJECT_NONE, 0};
    (void)state;
    for (int s = REJECT_NONE + 1; s < REJECT_COUNT; s++) {
        const struct model_reject reject = {(enum reject_score)s,
                                            reject_least((enum reject_score)s)};
        const float score = reject_score((enum reject_score)s, c, 3, 15);
        assert_true(isnan(score));
        assert_true(reject_is_unknown(&reject, score));
        assert_false(reject_is_unknown(&never, score));
    }
}

static void names_are_read_back_and_others_refused(void **state)
{
    struct error error = {""};
    enum reject_score score;
    (void)state;
    for (int s = REJECT_NONE + 1; s < REJECT_COUNT; s++) {
        assert_int_equal(
            reject_score_parse(reject_score_name((enum reject_score)s), &score, "here", &error), 0);
        assert_int_equal(score, s);
    }
    score = REJECT_MARGIN;
    assert_int_equal(reject_score_parse("none", &score, "here", &error), -EINVAL);
    assert_int_equal(reject_score_parse("Cosine", &score, "here", &error), -EINVAL);
    assert_int_equal(score, REJECT_MARGIN);
    assert_non_null(strstr(error.text, "here: score is \"Cosine\"; allowed: cosine, margin"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_score_is_its_equation),
        cmocka_unit_test(the_classes_order_does_not_count_and_ties_have_no_margin),
        cmocka_unit_test(one_class_and_large_scales_are_no_trouble),
        cmocka_unit_test(a_cosine_that_is_no_number_has_no_score_and_no_name),
        cmocka_unit_test(names_are_read_back_and_others_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
