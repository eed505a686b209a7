/* SPDX-License-Identifier: Apache-2.0
 * What is published of a window, for those who subscribe while it is in work. */
#include "tests/ipc/fixture.h"

#include <stdlib.h>
#include <string.h>

#include <focal.h>

#include "base/memory.h"
#include "daemon/output.h"

enum { WINDOW = 80000, FRAMES = 431, BINS = 513, HOP = 43 * 186 };

static const char *const labels[] = {"dog", "rooster"};
static const struct model_info info = {.n_classes = 2,
                                       .labels = labels,
                                       .n_maps = 1,
                                       .maps = {{7, 7}},
                                       .preprocess = {.sample_rate = 16000,
                                                      .window_samples = WINDOW,
                                                      .n_fft = 1024,
                                                      .win_length = 372,
                                                      .hop_length = 186,
                                                      .scale = 15}};
static const struct config_live live = {
    .quantile = 0.9, .hop_frames = 43, .top_k = 2, .event_on = 0.6, .event_off = 0.4};

struct stage {
    struct fixture fixture;
    struct outbox *outbox;
    struct output *output;
    struct focal *focal;
    struct window window;
    struct analysis_window before;
    float cosines[2], map[49];
    uint8_t *mask;
};

static int setup(void **state)
{
    struct stage *s = calloc(1, sizeof *s);
    fixture_init(&s->fixture);
    fixture_start(&s->fixture);
    const struct focal_options options = {.data = s->fixture.data, .control = s->fixture.control};
    assert_int_equal(focal_open(&s->focal, &options), 0);
    assert_int_equal(
        outbox_create(&s->outbox, s->fixture.publisher, 64, output_payload_bytes(&info), NULL), 0);
    const struct output_config config = {.publisher = s->fixture.publisher,
                                         .outbox = s->outbox,
                                         .info = &info,
                                         .audio_delay_frames = 43};
    assert_int_equal(output_create(&s->output, &config, NULL), 0);
    s->window =
        (struct window){.hop_samples = HOP,
                        .samples = memory_zeroed(WINDOW, sizeof(float)),
                        .spectrum = memory_zeroed((size_t)FRAMES * BINS * 2, sizeof(float))};
    s->before = (struct analysis_window){
        .max = 1, .peak = 1, .logspec = memory_zeroed((size_t)FRAMES * BINS, sizeof(float))};
    s->mask = memory_zeroed(FRAMES, BINS);
    assert_true(s->window.samples != NULL && s->window.spectrum != NULL &&
                s->before.logspec != NULL && s->mask != NULL);
    memset(s->mask, 1, (size_t)FRAMES * BINS);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;
    focal_close(s->focal);
    output_destroy(s->output);
    fixture_finish(&s->fixture);
    free(s->window.samples);
    free(s->window.spectrum);
    free(s->before.logspec);
    free(s->mask);
    free(s);
    return 0;
}

/* The next window; whether its mask was made was decided before. */
static void publish(struct stage *s, bool masked)
{
    const struct runner_result result = {.cosines = s->cosines, .maps = {s->map}};
    const struct analysis_mask after = {.kept = 1, .mask = s->mask};
    const struct output_window w = {.window = &s->window,
                                    .before = &s->before,
                                    .after = masked ? &after : NULL,
                                    .result = &result,
                                    .live = &live};
    struct label_message label;
    s->window.first += HOP;
    output_publish(s->output, &w, &label);
}

/* What was decided without them is not told them as a mask of nothing, nor as silence. */
static void whoever_comes_late_begins_with_the_next_window(void **state)
{
    struct stage *s = *state;
    struct focal_message got;
    double kept;
    assert_false(output_wants_mask(s->output));
    assert_int_equal(focal_subscribe(s->focal, "mask/"), 0);
    assert_int_equal(focal_subscribe(s->focal, "audio/"), 0);
    assert_true(wait_until(output_wants_mask(s->output) &&
                           publisher_wants(s->fixture.publisher, 0, TOPIC_MASK) &&
                           publisher_wants(s->fixture.publisher, 0, TOPIC_AUDIO)));
    publish(s, false);
    const uint64_t late = s->window.first;
    publish(s, true);
    assert_int_equal(focal_next(s->focal, &got, 5000), 1);
    assert_string_equal(got.topic, "mask");
    assert_int_equal(got.first, late + HOP);
    assert_int_equal(focal_number(s->focal, "kept", &kept), 0);
    assert_true(kept == 1);
    assert_int_equal(focal_next(s->focal, &got, 5000), 1);
    assert_string_equal(got.topic, "audio");
    assert_true(got.first >= late + HOP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whoever_comes_late_begins_with_the_next_window, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
