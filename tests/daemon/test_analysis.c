/* SPDX-License-Identifier: Apache-2.0
 * From a window's spectrum to the network's plane, and from its map to the mask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/analysis.h"
#include "dsp/sample.h"

enum { WINDOW = 80000, FRAMES = 431, BINS = 513, IMAGE = 112, MAP = 4 };

static const struct model_info info = {
    .name = "test",
    .image_rows = IMAGE,
    .image_cols = IMAGE,
    .interpreter = INTERPRETER_MODULATION,
    .n_maps = 2,
    .maps = {{14, 14}, {MAP, MAP}},
    .preprocess = {16000, WINDOW, 1024, 372, 186, true, 30},
};

struct bench {
    struct analysis *analysis;
    struct stft *stft;
    float *samples, *spectrum, *plane;
};

static struct bench start(void)
{
    struct bench b;
    struct error error = {""};
    struct stft_shape shape = analysis_shape(&info);
    assert_int_equal(analysis_create(&b.analysis, &info, &error), 0);
    assert_int_equal(stft_create(&b.stft, &shape, &error), 0);
    b.samples = memory_zeroed(WINDOW, sizeof(float));
    b.spectrum = memory_zeroed((size_t)FRAMES * BINS, 2 * sizeof(float));
    b.plane = memory_zeroed((size_t)IMAGE * IMAGE, sizeof(float));
    return b;
}

static void finish(struct bench *b)
{
    analysis_destroy(b->analysis);
    stft_destroy(b->stft);
    free(b->samples);
    free(b->spectrum);
    free(b->plane);
}

static void fill_noise(float *x, size_t n, float level, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = level * (float)(int32_t)seed * 0x1p-31f;
    }
}

static struct analysis_window before(struct bench *b, float gate)
{
    struct analysis_window w;
    stft_signal(b->stft, b->samples, WINDOW, b->spectrum);
    analysis_before(b->analysis, b->samples, b->spectrum, gate, b->plane, &w);
    return w;
}

static void the_shape_is_the_model_s(void **state)
{
    (void)state;
    struct stft_shape shape = analysis_shape(&info);
    assert_int_equal(shape.n_fft, 1024);
    assert_int_equal(shape.win_length, 372);
    assert_int_equal(shape.hop, 186);
}

/* The recipe divides the samples by their maximum and transforms; here the spectrum is of the
 * samples as they are. Limit: the golden data's for the log-spectrogram. */
static void scaling_the_spectrum_is_dividing_the_samples(void **state)
{
    (void)state;
    struct bench b = start();
    fill_noise(b.samples, WINDOW, 0.037f, 1);
    struct analysis_window w = before(&b, 1e-3f);
    assert_false(w.silence);
    float max = 0, peak = 0;
    double square = 0;
    for (size_t i = 0; i < WINDOW; i++) {
        max = b.samples[i] > max ? b.samples[i] : max;
        peak = fabsf(b.samples[i]) > peak ? fabsf(b.samples[i]) : peak;
        square += (double)b.samples[i] * (double)b.samples[i];
    }
    assert_true(w.max == max);
    assert_true(w.peak == peak);
    assert_true(fabs((double)w.rms - sqrt(square / WINDOW)) <= 1e-7);
    for (size_t i = 0; i < WINDOW; i++)
        b.samples[i] /= max;
    stft_signal(b.stft, b.samples, WINDOW, b.spectrum);
    double worst = 0;
    for (size_t i = 0; i < (size_t)FRAMES * BINS; i++) {
        double re = (double)b.spectrum[2 * i], im = (double)b.spectrum[2 * i + 1];
        double d = fabs((double)w.logspec[i] - log1p(sqrt(re * re + im * im + 1e-14)));
        worst = d > worst || isnan(d) ? d : worst;
    }
    assert_true(worst <= 5e-5);
    finish(&b);
}

