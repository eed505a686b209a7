/* SPDX-License-Identifier: Apache-2.0
 * From ring blocks to windows: every sample at its place on the timeline, gaps where they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/ring.h"
#include "daemon/stream.h"

enum { RATE = 16000, WINDOW = 80000, HOP_FRAMES = 43, HOP = 43 * 186 };

static const struct stft_shape shape = {1024, 372, 186};

struct bench {
    struct ring *ring;
    struct stream *stream;
    uint64_t written; /* frames, lost ones included */
    int64_t start_ns;
};

static int64_t slept_ns; /* of the machine, as the streams see it */

static int64_t sleep_of_machine(void)
{
    return slept_ns;
}

static struct bench bench_start(bool lossless)
{
    struct bench b = {.start_ns = 1000000000};
    struct error error = {""};
    assert_int_equal(ring_create(&b.ring, 1 << 20, &error), 0);
    struct stream_config config = {.ring = b.ring,
                                   .shape = shape,
                                   .rate_hz = RATE,
                                   .window_samples = WINDOW,
                                   .quality = RESAMPLER_MEDIUM,
                                   .asleep_ns = sleep_of_machine,
                                   .lossless = lossless};
    assert_int_equal(stream_create(&b.stream, &config, &error), 0);
    return b;
}

static void bench_end(struct bench *b)
{
    stream_destroy(b->stream);
    ring_destroy(b->ring);
}

/* The signal by time, so that a shift shows: two incommensurable sines. */
static float signal_at(double s)
{
    return (float)(0.5 * sin(2 * M_PI * 440.7 * s) + 0.3 * sin(2 * M_PI * 1234.5 * s + 1));
}

static void write_block(struct bench *b, uint32_t frames, uint32_t rate, uint32_t channels,
                        uint32_t flags)
{
    float *x = ring_reserve(b->ring, frames, channels);
    assert_non_null(x);
    double t0 = (double)b->written / rate;
    for (uint32_t i = 0; i < frames; i++)
        for (uint32_t c = 0; c < channels; c++)
            x[i * channels + c] = signal_at(t0 + (double)i / rate);
    ring_commit(b->ring, frames, rate, b->start_ns + (int64_t)(t0 * 1e9), flags);
    b->written += frames;
}

/* Largest difference of a window from the signal, zeros taken for gaps of [from, to). A shift by
 * one sample would make it 0.2. */
static double window_error(const struct window *w, uint64_t from, uint64_t to)
{
    double worst = 0;
    for (uint64_t i = 0; i < WINDOW; i++) {
        uint64_t n = w->first + i;
        double expected = n >= from && n < to ? 0 : (double)signal_at((double)n / RATE);
        double error = fabs((double)w->samples[i] - expected);
        worst = error > worst || isnan(error) ? error : worst;
    }
    return worst;
}

static void windows_come_a_hop_apart_and_hold_the_signal(void **state)
{
    (void)state;
    struct bench b = bench_start(false);
    uint64_t expected_first = 0;
    int windows = 0;
    while (b.written < 10 * RATE) {
        write_block(&b, 160, RATE, 1, 0);
        assert_true(stream_pump(b.stream, HOP_FRAMES, NULL) >= 0);
        const struct window *w = stream_take(b.stream);
        if (w == NULL)
            continue;
        assert_int_equal(w->first, expected_first);
        assert_int_equal(w->hop_samples, HOP);
        assert_true(window_error(w, 0, 0) < 1e-6);
        expected_first += HOP;
        windows++;
    }
    assert_int_equal(windows, (10 * RATE - WINDOW) / HOP + 1);
    assert_int_equal(stream_skipped(b.stream), 0);
    bench_end(&b);
}

static void a_window_no_one_takes_is_replaced_and_counted(void **state)
{
    (void)state;
    struct bench b = bench_start(false);
    while (b.written < WINDOW + 5 * HOP) {
        write_block(&b, 160, RATE, 1, 0);
        stream_pump(b.stream, HOP_FRAMES, NULL);
    }
    const struct window *w = stream_take(b.stream);
    assert_non_null(w);
    assert_int_equal(w->first, 5 * HOP);
    assert_int_equal(w->serial, 5);
    assert_int_equal(stream_skipped(b.stream), 5);
    bench_end(&b);
}

