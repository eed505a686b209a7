/* SPDX-License-Identifier: Apache-2.0
 * What float16's losses are multiplied by: a power of two that yields at once and comes back
 * slowly. That steps are skipped for it is test_gpu's. */
#include "tests/train/published.h"

#include "model/train/loss_scale.h"

static void only_float16_is_scaled(void **state)
{
    static const enum precision others[] = {PRECISION_FLOAT32, PRECISION_TF32, PRECISION_BFLOAT16};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct loss_scale s = loss_scale_begin(others[i]);
        for (int k = 0; k < 2 * LOSS_SCALE_GROWS_AFTER; k++)
            loss_scale_keep(&s);
        assert_false(loss_scale_lower(&s));
        assert_true(loss_scale_factor(&s) == 1 && s.factor == 0 && loss_scale_is_valid(&s));
    }
    const struct loss_scale s = loss_scale_begin(PRECISION_FLOAT16);
    assert_true(loss_scale_factor(&s) == 0x1p16);
}

static void it_is_halved_down_to_one_and_no_further(void **state)
{
    struct loss_scale s = loss_scale_begin(PRECISION_FLOAT16);
    (void)state;
    for (int k = 15; k >= 0; k--) {
        loss_scale_keep(&s);
        assert_true(loss_scale_lower(&s));
        assert_true(s.factor == ldexp(1, k) && s.good == 0 && loss_scale_is_valid(&s));
    }
    assert_false(loss_scale_lower(&s));
    assert_true(s.factor == 1);
}

static void it_is_doubled_after_steps_that_were_all_good(void **state)
{
    struct loss_scale s = loss_scale_begin(PRECISION_FLOAT16);
    (void)state;
    for (int k = 0; k < LOSS_SCALE_GROWS_AFTER - 1; k++)
        loss_scale_keep(&s);
    assert_true(loss_scale_lower(&s)); /* the last was not: it begins anew */
    for (int k = 0; k < LOSS_SCALE_GROWS_AFTER - 1; k++)
        loss_scale_keep(&s);
    assert_true(s.factor == 0x1p15);
    loss_scale_keep(&s);
    assert_true(s.factor == 0x1p16 && s.good == 0);
    for (int k = 0; k < 20 * LOSS_SCALE_GROWS_AFTER; k++)
        loss_scale_keep(&s);
    assert_true(s.factor == 0x1p24 && loss_scale_is_valid(&s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_float16_is_scaled),
        cmocka_unit_test(it_is_halved_down_to_one_and_no_further),
        cmocka_unit_test(it_is_doubled_after_steps_that_were_all_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
