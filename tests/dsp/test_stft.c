/* SPDX-License-Identifier: Apache-2.0
 * The STFT and its inverse against the definition, summed in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/stft.h"
#include "noise.h"

/* the recipe's, and ones with odd, tiny and equal lengths */
static const struct stft_shape shapes[] = {
    {1024, 372, 186}, {64, 64, 32}, {16, 5, 3}, {30, 21, 11}, {1000, 400, 200}, {2, 1, 1},
};

static double window_at(const struct stft_shape *s, long m)
{
    return 0.54 - 0.46 * cos(2 * M_PI * (double)m / s->win_length);
}

/* X[t][f] = sum_m w[m] x[hop t + m - n_fft/2 + left] exp(-2 pi i f (m + left) / n_fft), x zero
 * outside [0, n). ret: [F][2] */
static void frame_by_definition(const struct stft_shape *s, const float *x, long n, long t,
                                double *ret)
{
    long left = (s->n_fft - s->win_length) / 2;
    for (long f = 0; f < stft_bins(s); f++) {
        double re = 0, im = 0;
        for (long m = 0; m < s->win_length; m++) {
            long i = s->hop * t + m + left - s->n_fft / 2;
            if (i < 0 || i >= n)
                continue;
            double angle = 2 * M_PI * (double)((f * (m + left)) % s->n_fft) / s->n_fft;
            re += window_at(s, m) * (double)x[i] * cos(angle);
            im -= window_at(s, m) * (double)x[i] * sin(angle);
        }
        ret[2 * f] = re;
        ret[2 * f + 1] = im;
    }
}

static void assert_frame(const struct stft_shape *s, const float *got, const double *want)
{
    /* float32 rounding of win_length summands of at most 1, in log2(n_fft) steps */
    double limit = 1e-6 * sqrt(s->win_length) + 1e-6;
    for (int i = 0; i < 2 * stft_bins(s); i++)
        if (!(fabs((double)got[i] - want[i]) <= limit))
            fail_msg("n_fft %d, value %d: %g instead of %g", s->n_fft, i, (double)got[i], want[i]);
}

static struct stft *make(const struct stft_shape *shape)
{
    struct stft *stft = NULL;
    struct error e;
    assert_int_equal(stft_create(&stft, shape, &e), 0);
    return stft;
}

static void a_frame_is_the_definition_of_the_transform(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    for (size_t k = 0; k < ARRAY_LEN(shapes); k++) {
        const struct stft_shape *s = &shapes[k];
        struct stft *stft = make(s);
        float *x = memory_zeroed((size_t)s->win_length, sizeof(float));
        float *got = memory_zeroed((size_t)stft_bins(s), sizeof(float[2]));
        double *want = memory_zeroed((size_t)stft_bins(s), sizeof(double[2]));
        noise_fill(&noise, x, (size_t)s->win_length);
        stft_frame(stft, x, got);
        /* the frame whose window begins at x[0], were there one */
        long left = (s->n_fft - s->win_length) / 2, reach = s->n_fft / 2 - left;
        float *moved = memory_zeroed((size_t)(s->win_length + s->hop), sizeof(float));
        long shift = (s->hop - reach % s->hop) % s->hop, t = (reach + shift) / s->hop;
        memcpy(moved + shift, x, (size_t)s->win_length * sizeof(float));
        frame_by_definition(s, moved, s->win_length + s->hop, t, want);
        assert_frame(s, got, want);
        free(moved);
        free(want);
        free(got);
        free(x);
        stft_destroy(stft);
    }
}

static void a_signal_is_framed_with_zeros_around_it(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    for (size_t k = 0; k < ARRAY_LEN(shapes); k++) {
        const struct stft_shape *s = &shapes[k];
        struct stft *stft = make(s);
        size_t lengths[] = {1, (size_t)s->hop, 2 * (size_t)s->win_length + 1,
                            noise_below(&noise, 5 * (size_t)s->win_length) + 1};
        for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
            size_t n = lengths[l], frames = stft_frames(s, n), stride = (size_t)stft_bins(s) * 2;
            assert_int_equal(frames, n / (size_t)s->hop + 1);
            float *x = memory_zeroed(n, sizeof(float));
            float *got = memory_zeroed(frames * stride, sizeof(float));
            float *padded = memory_zeroed(stride, sizeof(float));
            double *want = memory_zeroed(stride, sizeof(double));
            noise_fill(&noise, x, n);
            stft_signal(stft, x, n, got);
            for (size_t t = 0; t < frames; t++) {
                frame_by_definition(s, x, (long)n, (long)t, want);
                assert_frame(s, got + t * stride, want);
                stft_frame_padded(stft, x, n, t, padded);
                assert_memory_equal(padded, got + t * stride, stride * sizeof(float));
            }
            free(x);
            free(got);
            free(padded);
            free(want);
        }
        stft_destroy(stft);
    }
}

