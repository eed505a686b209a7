/* SPDX-License-Identifier: Apache-2.0
 * Raw PCM through a pipe: each format exactly, however the bytes are cut, and never a sample
 * dropped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/daemon/sources/listener.h"

static uint64_t seed = 4711;

/* The test's pipe becomes the standard input; returns its writing end. */
static int open_pipe(void)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
    return ends[1];
}

struct feeder {
    int fd;
    const unsigned char *bytes;
    size_t n;
};

/* In pieces of odd sizes. */
static void *feed(void *arg)
{
    struct feeder *f = arg;
    uint64_t random = seed;
    for (size_t at = 0; at < f->n;) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t n = 1 + (random >> 33) % 5000;
        n = n < f->n - at ? n : f->n - at;
        ssize_t wrote = write(f->fd, f->bytes + at, n);
        if (wrote < 0)
            break;
        at += (size_t)wrote;
    }
    close(f->fd);
    return NULL;
}

static void put_le(unsigned char *to, uint32_t bits, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = (unsigned char)(bits >> 8 * i);
}

/* Sample i as 16 bits, spread over the whole range. */
static int16_t value(size_t i)
{
    return (int16_t)(i * 12347 % 65536 - 32768);
}

static size_t encode(unsigned char *to, const char *format, size_t samples)
{
    size_t bytes = strcmp(format, "s16") == 0 ? 2 : 4;
    for (size_t i = 0; i < samples; i++) {
        float as_float = (float)value(i) / 32768.0f;
        uint32_t bits;
        memcpy(&bits, &as_float, sizeof bits);
        if (strcmp(format, "s32") == 0)
            bits = (uint32_t)value(i) << 16;
        put_le(to + i * bytes, bytes == 2 ? (uint16_t)value(i) : bits, (int)bytes);
    }
    return samples * bytes;
}

/* Feeds and compares; the reader is slow now and then, and the ring small. */
static void pass_through(const char *format, unsigned channels, const char *spec)
{
    struct listener l;
    size_t frames = 30011, samples = frames * channels, n = 0;
    unsigned char *bytes = malloc(samples * 4);
    struct feeder f = {.bytes = bytes};
    pthread_t thread;
    f.n = encode(bytes, format, samples);
    f.fd = open_pipe();
    assert_int_equal(listener_start(&l, spec, 16384, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, feed, &f), 0);
    for (int block = 0;; block++) {
        struct ring_block b = listener_block(&l, 5);
        if (b.flags & RING_END)
            break;
        assert_int_equal(b.channels, channels);
        assert_int_equal(b.rate_hz, 32000);
        assert_int_equal(b.lost_frames, 0);
        for (uint32_t i = 0; i < b.frames * channels; i++, n++)
            if (b.samples[i] != (float)value(n) / 32768.0f)
                fail_msg("%s: sample %zu is %g", spec, n, (double)b.samples[i]);
        if (block % 16 == 0)
            listener_sleep(0.01);
    }
    pthread_join(thread, NULL);
    assert_int_equal(n, samples);
    assert_int_equal(ring_lost(l.ring), 0);
    struct source_status s = listener_wait(&l, SOURCE_ENDED, false, 2);
    assert_int_equal(s.rate_hz, 32000);
    assert_int_equal(s.channels, channels);
    listener_stop(&l);
    free(bytes);
}

static void each_format_arrives_exactly_and_whole(void **state)
{
    pass_through("s16", 1, "stdin:32000:1");
    pass_through("s16", 3, "stdin:32000:3:s16");
    pass_through("s32", 2, "stdin:32000:2:s32");
    pass_through("f32", 2, "stdin:32000:2:f32");
}

