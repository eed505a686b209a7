/* SPDX-License-Identifier: Apache-2.0
 * Masked log-spectrograms: bands, and regions that are coherent, of the share that was asked for,
 * and nothing else touched. */
#include "tests/train/published.h"

#include "model/train/masking.h"

enum { T = 431, F = 513, CELLS = T * F, SEED = 99 };

static float spectrogram[CELLS], before[CELLS], room[2 * CELLS];
static uint8_t mask[CELLS];

static const struct masking_region seven = {.grid_rows = 7, .grid_cols = 7, .roughness = 0.2};

static int say_seed(void **state)
{
    print_message("seed %d\n", SEED);
    return 0;
}

static void fill(void)
{
    for (int i = 0; i < CELLS; i++)
        spectrogram[i] = before[i] = 1 + (float)(i % 97) / 16;
}

static void bands_hide_their_rows_and_columns_alone(void **state)
{
    fill();
    masking_time(spectrogram, T, F, 5, 3);
    masking_time(spectrogram, T, F, T - 1, 1);
    masking_frequency(spectrogram, T, F, 0, 2);
    masking_frequency(spectrogram, T, F, F, 0);
    for (int t = 0; t < T; t++)
        for (int f = 0; f < F; f++) {
            bool hidden = (t >= 5 && t < 8) || t == T - 1 || f < 2;
            assert_true(spectrogram[t * F + f] == (hidden ? 0 : before[t * F + f]));
        }
}

static size_t count(void)
{
    size_t n = 0;
    for (int i = 0; i < CELLS; i++) {
        assert_true(mask[i] <= 1);
        n += mask[i];
    }
    return n;
}

/* Cells of the largest piece whose cells are neighbours. */
static size_t largest_piece(void)
{
    static int todo[CELLS];
    size_t largest = 0;
    for (int from = 0; from < CELLS; from++) {
        size_t n = 0, todo_n = 0;
        if (mask[from] != 1)
            continue;
        mask[from] = 2;
        todo[todo_n++] = from;
        while (todo_n > 0) {
            int at = todo[--todo_n], t = at / F, f = at % F;
            const int beside[] = {t > 0 ? at - F : at, t < T - 1 ? at + F : at, f > 0 ? at - 1 : at,
                                  f < F - 1 ? at + 1 : at};
            n++;
            for (int k = 0; k < 4; k++)
                if (mask[beside[k]] == 1) {
                    mask[beside[k]] = 2;
                    todo[todo_n++] = beside[k];
                }
        }
        largest = n > largest ? n : largest;
    }
    for (int i = 0; i < CELLS; i++)
        mask[i] = mask[i] != 0;
    return largest;
}

/* A corner beyond the outermost grid centres is one value: (431 / 14) * (513 / 14) cells, 0.52 %.
 */
static void a_region_has_the_share_that_was_asked_for(void **state)
{
    const double shares[] = {0.05, 0.1, 0.3, 0.5, 0.9};
    struct random r;
    random_seed(&r, SEED);
    for (size_t k = 0; k < 5; k++)
        for (int round = 0; round < 8; round++) {
            struct masking_region region = seven;
            region.share = shares[k];
            size_t n = masking_region(&region, &r, T, F, mask, room);
            assert_int_equal(n, count());
            double share = (double)n / CELLS;
            if (!(share >= shares[k] - 1e-4 && share <= shares[k] + 0.0115)) /* two corners */
                fail_msg("a share of %.4f became %.4f", shares[k], share);
        }
    struct masking_region whole = seven;
    whole.share = 1;
    assert_int_equal(masking_region(&whole, &r, T, F, mask, room), CELLS);
    whole.share = 0;
    assert_int_equal(masking_region(&whole, &r, T, F, mask, room), 0);
    assert_int_equal(count(), 0);
}

static void a_smooth_region_is_one_piece_and_a_rough_one_is_not(void **state)
{
    struct random r;
    const double roughness[] = {0, 0.2, 10};
    double mean[3] = {0};
    enum { ROUNDS = 20 };
    random_seed(&r, SEED);
    for (int k = 0; k < 3; k++)
        for (int round = 0; round < ROUNDS; round++) {
            struct masking_region region = seven;
            region.share = 0.1;
            region.roughness = roughness[k];
            size_t n = masking_region(&region, &r, T, F, mask, room), piece = largest_piece();
            mean[k] += (double)piece / (double)n / ROUNDS;
            assert_true(k != 0 || piece == n);
        }
    print_message("largest piece: %.2f, %.2f, %.2f of the region\n", mean[0], mean[1], mean[2]);
    assert_true(mean[1] > mean[2] && mean[2] < 0.6);
}

static void regions_lie_anywhere(void **state)
{
    struct random r;
    static int hits[T][F];
    enum { ROUNDS = 150 };
    random_seed(&r, SEED);
    for (int round = 0; round < ROUNDS; round++) {
        struct masking_region region = seven;
        region.share = 0.3;
        masking_region(&region, &r, T, F, mask, room);
        for (int i = 0; i < CELLS; i++)
            hits[i / F][i % F] += mask[i];
    }
    for (int t = 0; t < T; t += 43)
        for (int f = 0; f < F; f += 51)
            assert_true(hits[t][f] >= 10 && hits[t][f] <= ROUNDS - 30);
}

