/* SPDX-License-Identifier: Apache-2.0
 * Rings in, messages out: the two threads of the pipeline with the real model and publisher, while
 * other threads ask, change and exchange. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/ring.h"
#include "tests/daemon/live_pipeline.h"
#include "tests/model/made_model.h"

enum { RATE = 16000, WINDOW = 80000, HOP = 43 * 186, SECONDS = 12, STREAMS = 2, BLOCK = 1600 };

static const char *const names[STREAMS] = {"waits", "hurries"};

static int setup(void **state)
{
    struct live_pipeline *b = calloc(1, sizeof *b);
    const struct pipeline_stream streams[STREAMS] = {{.name = names[0], .lossless = true},
                                                     {.name = names[1]}};
    const struct pipeline_config config = {
        .backend = "cpu", .live = &live_parameters, .streams = streams, .n_streams = STREAMS};
    live_start(b, &config, "", TOPIC_AUDIO);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    live_stop(*state);
    free(*state);
    return 0;
}

/* Writing */

struct writer {
    struct ring *ring;
    bool waits;
    pthread_t thread;
    atomic_bool on; /* beyond SECONDS, until it is false */
    atomic_bool done;
};

static void *write_sound(void *arg)
{
    struct writer *w = arg;
    unsigned seed = 5;
    for (int n = 0; n < SECONDS * RATE || atomic_load(&w->on); n += BLOCK) {
        while (w->waits && ring_writable(w->ring) < BLOCK * sizeof(float))
            usleep(500);
        float *x = ring_reserve(w->ring, BLOCK, 1);
        for (int i = 0; x != NULL && i < BLOCK; i++)
            x[i] =
                0.3f * sinf(0.17f * (float)(n + i)) + 0.1f * (float)rand_r(&seed) / (float)RAND_MAX;
        if (x != NULL)
            ring_commit(w->ring, BLOCK, RATE, 0, 0);
    }
    while (ring_writable(w->ring) < BLOCK * sizeof(float))
        usleep(500);
    assert_non_null(ring_reserve(w->ring, 0, 1));
    ring_commit(w->ring, 0, RATE, 0, RING_END);
    atomic_store(&w->done, true);
    return NULL;
}

static void start_writers(struct live_pipeline *b, struct writer *writers, bool endless)
{
    for (int i = 0; i < STREAMS; i++) {
        writers[i].ring = b->rings[i];
        writers[i].waits = i == 0;
        atomic_init(&writers[i].done, false);
        atomic_init(&writers[i].on, endless && i == 0);
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_sound, &writers[i]), 0);
    }
}

static bool all_ended(struct live_pipeline *b)
{
    for (int i = 0; i < STREAMS; i++) {
        struct pipeline_report report;
        pipeline_report(b->pipeline, i, &report);
        if (!report.ended)
            return false;
    }
    return true;
}

static void join_writers(struct writer *writers)
{
    for (int i = 0; i < STREAMS; i++)
        pthread_join(writers[i].thread, NULL);
}

/* Tests */

static void a_stream_that_waits_publishes_every_window_and_sample(void **state)
{
    struct live_pipeline *b = *state;
    struct writer writers[STREAMS];
    struct focal_message m;
    uint64_t labels = 0, next_label = 0, input_end = 0, audio_end = 0;
    start_writers(b, writers, false);
    while (!all_ended(b))
        usleep(5000);
    join_writers(writers);
    while (focal_next(b->focal, &m, 500) == 1) {
        assert_int_equal(m.lost, 0);
        if (strcmp(m.stream, names[0]) != 0)
            continue;
        if (strcmp(m.topic, "label") == 0) {
            assert_int_equal(m.first, next_label);
            next_label += HOP;
            labels++;
        } else if (strcmp(m.topic, "input") == 0 || strcmp(m.topic, "audio") == 0) {
            uint64_t *end = m.topic[0] == 'i' ? &input_end : &audio_end;
            assert_true(*end == 0 || *end == m.first);
            *end = m.first + m.count;
        }
    }
    assert_int_equal(labels, (SECONDS * RATE - WINDOW) / HOP + 1);
    assert_int_equal(input_end, WINDOW + (labels - 1) * HOP);
    assert_int_equal(publisher_dropped(b->publisher), 0);
    struct pipeline_report report;
    pipeline_report(b->pipeline, 0, &report);
    assert_int_equal(report.windows, labels);
    assert_int_equal(report.skipped, 0);
    assert_true(pipeline_idle(b->pipeline));
}

