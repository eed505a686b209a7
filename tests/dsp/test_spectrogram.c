/* SPDX-License-Identifier: Apache-2.0
 * Every vector variant this machine can run against plain C in double, on hostile input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/spectrogram.h"
#include "noise.h"

enum { MOST = 300, GUARD = 16 };
static const float untouched = 12345.5f;

static double log_by_definition(float re, float im, float scale)
{
    double a = (double)re * (double)scale, b = (double)im * (double)scale;
    return log1p(sqrt(a * a + b * b + 1e-14));
}

/* Magnitudes of every order from denormal to 1000, and exact zeros. */
static float hostile(struct noise *noise)
{
    switch (noise_below(noise, 6)) {
    case 0:
        return 0;
    case 1:
        return noise_sample(noise) * 1e-42f;
    case 2:
        return noise_sample(noise) * 1e-7f;
    case 3:
        return ldexpf(noise_sample(noise), (int)noise_below(noise, 60) - 50);
    default:
        return noise_sample(noise) * 700;
    }
}

static void log_is_within_2e_6_of_double_for_any_length_and_alignment(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static float spectrum[2 * MOST + 1], ret[MOST + 1 + GUARD];
    double worst = 0;
    const struct spectrogram_ops *ops;
    for (size_t v = 0; (ops = spectrogram_ops_at(v)) != NULL; v++)
        for (size_t n = 0; n < MOST; n += n < 80 ? 1 : 13) {
            size_t off = noise_below(&noise, 2);
            for (size_t i = 0; i < ARRAY_LEN(spectrum); i++)
                spectrum[i] = hostile(&noise);
            for (size_t i = 0; i < ARRAY_LEN(ret); i++)
                ret[i] = untouched;
            float scale = n % 3 == 0 ? 1 : ldexpf(1.3f, (int)noise_below(&noise, 3) - 2);
            ops->log(spectrum + off, n, scale, ret + off);
            for (size_t i = 0; i < n; i++) {
                const float *cell = spectrum + off + 2 * i;
                double error =
                    fabs((double)ret[off + i] - log_by_definition(cell[0], cell[1], scale));
                if (!(error <= 2e-6))
                    fail_msg("%s: (%g, %g) * %g is off by %g", ops->name, (double)cell[0],
                             (double)cell[1], (double)scale, error);
                worst = error > worst ? error : worst;
            }
            assert_true(off == 0 || ret[0] == untouched);
            for (size_t i = off + n; i < ARRAY_LEN(ret); i++)
                assert_true(ret[i] == untouched);
        }
    printf("largest error %.2g\n", worst);
}

static void silence_is_1e_7_and_small_values_keep_their_digits(void **state)
{
    (void)state;
    const struct spectrogram_ops *ops;
    for (size_t v = 0; (ops = spectrogram_ops_at(v)) != NULL; v++) {
        float ret[40], spectrum[80] = {0};
        ops->log(spectrum, 40, 1, ret);
        for (int i = 0; i < 40; i++)
            assert_true(fabs((double)ret[i] - 1e-7) <= 1e-13);
        for (int i = 0; i < 40; i++)
            spectrum[2 * i] = ldexpf(1.1f, -i);
        ops->log(spectrum, 40, 1, ret);
        for (int i = 0; i < 40; i++) {
            double want = log_by_definition(spectrum[2 * i], 0, 1);
            assert_true(fabs((double)ret[i] - want) <= 3e-7 * want);
        }
    }
}

static void huge_values_stay_numbers_and_nan_stays_nan(void **state)
{
    (void)state;
    const struct spectrogram_ops *ops;
    for (size_t v = 0; (ops = spectrogram_ops_at(v)) != NULL; v++) {
        float spectrum[64], ret[32];
        for (int i = 0; i < 64; i++)
            spectrum[i] = 1e30f;
        ops->log(spectrum, 32, 1e-30f, ret); /* as normalising a very loud window does */
        for (int i = 0; i < 32; i++)
            assert_true(fabs((double)ret[i] - log1p(sqrt(2))) <= 2e-6);
        ops->log(spectrum, 32, 1, ret);
        for (int i = 0; i < 32; i++)
            assert_true(fabs((double)ret[i] - log((double)FLT_MAX)) <= 1e-4);
        spectrum[7] = INFINITY;
        spectrum[20] = -INFINITY;
        spectrum[41] = NAN;
        ops->log(spectrum, 32, 1e-30f, ret);
        for (int i = 0; i < 32; i++)
            assert_true(i == 20 ? isnan(ret[i]) : isfinite(ret[i]));
    }
}

