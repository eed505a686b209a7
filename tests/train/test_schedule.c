/* SPDX-License-Identifier: Apache-2.0
 * Learning rates: the published run's, corners of every schedule, and the plateau by its rules. */
#include "tests/train/published.h"

#include "model/train/schedule.h"

/* golden/README, train_steps: base 1e-8, max 2e-4, step_size 3; stored as float32. */
static void cyclic_rates_are_those_of_the_published_run(void **state)
{
    struct safetensors *f = published_open("train_steps.safetensors");
    static const char *const losses[] = {"am.lr", "aam.lr", "ce.lr"};
    struct schedule_options o = SCHEDULE_PAPER;
    o.step_size = 3;
    for (int k = 0; k < 3; k++) {
        float expected[5];
        published_floats(f, losses[k], expected, 5);
        for (uint64_t s = 1; s <= 5; s++) {
            double found = schedule_rate(&o, NULL, s), wanted = (double)expected[s - 1];
            assert_near(losses[k], found, wanted, 0x1p-24 * wanted);
        }
    }
    safetensors_close(f);
}

static void the_papers_cycle_turns_after_65000_steps(void **state)
{
    struct schedule_options o = SCHEDULE_PAPER;
    assert_int_equal(schedule_check(&o, NULL), 0);
    assert_near("top", schedule_rate(&o, NULL, 65000), 2e-4, 1e-18);
    assert_near("bottom", schedule_rate(&o, NULL, 130000), 1e-8, 1e-18);
    assert_near("top again", schedule_rate(&o, NULL, 195000), 2e-4, 1e-18);
    double slope = (2e-4 - 1e-8) / 65000;
    assert_near("first", schedule_rate(&o, NULL, 1), 1e-8 + slope, 1e-18);
    for (uint64_t s = 1; s < 260000; s += 17) {
        double step = schedule_rate(&o, NULL, s + 1) - schedule_rate(&o, NULL, s);
        assert_near("slope", fabs(step), slope, 1e-16);
        assert_true(schedule_rate(&o, NULL, s) >= 1e-8 && schedule_rate(&o, NULL, s) <= 2e-4);
    }
}

static void cosine_climbs_to_its_top_and_sinks_to_its_base(void **state)
{
    struct schedule_options o = {
        .kind = SCHEDULE_COSINE, .base = 1e-6, .max = 1e-3, .warmup = 100, .total = 1100};
    assert_int_equal(schedule_check(&o, NULL), 0);
    assert_near("first", schedule_rate(&o, NULL, 1), 1e-5, 1e-18);
    assert_near("top", schedule_rate(&o, NULL, 100), 1e-3, 1e-18);
    assert_near("middle", schedule_rate(&o, NULL, 600), (1e-3 + 1e-6) / 2, 1e-18);
    assert_near("end", schedule_rate(&o, NULL, 1100), 1e-6, 1e-18);
    assert_near("beyond", schedule_rate(&o, NULL, 5000), 1e-6, 1e-18);
    for (uint64_t s = 1; s < 1100; s++)
        assert_true((schedule_rate(&o, NULL, s + 1) > schedule_rate(&o, NULL, s)) == (s < 100));
    o.warmup = 0;
    assert_int_equal(schedule_check(&o, NULL), 0);
    assert_near("middle", schedule_rate(&o, NULL, 550), (1e-3 + 1e-6) / 2, 1e-18);
}

static void a_constant_rate_stays(void **state)
{
    struct schedule_options o = {.kind = SCHEDULE_CONSTANT, .max = 2e-4};
    struct schedule_state s = schedule_begin(&o);
    assert_int_equal(schedule_check(&o, NULL), 0);
    schedule_epoch(&o, &s, 1, 5);
    schedule_epoch(&o, &s, 2, 6);
    assert_true(schedule_rate(&o, &s, 1) == 2e-4 && schedule_rate(&o, NULL, 1u << 30) == 2e-4);
}