/* False: nobody reads. */
static bool write_seconds(struct ring *ring, uint32_t rate, int seconds)
{
    for (uint32_t n = 0; n < rate * (uint32_t)seconds; n += rate / 10) {
        for (int ms = 0; ring_writable(ring) < rate / 10 * sizeof(float); ms++) {
            if (ms == 10000)
                return false;
            usleep(1000);
        }
        float *x = ring_reserve(ring, rate / 10, 1);
        for (uint32_t i = 0; i < rate / 10; i++)
            x[i] = 0.3f * sinf(0.17f * (float)(n + i));
        ring_commit(ring, rate / 10, rate, 0, 0);
    }
    return true;
}

/* 900 Hz is no rate that it resamples. */
static void a_stream_that_waits_goes_on_after_what_it_cannot_take(void **state)
{
    static const struct {
        uint32_t rate;
        int seconds;
    } parts[] = {{900, 7}, {RATE, 7}, {900, 7}, {RATE, 9}};
    struct live_pipeline *b = *state;
    struct pipeline_report report;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!write_seconds(b->rings[0], parts[i].rate, parts[i].seconds))
            fail_msg("part %zu is not read", i);
        bool refused = parts[i].rate == 900, told = !refused;
        for (int ms = 0; told != refused && ms < 5000; ms++, usleep(1000)) {
            pipeline_report(b->pipeline, 0, &report);
            told = strstr(report.problem, "900 Hz") != NULL;
        }
        assert_int_equal(told, refused);
    }
    for (int i = 0; i < STREAMS; i++) {
        assert_non_null(ring_reserve(b->rings[i], 0, 1));
        ring_commit(b->rings[i], 0, RATE, 0, RING_END);
    }
    for (int ms = 0; !all_ended(b) && ms < 20000; ms++)
        usleep(1000);
    assert_true(all_ended(b));
    pipeline_report(b->pipeline, 0, &report);
    assert_int_equal(report.windows, (30 * RATE - WINDOW) / HOP + 1);
    assert_string_equal(report.problem, "");
    assert_true(report.latency_ms_p99 < 30000); /* of windows of refused blocks, too */
}

static void nothing_to_tell(void *user)
{
    (void)user;
}

static void values_and_model_change_while_it_runs(void **state)
{
    struct live_pipeline *b = *state;
    struct writer writers[STREAMS];
    struct error error = {""};
    char path[512];
    snprintf(path, sizeof path, "%s/tests/data/baseline", getenv("FOCALD_SOURCE"));
    start_writers(b, writers, false);
    for (int i = 0; !all_ended(b); i++) {
        struct config_live changed = live_parameters, got;
        changed.quantile = 0.5 + 0.01 * (i % 40);
        pipeline_set_live(b->pipeline, &changed);
        pipeline_get_live(b->pipeline, &got);
        assert_true(got.quantile == changed.quantile);
        if (i == 3) {
            struct model *model;
            assert_int_equal(model_open(&model, path, &error), 0);
            if (pipeline_set_model(b->pipeline, model, nothing_to_tell, NULL, &error) < 0)
                fail_msg("%s", error.text);
            model_close(b->model);
            b->model = model;
        }
        usleep(20000);
    }
    join_writers(writers);
    struct pipeline_report report;
    pipeline_report(b->pipeline, 0, &report);
    assert_int_equal(report.windows, (SECONDS * RATE - WINDOW) / HOP + 1);
    assert_string_equal(report.problem, "");
}

/* A model that differs in what its labels are called. */
struct renamed {
    struct live_pipeline *live;
    uint64_t windows; /* of the first stream, when it was taken */
};

