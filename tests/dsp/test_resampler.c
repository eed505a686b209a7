/* SPDX-License-Identifier: Apache-2.0
 * Live resampling: output n is the input at time n / out_rate, whatever the blocks. Signals are
 * analytic, so that the right value is known at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <samplerate.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/resampler.h"
#include "noise.h"
#include "tests/compare.h"

enum { BLOCK = 3000, OUT = 16000 };

/* 44101 Hz has too many phases for a table and goes through libsamplerate itself. */
static const int rates[] = {8000, 11025, 16000, 22050, 32000, 44100, 44101, 48000, 96000, 192000};

typedef double (*signal_at)(double seconds);

static double sines(double t)
{
    return 0.5 * sin(2 * M_PI * 440 * t + 1) + 0.4 * sin(2 * M_PI * 2500 * t);
}

/* 100 Hz to 2500 Hz in a second: what the fast converter passes undiminished at 8 kHz. */
static double chirp(double t)
{
    return 0.9 * sin(2 * M_PI * (100 * t + 1200 * t * t));
}

/* A pulse smooth enough for 8 kHz, at 0.4 s: its place is the alignment. */
static double pulse(double t)
{
    double x = (t - 0.4) / 0.0003;
    return 0.9 * exp(-0.5 * x * x);
}

/* The channels of a frame: their mean is the signal. */
static void spread(double value, int channels, float *frame)
{
    for (int c = 0; c < channels; c++)
        frame[c] = (float)(value * (1 + 0.3 * (c - (channels - 1) / 2.0) / channels));
}

static struct resampler *make(int rate, int channels, enum resampler_quality quality)
{
    struct resampler *r = NULL;
    struct error e;
    assert_int_equal(resampler_create(&r, rate, channels, OUT, quality, BLOCK, &e), 0);
    return r;
}

/* Pushes the frames in random blocks and flushes. Checks the room, what is held back after each
 * push, and the count at the end. Returns how many came. */
static size_t resample(struct resampler *r, struct noise *noise, int rate, int channels,
                       const float *in, size_t frames, float *ret)
{
    size_t made = 0, most = resampler_out_max(r), held_most = 0;
    size_t limit = noise_below(noise, 2) ? BLOCK : 200;
    for (size_t at = 0; at < frames;) {
        size_t n = noise_below(noise, limit + 1);
        n = n < frames - at ? n : frames - at;
        ssize_t got = resampler_push(r, in + at * (size_t)channels, n, ret + made);
        assert_true(got >= 0 && (size_t)got <= most);
        made += (size_t)got;
        at += n;
        size_t due = (size_t)((uint64_t)at * OUT / (uint64_t)rate);
        size_t held = due > made ? due - made : 0;
        held_most = held > held_most ? held : held_most;
    }
    size_t due = (size_t)((uint64_t)frames * OUT / (uint64_t)rate);
    size_t held = due - made;
    ssize_t got = resampler_flush(r, ret + made);
    assert_true(got >= 0 && (size_t)got <= most);
    assert_true(held_most <= resampler_delay(r));
    assert_true(held + 1 >= resampler_delay(r)); /* it is not less either */
    made += (size_t)got;
    assert_int_equal(made, llround((double)frames * OUT / rate));
    return made;
}

/* The largest error away from the ends, where the signal is cut off. */
static double error_of(struct noise *noise, int rate, int channels, enum resampler_quality quality,
                       signal_at signal)
{
    size_t frames = (size_t)rate + noise_below(noise, 500);
    float *in = memory_zeroed(frames * (size_t)channels, sizeof(float));
    float *out = memory_zeroed(frames * OUT / (size_t)rate + 4 * BLOCK, sizeof(float));
    for (size_t i = 0; i < frames; i++)
        spread(signal((double)i / rate), channels, in + i * (size_t)channels);
    struct resampler *r = make(rate, channels, quality);
    double error = 0;
    for (int round = 0; round < 2; round++) { /* a flush starts anew */
        size_t made = resample(r, noise, rate, channels, in, frames, out);
        for (size_t n = 400; n + 400 < made; n++)
            error = worse(error, fabs((double)out[n] - signal((double)n / OUT)));
    }
    resampler_destroy(r);
    free(in);
    free(out);
    return error;
}

