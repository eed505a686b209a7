/* SPDX-License-Identifier: Apache-2.0
 * The relation of sample positions and clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <stdio.h>

#include "daemon/timeline.h"

static const int64_t ms = 1000000;

static void a_drifting_clock_is_followed_without_gaps(void **state)
{
    (void)state;
    struct timeline t;
    timeline_init(&t, 16000);
    /* a device that runs 100 ppm slow: an hour of 10 ms blocks comes 360 ms late in the end */
    int64_t worst = 0;
    for (int i = 0; i < 360000; i++) {
        int64_t t_ns = (int64_t)i * 10001000;
        assert_int_equal(timeline_follow(&t, i * 160.0, t_ns, false), 0);
        int64_t error = llabs(timeline_monotonic(&t, i * 160.0) - t_ns);
        worst = error > worst ? error : worst;
    }
    assert_true(worst < ms);
}

static void jitter_is_smoothed(void **state)
{
    (void)state;
    struct timeline t;
    unsigned seed = 7;
    printf("seed %u\n", seed);
    timeline_init(&t, 16000);
    for (int i = 0; i < 2000; i++) {
        int64_t jitter = (int64_t)(rand_r(&seed) % 10) * ms;
        timeline_follow(&t, i * 160.0, i * 10 * ms + jitter, false);
        if (i > 500) {
            int64_t error = timeline_monotonic(&t, i * 160.0) - (i * 10 * ms + 45 * ms / 10);
            assert_true(llabs(error) < 2 * ms);
        }
    }
}

static void a_jump_forward_is_a_gap_and_a_restart_any_delay(void **state)
{
    (void)state;
    struct timeline t;
    timeline_init(&t, 16000);
    timeline_follow(&t, 0, 0, false);
    assert_int_equal(timeline_follow(&t, 160, 10 * ms + 150 * ms, false), 0);
    timeline_anchor(&t, 0, 0);
    assert_int_equal(timeline_follow(&t, 160, 3000 * ms, false), 2990 * ms);
    assert_int_equal(timeline_follow(&t, 160, 60 * ms, true), 50 * ms);
}

static void wall_time_is_monotonic_time_moved_by_the_clocks_offset(void **state)
{
    (void)state;
    struct timeline t;
    timeline_init(&t, 16000);
    int64_t now = monotonic_ns();
    timeline_anchor(&t, 0, now);
    int64_t offset = timeline_wall(&t, 16000) - (now + 1000 * ms);
    assert_true(llabs(offset - (realtime_ns() - monotonic_ns())) < 5 * ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drifting_clock_is_followed_without_gaps),
        cmocka_unit_test(jitter_is_smoothed),
        cmocka_unit_test(a_jump_forward_is_a_gap_and_a_restart_any_delay),
        cmocka_unit_test(wall_time_is_monotonic_time_moved_by_the_clocks_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
