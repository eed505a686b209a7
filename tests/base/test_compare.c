/* SPDX-License-Identifier: Apache-2.0
 * What the tests compare with: one NaN is seen wherever it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/compare.h"

enum { N = 7 };

static void one_nan_is_seen_in_every_cell_and_on_both_sides(void **state)
{
    (void)state;
    for (size_t at = 0; at < N; at++)
        for (int side = 0; side < 2; side++) {
            float values[2][N] = {{0}};
            values[side][at] = NAN;
            const struct distance d = distance_between(values[0], values[1], N);
            assert_true(isnan(d.off));
            assert_int_equal(d.at, at);
            assert_false(d.off <= 1e30);
        }
    const float nans[2] = {NAN, 0}, zeros[2] = {0};
    assert_true(isnan(distance_between(nans, zeros, 2).off)); /* a number comes after it */
}

static void the_largest_difference_is_found_with_its_place(void **state)
{
    (void)state;
    const float found[N] = {1, 2, 3, -4, 5, 6, 7}, expected[N] = {1, 2.5f, 3, -9, 5, 8, 7};
    const struct distance d = distance_between(found, expected, N);
    assert_true(d.off == 5 && d.largest == 9);
    assert_int_equal(d.at, 3);
    assert_true(distance_between(found, found, N).off == 0);
    assert_true(isinf(distance_between((float[]){INFINITY, 1}, (float[]){0, 0}, 2).off));
}

static void what_was_nan_stays_nan(void **state)
{
    (void)state;
    assert_true(worse(1, 2) == 2 && worse(2, 1) == 2);
    assert_true(isnan(worse(1, (double)NAN)) && isnan(worse((double)NAN, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_nan_is_seen_in_every_cell_and_on_both_sides),
        cmocka_unit_test(the_largest_difference_is_found_with_its_place),
        cmocka_unit_test(what_was_nan_stays_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
