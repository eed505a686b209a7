/* SPDX-License-Identifier: Apache-2.0
 * Weights as float16: every half comes back as it was, and what lies between two goes to the nearer
 * one, or to the even one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "daemon/train_model.h"
#include "model/weights/safetensors.h"

static float float_of(uint16_t half)
{
    const struct safetensors_tensor t = {.dtype = DTYPE_F16, .cells = 1, .data = &half};
    float x;
    safetensors_float(&t, &x);
    return x;
}

static void every_half_comes_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float x = float_of((uint16_t)h);
        if (isnan(x))
            assert_true(isnan(float_of(half_from_float(x))));
        else
            assert_int_equal(half_from_float(x), h);
    }
}

static void between_two_the_nearer_or_the_even_one(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7bff; h++) {
        const uint16_t next = (uint16_t)(h + 1);
        const float middle = (float_of(h) + float_of(next)) / 2; /* exact */
        assert_int_equal(half_from_float(middle), h % 2 == 0 ? h : next);
        assert_int_equal(half_from_float(nextafterf(middle, 0)), h);
        assert_int_equal(half_from_float(nextafterf(middle, INFINITY)), next);
        assert_int_equal(half_from_float(-middle), 0x8000 | (h % 2 == 0 ? h : next));
    }
}

static void beyond_its_range_is_infinity(void **state)
{
    (void)state;
    assert_int_equal(half_from_float(nextafterf(65520, 0)), 0x7bff);
    assert_int_equal(half_from_float(65520), 0x7c00);
    assert_int_equal(half_from_float(INFINITY), 0x7c00);
    assert_int_equal(half_from_float(-1e30f), 0xfc00);
    assert_int_equal(half_from_float(1e-30f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_comes_back),
        cmocka_unit_test(between_two_the_nearer_or_the_even_one),
        cmocka_unit_test(beyond_its_range_is_infinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
