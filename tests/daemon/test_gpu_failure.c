/* SPDX-License-Identifier: Apache-2.0
 * What becomes of a pipeline whose GPU fails. The module in the GPU's place computes on the CPU and
 * fails when the test tells it to (tests/cuda_module). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/ring.h"
#include "daemon/timeline.h"
#include "tests/cuda_module/broken.h"
#include "tests/daemon/live_pipeline.h"

enum { RATE = 16000, WINDOW = 80000, HOP = 43 * 186, BLOCK = 800, WAIT_MS = 20000 };

struct bench {
    struct live_pipeline live;
    uint64_t written, windows, next_label, skipped;
};

static struct broken *card;

static void load_card(void)
{
    void *module = dlopen(BROKEN_MODULE "/libfocald-cuda.so", RTLD_NOW | RTLD_LOCAL);
    if (module == NULL)
        fail_msg("%s", dlerror());
    setenv("FOCALD_MODULES", BROKEN_MODULE, 1);
    card = dlsym(module, "focald_broken");
    assert_non_null(card);
}

static void start(struct bench *b, const char *backend, bool fallback, double forget_s,
                  double retry_s)
{
    memset(b, 0, sizeof *b);
    const struct pipeline_stream stream = {.name = "heard", .lossless = true};
    const struct pipeline_config config = {.backend = backend,
                                           .precision = PRECISION_AUTO,
                                           .fallback = fallback,
                                           .live = &live_parameters,
                                           .streams = &stream,
                                           .n_streams = 1,
                                           .forget_s = forget_s,
                                           .retry_s = retry_s};
    live_start(&b->live, &config, "label", TOPIC_LABEL);
}

static void stop(struct bench *b)
{
    atomic_store(&card->fail_runs, 0);
    atomic_store(&card->fail_opens, 0);
    live_stop(&b->live);
    assert_int_equal(atomic_load(&card->opened), atomic_load(&card->closed));
}

/* Writes the samples of so many windows, and waits until each was published or skipped. */
static void hear(struct bench *b, int windows)
{
    b->windows += (uint64_t)windows;
    const uint64_t end = WINDOW + (b->windows - 1) * HOP;
    while (b->written < end) {
        uint64_t n = end - b->written < BLOCK ? end - b->written : BLOCK;
        while (ring_writable(b->live.rings[0]) < BLOCK * sizeof(float))
            usleep(500);
        float *x = ring_reserve(b->live.rings[0], (uint32_t)n, 1);
        assert_non_null(x);
        for (uint64_t i = 0; i < n; i++)
            x[i] = 0.3f * sinf(0.17f * (float)(b->written + i));
        ring_commit(b->live.rings[0], (uint32_t)n, RATE, 0, 0);
        b->written += n;
    }
    for (int ms = 0; ms < WAIT_MS; ms++) {
        struct pipeline_report report;
        pipeline_report(b->live.pipeline, 0, &report);
        if (report.windows + report.skipped == b->windows)
            return;
        usleep(1000);
    }
    fail_msg("the pipeline stood still");
}