static void an_output_is_the_input_at_its_time(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static const signal_at signals[] = {sines, chirp, pulse};
    static const int channels[] = {1, 2, 3, 8};
    double worst[3] = {0};
    for (size_t r = 0; r < ARRAY_LEN(rates); r++)
        for (size_t s = 0; s < ARRAY_LEN(signals); s++)
            for (int quality = RESAMPLER_FAST; quality <= RESAMPLER_BEST; quality++) {
                if (quality == RESAMPLER_BEST && s != r % 3)
                    continue;
                double error = error_of(&noise, rates[r], channels[(r + s) % 4],
                                        (enum resampler_quality)quality, signals[s]);
                /* half a sample of misalignment at 2.5 kHz would be 0.2; libsamplerate gives the
                 * noise of its converters as -97, -121 and -144 dB, float32 adds its own */
                static const double limits[] = {3e-5, 5e-6, 2e-6};
                worst[quality] = fmax(worst[quality], error);
                if (!(error <= limits[quality]))
                    fail_msg("%d Hz, quality %d, signal %zu: off by %g", rates[r], quality, s,
                             error);
            }
    printf("largest error: fast %.2g, medium %.2g, best %.2g\n", worst[0], worst[1], worst[2]);
}

static void the_table_is_libsamplerates_own_filter(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static const int kinds[] = {SRC_SINC_FASTEST, SRC_SINC_MEDIUM_QUALITY, SRC_SINC_BEST_QUALITY};
    static float in[20000], out[60000], want[60000];
    for (size_t r = 0; r < ARRAY_LEN(rates); r++)
        for (int quality = RESAMPLER_FAST; quality <= RESAMPLER_BEST; quality++) {
            size_t frames = ARRAY_LEN(in) - noise_below(&noise, 1000);
            if (rates[r] == OUT)
                continue;
            noise_fill(&noise, in, frames);
            struct resampler *resampler = make(rates[r], 1, (enum resampler_quality)quality);
            resample(resampler, &noise, rates[r], 1, in, frames, out);
            resampler_destroy(resampler);
            SRC_DATA data = {.data_in = in,
                             .input_frames = (long)frames,
                             .data_out = want,
                             .output_frames = (long)ARRAY_LEN(want),
                             .end_of_input = 0,
                             .src_ratio = (double)OUT / rates[r]};
            int code;
            SRC_STATE *src = src_new(kinds[quality], 1, &code);
            assert_non_null(src);
            assert_int_equal(src_process(src, &data), 0);
            assert_true(data.output_frames_gen > 0);
            for (long i = 0; i < data.output_frames_gen; i++)
                if (!(fabsf(out[i] - want[i]) <= 5e-6f))
                    fail_msg("%d Hz, quality %d, output %ld: %g, libsamplerate %g", rates[r],
                             quality, i, (double)out[i], (double)want[i]);
            src_delete(src);
        }
}

static void blocks_do_not_matter(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static float in[2 * 30000], a[60000 + 4 * BLOCK], b[60000 + 4 * BLOCK];
    noise_fill(&noise, in, ARRAY_LEN(in));
    for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
        struct resampler *resampler = make(rates[r], 2, RESAMPLER_FAST);
        size_t n = resample(resampler, &noise, rates[r], 2, in, 30000, a);
        resampler_push(resampler, in, 777, b); /* a past that is forgotten */
        resampler_reset(resampler);
        assert_int_equal(resample(resampler, &noise, rates[r], 2, in, 30000, b), n);
        assert_memory_equal(a, b, n * sizeof(float));
        resampler_destroy(resampler);
    }
}

