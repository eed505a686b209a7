/* SPDX-License-Identifier: Apache-2.0
 * The interpretation as a stream: every frame once, gap-free, aligned with the input, equal to the
 * offline result where the masks agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/masked_audio.h"
#include "dsp/spectrogram.h"
#include "dsp/stft.h"

enum { WINDOW = 80000, STFT_HOP = 186, FRAMES = 431, BINS = 513 };
enum { HOP_FRAMES = 43, HOP = HOP_FRAMES * STFT_HOP };
enum { WINDOWS = 12, SIGNAL = WINDOW + (WINDOWS - 1) * HOP, CHUNK = 86 * STFT_HOP };

static const struct stft_shape shape = {1024, 372, STFT_HOP};
static const float soft_max = 0.4f; /* of every window, as far as soft masks are told */

struct bench {
    float *x;        /* [SIGNAL] */
    size_t frames;   /* of the whole signal */
    float *spectrum; /* [frames][BINS][2] */
    uint8_t *mask;   /* [frames][BINS] */
    float *soft;     /* [frames][BINS] 0 ... 1, taken instead unless NULL */
    float *offline;  /* the masked spectrum of the whole signal, inverted */
    float *heard;    /* [SIGNAL], what the stream gave */
    uint64_t first, end;
    struct window window;
    struct stft *stft;
};

static void *room(size_t count, size_t size)
{
    void *p = memory_zeroed(count, size);
    assert_non_null(p);
    return p;
}

static void invert(const float *spectrum, size_t frames, float *ret)
{
    struct istft *istft;
    float hop[STFT_HOP];
    assert_int_equal(istft_create(&istft, &shape, NULL), 0);
    for (size_t t = 0; t < frames; t++) {
        istft_push(istft, spectrum + t * BINS * 2, hop);
        if (t > 0)
            memcpy(ret + (t - 1) * STFT_HOP, hop, sizeof hop);
    }
    istft_destroy(istft);
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    unsigned seed = 20;
    printf("seed %u\n", seed);
    b->frames = stft_frames(&shape, SIGNAL);
    b->x = room(SIGNAL, sizeof(float));
    b->heard = room(SIGNAL, sizeof(float));
    b->offline = room(SIGNAL, sizeof(float));
    b->spectrum = room(b->frames * BINS * 2, sizeof(float));
    b->mask = room(b->frames, BINS);
    b->window.samples = room(WINDOW, sizeof(float));
    b->window.spectrum = room((size_t)FRAMES * BINS * 2, sizeof(float));
    for (size_t i = 0; i < SIGNAL; i++)
        b->x[i] = (float)rand_r(&seed) / (float)RAND_MAX - 0.5f;
    for (size_t i = 0; i < b->frames * BINS; i++)
        b->mask[i] = rand_r(&seed) % 4 == 0;
    assert_int_equal(stft_create(&b->stft, &shape, NULL), 0);
    stft_signal(b->stft, b->x, SIGNAL, b->spectrum);
    float *masked = room(b->frames * BINS * 2, sizeof(float));
    spectrogram_mask(b->spectrum, b->mask, b->frames * BINS, masked);
    invert(masked, b->frames, b->offline);
    free(masked);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    stft_destroy(b->stft);
    free(b->x);
    free(b->heard);
    free(b->offline);
    free(b->spectrum);
    free(b->mask);
    free(b->soft);
    free(b->window.samples);
    free(b->window.spectrum);
    free(b);
    return 0;
}

/* Window i as the inference thread gets it, through `audio` with the signal's mask; what comes out
 * must continue what came before unless it is the first. */