static void lost_frames_are_zeros_at_their_place(void **state)
{
    (void)state;
    struct bench b = bench_start(false);
    while (b.written < 3 * RATE)
        write_block(&b, 480, RATE, 1, 0), stream_pump(b.stream, HOP_FRAMES, NULL);
    uint64_t from = b.written;
    ring_count_lost(b.ring, 1000);
    b.written += 1000;
    uint64_t to = b.written;
    while (b.written < 6 * RATE)
        write_block(&b, 480, RATE, 1, 0), stream_pump(b.stream, HOP_FRAMES, NULL);
    const struct window *w = stream_take(b.stream);
    assert_non_null(w);
    assert_true(window_error(w, from, to) < 1e-6);
    assert_int_equal(window_lost(w, w->first, WINDOW), 1000);
    assert_int_equal(stream_missed(b.stream), 1000);
    bench_end(&b);
}

static void after_a_restart_the_timeline_has_moved_by_the_time_away(void **state)
{
    (void)state;
    struct bench b = bench_start(false);
    while (b.written < 6 * RATE)
        write_block(&b, 480, RATE, 1, 0), stream_pump(b.stream, HOP_FRAMES, NULL);
    while (stream_take(b.stream) != NULL)
        ;
    b.written += 20 * RATE; /* twenty seconds without a server */
    uint64_t back = b.written;
    write_block(&b, 480, RATE, 1, RING_RESTART);
    while (b.written < back + 6 * RATE) {
        stream_pump(b.stream, HOP_FRAMES, NULL);
        write_block(&b, 480, RATE, 1, 0);
    }
    const struct window *w = stream_take(b.stream);
    assert_non_null(w);
    assert_true(w->first >= back);
    assert_int_equal(w->first % 186, 0);
    assert_true(window_error(w, 0, 0) < 1e-6);
    assert_int_equal(window_lost(w, w->first, WINDOW), 0);
    assert_int_equal(stream_missed(b.stream), 20 * RATE);
    bench_end(&b);
}

static void a_source_that_pauses_without_a_word_leaves_a_gap(void **state)
{
    (void)state;
    struct bench b = bench_start(false);
    while (b.written < 3 * RATE)
        write_block(&b, 480, RATE, 1, 0), stream_pump(b.stream, HOP_FRAMES, NULL);
    uint64_t from = b.written;
    b.written += RATE; /* a suspended node: its blocks' times say so */
    while (b.written < 6 * RATE)
        write_block(&b, 480, RATE, 1, 0), stream_pump(b.stream, HOP_FRAMES, NULL);
    const struct window *w = stream_take(b.stream);
    assert_non_null(w);
    assert_true(window_error(w, from, from + RATE) < 1e-6);
    assert_int_equal(window_lost(w, w->first, WINDOW), RATE);
    bench_end(&b);
}

/* The blocks' times know nothing of it: the clock they are of stood still. */
static void a_machine_that_slept_leaves_a_gap(void **state)
{
    (void)state;
    struct bench b = bench_start(false);
    while (b.written < 6 * RATE)
        write_block(&b, 480, RATE, 1, 0), stream_pump(b.stream, HOP_FRAMES, NULL);
    while (stream_take(b.stream) != NULL)
        ;
    const uint64_t asleep = b.written, hours = 8 * 3600;
    slept_ns += (int64_t)hours * 1000000000;
    b.written += 20 * RATE; /* and its server came late */
    write_block(&b, 480, RATE, 1, RING_RESTART);
    while (b.written < asleep + 26 * RATE) {
        stream_pump(b.stream, HOP_FRAMES, NULL);
        write_block(&b, 480, RATE, 1, 0);
    }
    const struct window *w = stream_take(b.stream);
    assert_non_null(w);
    assert_in_range(w->first, asleep + hours * RATE, b.written + hours * RATE);
    assert_int_equal(stream_missed(b.stream), (hours + 20) * RATE);
    assert_int_equal(window_lost(w, w->first, WINDOW), 0);
    bench_end(&b);
}

static void sleep_before_the_first_block_is_none_of_the_streams(void **state)
{
    (void)state;
    struct bench b = bench_start(false);
    slept_ns += INT64_C(3600) * 1000000000;
    while (b.written < 6 * RATE)
        write_block(&b, 480, RATE, 1, 0), stream_pump(b.stream, HOP_FRAMES, NULL);
    const struct window *w = stream_take(b.stream);
    assert_non_null(w);
    assert_in_range(w->first, 0, b.written);
    assert_int_equal(stream_missed(b.stream), 0);
    bench_end(&b);
}

