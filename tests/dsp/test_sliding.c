/* SPDX-License-Identifier: Apache-2.0
 * The history's windows against the offline STFT of the same samples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/sliding.h"
#include "noise.h"

/* A stream with what a listener would have written down: every sample, zeros in the gaps. */
struct story {
    struct stft_shape shape;
    size_t window, frames, stride;
    struct sliding *sliding;
    struct stft *offline;
    float *timeline; /* [cap] */
    size_t cap;
    uint64_t end, begin;
    float *samples, *spectrum, *want;
    int windows; /* compared */
};

static struct story story_start(struct stft_shape shape, size_t window, size_t cap)
{
    struct error e;
    struct story s = {.shape = shape, .window = window, .cap = cap};
    s.frames = stft_frames(&shape, window);
    s.stride = (size_t)stft_bins(&shape) * 2;
    assert_int_equal(sliding_create(&s.sliding, &shape, window, &e), 0);
    assert_int_equal(stft_create(&s.offline, &shape, &e), 0);
    s.timeline = memory_zeroed(cap, sizeof(float));
    s.samples = memory_zeroed(window, sizeof(float));
    s.spectrum = memory_zeroed(s.frames * s.stride, sizeof(float));
    s.want = memory_zeroed(s.frames * s.stride, sizeof(float));
    return s;
}

static void story_end(struct story *s)
{
    sliding_destroy(s->sliding);
    stft_destroy(s->offline);
    free(s->timeline);
    free(s->samples);
    free(s->spectrum);
    free(s->want);
}

static void push(struct story *s, struct noise *noise, size_t n)
{
    n = n < s->cap - s->end ? n : (size_t)(s->cap - s->end);
    noise_fill(noise, s->timeline + s->end, n);
    sliding_push(s->sliding, s->timeline + s->end, n);
    s->end += n;
}

static void lose(struct story *s, size_t n)
{
    n = n < s->cap - s->end ? n : (size_t)(s->cap - s->end);
    sliding_skip(s->sliding, n);
    s->end += n;
    if (n >= s->window)
        s->begin = s->end;
}

static bool must_have(const struct story *s, uint64_t first)
{
    return first % (uint64_t)s->shape.hop == 0 && first >= s->begin &&
           first + s->window <= s->end && first + 2 * s->window >= s->end;
}

/* The window at first is the offline one, bit for bit: samples and all frames. */
static void compare(struct story *s, uint64_t first)
{
    assert_true(sliding_window(s->sliding, first, s->samples, s->spectrum));
    assert_memory_equal(s->samples, s->timeline + first, s->window * sizeof(float));
    stft_signal(s->offline, s->timeline + first, s->window, s->want);
    for (size_t t = 0; t < s->frames; t++)
        if (memcmp(s->spectrum + t * s->stride, s->want + t * s->stride,
                   s->stride * sizeof(float)) != 0)
            fail_msg("window at %llu, frame %zu of %zu differs", (unsigned long long)first, t,
                     s->frames);
    s->windows++;
}

/* A random place near the end: held exactly when it must be. */
static void look(struct story *s, struct noise *noise)
{
    assert_int_equal(sliding_end(s->sliding), s->end);
    assert_int_equal(sliding_begin(s->sliding), s->begin);
    uint64_t back = noise_below(noise, 3 * s->window), hop = (uint64_t)s->shape.hop;
    uint64_t first = s->end > back ? s->end - back : 0;
    if (noise_below(noise, 8) != 0)
        first -= first % hop;
    assert_int_equal(sliding_has(s->sliding, first), must_have(s, first));
    if (must_have(s, first))
        compare(s, first);
    else
        assert_false(sliding_window(s->sliding, first, s->samples, s->spectrum));
}