static void a_malformed_spec_is_refused_with_what_is_allowed(void **state)
{
    static const char *const bad[] = {"stdin",
                                      "stdin:",
                                      "stdin:44100",
                                      "stdin:44100:",
                                      "stdin:44100:0",
                                      "stdin:44100:65",
                                      "stdin:0:2",
                                      "stdin:44100:2:",
                                      "stdin:44100:2:u8",
                                      "stdin:44100:2:s16:",
                                      "stdin:44100:2x",
                                      "stdin:-44100:2",
                                      "stdin:abc:2",
                                      "stdin:44100:2:s16le"};
    struct listener l;
    int fd = open_pipe();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (listener_start(&l, bad[i], 65536, NULL) != -EINVAL)
            fail_msg("%s was not refused", bad[i]);
        assert_non_null(strstr(l.error.text, "RATE:CHANNELS"));
    }
    close(fd);
}

static void a_silent_pipe_does_not_hold_up_a_stop(void **state)
{
    struct listener l;
    int fd = open_pipe();
    assert_int_equal(listener_start(&l, "stdin:16000:1", 65536, NULL), 0);
    listener_wait(&l, SOURCE_RUNNING, false, 2);
    assert_true(listener_stop(&l) < 0.5);
    close(fd);
}

static void a_full_ring_does_not_hold_up_a_stop(void **state)
{
    static const unsigned char zeros[60000];
    struct listener l;
    int fd = open_pipe();
    assert_int_equal(listener_start(&l, "stdin:16000:1", 4096, NULL), 0);
    assert_int_equal(write(fd, zeros, sizeof zeros), (ssize_t)sizeof zeros);
    listener_sleep(0.05);
    assert_true(listener_stop(&l) < 0.5);
    close(fd);
}

static void an_end_within_a_frame_is_said(void **state)
{
    struct listener l;
    int fd = open_pipe();
    assert_int_equal(listener_start(&l, "stdin:16000:2", 65536, NULL), 0);
    assert_int_equal(write(fd, "\1\2\3\4\5\6\7", 7), 7);
    close(fd);
    struct ring_block b = listener_block(&l, 2);
    assert_int_equal(b.frames, 1);
    assert_true(b.samples[0] == 513 / 32768.0f);
    assert_true(b.samples[1] == 1027 / 32768.0f);
    b = listener_block(&l, 2);
    assert_int_equal(b.flags, RING_END);
    struct source_status s = listener_wait(&l, SOURCE_ENDED, false, 2);
    assert_non_null(strstr(s.text, "3 bytes"));
    listener_stop(&l);
}

static void a_closed_standard_input_is_refused(void **state)
{
    struct listener l;
    close(STDIN_FILENO);
    assert_true(listener_start(&l, "stdin:16000:2", 65536, NULL) < 0);
    assert_non_null(strstr(l.error.text, "closed"));
}

static void an_unreadable_standard_input_fails_in_words_and_ends(void **state)
{
    struct listener l;
    int fd = open("/", O_RDONLY | O_DIRECTORY); /* read() fails with EISDIR */
    assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(listener_start(&l, "stdin:16000:2", 65536, NULL), 0);
    struct ring_block b = listener_block(&l, 2);
    assert_int_equal(b.flags, RING_END);
    struct source_status s = listener_wait(&l, SOURCE_FAILED, false, 2);
    assert_non_null(strstr(s.text, "standard input cannot be read"));
    listener_stop(&l);
    close(fd);
}

int main(void)
{
    if (getenv("SEED") != NULL)
        seed = strtoull(getenv("SEED"), NULL, 10);
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_format_arrives_exactly_and_whole),
        cmocka_unit_test(a_malformed_spec_is_refused_with_what_is_allowed),
        cmocka_unit_test(a_silent_pipe_does_not_hold_up_a_stop),
        cmocka_unit_test(a_full_ring_does_not_hold_up_a_stop),
        cmocka_unit_test(an_end_within_a_frame_is_said),
        cmocka_unit_test(an_unreadable_standard_input_fails_in_words_and_ends),
        cmocka_unit_test(a_closed_standard_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