/* A tone from 3 s to 4 s at 2 kHz: rows of the plane are time, columns frequency. */
static void the_plane_has_time_down_and_frequency_across(void **state)
{
    (void)state;
    struct bench b = start();
    for (int i = 48000; i < 64000; i++)
        b.samples[i] = 0.5f * (float)sin(2 * M_PI * 2000 * i / 16000.0);
    assert_false(before(&b, 1e-3f).silence);
    int row = (int)(3.5 / 5 * IMAGE), col = (int)(2000.0 / 8000 * IMAGE);
    assert_true(b.plane[row * IMAGE + col] > 1);
    assert_true(b.plane[col * IMAGE + row] < 0.01f);
    assert_true(b.plane[(IMAGE - 1 - row) * IMAGE + col] < 0.01f);
    /* a Hamming window leaks 43 dB below the tone */
    assert_true(b.plane[row * IMAGE + IMAGE - 1 - col] < b.plane[row * IMAGE + col] / 4);
    finish(&b);
}

static void a_window_under_the_gate_is_silence_and_divides_by_nothing(void **state)
{
    (void)state;
    struct bench b = start();
    b.plane[5] = 42;
    assert_true(before(&b, 1e-3f).silence);
    assert_true(before(&b, 0).silence); /* nothing to divide by */
    b.samples[100] = 0.99e-3f;
    assert_true(before(&b, 1e-3f).silence);
    assert_null(before(&b, 1e-3f).logspec);
    b.samples[100] = -0.5f; /* loud, but the recipe's divisor would be 0 */
    struct analysis_window w = before(&b, 0);
    assert_true(w.silence);
    assert_true(w.max == 0 && w.peak == 0.5f);
    assert_true(b.plane[5] == 42);
    b.samples[101] = 1e-4f; /* small, and something to divide by */
    assert_false(before(&b, 1e-3f).silence);
    assert_true(isfinite(b.plane[5]));
    b.samples[101] = 1e-42f; /* … but not that */
    assert_true(before(&b, 1e-3f).silence);
    finish(&b);
}

/* All samples are below zero: the recipe's division turns the sound over, and its magnitudes are
 * those of the sound on an offset that is as far above. The bound is that of the scaling above. */
static void an_offset_silences_nothing(void **state)
{
    (void)state;
    struct bench b = start();
    static float below[FRAMES * BINS];
    for (int i = 0; i < WINDOW; i++)
        b.samples[i] = 0.05f * (float)sin(2 * M_PI * 2000 * i / 16000.0) - 0.1f;
    struct analysis_window w = before(&b, 1e-3f);
    assert_false(w.silence);
    assert_true(fabsf(w.max - 0.05f) < 1e-4f && fabsf(w.peak - 0.15f) < 1e-4f);
    memcpy(below, w.logspec, sizeof below);
    for (int i = 0; i < WINDOW; i++)
        b.samples[i] /= -w.max;
    stft_signal(b.stft, b.samples, WINDOW, b.spectrum);
    double worst = 0;
    for (size_t i = 0; i < (size_t)FRAMES * BINS; i++) {
        double re = (double)b.spectrum[2 * i], im = (double)b.spectrum[2 * i + 1];
        double d = fabs((double)below[i] - log1p(sqrt(re * re + im * im + 1e-14)));
        worst = d > worst || isnan(d) ? d : worst;
    }
    assert_true(worst <= 5e-5);
    finish(&b);
}

/* A denormal's reciprocal is infinite, and infinity times a bin of zero NaN. The smallest maximum
 * that is divided by beside the loudest sample there is gives numbers still. */
static void a_maximum_without_a_reciprocal_is_silence(void **state)
{
    (void)state;
    struct bench b = start();
    b.samples[100] = 1e-42f;
    assert_true(before(&b, 0).silence);
    b.samples[100] = FLT_MIN;
    assert_false(before(&b, 0).silence);
    b.samples[200] = b.samples[50000] = -sample_max;
    assert_false(before(&b, 0).silence);
    for (size_t i = 0; i < (size_t)IMAGE * IMAGE; i++)
        assert_true(isfinite(b.plane[i]));
    finish(&b);
}

/* One tenth of the cells, give or take those as large as the threshold itself. */
static void the_mask_keeps_the_cells_above_the_quantile(void **state)
{
    (void)state;
    static const float quantiles[] = {0, 0.5f, 0.9f, 0.99f, 1};
    struct bench b = start();
    float map[MAP * MAP];
    fill_noise(map, MAP * MAP, 5, 9);
    for (size_t k = 0; k < ARRAY_LEN(quantiles); k++) {
        struct analysis_mask m;
        analysis_after(b.analysis, map, quantiles[k], &m);
        size_t ones = 0;
        for (size_t i = 0; i < (size_t)FRAMES * BINS; i++) {
            assert_int_equal(m.mask[i], m.map[i] >= m.threshold);
            ones += m.mask[i];
        }
        assert_true(fabs((double)m.kept - (double)ones / ((double)FRAMES * BINS)) <= 1e-6);
        assert_true((double)m.kept >= 1 - (double)quantiles[k]);
        if (quantiles[k] > 0 && quantiles[k] < 1)
            assert_true((double)m.kept <= 1 - (double)quantiles[k] + 0.002);
    }
    finish(&b);
}