static void play_at(struct bench *b, struct masked_audio *audio, uint64_t first_sample,
                    int hop_frames)
{
    struct window *w = &b->window;
    w->first = first_sample;
    w->hop_samples = (uint64_t)hop_frames * STFT_HOP;
    memcpy(w->samples, b->x + w->first, WINDOW * sizeof(float));
    stft_signal(b->stft, w->samples, WINDOW, w->spectrum);
    size_t row = w->first / STFT_HOP * BINS;
    masked_audio_begin(audio, w, hop_frames, b->mask + row, b->soft != NULL ? b->soft + row : NULL,
                       soft_max);
    float pcm[CHUNK];
    uint64_t first;
    size_t n;
    while ((n = masked_audio_next(audio, pcm, CHUNK, &first)) > 0) {
        if (b->end == 0)
            b->first = first;
        else
            assert_int_equal(first, b->end);
        memcpy(b->heard + first, pcm, n * sizeof(float));
        b->end = first + n;
    }
}

static void play_window(struct bench *b, struct masked_audio *audio, int i)
{
    play_at(b, audio, (uint64_t)i * HOP, HOP_FRAMES);
}

static double worst_difference(const struct bench *b)
{
    double worst = 0;
    for (uint64_t i = b->first; i < b->end; i++) {
        double d = fabs((double)b->heard[i] - (double)b->offline[i]);
        worst = d > worst || isnan(d) ? d : worst;
    }
    return worst;
}

static void the_stream_equals_the_offline_result_and_has_no_gap(void **state)
{
    struct bench *b = *state;
    struct masked_audio *audio;
    assert_int_equal(masked_audio_create(&audio, &shape, WINDOW, 43, NULL), 0);
    for (int i = 0; i < WINDOWS; i++) {
        uint64_t before = b->end;
        play_window(b, audio, i);
        assert_int_equal(b->end - (i == 0 ? b->first : before), HOP); /* one hop in, one hop out */
    }
    double worst = worst_difference(b);
    printf("largest difference %g\n", worst);
    assert_true(worst < 5e-6); /* golden/README: ISTFT */
    assert_true(SIGNAL - b->end <= 2 * HOP);
    masked_audio_destroy(audio);
}

/* The same for a mask between 0 and 1, which takes the place of the other. */
static void a_soft_mask_streams_as_well(void **state)
{
    struct bench *b = *state;
    struct masked_audio *audio;
    size_t cells = b->frames * BINS;
    b->soft = room(cells, sizeof(float));
    for (size_t i = 0; i < cells; i++)
        b->soft[i] = 0.5f + 0.5f * sinf((float)(i % 9973));
    float *masked = room(cells * 2, sizeof(float));
    spectrogram_soft_mask(b->spectrum, b->soft, cells, 1 / soft_max, masked);
    invert(masked, b->frames, b->offline);
    free(masked);
    assert_int_equal(masked_audio_create(&audio, &shape, WINDOW, 43, NULL), 0);
    for (int i = 0; i < WINDOWS; i++)
        play_window(b, audio, i);
    assert_true(worst_difference(b) < 5e-6);
    masked_audio_destroy(audio);
}

