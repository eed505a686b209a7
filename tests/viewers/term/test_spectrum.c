/* SPDX-License-Identifier: Apache-2.0
 * The picture holds what came, at its place, and nothing else. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "viewers/term/spectrum.h"

enum { BINS = 513 };

static struct spectrum *s;

static int setup(void **state)
{
    s = malloc(sizeof *s);
    spectrum_clear(s);
    return s == NULL;
}

static int teardown(void **state)
{
    free(s);
    return 0;
}

/* rows frames whose bins are all log1p(magnitude). */
static float *frames_of(size_t rows, double magnitude)
{
    float *frames = malloc(rows * BINS * sizeof *frames);
    for (size_t i = 0; i < rows * BINS; i++)
        frames[i] = (float)log1p(magnitude);
    return frames;
}

static uint8_t level(int64_t frame, int band)
{
    uint8_t l, g;
    spectrum_cell(s, frame, frame + 1, band, band + 1, &l, &g);
    return l;
}

static uint8_t glow(int64_t frame, int band)
{
    uint8_t l, g;
    spectrum_cell(s, frame, frame + 1, band, band + 1, &l, &g);
    return g;
}

static void add(int64_t first, size_t rows, double magnitude, double peak)
{
    float *frames = frames_of(rows, magnitude);
    spectrum_add(s, first, frames, rows, BINS, peak);
    free(frames);
}

/* A sine of amplitude 1 gives half the sum of its window, 0.54 * 372; level v is -120 dBFS +
 * 120 dB * (v - 1) / 254. */
static const double sine = 100.44;

static void loudness_is_in_decibels_of_full_scale(void **state)
{
    add(0, 3, 1.001 * sine, 1);
    assert_int_equal(level(1, 64), 255);
    add(3, 3, 0.1 * sine, 1);
    assert_true(abs(level(4, 64) - (1 + 254 * 100 / 120)) <= 1);
    add(6, 3, sine, 0.01); /* the window was divided by its peak */
    assert_true(abs(level(7, 64) - (1 + 254 * 80 / 120)) <= 1);
}

static void a_tone_lights_its_own_band_alone(void **state)
{
    float *frames = frames_of(1, 0);
    frames[128] = (float)log1p(sine); /* 2 kHz of 8: a quarter up */
    spectrum_add(s, 0, frames, 1, BINS, 1);
    free(frames);
    for (int b = 0; b < SPECTRUM_BANDS; b++)
        assert_true(b >= 31 && b <= 32 ? level(0, 31) > 200 || level(0, 32) > 200
                                       : level(0, b) == 1);
}

static void what_was_lost_stays_empty(void **state)
{
    add(0, 10, 1, 1);
    add(20, 10, 1, 1);
    assert_true(level(9, 0) > 1);
    for (int f = 10; f < 20; f++)
        assert_int_equal(level(f, 0), 0);
    assert_true(level(20, 0) > 1);
    assert_int_equal(level(30, 0), 0);
}

static void old_frames_do_not_come_back(void **state)
{
    add(0, 100, 1, 1);
    add(SPECTRUM_FRAMES + 50, 1, 1, 1);
    assert_int_equal(level(20, 0), 0);
    assert_int_equal(level(SPECTRUM_FRAMES + 20, 0), 0); /* the same slot */
    add((int64_t)1 << 50, 1, 1, 1);
    assert_int_equal(level(SPECTRUM_FRAMES + 50, 0), 0);
    assert_true(level((int64_t)1 << 50, 0) > 1);
    add(5, 1, 1, 1); /* late by far: dropped */
    assert_int_equal(level(5, 0), 0);
}

static void any_value_is_survived(void **state)
{
    float *frames = frames_of(5, 1);
    const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f};
    for (int r = 0; r < 5; r++)
        for (int i = 0; i < BINS; i++)
            frames[r * BINS + i] = bad[r];
    spectrum_add(s, 0, frames, 5, BINS, NAN);
    spectrum_add(s, 5, frames, 5, BINS, -1e308);
    spectrum_add(s, -5, frames, 5, BINS, 1);
    spectrum_add(s, 10, frames, 1, 1, 1);
    for (int f = 0; f < 11; f++)
        assert_true(level(f, 3) >= 1);
    spectrum_shine_map(s, 0, 10, frames, 2, 2);
    spectrum_shine_map(s, -3, 10, frames, 1, 1);
    spectrum_shine_map(s, 0, -1, frames, 1, 1);
    free(frames);
}

/* map[time][frequency] */
static void a_map_shines_where_it_says(void **state)
{
    const float map[2][2] = {{0, 1}, {0, 0}}; /* early and high */
    add(100, 40, 1, 1);
    spectrum_shine_map(s, 100, 40, &map[0][0], 2, 2);
    assert_int_equal(glow(101, SPECTRUM_BANDS - 2), 255);
    assert_int_equal(glow(101, 2), 0);
    assert_int_equal(glow(138, SPECTRUM_BANDS - 2), 0);
    assert_int_equal(glow(138, 2), 0);
    int middle = glow(119, SPECTRUM_BANDS - 2); /* halfway between, by straight lines */
    assert_true(middle > 100 && middle < 155);
    spectrum_forget_glow(s);
    assert_int_equal(glow(101, SPECTRUM_BANDS - 2), 0);
}

/* Cell (r, c) is bit (r * cols + c) % 8 of byte (r * cols + c) / 8. */
static void a_mask_shines_bit_by_bit(void **state)
{
    uint8_t mask[(4 * BINS + 7) / 8] = {0};
    add(0, 4, 1, 1);
    for (int c = 256; c < BINS; c++)
        mask[(2 * BINS + c) / 8] |= (uint8_t)(1u << ((2 * BINS + c) % 8));
    spectrum_shine_mask(s, 0, mask, 4, BINS);
    assert_int_equal(glow(2, 100), 255);
    assert_int_equal(glow(2, 20), 0);
    assert_int_equal(glow(1, 100), 0);
    assert_int_equal(glow(3, 100), 0);
}

static void a_click_in_a_wide_cell_is_still_seen(void **state)
{
    uint8_t quiet, click, g;
    add(0, 40, 1e-3, 1);
    spectrum_cell(s, 0, 40, 0, 8, &quiet, &g);
    add(20, 1, 2 * sine, 1);
    spectrum_cell(s, 0, 40, 0, 8, &click, &g);
    assert_true(click > quiet + 40);
    assert_int_equal(spectrum_loudest(s, 0, 40, 0), 255);
    assert_int_equal(spectrum_loudest(s, 0, 40, 0.1), quiet);
    assert_int_equal(spectrum_loudest(s, 50, 60, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(loudness_is_in_decibels_of_full_scale, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tone_lights_its_own_band_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_lost_stays_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(old_frames_do_not_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(any_value_is_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(a_map_shines_where_it_says, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mask_shines_bit_by_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_click_in_a_wide_cell_is_still_seen, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