static void tell_labels(struct live_pipeline *b, const char *prefix)
{
    const struct model_info *info = model_info(b->model);
    json_t *labels = json_array();
    for (int i = 0; i < info->n_classes; i++)
        json_array_append_new(labels, json_sprintf("%s-%s", prefix, info->labels[i]));
    json_t *fields = json_pack("{s:o}", "labels", labels);
    for (int i = 0; i < STREAMS; i++)
        assert_int_equal(publisher_set_info(b->publisher, i, fields), 0);
    json_decref(fields);
}

static void tell_renamed(void *user)
{
    struct renamed *r = user;
    struct pipeline_report report;
    pipeline_report(r->live->pipeline, 0, &report);
    r->windows = report.windows;
    tell_labels(r->live, "new");
}

/* A window is always waiting: one stream is as fast as it is taken. */
static void a_model_is_taken_while_windows_never_end(void **state)
{
    struct live_pipeline *b = *state;
    struct writer writers[STREAMS];
    struct error error = {""};
    struct focal_message m;
    struct renamed renamed = {.live = b};
    struct config_live eager = live_parameters;
    char path[512];
    uint64_t labels = 0, last_id = 0, input_end = 0, audio_end = 0;
    bool events_after = false;
    eager.event_on = 0.1;
    eager.event_off = 0.05;
    pipeline_set_live(b->pipeline, &eager);
    tell_labels(b, "old");
    start_writers(b, writers, true);
    while (pipeline_windows(b->pipeline) < 20)
        usleep(1000);
    struct model *model;
    snprintf(path, sizeof path, "%s/tests/data/baseline", getenv("FOCALD_SOURCE"));
    assert_int_equal(model_open(&model, path, &error), 0);
    if (pipeline_set_model(b->pipeline, model, tell_renamed, &renamed, &error) < 0)
        fail_msg("%s", error.text);
    model_close(b->model);
    b->model = model;
    for (uint64_t enough = pipeline_windows(b->pipeline) + 20;
         pipeline_windows(b->pipeline) < enough;)
        usleep(1000);
    atomic_store(&writers[0].on, false);
    join_writers(writers);
    while (focal_next(b->focal, &m, 500) == 1) {
        const char *label;
        double id;
        if (strcmp(m.stream, names[0]) != 0)
            continue;
        const char *prefix = labels <= renamed.windows ? "old-" : "new-";
        if (strcmp(m.topic, "label") == 0) {
            labels += m.lost; /* a busy machine's outbox may be full: it is counted */
            prefix = labels++ < renamed.windows ? "old-" : "new-";
            assert_int_equal(focal_string(b->focal, "top.0.label", &label), 0);
            assert_memory_equal(label, prefix, 4);
        } else if (strcmp(m.topic, "input") == 0 || strcmp(m.topic, "audio") == 0) {
            uint64_t *end = m.topic[0] == 'i' ? &input_end : &audio_end;
            assert_true(*end == 0 || m.lost > 0 || *end == m.first);
            *end = m.first + m.count;
        } else if (strcmp(m.topic, "event") == 0) {
            assert_int_equal(focal_string(b->focal, "label", &label), 0);
            assert_memory_equal(label, prefix, 4);
            assert_int_equal(focal_number(b->focal, "id", &id), 0);
            if (label[0] == 'n' && !events_after) { /* the old model's have ended */
                events_after = true;
                assert_true(id > (double)last_id);
            }
            last_id = id > (double)last_id ? (uint64_t)id : last_id;
        }
    }
    assert_true(labels > renamed.windows);
    assert_true(events_after);
}

/* So much of the sound at once, and no end: the source has gone. */
static void write_some(struct ring *ring, int seconds)
{
    unsigned seed = 5;
    for (int n = 0; n < seconds * RATE; n += BLOCK) {
        float *x = ring_reserve(ring, BLOCK, 1);
        assert_non_null(x);
        for (int i = 0; i < BLOCK; i++)
            x[i] =
                0.3f * sinf(0.17f * (float)(n + i)) + 0.1f * (float)rand_r(&seed) / (float)RAND_MAX;
        ring_commit(ring, BLOCK, RATE, 0, 0);
    }
}