/* A map that is largest at its first row, last column: at the beginning, and high. */
static void the_map_is_resized_in_its_own_orientation(void **state)
{
    (void)state;
    struct bench b = start();
    float map[MAP * MAP] = {0};
    map[MAP - 1] = 10;
    struct analysis_mask m;
    analysis_after(b.analysis, map, 0.9f, &m);
    assert_true(fabsf(m.map[BINS - 1] - 10) <= 1e-4f);
    assert_true(m.map[0] == 0);
    assert_true(m.map[(size_t)(FRAMES - 1) * BINS] == 0);
    assert_true(m.map[(size_t)FRAMES * BINS - 1] == 0);
    assert_int_equal(m.mask[BINS - 1], 1);
    finish(&b);
}

static void a_flat_map_keeps_everything(void **state)
{
    (void)state;
    struct bench b = start();
    float map[MAP * MAP];
    for (int i = 0; i < MAP * MAP; i++)
        map[i] = 3;
    struct analysis_mask m;
    analysis_after(b.analysis, map, 0.9f, &m);
    assert_true(m.kept == 1);
    finish(&b);
}

/* PIQ's mask is taken as it is, whatever the quantile; its half is what is told as bits. */
static void the_mask_of_piq_stays_soft(void **state)
{
    (void)state;
    struct model_info piq = info;
    struct analysis *analysis;
    struct error error;
    piq.interpreter = INTERPRETER_PIQ;
    piq.maps[piq.n_maps].rows = FRAMES;
    piq.maps[piq.n_maps++].cols = BINS;
    assert_int_equal(analysis_create(&analysis, &piq, &error), 0);
    size_t cells = (size_t)FRAMES * BINS, ones = 0;
    float *map = memory_zeroed(cells, sizeof *map);
    assert_non_null(map);
    fill_noise(map, cells, 1, 3);
    for (size_t i = 0; i < cells; i++)
        map[i] = i % 1000 == 0 ? 0.5f : 0.5f + 0.5f * sinf(map[i] * 20);
    struct analysis_mask m;
    analysis_after(analysis, map, 0.9f, &m);
    assert_ptr_equal(m.soft, map);
    assert_ptr_equal(m.map, map);
    assert_true(m.threshold == 0.5f);
    for (size_t i = 0; i < cells; i++) {
        assert_int_equal(m.mask[i], map[i] >= 0.5f);
        ones += m.mask[i];
    }
    assert_true(ones > 0 && ones < cells);
    assert_true(fabs((double)m.kept - (double)ones / (double)cells) <= 1e-6);
    free(map);
    analysis_destroy(analysis);
}

static void a_model_without_maps_is_refused(void **state)
{
    (void)state;
    struct model_info none = info;
    struct analysis *analysis = NULL;
    struct error error = {""};
    none.n_maps = 0;
    assert_true(analysis_create(&analysis, &none, &error) < 0);
    assert_null(analysis);
    assert_non_null(strstr(error.text, "test"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shape_is_the_model_s),
        cmocka_unit_test(scaling_the_spectrum_is_dividing_the_samples),
        cmocka_unit_test(the_plane_has_time_down_and_frequency_across),
        cmocka_unit_test(a_window_under_the_gate_is_silence_and_divides_by_nothing),
        cmocka_unit_test(a_maximum_without_a_reciprocal_is_silence),
        cmocka_unit_test(an_offset_silences_nothing),
        cmocka_unit_test(the_mask_keeps_the_cells_above_the_quantile),
        cmocka_unit_test(the_map_is_resized_in_its_own_orientation),
        cmocka_unit_test(a_flat_map_keeps_everything),
        cmocka_unit_test(the_mask_of_piq_stays_soft),
        cmocka_unit_test(a_model_without_maps_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