/* expm1(m log1p(s |X|)) / s with X's phase, in double. The gain's error is that of expm1f and
 * log1pf (about 2^-23 each, of values up to 20), relative to what comes out. */
static void a_soft_mask_multiplies_the_log_spectrogram(void **state)
{
    (void)state;
    enum { N = 4000 };
    static float spectrum[2 * N], mask[N], ret[2 * N];
    struct noise noise = noise_start();
    const float scales[] = {1e-3f, 1, 37, 1e6f};
    for (size_t k = 0; k < ARRAY_LEN(scales); k++) {
        noise_fill(&noise, spectrum, 2 * N);
        noise_fill(&noise, mask, N);
        for (size_t i = 0; i < N; i++) {
            mask[i] = i % 5 == 0 ? 0 : i % 5 == 1 ? 1 : fabsf(mask[i]) / (1 + fabsf(mask[i]));
            if (i % 7 == 0)
                spectrum[2 * i] *= 1e-12f, spectrum[2 * i + 1] *= 1e-12f;
            if (i % 11 == 0)
                spectrum[2 * i] = spectrum[2 * i + 1] = 0;
        }
        spectrogram_soft_mask(spectrum, mask, N, scales[k], ret);
        for (size_t i = 0; i < N; i++) {
            double re = (double)spectrum[2 * i], im = (double)spectrum[2 * i + 1];
            double magnitude = (double)scales[k] * sqrt(re * re + im * im);
            double gain = magnitude > 0 ? expm1((double)mask[i] * log1p(magnitude)) / magnitude
                                        : (double)mask[i];
            assert_true(fabs((double)ret[2 * i] - gain * re) <= 4e-6 * gain * fabs(re));
            assert_true(fabs((double)ret[2 * i + 1] - gain * im) <= 4e-6 * gain * fabs(im));
        }
        spectrogram_soft_mask(spectrum, mask, N, scales[k], spectrum); /* in place */
        assert_memory_equal(spectrum, ret, sizeof ret);
    }
}

/* What is listened to is never NaN, whatever a network gave. */
static void a_soft_mask_that_is_no_number_keeps_nothing(void **state)
{
    (void)state;
    float spectrum[] = {0.3f, -2, 0.3f, -2, 0, 0, 1e-20f, 0}, ret[ARRAY_LEN(spectrum)];
    const float mask[] = {NAN, INFINITY, NAN, NAN};
    spectrogram_soft_mask(spectrum, mask, ARRAY_LEN(mask), 1, ret);
    for (size_t i = 0; i < ARRAY_LEN(ret); i++)
        assert_true(ret[i] == 0);
}

static void a_mask_keeps_and_drops_cells_even_in_place(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static float spectrum[2 * MOST], ret[2 * MOST + GUARD];
    static uint8_t mask[MOST];
    const struct spectrogram_ops *ops;
    for (size_t v = 0; (ops = spectrogram_ops_at(v)) != NULL; v++)
        for (size_t n = 0; n < MOST; n += 7) {
            noise_fill(&noise, spectrum, 2 * MOST);
            for (size_t i = 0; i < MOST; i++) {
                mask[i] = noise_below(&noise, 2) == 0;
                if (!mask[i] && noise_below(&noise, 4) == 0)
                    spectrum[2 * i] = INFINITY;
            }
            for (size_t i = 0; i < ARRAY_LEN(ret); i++)
                ret[i] = untouched;
            ops->mask(spectrum, mask, n, ret);
            for (size_t i = 0; i < 2 * n; i++)
                assert_true(ret[i] == (mask[i / 2] ? spectrum[i] : 0));
            for (size_t i = 2 * n; i < ARRAY_LEN(ret); i++)
                assert_true(ret[i] == untouched);
            ops->mask(spectrum, mask, n, spectrum);
            assert_memory_equal(spectrum, ret, 2 * n * sizeof(float));
        }
}