/* Reads messages until no event runs any more; each must end at `end`. */
static void expect_events_to_end(struct live_pipeline *b, const char *stream, uint64_t end)
{
    struct focal_message m;
    int begun = 0, over = 0;
    while (begun == 0 || over < begun) {
        double ended, at;
        if (focal_next(b->focal, &m, 8000) != 1)
            fail_msg("%d events began, %d ended", begun, over);
        if (strcmp(m.topic, "event") != 0 || strcmp(m.stream, stream) != 0)
            continue;
        assert_int_equal(focal_number(b->focal, "ended", &ended), 0);
        begun += ended == 0;
        over += ended == 1;
        if (ended == 0)
            continue;
        assert_int_equal(focal_number(b->focal, "end", &at), 0);
        assert_true(at == (double)end);
        assert_int_equal(m.first + m.count, end);
    }
}

/* A block of the sound that was captured at a time. */
static void write_timed(struct ring *ring, uint64_t position)
{
    float *x = ring_reserve(ring, BLOCK, 1);
    assert_non_null(x);
    for (int i = 0; i < BLOCK; i++)
        x[i] = 0.3f * sinf(0.17f * (float)(position + (uint64_t)i));
    ring_commit(ring, BLOCK, RATE, 1000000000 + (int64_t)(position * 1000000000 / RATE), 0);
}

/* The end of the stream's next input, which lost nothing within. *ret_jumped: samples since `end`,
 * of the message before. */
static uint64_t next_input(struct live_pipeline *b, const char *stream, uint64_t end,
                           uint64_t *ret_jumped)
{
    struct focal_message m;
    double lost;
    do {
        if (focal_next(b->focal, &m, 8000) != 1)
            fail_msg("no sound beyond %llu", (unsigned long long)end);
    } while (strcmp(m.topic, "input") != 0 || strcmp(m.stream, stream) != 0);
    assert_int_equal(focal_number(b->focal, "lost", &lost), 0);
    assert_true(lost == 0);
    *ret_jumped = m.first - end;
    return m.first + m.count;
}

/* What was heard right before it and is in no window is less than a hop. */
static void a_gap_longer_than_a_window_jumps_and_is_counted(void **state)
{
    struct live_pipeline *b = *state;
    struct pipeline_report report;
    const uint64_t stop = 5 * RATE, back = stop + 8 * RATE;
    uint64_t jumped;
    for (uint64_t n = 0; n < stop; n += BLOCK)
        write_timed(b->rings[1], n);
    while (pipeline_windows(b->pipeline) < 1)
        usleep(1000);
    for (uint64_t n = back; n < back + WINDOW + 186; n += BLOCK)
        write_timed(b->rings[1], n);
    uint64_t end = next_input(b, names[1], 0, &jumped);
    while (end < WINDOW)
        end = next_input(b, names[1], end, &jumped);
    end = next_input(b, names[1], end, &jumped);
    assert_in_range(jumped, back - WINDOW, back - WINDOW + 186);
    pipeline_report(b->pipeline, 1, &report);
    assert_int_equal(report.missed, back - stop);
}

static void hear_events(struct live_pipeline *b)
{
    struct config_live eager = live_parameters;
    eager.event_on = 0.1;
    eager.event_off = 0.05;
    pipeline_set_live(b->pipeline, &eager);
}

static void events_end_when_the_source_goes(void **state)
{
    struct live_pipeline *b = *state;
    hear_events(b);
    write_some(b->rings[1], 5);
    expect_events_to_end(b, names[1], WINDOW);
}

static void events_end_when_it_stops(void **state)
{
    struct live_pipeline *b = *state;
    hear_events(b);
    write_some(b->rings[0], 5);
    while (pipeline_windows(b->pipeline) < 1)
        usleep(1000);
    pipeline_destroy(b->pipeline);
    b->pipeline = NULL;
    expect_events_to_end(b, names[0], WINDOW);
}