static void a_change_of_rate_and_channels_does_not_shift_time(void **state)
{
    (void)state;
    struct bench b = bench_start(false);
    while (b.written < 2 * 48000)
        write_block(&b, 480, 48000, 2, 0), stream_pump(b.stream, HOP_FRAMES, NULL);
    b.written = 2 * 44100; /* the same moment, counted at the new rate */
    while (b.written < 4 * 44100)
        write_block(&b, 441, 44100, 1, 0), stream_pump(b.stream, HOP_FRAMES, NULL);
    b.written = 4 * 8000;
    while (b.written < 6 * 8000)
        write_block(&b, 80, 8000, 4, 0), stream_pump(b.stream, HOP_FRAMES, NULL);
    const struct window *w = stream_take(b.stream);
    assert_non_null(w);
    assert_int_equal(stream_missed(b.stream), 0);
    double worst = 0;
    for (uint64_t i = 0; i < WINDOW; i++) {
        uint64_t n = w->first + i;
        uint64_t edge = n % (2 * RATE);
        if (n < 100 || edge < 100 || edge > 2 * RATE - 100) /* the filter's ends */
            continue;
        double error = fabs((double)w->samples[i] - (double)signal_at((double)n / RATE));
        worst = error > worst || isnan(error) ? error : worst;
    }
    printf("largest error %g\n", worst);
    assert_true(worst < 2e-3); /* one sample's shift would be 0.2 */
    bench_end(&b);
}

/* Files one after the other, each a little longer than its samples at 16 kHz can tell. */
static void where_formats_meet_nothing_is_lost(void **state)
{
    (void)state;
    static const uint32_t rates[] = {8000, 11025, 44100, 48000, 8000};
    struct bench b = bench_start(true);
    uint64_t windows = 0;
    for (size_t k = 0; k < sizeof rates / sizeof rates[0]; k++) {
        const uint64_t frames = (uint64_t)(7.0001 * rates[k] + 0.5);
        for (b.written = 0; b.written < frames;) {
            const uint64_t left = frames - b.written, block = rates[k] / 100;
            write_block(&b, (uint32_t)(left < block ? left : block), rates[k], 1, 0);
            stream_pump(b.stream, HOP_FRAMES, NULL);
            const struct window *w = stream_take(b.stream);
            if (w == NULL)
                continue;
            assert_int_equal(window_lost(w, w->first, WINDOW), 0);
            windows++;
        }
    }
    assert_int_equal(windows, (5 * 7 * RATE - WINDOW) / HOP + 1);
    assert_int_equal(stream_missed(b.stream), 0);
    bench_end(&b);
}

static void a_lossless_stream_waits_and_skips_nothing(void **state)
{
    (void)state;
    struct bench b = bench_start(true);
    uint64_t expected_first = 0;
    int windows = 0;
    bool end_written = false;
    while (!stream_ended(b.stream) || stream_pending(b.stream)) {
        while (b.written < 20 * RATE && ring_writable(b.ring) > 8000 * sizeof(float))
            write_block(&b, 4000, RATE, 1, 0);
        if (b.written >= 20 * RATE && !end_written) {
            assert_non_null(ring_reserve(b.ring, 0, 1));
            ring_commit(b.ring, 0, RATE, 0, RING_END);
            end_written = true;
        }
        stream_pump(b.stream, HOP_FRAMES, NULL);
        stream_pump(b.stream, HOP_FRAMES, NULL);
        const struct window *w = stream_take(b.stream);
        if (w == NULL)
            continue;
        assert_int_equal(w->first, expected_first);
        expected_first += HOP;
        windows++;
    }
    assert_int_equal(windows, (20 * RATE - WINDOW) / HOP + 1);
    assert_int_equal(stream_skipped(b.stream), 0);
    bench_end(&b);
}

static void a_format_no_one_can_resample_is_refused_by_name(void **state)
{
    (void)state;
    struct bench b = bench_start(false);
    struct error error = {""};
    write_block(&b, 16, 1, 1, 0);
    assert_true(stream_pump(b.stream, HOP_FRAMES, &error) < 0);
    assert_true(error.text[0] != '\0');
    b.written = 0;
    write_block(&b, 160, RATE, 1, 0);
    assert_int_equal(stream_pump(b.stream, HOP_FRAMES, &error), 0);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_come_a_hop_apart_and_hold_the_signal),
        cmocka_unit_test(a_window_no_one_takes_is_replaced_and_counted),
        cmocka_unit_test(lost_frames_are_zeros_at_their_place),
        cmocka_unit_test(after_a_restart_the_timeline_has_moved_by_the_time_away),
        cmocka_unit_test(a_machine_that_slept_leaves_a_gap),
        cmocka_unit_test(sleep_before_the_first_block_is_none_of_the_streams),
        cmocka_unit_test(a_source_that_pauses_without_a_word_leaves_a_gap),
        cmocka_unit_test(a_change_of_rate_and_channels_does_not_shift_time),
        cmocka_unit_test(where_formats_meet_nothing_is_lost),
        cmocka_unit_test(a_lossless_stream_waits_and_skips_nothing),
        cmocka_unit_test(a_format_no_one_can_resample_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
