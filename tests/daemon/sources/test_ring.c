/* SPDX-License-Identifier: Apache-2.0
 * The ring between a callback and the dsp thread: nothing is shifted, nothing is lost unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/ring.h"

static uint64_t seed = 20240611;

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static struct ring *make_ring(size_t bytes)
{
    struct ring *ring;
    struct error error;
    if (ring_create(&ring, bytes, &error) < 0)
        fail_msg("%s", error.text);
    return ring;
}

/* Sample c of audio frame n: exact as a float, and another for every neighbour. */
static float sample(uint64_t n, uint32_t c)
{
    return (float)((n * 8 + c) % (1u << 24));
}

static bool write_block(struct ring *ring, uint64_t n, uint32_t frames, uint32_t channels,
                        uint32_t rate)
{
    float *to = ring_reserve(ring, frames, channels);
    if (to == NULL)
        return false;
    for (uint32_t i = 0; i < frames; i++)
        for (uint32_t c = 0; c < channels; c++)
            to[i * channels + c] = sample(n + i, c);
    ring_commit(ring, frames, rate, (int64_t)n, 0);
    return true;
}

static bool block_is(const struct ring_block *b, uint64_t n)
{
    for (uint32_t i = 0; i < b->frames; i++)
        for (uint32_t c = 0; c < b->channels; c++)
            if (b->samples[i * b->channels + c] != sample(n + i, c))
                return false;
    return true;
}

static void an_empty_ring_has_nothing_to_read(void **state)
{
    struct ring *ring = make_ring(1);
    struct ring_block b;
    assert_true(ring_empty(ring));
    assert_false(ring_peek(ring, &b));
    ring_release(ring);
    assert_true(ring_empty(ring));
    assert_int_equal(ring_lost(ring), 0);
    assert_true(ring_writable(ring) > 0);
    assert_true(ring_writable(ring) <= (size_t)sysconf(_SC_PAGESIZE));
    ring_destroy(ring);
    ring_destroy(NULL);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    struct ring *ring = NULL;
    struct error error = {""};
    assert_true(ring_create(&ring, 0, &error) < 0);
    assert_true(error.text[0] != '\0');
    assert_true(ring_create(&ring, SIZE_MAX, &error) < 0);
    assert_null(ring);
}

static void a_block_is_invisible_until_it_is_committed(void **state)
{
    struct ring *ring = make_ring(65536);
    struct ring_block b;
    float *to = ring_reserve(ring, 100, 2);
    assert_non_null(to);
    assert_false(ring_peek(ring, &b));
    for (int i = 0; i < 160; i++)
        to[i] = (float)i;
    ring_commit(ring, 80, 44100, 123, RING_RESTART); /* fewer than reserved */
    assert_true(ring_peek(ring, &b));
    assert_int_equal(b.frames, 80);
    assert_int_equal(b.channels, 2);
    assert_int_equal(b.rate_hz, 44100);
    assert_int_equal(b.t_ns, 123);
    assert_int_equal(b.flags, RING_RESTART);
    assert_int_equal(b.lost_frames, 0);
    for (int i = 0; i < 160; i++)
        assert_true(b.samples[i] == (float)i);
    assert_true(ring_peek(ring, &b)); /* not taken yet */
    ring_release(ring);
    assert_true(ring_empty(ring));
    ring_destroy(ring);
}

static void a_full_ring_counts_what_it_drops(void **state)
{
    struct ring *ring = make_ring(16384);
    struct ring_block b;
    uint64_t n = 0, dropped = 0;
    while (write_block(ring, n, 100, 2, 48000))
        n += 100;
    dropped = 100; /* the one just refused */
    for (int i = 0; i < 9; i++, dropped += 100)
        assert_false(write_block(ring, n, 100, 2, 48000));
    assert_int_equal(ring_lost(ring), dropped);
    for (uint64_t at = 0; at < n; at += 100) { /* what was written is whole */
        assert_true(ring_peek(ring, &b));
        assert_int_equal(b.lost_frames, 0);
        assert_int_equal(b.frames, 100);
        assert_true(block_is(&b, at));
        ring_release(ring);
    }
    assert_true(ring_empty(ring));
    assert_true(write_block(ring, n + dropped, 100, 2, 48000));
    assert_true(ring_peek(ring, &b));
    assert_int_equal(b.lost_frames, dropped); /* told right before the block after the gap */
    assert_true(block_is(&b, n + dropped));
    ring_release(ring);
    assert_true(write_block(ring, 0, 100, 2, 48000));
    assert_true(ring_peek(ring, &b));
    assert_int_equal(b.lost_frames, 0); /* and told once */
    assert_int_equal(ring_lost(ring), dropped);
    ring_destroy(ring);
}

static void a_block_larger_than_the_ring_is_dropped_and_counted(void **state)
{
    struct ring *ring = make_ring(4096);
    assert_null(ring_reserve(ring, 100000, 64));
    assert_null(ring_reserve(ring, UINT32_MAX, UINT32_MAX));
    assert_int_equal(ring_lost(ring), 100000 + (uint64_t)UINT32_MAX);
    assert_true(ring_too_small(ring) > 0);
    assert_null(ring_reserve(ring, 600, 2));
    assert_in_range(ring_too_small(ring), 600 * 2 * sizeof(float), 600 * 2 * sizeof(float) + 128);
    assert_true(write_block(ring, 0, 10, 1, 8000));
    assert_int_equal(ring_too_small(ring), 0);
    while (write_block(ring, 0, 10, 1, 8000))
        ;
    assert_int_equal(ring_too_small(ring), 0); /* full is another thing */
    ring_destroy(ring);
}