static void a_peak_counts_what_is_no_number(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY};
    static float x[MOST];
    const struct spectrogram_ops *ops;
    for (size_t v = 0; (ops = spectrogram_ops_at(v)) != NULL; v++)
        for (size_t n = 1; n < MOST; n++) {
            float max = -INFINITY, abs_max = 0, got_max, got_abs;
            size_t bad = 0, got_bad, one_in = 1 + noise_below(&noise, 5);
            for (size_t i = 0; i < n; i++) {
                /* all negative at times: the maximum is not the largest magnitude */
                x[i] = n % 5 == 0 ? -1.5f + 0.5f * noise_sample(&noise) : noise_sample(&noise);
                if (n % 2 == 0 && noise_below(&noise, one_in) == 0)
                    x[i] = odd[noise_below(&noise, 4)];
                if (!isfinite(x[i])) {
                    bad++;
                    continue;
                }
                max = fmaxf(max, x[i]);
                abs_max = fmaxf(abs_max, fabsf(x[i]));
            }
            ops->peak(x, n, &got_max, &got_abs, &got_bad);
            assert_int_equal(got_bad, bad);
            assert_true(got_max == max && got_abs == abs_max);
            signal_peak(x, n, &got_max, &got_abs, &got_bad);
            assert_true(got_max == (bad == n ? 0 : max));
        }
    float max = 1, abs_max = 1;
    size_t bad = 1;
    signal_peak(x, 0, &max, &abs_max, &bad);
    assert_true(max == 0 && abs_max == 0 && bad == 0);
}

static void an_interpretation_is_expm1_of_the_masked_log_with_the_phase(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static float spectrum[2 * MOST], logspec[MOST], ret[2 * MOST];
    static uint8_t mask[MOST];
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < MOST; i++) {
            spectrum[2 * i] = hostile(&noise);
            spectrum[2 * i + 1] = hostile(&noise);
            mask[i] = noise_below(&noise, 2) == 0;
        }
        spectrogram_log(spectrum, MOST, 0.5f, logspec);
        spectrogram_interpret(logspec, mask, spectrum, MOST, ret);
        for (size_t i = 0; i < MOST; i++) {
            double re = (double)spectrum[2 * i], im = (double)spectrum[2 * i + 1];
            double amplitude = mask[i] ? expm1((double)logspec[i]) : 0, phase = atan2(im, re);
            double limit = 4e-7 * amplitude + 2e-7; /* of the phase of next to nothing, nothing */
            assert_true(fabs((double)ret[2 * i] - amplitude * cos(phase)) <= limit);
            assert_true(fabs((double)ret[2 * i + 1] - amplitude * sin(phase)) <= limit);
        }
    }
}

static void the_best_variant_is_in_use(void **state)
{
    (void)state;
    const struct spectrogram_ops *best = spectrogram_ops_at(0), *ops;
    assert_string_equal(best->name, "generic");
    for (size_t v = 1; (ops = spectrogram_ops_at(v)) != NULL; v++)
        best = ops;
    assert_string_equal(spectrogram_simd(), best->name);
    printf("%s\n", best->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_is_within_2e_6_of_double_for_any_length_and_alignment),
        cmocka_unit_test(silence_is_1e_7_and_small_values_keep_their_digits),
        cmocka_unit_test(huge_values_stay_numbers_and_nan_stays_nan),
        cmocka_unit_test(a_soft_mask_multiplies_the_log_spectrogram),
        cmocka_unit_test(a_soft_mask_that_is_no_number_keeps_nothing),
        cmocka_unit_test(a_mask_keeps_and_drops_cells_even_in_place),
        cmocka_unit_test(a_peak_counts_what_is_no_number),
        cmocka_unit_test(an_interpretation_is_expm1_of_the_masked_log_with_the_phase),
        cmocka_unit_test(the_best_variant_is_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
