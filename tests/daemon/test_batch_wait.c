/* SPDX-License-Identifier: Apache-2.0
 * Streams whose windows come within batch_wait of each other share a run of the network; nobody
 * waits for longer, and a stream that is not due is not waited for. */
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
#include <time.h>
#include <unistd.h>

#include "daemon/ring.h"
#include "daemon/timeline.h"
#include "tests/daemon/live_pipeline.h"

/* Hops of 22 frames: 255.75 ms. Each stream's block of a hop comes at once, as its window does. */
enum {
    RATE = 16000,
    WINDOW = 80000,
    HOP_FRAMES = 22,
    HOP = HOP_FRAMES * 186,
    STREAMS = 2,
    HOPS = 8
};

static const char *const names[STREAMS] = {"first", "second"};
static const int64_t hop_ns = (int64_t)HOP * 1000000000 / RATE, ms_ns = 1000000;

static void start(struct live_pipeline *b, double batch_wait_s)
{
    struct config_live live = live_parameters;
    live.batch_wait_s = batch_wait_s;
    live.hop_frames = HOP_FRAMES;
    const struct pipeline_stream streams[STREAMS] = {{.name = names[0]}, {.name = names[1]}};
    const struct pipeline_config config = {
        .backend = "cpu", .live = &live, .streams = streams, .n_streams = STREAMS};
    live_start(b, &config, "label", TOPIC_LABEL);
}

static void sleep_until(int64_t t_ns)
{
    struct timespec t = {t_ns / 1000000000, t_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static void write_samples(struct ring *ring, uint32_t n)
{
    float *x = ring_reserve(ring, n, 1);
    assert_non_null(x);
    for (uint32_t i = 0; i < n; i++)
        x[i] = 0.3f * sinf(0.17f * (float)i);
    ring_commit(ring, n, RATE, 0, 0);
}

/* The first windows, then HOPS hops of both streams; the second's come offset_ns later. */
static void play(struct live_pipeline *b, int64_t offset_ns)
{
    int64_t begin = monotonic_ns() + 10 * ms_ns;
    for (int k = 0; k <= HOPS; k++)
        for (int i = 0; i < STREAMS; i++) {
            sleep_until(begin + k * hop_ns + (i == 1 ? offset_ns : 0));
            write_samples(b->rings[i], k == 0 ? WINDOW : HOP);
        }
    for (int i = 0; i < STREAMS; i++) {
        struct pipeline_report report;
        for (int ms = 0; ms < 5000; ms++) {
            pipeline_report(b->pipeline, i, &report);
            if (report.windows + report.skipped == HOPS + 1)
                break;
            usleep(1000);
        }
        assert_int_equal(report.windows, HOPS + 1); /* the network is much faster than the hop */
    }
}

/* How long windows of a stream waited, without the first, whose wait is for its stream. */
static void read_waits(struct live_pipeline *b, const char *stream, double *ret_least,
                       double *ret_most)
{
    struct focal_message m;
    *ret_least = INFINITY;
    *ret_most = 0;
    while (focal_next(b->focal, &m, 300) == 1) {
        double wait = NAN;
        if (strcmp(m.stream, stream) != 0 || m.first == 0)
            continue;
        assert_int_equal(focal_number(b->focal, "ms_wait", &wait), 0);
        *ret_most = wait > *ret_most ? wait : *ret_most;
        *ret_least = wait < *ret_least ? wait : *ret_least;
    }
}

/* A machine with other work to do now and then lets one come late: it may try again. */
enum { TRIES = 3 };

static void streams_that_are_due_together_share_a_run(void **state)
{
    bool shared = false;
    (void)state;
    for (int i = 0; i < TRIES && !shared; i++) {
        struct live_pipeline b;
        start(&b, 0.06);
        play(&b, 20 * ms_ns);
        const int windows = 2 * (HOPS + 1), batches = (int)pipeline_batches(b.pipeline);
        print_message("%d windows in %d runs\n", windows, batches);
        shared = batches <= HOPS + 1 + 4;
        live_stop(&b);
    }
    assert_true(shared);
}

static void without_batch_wait_each_runs_when_it_comes(void **state)
{
    struct live_pipeline b;
    (void)state;
    start(&b, 0);
    play(&b, 40 * ms_ns);
    assert_in_range(pipeline_batches(b.pipeline), 2 * HOPS - 2, 2 * (HOPS + 1));
    live_stop(&b);
}

static void what_is_not_due_within_it_is_not_waited_for(void **state)
{
    struct live_pipeline b;
    (void)state;
    start(&b, 0.03);
    play(&b, 128 * ms_ns);
    assert_in_range(pipeline_batches(b.pipeline), 2 * HOPS, 2 * (HOPS + 1));
    double least, most;
    read_waits(&b, names[0], &least, &most);
    print_message("waited %.1f to %.1f ms\n", least, most);
    assert_true(least < 15); /* and not 30 */
    live_stop(&b);
}

/* One of two that were due together stays away. Returns how long the other waited for it. */
static double wait_in_vain(struct live_pipeline *b)
{
    int64_t begin = monotonic_ns() + 10 * ms_ns;
    sleep_until(begin);
    write_samples(b->rings[0], WINDOW);
    write_samples(b->rings[1], WINDOW);
    sleep_until(begin + hop_ns);
    write_samples(b->rings[0], HOP);
    struct pipeline_report report;
    for (int ms = 0; ms < 5000; ms++) {
        pipeline_report(b->pipeline, 0, &report);
        if (report.windows == 2)
            break;
        usleep(1000);
    }
    assert_int_equal(report.windows, 2);
    double least, most;
    read_waits(b, names[0], &least, &most);
    print_message("waited %.1f ms of 100\n", most);
    return most;
}

/* The other goes alone when batch_wait is over, and not later. */
static void nobody_waits_longer_than_batch_wait(void **state)
{
    bool waited = false, in_time = false;
    (void)state;
    for (int i = 0; i < TRIES && !(waited && in_time); i++) {
        struct live_pipeline b;
        start(&b, 0.1);
        const double ms = wait_in_vain(&b);
        waited = waited || ms >= 50;
        in_time = in_time || (ms >= 50 && ms <= 150);
        live_stop(&b);
    }
    assert_true(waited);
    assert_true(in_time);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_that_are_due_together_share_a_run),
        cmocka_unit_test(without_batch_wait_each_runs_when_it_comes),
        cmocka_unit_test(what_is_not_due_within_it_is_not_waited_for),
        cmocka_unit_test(nobody_waits_longer_than_batch_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