static void the_count_is_exact_however_short_the_signal(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static float in[4 * BLOCK], out[2 * BLOCK * 2 + 4096];
    for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
        struct resampler *resampler = make(rates[r], 1, RESAMPLER_MEDIUM);
        assert_int_equal(resampler_flush(resampler, out), 0);
        for (int i = 0; i < 60; i++) {
            size_t frames = i < 20 ? (size_t)i : noise_below(&noise, BLOCK + 1);
            ssize_t n = resampler_push(resampler, in, frames, out);
            assert_true(n >= 0);
            ssize_t rest = resampler_flush(resampler, out);
            assert_true(rest >= 0 && (size_t)rest <= resampler_out_max(resampler));
            assert_int_equal(n + rest, llround((double)frames * OUT / rates[r]));
        }
        resampler_destroy(resampler);
    }
}

static void what_is_no_sample_is_silence(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static float in[2 * BLOCK], clean[2 * BLOCK], a[2 * BLOCK + 4096], b[2 * BLOCK + 4096];
    static const float odd[] = {NAN, INFINITY, -INFINITY, 1e30f, -2e15f};
    for (int channels = 1; channels <= 2; channels++)
        for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
            noise_fill(&noise, in, ARRAY_LEN(in));
            memcpy(clean, in, sizeof clean);
            for (int i = 0; i < 200; i++) {
                size_t at = noise_below(&noise, ARRAY_LEN(in));
                in[at] = odd[i % (int)ARRAY_LEN(odd)];
                clean[at] = 0;
            }
            struct resampler *resampler = make(rates[r], channels, RESAMPLER_FAST);
            ssize_t n = resampler_push(resampler, in, BLOCK, a);
            n += resampler_flush(resampler, a + n);
            ssize_t m = resampler_push(resampler, clean, BLOCK, b);
            m += resampler_flush(resampler, b + m);
            assert_int_equal(n, m);
            assert_memory_equal(a, b, (size_t)n * sizeof(float));
            resampler_destroy(resampler);
        }
}

static void extreme_ratios_work_and_beyond_them_is_refused(void **state)
{
    (void)state;
    struct error e;
    static float in[BLOCK], out[1 << 22];
    static const int pairs[][2] = {{1000, 256000}, {768000, 3000}, {768000, 16000}, {1001, 64063}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct resampler *r = NULL;
        int from = pairs[i][0], to = pairs[i][1];
        assert_int_equal(resampler_create(&r, from, 1, to, RESAMPLER_FAST, BLOCK, &e), 0);
        for (int k = 0; k < BLOCK; k++)
            in[k] = 0.5f;
        size_t made = 0;
        for (int k = 0; k < 4; k++)
            made += (size_t)resampler_push(r, in, BLOCK, out + made);
        if (made > 1000) /* the direct voltage comes through */
            assert_true(fabsf(out[made - 1] - 0.5f) <= 1e-3f);
        made += (size_t)resampler_flush(r, out); /* written over what is checked already */
        assert_int_equal(made, llround(4.0 * BLOCK * to / from));
        resampler_destroy(r);
    }
    static const int bad[][3] = {{999, 1, 16000},    {768001, 1, 16000}, {48000, 0, 16000},
                                 {48000, 65, 16000}, {1000, 1, 257000},  {768000, 1, 2000},
                                 {48000, 1, 0},      {48000, 1, -5}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct resampler *r = NULL;
        assert_true(
            resampler_create(&r, bad[i][0], bad[i][1], bad[i][2], RESAMPLER_FAST, BLOCK, &e) < 0);
        assert_null(r);
    }
    struct resampler *r = make(48000, 1, RESAMPLER_FAST);
    assert_true(resampler_push(r, in, BLOCK + 1, out) < 0);
    resampler_destroy(r);
    resampler_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_output_is_the_input_at_its_time),
        cmocka_unit_test(the_table_is_libsamplerates_own_filter),
        cmocka_unit_test(blocks_do_not_matter),
        cmocka_unit_test(the_count_is_exact_however_short_the_signal),
        cmocka_unit_test(what_is_no_sample_is_silence),
        cmocka_unit_test(extreme_ratios_work_and_beyond_them_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