/* By hand from the rules of SpeechBrain's ReduceLROnPlateau: loss of each epoch, rate after it. */
static void a_plateau_halves_the_rate_when_patience_ends(void **state)
{
    struct schedule_options o = {.kind = SCHEDULE_PLATEAU,
                                 .base = 0.15,
                                 .max = 1,
                                 .factor = 0.5,
                                 .patience = 2,
                                 .hold_epochs = 2};
    const struct {
        double loss, rate;
    } epochs[] = {
        {5, 1},      {9, 1},               /* held; the anchor is the last, 9 */
        {9, 1},                            /* as good as the anchor */
        {8, 1},      {8.5, 1},  {8.25, 1}, /* two borne */
        {8.5, 0.5},                        /* the third is not */
        {8.25, 0.5}, {8, 0.5},             /* one borne, then good again */
        {9, 0.5},    {9, 0.5},  {9, 0.25}, /* two more, and again */
        {9, 0.25},   {9, 0.25}, {9, 0.15}, /* no lower than base */
        {9, 0.15},   {9, 0.15}, {7, 0.15},
    };
    assert_int_equal(schedule_check(&o, NULL), 0);
    struct schedule_state s = schedule_begin(&o);
    for (int i = 0; i < (int)(sizeof epochs / sizeof *epochs); i++) {
        struct schedule_state saved = s; /* as a checkpoint would */
        schedule_epoch(&o, &s, i + 1, epochs[i].loss);
        schedule_epoch(&o, &saved, i + 1, epochs[i].loss);
        assert_memory_equal(&s, &saved, sizeof s);
        assert_true(schedule_rate(&o, &s, 1000) == epochs[i].rate);
    }
}

static void an_epoch_that_was_not_measured_is_no_bad_one(void **state)
{
    struct schedule_options o = {
        .kind = SCHEDULE_PLATEAU, .max = 1, .factor = 0.5, .patience = 1, .hold_epochs = 2};
    struct schedule_state s = schedule_begin(&o);
    schedule_epoch(&o, &s, 2, 5);
    schedule_epoch(&o, &s, 3, 6);
    const struct schedule_state before = s;
    for (int i = 4; i <= 9; i++)
        schedule_epoch(&o, &s, i, (double)NAN);
    assert_memory_equal(&s, &before, sizeof s);
    schedule_epoch(&o, &s, 10, 6); /* the second bad one */
    assert_true(s.rate == 0.5);
}

static void piqs_rate_does_not_fall_in_its_hundred_epochs(void **state)
{
    struct schedule_options o = SCHEDULE_PAPER_PIQ;
    struct schedule_state s = schedule_begin(&o);
    for (int epoch = 1; epoch <= 100; epoch++)
        schedule_epoch(&o, &s, epoch, epoch);
    assert_true(schedule_rate(&o, &s, 1) == 2e-4);
    for (int epoch = 101; epoch <= 104; epoch++)
        schedule_epoch(&o, &s, epoch, 200);
    assert_true(schedule_rate(&o, &s, 1) == 1e-4);
}

static void what_makes_no_sense_is_refused(void **state)
{
    const struct schedule_options bad[] = {
        {.kind = SCHEDULE_CONSTANT, .max = 0},
        {.kind = SCHEDULE_CONSTANT, .max = (double)NAN},
        {.kind = SCHEDULE_CYCLIC, .base = 1, .max = 0.5, .step_size = 3},
        {.kind = SCHEDULE_CYCLIC, .base = 0.1, .max = 0.5},
        {.kind = SCHEDULE_COSINE, .base = 0.1, .max = 0.5},
        {.kind = SCHEDULE_COSINE, .base = 0.1, .max = 0.5, .warmup = 5, .total = 4},
        {.kind = SCHEDULE_PLATEAU, .max = 0.5, .factor = 1},
        {.kind = SCHEDULE_PLATEAU, .max = 0.5, .factor = 0.5, .patience = -1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error error = {""};
        assert_int_equal(schedule_check(&bad[i], &error), -EINVAL);
        assert_line(&error, "learning rate: ", NULL);
    }
}

static void names_of_schedules_go_both_ways(void **state)
{
    for (int kind = 0; kind < 4; kind++) {
        enum schedule_kind found = SCHEDULE_CYCLIC;
        assert_true(schedule_by_name(schedule_name((enum schedule_kind)kind), &found));
        assert_int_equal(found, kind);
    }
    enum schedule_kind untouched = SCHEDULE_COSINE;
    assert_false(schedule_by_name("", &untouched));
    assert_int_equal(untouched, SCHEDULE_COSINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cyclic_rates_are_those_of_the_published_run),
        cmocka_unit_test(the_papers_cycle_turns_after_65000_steps),
        cmocka_unit_test(cosine_climbs_to_its_top_and_sinks_to_its_base),
        cmocka_unit_test(a_constant_rate_stays),
        cmocka_unit_test(a_plateau_halves_the_rate_when_patience_ends),
        cmocka_unit_test(an_epoch_that_was_not_measured_is_no_bad_one),
        cmocka_unit_test(piqs_rate_does_not_fall_in_its_hundred_epochs),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(names_of_schedules_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
