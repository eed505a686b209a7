/* SPDX-License-Identifier: Apache-2.0
 * Sound events out of probabilities per hop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "daemon/events.h"

enum { HOP = 1000, CLASSES = 3, MAX_TOLD = 32 };

struct told {
    int n;
    struct event events[MAX_TOLD];
};

static void tell(void *user, const struct event *event)
{
    struct told *told = user;
    assert_true(told->n < MAX_TOLD);
    told->events[told->n++] = *event;
}

/* p0[i] is the probability of label 0 in hop i; the other labels stay quiet. */
static void play(struct told *told, const float *p0, int n, struct events_limits limits)
{
    struct events *events;
    assert_int_equal(events_create(&events, CLASSES, NULL), 0);
    for (int i = 0; i < n; i++) {
        float p[CLASSES] = {p0[i], 0.05f, 0};
        events_step(events, &limits, p, (uint64_t)i * HOP, (uint64_t)(i + 1) * HOP,
                    (int64_t)i * 1000, tell, told);
    }
    events_destroy(events);
}

static const struct events_limits limits = {0.6f, 0.4f, 2 * HOP};

static void a_sound_that_lasts_begins_where_it_rose_and_ends_where_it_fell(void **state)
{
    (void)state;
    struct told told = {0};
    const float p[] = {0.1f, 0.7f, 0.9f, 0.5f, 0.3f, 0.1f};
    play(&told, p, 6, limits);
    assert_int_equal(told.n, 2);
    assert_false(told.events[0].ended);
    assert_int_equal(told.events[0].onset, 1 * HOP);
    assert_int_equal(told.events[0].t_onset_wall_ns, 1000);
    assert_true(told.events[1].ended);
    assert_int_equal(told.events[1].id, told.events[0].id);
    assert_int_equal(told.events[1].onset, 1 * HOP);
    assert_int_equal(told.events[1].end, 4 * HOP);
    assert_true(told.events[1].p_peak == 0.9f);
}

static void a_blip_shorter_than_the_minimum_is_no_event(void **state)
{
    (void)state;
    struct told told = {0};
    const float p[] = {0.1f, 0.95f, 0.1f, 0.95f, 0.2f};
    play(&told, p, 5, limits);
    assert_int_equal(told.n, 0);
}

static void between_the_thresholds_nothing_begins_and_nothing_ends(void **state)
{
    (void)state;
    struct told told = {0};
    const float p[] = {0.5f, 0.59f, 0.5f, 0.7f, 0.5f, 0.41f, 0.5f};
    play(&told, p, 7, limits);
    assert_int_equal(told.n, 1);
    assert_int_equal(told.events[0].onset, 3 * HOP);
}

static void silence_ends_what_sounds(void **state)
{
    (void)state;
    struct told told = {0};
    struct events *events;
    const struct events_limits at_once = {0.6f, 0.4f, 0};
    const float p[CLASSES] = {0.9f, 0.8f, 0};
    assert_int_equal(events_create(&events, CLASSES, NULL), 0);
    events_step(events, &at_once, p, 0, HOP, 0, tell, &told);
    events_step(events, &at_once, NULL, HOP, 2 * HOP, 0, tell, &told);
    events_destroy(events);
    assert_int_equal(told.n, 4);
    assert_int_not_equal(told.events[0].id, told.events[1].id);
    assert_true(told.events[2].ended && told.events[3].ended);
    assert_int_equal(told.events[2].end, HOP);
}

static void nan_is_no_sound(void **state)
{
    (void)state;
    struct told told = {0};
    const float nan = __builtin_nanf("");
    const float p[] = {nan, 0.9f, 0.9f, nan};
    play(&told, p, 4, limits);
    assert_int_equal(told.n, 2);
    assert_true(told.events[1].ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_that_lasts_begins_where_it_rose_and_ends_where_it_fell),
        cmocka_unit_test(a_blip_shorter_than_the_minimum_is_no_event),
        cmocka_unit_test(between_the_thresholds_nothing_begins_and_nothing_ends),
        cmocka_unit_test(silence_ends_what_sounds),
        cmocka_unit_test(nan_is_no_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