static void it_stops_in_the_middle_of_everything(void **state)
{
    struct live_pipeline *b = *state;
    struct writer writers[STREAMS];
    start_writers(b, writers, false);
    while (pipeline_windows(b->pipeline) < 2)
        usleep(1000);
    pipeline_destroy(b->pipeline);
    b->pipeline = NULL;
    /* somebody must empty the rings for the writers to come to their end */
    for (int i = 0; i < STREAMS; i++)
        for (struct ring_block block; !atomic_load(&writers[i].done); usleep(200))
            while (ring_peek(b->rings[i], &block))
                ring_release(b->rings[i]);
    join_writers(writers);
}

/* Writes hops of a tone, or of silence, and waits until `windows` in all were published or skipped.
 */
static void hear_hops(struct live_pipeline *b, int hops, float level, uint64_t windows,
                      struct pipeline_report *ret)
{
    for (int k = 0; k < hops; k++) {
        while (ring_writable(b->rings[0]) < HOP * sizeof(float))
            usleep(500);
        float *x = ring_reserve(b->rings[0], HOP, 1);
        assert_non_null(x);
        for (int i = 0; i < HOP; i++)
            x[i] = level * sinf(0.17f * (float)i);
        ring_commit(b->rings[0], HOP, RATE, 0, 0);
    }
    for (int ms = 0; ms < 20000; ms++) {
        pipeline_report(b->pipeline, 0, ret);
        if (ret->windows + ret->skipped == windows)
            return;
        usleep(1000);
    }
    fail_msg("the pipeline stood still");
}

/* A window is a little more than ten hops. Where the tone is in it, the network's sums overflow. */
static void a_window_whose_result_is_not_finite_is_skipped_and_health_says_why(void **state)
{
    (void)state;
    enum { TEN = WINDOW / HOP };
    struct live_pipeline b;
    struct pipeline_report report;
    struct focal_message m;
    struct error error = {""};
    struct model *overflowing;
    char dir[] = "/tmp/focald-test-XXXXXX", baseline[512], command[128];
    assert_non_null(mkdtemp(dir));
    snprintf(baseline, sizeof baseline, "%s/tests/data/baseline", getenv("FOCALD_SOURCE"));
    if (made_changed(dir, baseline, MADE_OVERFLOWING, &error) < 0 ||
        model_open(&overflowing, dir, &error) < 0)
        fail_msg("%s", error.text);
    const struct pipeline_stream stream = {.name = names[0], .lossless = true};
    const struct pipeline_config config = {.backend = "cpu",
                                           .model = overflowing,
                                           .live = &live_parameters,
                                           .streams = &stream,
                                           .n_streams = 1};
    live_start(&b, &config, "label", TOPIC_LABEL);
    hear_hops(&b, TEN + 1, 0, 1, &report);
    assert_string_equal(report.problem, "");
    hear_hops(&b, 2, 0.3f, 3, &report);
    assert_int_equal(report.windows, 1);
    assert_non_null(strstr(report.problem, "not finite"));
    assert_non_null(strstr(report.problem, model_info(overflowing)->name));
    hear_hops(&b, 2 * TEN, 0, 3 + 2 * TEN, &report);
    assert_string_equal(report.problem, "");
    uint64_t labels = 0, lost = 0;
    while (focal_next(b.focal, &m, 300) == 1) {
        double skipped = 0;
        const char *label;
        assert_int_equal(focal_number(b.focal, "skipped", &skipped), 0);
        assert_true(focal_string(b.focal, "top.0.label", &label) < 0); /* silence names nothing */
        lost += (uint64_t)skipped;
        labels++;
    }
    assert_int_equal(labels, report.windows);
    assert_int_equal(lost, report.skipped);
    assert_in_range(lost, TEN, TEN + 2);
    live_stop(&b);
    model_close(overflowing);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stream_that_waits_publishes_every_window_and_sample,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_that_waits_goes_on_after_what_it_cannot_take,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(values_and_model_change_while_it_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_model_is_taken_while_windows_never_end, setup, teardown),
        cmocka_unit_test(a_window_whose_result_is_not_finite_is_skipped_and_health_says_why),
        cmocka_unit_test_setup_teardown(a_gap_longer_than_a_window_jumps_and_is_counted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(events_end_when_the_source_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(events_end_when_it_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(it_stops_in_the_middle_of_everything, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