static void a_window_is_the_offline_window_bit_for_bit(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static const struct stft_shape shapes[] = {
        {64, 24, 12}, {64, 23, 12}, {32, 32, 8}, {16, 5, 3}, {64, 20, 20}};
    int windows = 0;
    for (int round = 0; round < 60; round++) {
        struct stft_shape shape = shapes[round % (int)ARRAY_LEN(shapes)];
        size_t window = (size_t)shape.win_length + noise_below(&noise, 400);
        struct story s = story_start(shape, window, 20 * window);
        size_t block = 1 + noise_below(&noise, window), gaps = noise_below(&noise, 3);
        while (s.end < s.cap) {
            push(&s, &noise, noise_below(&noise, block + 1));
            if (gaps > 0 && noise_below(&noise, 10) == 0)
                lose(&s, noise_below(&noise, gaps * window));
            look(&s, &noise);
        }
        windows += s.windows;
        story_end(&s);
    }
    printf("%d windows\n", windows);
    assert_true(windows > 500);
}

/* As the daemon does it, in the recipe's shape: each hop of random whole frames. */
static void the_recipes_windows_follow_each_other_over_any_hop(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    struct story s = story_start((struct stft_shape){1024, 372, 186}, 80000, 400000);
    uint64_t next = 0;
    for (size_t block = 1; s.end < s.cap; block = 1 + noise_below(&noise, 6000)) {
        push(&s, &noise, block);
        for (; sliding_has(s.sliding, next); next += 186 * (1 + noise_below(&noise, 200)))
            compare(&s, next);
    }
    assert_in_range(s.windows, 10, 100000);
    story_end(&s);
}

static void the_longest_push_and_the_edge_of_a_short_gap(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    struct story s = story_start((struct stft_shape){64, 24, 12}, 240, 5000);
    push(&s, &noise, 0);
    push(&s, &noise, 240);
    compare(&s, 0);
    push(&s, &noise, 240);
    compare(&s, 0);
    compare(&s, 240);
    lose(&s, 239); /* zeros, and the history goes on */
    compare(&s, 468);
    assert_int_equal(sliding_begin(s.sliding), 0);
    lose(&s, 240); /* as long as a window: anew */
    assert_int_equal(sliding_begin(s.sliding), 959);
    assert_false(sliding_has(s.sliding, 720));
    push(&s, &noise, 240);
    push(&s, &noise, 1 + 11);
    assert_int_equal(sliding_end(s.sliding), 1211);
    assert_true(sliding_has(s.sliding, 960));
    compare(&s, 960);
    story_end(&s);
}

static void a_gap_of_months_keeps_the_timeline(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    struct error e;
    struct sliding *sliding = NULL;
    struct stft_shape shape = {64, 24, 12};
    struct stft *stft = NULL;
    assert_int_equal(sliding_create(&sliding, &shape, 240, &e), 0);
    assert_int_equal(stft_create(&stft, &shape, &e), 0);
    static float x[240], samples[240], spectrum[21 * 66], want[21 * 66];
    uint64_t far = 12 * ((uint64_t)1 << 40); /* two millennia at 16 kHz */
    noise_fill(&noise, x, 240);
    sliding_skip(sliding, far);
    sliding_push(sliding, x, 240);
    assert_true(sliding_window(sliding, far, samples, spectrum));
    assert_memory_equal(samples, x, sizeof x);
    stft_signal(stft, x, 240, want);
    assert_memory_equal(spectrum, want, sizeof want);
    sliding_destroy(sliding);
    stft_destroy(stft);
}

static void a_window_shorter_than_a_frame_is_refused(void **state)
{
    (void)state;
    struct error e;
    struct sliding *sliding = NULL;
    assert_true(sliding_create(&sliding, &(struct stft_shape){64, 24, 12}, 23, &e) < 0);
    assert_null(sliding);
    assert_non_null(strstr(e.text, "24"));
    assert_true(sliding_create(&sliding, &(struct stft_shape){63, 24, 12}, 240, &e) < 0);
    assert_null(sliding);
    sliding_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_is_the_offline_window_bit_for_bit),
        cmocka_unit_test(the_recipes_windows_follow_each_other_over_any_hop),
        cmocka_unit_test(the_longest_push_and_the_edge_of_a_short_gap),
        cmocka_unit_test(a_gap_of_months_keeps_the_timeline),
        cmocka_unit_test(a_window_shorter_than_a_frame_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
