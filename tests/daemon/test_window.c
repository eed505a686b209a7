/* SPDX-License-Identifier: Apache-2.0
 * The mailbox between the dsp and the inference thread, and gaps within windows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "daemon/window.h"

static void an_empty_mailbox_gives_nothing(void **state)
{
    (void)state;
    struct mailbox m;
    unsigned slot;
    mailbox_init(&m);
    assert_false(mailbox_pending(&m));
    assert_false(mailbox_take(&m, &slot));
}

static void the_newest_window_wins_and_the_one_replaced_is_told(void **state)
{
    (void)state;
    struct mailbox m;
    int value[3] = {0, 0, 0};
    unsigned slot;
    mailbox_init(&m);
    value[mailbox_back(&m)] = 1;
    assert_false(mailbox_post(&m));
    value[mailbox_back(&m)] = 2;
    assert_true(mailbox_post(&m));
    assert_true(mailbox_take(&m, &slot));
    assert_int_equal(value[slot], 2);
    assert_false(mailbox_take(&m, &slot));
}

static void what_the_reader_holds_is_never_written(void **state)
{
    (void)state;
    struct mailbox m;
    unsigned slot;
    mailbox_init(&m);
    mailbox_post(&m);
    assert_true(mailbox_take(&m, &slot));
    for (int i = 0; i < 10; i++) {
        assert_int_not_equal(mailbox_back(&m), slot);
        mailbox_post(&m);
    }
}

struct race {
    struct mailbox mailbox;
    struct {
        uint64_t a, b[64];
    } slots[3];
};

enum { RACE_POSTS = 200000 };

static void *race_writer(void *arg)
{
    struct race *race = arg;
    for (uint64_t i = 1; i <= RACE_POSTS; i++) {
        unsigned back = mailbox_back(&race->mailbox);
        race->slots[back].a = i;
        for (int k = 0; k < 64; k++)
            race->slots[back].b[k] = i;
        mailbox_post(&race->mailbox);
    }
    return NULL;
}

static void two_threads_never_see_a_torn_window(void **state)
{
    (void)state;
    static struct race race;
    pthread_t writer;
    mailbox_init(&race.mailbox);
    assert_int_equal(pthread_create(&writer, NULL, race_writer, &race), 0);
    uint64_t last = 0;
    while (last < RACE_POSTS) {
        unsigned slot;
        if (!mailbox_take(&race.mailbox, &slot)) {
            sched_yield();
            continue;
        }
        assert_true(race.slots[slot].a > last);
        last = race.slots[slot].a;
        for (int k = 0; k < 64; k++)
            assert_int_equal(race.slots[slot].b[k], last);
    }
    pthread_join(writer, NULL);
}

static void gaps_are_counted_where_they_overlap(void **state)
{
    (void)state;
    struct window w = {.n_gaps = 2, .gaps = {{100, 50}, {1000, 10}}};
    assert_int_equal(window_lost(&w, 0, 2000), 60);
    assert_int_equal(window_lost(&w, 120, 10), 10);
    assert_int_equal(window_lost(&w, 140, 865), 15);
    assert_int_equal(window_lost(&w, 150, 850), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_mailbox_gives_nothing),
        cmocka_unit_test(the_newest_window_wins_and_the_one_replaced_is_told),
        cmocka_unit_test(what_the_reader_holds_is_never_written),
        cmocka_unit_test(two_threads_never_see_a_torn_window),
        cmocka_unit_test(gaps_are_counted_where_they_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