static void writable_room_can_be_reserved(void **state)
{
    struct ring *ring = make_ring(8192);
    uint64_t random = seed;
    for (int i = 0; i < 2000; i++) {
        uint32_t channels = 1 + next_random(&random) % 8;
        uint32_t most = (uint32_t)(ring_writable(ring) / (channels * sizeof(float)));
        if (most > 0) {
            uint32_t frames = 1 + next_random(&random) % most;
            frames = i % 3 == 0 ? most : frames;
            assert_true(write_block(ring, 0, frames, channels, 48000));
        }
        if (next_random(&random) % 2 == 0)
            ring_release(ring);
    }
    assert_int_equal(ring_lost(ring), 0);
    ring_destroy(ring);
}

static void an_xrun_of_the_server_is_told_with_the_next_block(void **state)
{
    struct ring *ring = make_ring(65536);
    struct ring_block b;
    assert_true(write_block(ring, 0, 64, 1, 48000));
    ring_count_lost(ring, 480);
    ring_count_lost(ring, 20);
    assert_true(write_block(ring, 0, 64, 1, 48000));
    assert_true(ring_peek(ring, &b));
    assert_int_equal(b.lost_frames, 0);
    ring_release(ring);
    assert_true(ring_peek(ring, &b));
    assert_int_equal(b.lost_frames, 500);
    assert_int_equal(ring_lost(ring), 500);
    ring_destroy(ring);
}

static void a_loss_keeps_its_duration_when_the_rate_changes(void **state)
{
    struct ring *ring = make_ring(65536);
    struct ring_block b;
    assert_true(write_block(ring, 0, 64, 1, 48000));
    ring_count_lost(ring, 4800); /* 100 ms */
    assert_true(write_block(ring, 0, 64, 1, 16000));
    ring_release(ring);
    assert_true(ring_peek(ring, &b));
    assert_int_equal(b.rate_hz, 16000);
    assert_int_equal(b.lost_frames, 1600); /* 100 ms */
    ring_destroy(ring);
}

/* Two threads */

enum { STRESS_BLOCKS = 60000 };

struct stress {
    struct ring *ring;
    uint64_t seed;
    uint64_t written_frames, lost_frames; /* of the writer */
};

/* Half the time as fast as it can, so that the ring is full often; then slower than the reader. */
static void *stress_writer(void *arg)
{
    struct stress *s = arg;
    uint64_t random = s->seed, n = 0;
    for (int i = 0; i < STRESS_BLOCKS; i++) {
        uint32_t frames = 1 + next_random(&random) % 300, channels = 1 + next_random(&random) % 4;
        if (next_random(&random) % 100 == 0) {
            ring_count_lost(s->ring, 7);
            s->lost_frames += 7;
            n += 7;
        }
        if (write_block(s->ring, n, frames, channels, 48000))
            s->written_frames += frames;
        else
            s->lost_frames += frames;
        n += frames;
        if (i / 1000 % 2 == 1)
            sched_yield();
    }
    while (ring_writable(s->ring) < sizeof(float))
        sched_yield();
    float *end = ring_reserve(s->ring, 0, 1);
    if (end != NULL)
        ring_commit(s->ring, 0, 48000, (int64_t)n, RING_END);
    return NULL;
}

static void every_sample_and_every_loss_arrives_under_stress(void **state)
{
    struct stress s = {.ring = make_ring(32768), .seed = seed};
    pthread_t writer;
    uint64_t n = 0, read_frames = 0, lost = 0, random = seed ^ 0xabcdef, wrong = 0, misplaced = 0;
    struct ring_block b;
    assert_int_equal(pthread_create(&writer, NULL, stress_writer, &s), 0);
    for (bool end = false; !end;) {
        if (!ring_peek(s.ring, &b)) {
            sched_yield();
            continue;
        }
        lost += b.lost_frames;
        n += b.lost_frames;
        misplaced += b.t_ns != (int64_t)n; /* the writer's own position */
        wrong += !block_is(&b, n);
        n += b.frames;
        read_frames += b.frames;
        end = (b.flags & RING_END) != 0;
        ring_release(s.ring);
        if (next_random(&random) % 8 == 0)
            sched_yield();
    }
    pthread_join(writer, NULL);
    assert_int_equal(wrong, 0);
    assert_int_equal(misplaced, 0);
    assert_int_equal(read_frames, s.written_frames);
    assert_int_equal(lost, s.lost_frames);
    assert_int_equal(ring_lost(s.ring), s.lost_frames);
    assert_true(ring_empty(s.ring));
    print_message("%llu frames read, %llu lost and counted\n", (unsigned long long)read_frames,
                  (unsigned long long)lost);
    assert_true(lost > 0); /* else nothing was tried */
    assert_true(read_frames > 0);
    ring_destroy(s.ring);
}

int main(void)
{
    if (getenv("SEED") != NULL)
        seed = strtoull(getenv("SEED"), NULL, 10);
    printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_ring_has_nothing_to_read),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
        cmocka_unit_test(a_block_is_invisible_until_it_is_committed),
        cmocka_unit_test(a_full_ring_counts_what_it_drops),
        cmocka_unit_test(a_block_larger_than_the_ring_is_dropped_and_counted),
        cmocka_unit_test(writable_room_can_be_reserved),
        cmocka_unit_test(an_xrun_of_the_server_is_told_with_the_next_block),
        cmocka_unit_test(a_loss_keeps_its_duration_when_the_rate_changes),
        cmocka_unit_test(every_sample_and_every_loss_arrives_under_stress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