static void skipped_windows_leave_no_gap_while_the_frames_are_still_held(void **state)
{
    struct bench *b = *state;
    struct masked_audio *audio;
    static const int taken[] = {0, 1, 5, 6, 11};
    assert_int_equal(masked_audio_create(&audio, &shape, WINDOW, 43, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(taken); i++)
        play_window(b, audio, taken[i]);
    assert_true(worst_difference(b) < 5e-6);
    masked_audio_destroy(audio);
}

static void the_delay_is_what_was_asked_for(void **state)
{
    struct bench *b = *state;
    for (int delay = 0; delay <= 200; delay += 50) {
        struct masked_audio *audio;
        b->end = 0;
        assert_int_equal(masked_audio_create(&audio, &shape, WINDOW, delay, NULL), 0);
        play_window(b, audio, 3);
        /* the window's last whole frame is 429: it completes the samples before its centre */
        assert_int_equal(b->end, 3 * HOP + (uint64_t)(429 - delay) * STFT_HOP);
        masked_audio_destroy(audio);
    }
}

/* However far apart windows are and however long the delay: nothing is missing between two, but for
 * the one frame that no window holds whole when they only touch. */
static void a_long_hop_or_delay_leaves_no_gap(void **state)
{
    struct bench *b = *state;
    static const struct {
        int hop, delay;
    } cases[] = {{43, 421}, {43, 429}, {215, 215}, {301, 301}, {400, 43}, {429, 0}, {429, 429}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        const uint64_t hop = (uint64_t)cases[k].hop * STFT_HOP;
        struct masked_audio *audio;
        int windows = 0;
        b->end = 0;
        assert_int_equal(masked_audio_create(&audio, &shape, WINDOW, cases[k].delay, NULL), 0);
        for (uint64_t first = 0; first + WINDOW <= SIGNAL; first += hop, windows++) {
            uint64_t before = b->end;
            play_at(b, audio, first, cases[k].hop); /* fails where it does not continue */
            assert_true(b->end > before);
        }
        assert_true(windows > 1);
        assert_true(worst_difference(b) < 5e-6);
        masked_audio_destroy(audio);
    }
}

static void windows_that_only_touch_are_heard(void **state)
{
    struct bench *b = *state;
    struct masked_audio *audio;
    assert_int_equal(masked_audio_create(&audio, &shape, WINDOW, 429, NULL), 0);
    play_at(b, audio, 0, 430);
    assert_int_equal(b->end, 429 * STFT_HOP);
    assert_true(worst_difference(b) < 5e-6);
    masked_audio_destroy(audio);
}

static void silence_is_zeros_and_takes_part_in_the_overlap(void **state)
{
    struct bench *b = *state;
    struct masked_audio *audio;
    float pcm[CHUNK];
    uint64_t first;
    assert_int_equal(masked_audio_create(&audio, &shape, WINDOW, 43, NULL), 0);
    play_window(b, audio, 0);
    b->window.first = HOP;
    masked_audio_begin(audio, &b->window, HOP_FRAMES, NULL, NULL, 0);
    assert_int_equal(masked_audio_next(audio, pcm, CHUNK, &first), HOP);
    assert_int_equal(first, b->end);
    for (int i = STFT_HOP; i < HOP; i++) /* the first hop still fades out */
        assert_true(pcm[i] == 0);
    masked_audio_destroy(audio);
}

static void a_timeline_that_jumped_is_a_jump_in_position(void **state)
{
    struct bench *b = *state;
    struct masked_audio *audio;
    float pcm[CHUNK];
    uint64_t first;
    assert_int_equal(masked_audio_create(&audio, &shape, WINDOW, 43, NULL), 0);
    play_window(b, audio, 0);
    b->window.first = 1000 * HOP;
    masked_audio_begin(audio, &b->window, HOP_FRAMES, NULL, NULL, 0);
    assert_true(masked_audio_next(audio, pcm, CHUNK, &first) > 0);
    assert_true(first > 1000 * HOP);
    masked_audio_destroy(audio);
}

static void an_impossible_delay_is_refused(void **state)
{
    (void)state;
    struct masked_audio *audio = NULL;
    struct error error;
    assert_int_equal(masked_audio_create(&audio, &shape, WINDOW, 430, &error), -EINVAL);
    assert_null(audio);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_stream_equals_the_offline_result_and_has_no_gap, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_soft_mask_streams_as_well, setup, teardown),
        cmocka_unit_test_setup_teardown(
            skipped_windows_leave_no_gap_while_the_frames_are_still_held, setup, teardown),
        cmocka_unit_test_setup_teardown(the_delay_is_what_was_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_hop_or_delay_leaves_no_gap, setup, teardown),
        cmocka_unit_test_setup_teardown(windows_that_only_touch_are_heard, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_is_zeros_and_takes_part_in_the_overlap, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_timeline_that_jumped_is_a_jump_in_position, setup,
                                        teardown),
        cmocka_unit_test(an_impossible_delay_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