static void two_objects_give_the_same_bits(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    struct stft *a = make(&shapes[0]), *b = make(&shapes[0]);
    float x[372], from_a[1026], from_b[1026];
    for (int k = 0; k < 10; k++) {
        noise_fill(&noise, x, 372);
        stft_frame(a, x, from_a);
        stft_frame(b, x, from_b);
        assert_memory_equal(from_a, from_b, sizeof from_a);
    }
    stft_destroy(a);
    stft_destroy(b);
}

/* Sample i of the inverse of frames 0 ... T-1, by the definition; the last hop has one frame only.
 */
static double inverse_by_definition(const struct stft_shape *s, const float *spectrum, long frames,
                                    long i)
{
    long left = (s->n_fft - s->win_length) / 2;
    double sum = 0, envelope = 0;
    for (long t = 0; t < frames; t++) {
        long m = i + s->n_fft / 2 - s->hop * t; /* within n_fft */
        if (m < left || m >= left + s->win_length)
            continue;
        const float *X = spectrum + t * stft_bins(s) * 2;
        double x = (double)X[0];
        for (long f = 1; f < stft_bins(s); f++) {
            double angle = 2 * M_PI * (double)((f * m) % s->n_fft) / s->n_fft;
            double twice = f == s->n_fft / 2 ? 1 : 2;
            x += twice * ((double)X[2 * f] * cos(angle) - (double)X[2 * f + 1] * sin(angle));
        }
        double w = window_at(s, m - left);
        sum += w * x / s->n_fft;
        envelope += w * w;
    }
    return envelope > 1e-8 ? sum / envelope : 0;
}

static void the_inverse_of_any_frames_is_the_definition(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    struct error e;
    for (size_t k = 0; k < ARRAY_LEN(shapes); k++) {
        const struct stft_shape *s = &shapes[k];
        struct istft *istft = NULL;
        assert_int_equal(istft_create(&istft, s, &e), 0);
        size_t frames = 6, stride = (size_t)stft_bins(s) * 2, hop = (size_t)s->hop;
        float *spectrum = memory_zeroed(frames * stride, sizeof(float));
        float *ret = memory_zeroed(hop, sizeof(float));
        noise_fill(&noise, spectrum, frames * stride); /* not the spectrum of any signal */
        for (size_t t = 0; t < frames; t++) {
            istft_push(istft, spectrum + t * stride, ret);
            for (size_t i = 0; t > 0 && i < hop; i++) {
                double want =
                    inverse_by_definition(s, spectrum, (long)frames, (long)(hop * (t - 1) + i));
                if (!(fabs((double)ret[i] - want) <= 2e-6))
                    fail_msg("n_fft %d: %g instead of %g", s->n_fft, (double)ret[i], want);
            }
        }
        free(spectrum);
        free(ret);
        istft_destroy(istft);
    }
}

static void there_and_back_gives_the_signal_and_again_after_a_reset(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    struct error e;
    const struct stft_shape *s = &shapes[0];
    enum { N = 20000 };
    size_t frames = stft_frames(s, N), hop = (size_t)s->hop;
    static float x[N], spectrum[N / 186 + 1][1026], ret[186];
    struct stft *stft = make(s);
    struct istft *istft = NULL;
    assert_int_equal(istft_create(&istft, s, &e), 0);
    for (int round = 0; round < 3; round++) {
        noise_fill(&noise, x, N);
        stft_signal(stft, x, N, spectrum[0]);
        for (size_t t = 0; t < frames; t++) {
            istft_push(istft, spectrum[t], ret);
            for (size_t i = 0; t > 0 && i < hop; i++)
                assert_true(fabsf(ret[i] - x[hop * (t - 1) + i]) <= 2e-6f);
        }
        istft_reset(istft);
    }
    stft_destroy(stft);
    istft_destroy(istft);
}

static void an_impossible_shape_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct stft_shape shape;
        const char *named;
    } cases[] = {
        {{0, 1, 1}, "n_fft"},           {{-2, 1, 1}, "n_fft"},        {{1023, 372, 186}, "n_fft"},
        {{1 << 17, 372, 186}, "n_fft"}, {{64, 65, 32}, "win_length"}, {{64, 0, 1}, "win_length"},
        {{64, 32, 0}, "hop_length"},    {{64, 32, 33}, "hop_length"},
    };
    struct error e;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stft *stft = NULL;
        struct istft *istft = NULL;
        assert_true(stft_create(&stft, &cases[i].shape, &e) < 0);
        assert_null(stft);
        assert_non_null(strstr(e.text, cases[i].named));
        assert_true(istft_create(&istft, &cases[i].shape, &e) < 0);
        assert_null(istft);
    }
    struct istft *istft = NULL;
    assert_true(istft_create(&istft, &(struct stft_shape){64, 33, 16}, &e) < 0);
    assert_null(istft);
    assert_non_null(strstr(e.text, "33"));
    stft_destroy(NULL);
    istft_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_the_definition_of_the_transform),
        cmocka_unit_test(a_signal_is_framed_with_zeros_around_it),
        cmocka_unit_test(two_objects_give_the_same_bits),
        cmocka_unit_test(the_inverse_of_any_frames_is_the_definition),
        cmocka_unit_test(there_and_back_gives_the_signal_and_again_after_a_reset),
        cmocka_unit_test(an_impossible_shape_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