static void expect(struct bench *b, const char *backend, uint64_t failures, const char *problem)
{
    struct pipeline_report report;
    struct pipeline_compute compute;
    pipeline_report(b->live.pipeline, 0, &report);
    pipeline_compute(b->live.pipeline, &compute);
    assert_string_equal(compute.backend, backend);
    assert_int_equal(compute.precision,
                     strcmp(backend, "cpu") == 0 ? PRECISION_FLOAT32 : PRECISION_TF32);
    assert_int_equal(report.gpu_failures, failures);
    if (problem[0] == '\0')
        assert_string_equal(report.problem, "");
    else if (strstr(report.problem, problem) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", report.problem, problem);
}

/* Every window has its label, or the next label says how many were skipped: the timeline holds. */
static void read_labels(struct bench *b)
{
    struct focal_message m;
    while (focal_next(b->live.focal, &m, 300) == 1) {
        double skipped = 0;
        assert_int_equal(focal_number(b->live.focal, "skipped", &skipped), 0);
        assert_int_equal(m.first, b->next_label + (uint64_t)skipped * HOP);
        b->next_label = m.first + HOP;
        b->skipped += (uint64_t)skipped;
    }
}

static void a_gpu_that_fails_is_started_anew_and_no_window_is_lost(void **state)
{
    struct bench b;
    (void)state;
    start(&b, "auto", true, 600, 60);
    hear(&b, 2);
    expect(&b, "cuda", 0, "");
    const int opened = atomic_load(&card->opened);
    atomic_store(&card->fail_runs, 1);
    hear(&b, 2);
    expect(&b, "cuda", 1, "");
    assert_int_equal(atomic_load(&card->opened), opened + 1);
    assert_int_equal(atomic_load(&card->closed), opened);
    read_labels(&b);
    assert_int_equal(b.next_label, 4 * HOP);
    assert_int_equal(b.skipped, 0);
    stop(&b);
}

static void a_gpu_that_fails_again_leaves_the_work_to_the_cpu(void **state)
{
    struct bench b;
    (void)state;
    start(&b, "cuda", true, 600, 60);
    hear(&b, 1);
    atomic_store(&card->fail_runs, 2);
    hear(&b, 2);
    expect(&b, "cpu", 2, "the GPU failed, on the CPU instead: ");
    expect(&b, "cpu", 2, "illegal address");
    hear(&b, 2);
    expect(&b, "cpu", 2, "on the CPU instead");
    read_labels(&b);
    assert_int_equal(b.next_label, 5 * HOP);
    assert_int_equal(b.skipped, 0);
    stop(&b);
}

static void a_gpu_that_cannot_be_started_anew_leaves_the_work_to_the_cpu(void **state)
{
    struct bench b;
    (void)state;
    start(&b, "auto", true, 600, 60);
    atomic_store(&card->fail_runs, 1);
    atomic_store(&card->fail_opens, 1);
    hear(&b, 3);
    expect(&b, "cpu", 1, "the test's card is gone");
    read_labels(&b);
    assert_int_equal(b.next_label, 3 * HOP);
    stop(&b);
}

static void without_a_fallback_windows_fail_and_say_why_until_the_gpu_is_back(void **state)
{
    struct bench b;
    struct pipeline_report report;
    (void)state;
    start(&b, "cuda", false, 600, 1);
    hear(&b, 1);
    atomic_store(&card->fail_runs, 1);
    atomic_store(&card->fail_opens, 1);
    hear(&b, 3);
    pipeline_report(b.live.pipeline, 0, &report);
    assert_true(report.failed);
    assert_int_equal(report.windows, 1);
    assert_int_equal(report.skipped, 3);
    expect(&b, "cuda", 1, "the GPU failed ([model] fallback = no): ");
    assert_false(pipeline_idle(b.live.pipeline)); /* the watchdog starts focald anew */
    usleep(1100 * 1000);
    hear(&b, 2);
    expect(&b, "cuda", 1, "");
    pipeline_report(b.live.pipeline, 0, &report);
    assert_false(report.failed);
    assert_int_equal(report.windows, 3);
    assert_int_equal(report.skipped, 3);
    read_labels(&b);
    assert_int_equal(b.next_label, 6 * HOP);
    assert_int_equal(b.skipped, 3);
    stop(&b);
}

static void after_a_while_without_failures_it_is_started_anew_once_more(void **state)
{
    struct bench b;
    (void)state;
    start(&b, "cuda", true, 0.5, 60);
    for (uint64_t n = 1; n <= 3; n++) {
        hear(&b, 1);
        atomic_store(&card->fail_runs, 1);
        hear(&b, 1);
        expect(&b, "cuda", n, "");
        usleep(600 * 1000);
    }
    atomic_store(&card->fail_runs, 2); /* at once again */
    hear(&b, 1);
    expect(&b, "cpu", 5, "on the CPU instead");
    stop(&b);
}

static void a_gpu_that_cannot_be_opened_is_not_taken_by_auto(void **state)
{
    struct bench b;
    (void)state;
    atomic_store(&card->fail_opens, 1);
    start(&b, "auto", true, 600, 60);
    hear(&b, 1);
    expect(&b, "cpu", 0, "the GPU cannot be used, on the CPU instead: ");
    stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpu_that_fails_is_started_anew_and_no_window_is_lost),
        cmocka_unit_test(a_gpu_that_fails_again_leaves_the_work_to_the_cpu),
        cmocka_unit_test(a_gpu_that_cannot_be_started_anew_leaves_the_work_to_the_cpu),
        cmocka_unit_test(without_a_fallback_windows_fail_and_say_why_until_the_gpu_is_back),
        cmocka_unit_test(after_a_while_without_failures_it_is_started_anew_once_more),
        cmocka_unit_test(a_gpu_that_cannot_be_opened_is_not_taken_by_auto),
    };
    load_card();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