static void keeping_and_removing_are_complements(void **state)
{
    struct random r;
    struct masking_region region = seven;
    region.share = 0.25;
    random_seed(&r, SEED);
    masking_region(&region, &r, T, F, mask, room);
    fill();
    masking_apply(spectrogram, mask, CELLS, true);
    for (int i = 0; i < CELLS; i++)
        assert_true(spectrogram[i] == (mask[i] ? before[i] : 0));
    fill();
    masking_apply(spectrogram, mask, CELLS, false);
    for (int i = 0; i < CELLS; i++)
        assert_true(spectrogram[i] == (mask[i] ? 0 : before[i]));
}

static const struct masking_settings settings = {
    .keep_probability = 0.3,
    .remove_probability = 0.2,
    .share_low = 0.1,
    .share_high = 0.4,
    .region = {.grid_rows = 7, .grid_cols = 7, .roughness = 0.2},
};

static void a_clip_is_kept_removed_or_left_as_often_as_asked(void **state)
{
    enum { SMALL_T = 28, SMALL_F = 28, SMALL = SMALL_T * SMALL_F, ROUNDS = 4000 };
    int done[3] = {0};
    assert_int_equal(masking_check(&settings, NULL), 0);
    for (int round = 0; round < ROUNDS; round++) {
        struct random r;
        random_stream(&r, SEED, 1, (uint64_t)round);
        fill();
        enum masking_done d =
            masking_clip(&settings, &r, SMALL_T, SMALL_F, spectrogram, mask, room);
        done[d]++;
        int zeros = 0;
        for (int i = 0; i < SMALL; i++) {
            assert_true(spectrogram[i] == 0 || spectrogram[i] == before[i]);
            zeros += spectrogram[i] == 0;
            if (d != MASKING_WHOLE)
                assert_true((spectrogram[i] == 0) == (mask[i] != (d == MASKING_KEPT)));
        }
        for (int i = SMALL; i < SMALL + 50; i++)
            assert_true(spectrogram[i] == before[i]);
        double share = (double)(d == MASKING_KEPT ? SMALL - zeros : zeros) / SMALL;
        assert_true(d == MASKING_WHOLE ? zeros == 0 : share > 0.09 && share < 0.45);
    }
    assert_near("kept", (double)done[MASKING_KEPT] / ROUNDS, 0.3, 5 * sqrt(0.21 / ROUNDS));
    assert_near("removed", (double)done[MASKING_REMOVED] / ROUNDS, 0.2, 5 * sqrt(0.16 / ROUNDS));
}

static void bands_of_a_clip_are_no_wider_than_asked(void **state)
{
    struct masking_settings s = {
        .time_bands = 1, .time_frames = 4, .frequency_bands = 1, .frequency_bins = 600};
    enum { ROUNDS = 300 };
    int widths[5] = {0};
    assert_int_equal(masking_check(&s, NULL), 0);
    for (int round = 0; round < ROUNDS; round++) {
        struct random r;
        random_stream(&r, SEED, 2, (uint64_t)round);
        s.frequency_bands = round % 2;
        fill();
        assert_int_equal(masking_clip(&s, &r, 50, 20, spectrogram, mask, room), MASKING_WHOLE);
        int rows = 0;
        for (int t = 0; t < 50; t++) {
            int zeros = 0;
            for (int f = 0; f < 20; f++)
                zeros += spectrogram[t * 20 + f] == 0;
            rows += zeros == 20;
            assert_true(round % 2 == 1 || zeros == 0 || zeros == 20);
        }
        if (round % 2 == 0) {
            assert_true(rows <= 4);
            widths[rows]++;
        }
    }
    for (int w = 0; w <= 4; w++)
        assert_true(widths[w] > 5);
}

static void what_makes_no_sense_is_refused(void **state)
{
    for (int k = 0; k < 9; k++) {
        struct masking_settings s = settings;
        struct error error = {""};
        s.time_bands = k == 0 ? -1 : 0;
        s.frequency_bins = k == 1 ? -1 : 0;
        s.keep_probability = k == 2 ? 0.9 : k == 3 ? (double)NAN : s.keep_probability;
        s.share_high = k == 4 ? 0.05 : k == 5 ? 1.5 : s.share_high;
        s.region.grid_rows = k == 6 ? 1 : 7;
        s.region.grid_cols = k == 7 ? MASKING_MAX_GRID + 1 : 7;
        s.region.roughness = k == 8 ? (double)INFINITY : 0.2;
        assert_int_equal(masking_check(&s, &error), -EINVAL);
        assert_line(&error, "masking: ", NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bands_hide_their_rows_and_columns_alone),
        cmocka_unit_test(a_region_has_the_share_that_was_asked_for),
        cmocka_unit_test(a_smooth_region_is_one_piece_and_a_rough_one_is_not),
        cmocka_unit_test(regions_lie_anywhere),
        cmocka_unit_test(keeping_and_removing_are_complements),
        cmocka_unit_test(a_clip_is_kept_removed_or_left_as_often_as_asked),
        cmocka_unit_test(bands_of_a_clip_are_no_wider_than_asked),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, say_seed, NULL);
}
