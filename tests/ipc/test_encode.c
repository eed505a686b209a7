/* SPDX-License-Identifier: Apache-2.0
 * Headers and names: what docs/protocol.md promises of each topic. */
#include "tests/ipc/fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/encode.h"
#include "ipc/subscriptions.h"

static json_t *labels;

static json_t *header_of(const struct message *m)
{
    struct encode_context context = {.stream = "kitchen", .seq = 7, .run_ns = 5, .labels = labels};
    char *text = encode_header(m, &context);
    assert_non_null(text);
    json_t *header = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(header);
    free(text);
    return header;
}

static int64_t integer(const json_t *header, const char *key)
{
    assert_true(json_is_integer(json_object_get(header, key)));
    return json_integer_value(json_object_get(header, key));
}

static const char *text(const json_t *header, const char *key)
{
    assert_true(json_is_string(json_object_get(header, key)));
    return json_string_value(json_object_get(header, key));
}

static double real(const json_t *header, const char *key)
{
    assert_true(json_is_number(json_object_get(header, key)));
    return json_number_value(json_object_get(header, key));
}

static void assert_shape(const json_t *header, const char *dtype, int n, int a, int b)
{
    const json_t *shape = json_object_get(header, "shape");
    assert_string_equal(text(header, "dtype"), dtype);
    assert_int_equal(json_array_size(shape), n);
    if (n > 0)
        assert_int_equal(json_integer_value(json_array_get(shape, 0)), a);
    if (n > 1)
        assert_int_equal(json_integer_value(json_array_get(shape, 1)), b);
}

static void every_header_has_the_common_fields(void **state)
{
    for (int topic = TOPIC_LABEL; topic < TOPIC_COUNT; topic++) {
        struct message m = {.topic = (enum topic)topic,
                            .first = 80000,
                            .count = 7998,
                            .t_wall_ns = INT64_C(1764000000123456789)};
        json_t *h = header_of(&m);
        assert_int_equal(integer(h, "v"), 1);
        assert_string_equal(text(h, "topic"), topic_name((enum topic)topic));
        assert_string_equal(text(h, "stream"), "kitchen");
        assert_int_equal(integer(h, "seq"), 7);
        assert_int_equal(integer(h, "run"), 5);
        assert_int_equal(integer(h, "first"), 80000);
        assert_int_equal(integer(h, "count"), 7998);
        assert_true(integer(h, "t_ns") == INT64_C(1764000000123456789));
        assert_non_null(text(h, "dtype"));
        assert_non_null(text(h, "unit"));
        assert_true(json_is_array(json_object_get(h, "shape")));
        json_decref(h);
    }
}

static void a_label_names_its_top_and_its_rows(void **state)
{
    struct message m = {.topic = TOPIC_LABEL};
    m.label = (struct label_message){.n_top = 2,
                                     .n_classes = 3,
                                     .peak_dbfs = -1.5f,
                                     .rms_dbfs = -INFINITY,
                                     .lost = 4,
                                     .skipped = 2,
                                     .unknown = true,
                                     .score = 0.53f,
                                     .ms_network = 41.5f};
    m.label.top[0].index = 2;
    m.label.top[0].p = 0.9f;
    m.label.top[0].p_paper = 0.25f;
    m.label.top[0].cosine = NAN;
    m.label.top[1].index = 99; /* no such label */
    json_t *h = header_of(&m);
    assert_shape(h, "f32", 2, 3, 3);
    const json_t *rows = json_object_get(h, "rows");
    assert_string_equal(json_string_value(json_array_get(rows, 0)), "p");
    assert_string_equal(json_string_value(json_array_get(rows, 1)), "p_paper");
    assert_string_equal(json_string_value(json_array_get(rows, 2)), "cosine");
    const json_t *top = json_object_get(h, "top");
    assert_int_equal(json_array_size(top), 2);
    const json_t *best = json_array_get(top, 0);
    assert_int_equal(integer(best, "index"), 2);
    assert_string_equal(text(best, "label"), "sea waves");
    assert_true(real(best, "p") == 0.9); /* the short decimal, not the float's binary tail */
    assert_true(json_is_null(json_object_get(best, "cosine")));
    assert_true(json_is_null(json_object_get(json_array_get(top, 1), "label")));
    assert_true(json_is_null(json_object_get(h, "rms_dbfs")));
    assert_true(real(h, "peak_dbfs") == -1.5);
    assert_int_equal(integer(h, "lost"), 4);
    assert_int_equal(integer(h, "skipped"), 2);
    assert_true(json_is_false(json_object_get(h, "silence")));
    assert_true(json_is_true(json_object_get(h, "unknown")));
    assert_true(real(h, "score") == 0.53);
    assert_true(real(h, "ms_network") == 41.5);
    m.payload_bytes = 3 * 3 * 4;
    assert_int_equal(message_payload_bytes(&m), m.payload_bytes);
    json_decref(h);
}

static void maps_say_where_each_begins(void **state)
{
    struct message m = {.topic = TOPIC_MAP};
    m.map.n_maps = 2;
    m.map.maps[0].rows = 14;
    m.map.maps[0].cols = 10;
    m.map.maps[1].rows = 7;
    m.map.maps[1].cols = 5;
    json_t *h = header_of(&m);
    assert_shape(h, "f32", 1, 175, 0);
    const json_t *second = json_array_get(json_object_get(h, "maps"), 1);
    assert_int_equal(integer(second, "rows"), 7);
    assert_int_equal(integer(second, "cols"), 5);
    assert_int_equal(integer(second, "offset"), 140);
    assert_int_equal(message_payload_bytes(&m), 175 * 4);
    json_decref(h);
}

static void a_mask_is_one_bit_a_cell(void **state)
{
    struct message m = {.topic = TOPIC_MASK};
    m.mask = (struct mask_message){.rows = 431, .cols = 513, .quantile = 0.9f, .kept = 0.1f};
    json_t *h = header_of(&m);
    assert_shape(h, "u1", 2, 431, 513);
    assert_true(real(h, "quantile") == 0.9);
    assert_int_equal(message_payload_bytes(&m), (431 * 513 + 7) / 8);
    json_decref(h);
}

static void pcm_and_spectrogram_name_their_units(void **state)
{
    struct message m = {.topic = TOPIC_AUDIO, .count = 7998};
    m.pcm = (struct pcm_message){.rate_hz = 16000, .lost = 3};
    json_t *h = header_of(&m);
    assert_shape(h, "f32", 1, 7998, 0);
    assert_string_equal(text(h, "unit"), "full scale");
    assert_int_equal(integer(h, "rate_hz"), 16000);
    assert_int_equal(integer(h, "lost"), 3);
    json_decref(h);
    m = (struct message){.topic = TOPIC_SPEC, .spec = {.rows = 43, .cols = 513, .peak = 0.5f}};
    h = header_of(&m);
    assert_shape(h, "f32", 2, 43, 513);
    assert_string_equal(text(h, "unit"), "log1p");
    json_decref(h);
}

static void an_event_names_its_label_and_times(void **state)
{
    struct message m = {.topic = TOPIC_EVENT};
    m.event = (struct event_message){.id = 12,
                                     .ended = true,
                                     .index = 0,
                                     .p_peak = 0.75f,
                                     .onset = 100,
                                     .end = 900,
                                     .t_onset_wall_ns = 33};
    json_t *h = header_of(&m);
    assert_shape(h, "none", 0, 0, 0);
    assert_int_equal(integer(h, "id"), 12);
    assert_true(json_is_true(json_object_get(h, "ended")));
    assert_string_equal(text(h, "label"), "dog");
    assert_int_equal(integer(h, "onset"), 100);
    assert_int_equal(integer(h, "end"), 900);
    assert_int_equal(integer(h, "t_onset_ns"), 33);
    assert_true(real(h, "p_peak") == 0.75);
    json_decref(h);
}

static void health_survives_text_that_is_not_utf8(void **state)
{
    struct message m = {.topic = TOPIC_HEALTH};
    m.health = (struct health_message){.source_kind = "jack",
                                       .source_state = "running",
                                       .source_text = "Ger\xe4t \"1\"",
                                       .backend = "cpu",
                                       .precision = "float32",
                                       .rate_hz = 48000,
                                       .lost_samples = 5,
                                       .missed_samples = 80005,
                                       .latency_ms_p99 = NAN,
                                       .problem = "no\nserver"};
    json_t *h = header_of(&m);
    assert_string_equal(text(h, "source_text"), "Ger?t \"1\"");
    assert_string_equal(text(h, "problem"), "no\nserver");
    assert_true(json_is_null(json_object_get(h, "latency_ms_p99")));
    assert_int_equal(integer(h, "lost_samples"), 5);
    assert_int_equal(integer(h, "missed_samples"), 80005);
    assert_true(json_is_false(json_object_get(h, "ok")));
    json_decref(h);
}

static void no_float_becomes_what_json_cannot_say(void **state)
{
    unsigned seed = 20;
    print_message("seed %u\n", seed);
    for (int i = 0; i < 20000; i++) {
        uint32_t bits = (uint32_t)rand_r(&seed) << 16 ^ (uint32_t)rand_r(&seed);
        struct message m = {.topic = TOPIC_SPEC};
        memcpy(&m.spec.peak, &bits, sizeof bits);
        json_t *h = header_of(&m);
        const json_t *peak = json_object_get(h, "peak");
        if (isfinite(m.spec.peak))
            assert_true((float)json_number_value(peak) == m.spec.peak);
        else
            assert_true(json_is_null(peak));
        json_decref(h);
    }
}

static void info_keeps_the_common_fields_its_own(void **state)
{
    json_t *fields = json_pack("{s:i,s:s,s:[s],s:f}", "seq", 999, "model", "home", "labels", "dog",
                               "quantile", 0.9);
    struct encode_context context = {.stream = "garden", .seq = 3};
    char *text_ = encode_info(fields, 10, 20, 30, &context);
    assert_non_null(strstr(text_, "\"quantile\":0.9}"));
    json_t *h = json_loads(text_, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(integer(h, "seq"), 3);
    assert_int_equal(integer(h, "first"), 10);
    assert_string_equal(text(h, "model"), "home");
    assert_shape(h, "none", 0, 0, 0);
    json_decref(h);
    json_decref(fields);
    free(text_);
}

static void apply(struct subscriptions *s, int add, const char *prefix, bool *fresh)
{
    uint8_t frame[128] = {(uint8_t)add};
    memcpy(frame + 1, prefix, strlen(prefix));
    subscriptions_apply(s, frame, 1 + strlen(prefix), fresh);
}

static bool wanted(struct subscriptions *s, int stream, enum topic topic)
{
    return atomic_load(&subscriptions_at(s, stream, topic)->wanted);
}

static void a_prefix_wants_what_it_begins(void **state)
{
    static const char *const streams[] = {"kitchen", "garden"};
    static const char *const matching[] = {"", "l", "lab", "label/", "label/kit", "label/kitchen"};
    static const char *const strange[] = {"label/kitchen2", "Label", "label//", "labels",
                                          "kitchen"};
    struct subscriptions s;
    bool fresh[2] = {false, false};
    assert_int_equal(subscriptions_init(&s, streams, 2), 0);
    for (int i = 0; i < 6; i++) {
        apply(&s, 1, matching[i], fresh);
        assert_true(wanted(&s, 0, TOPIC_LABEL));
        assert_int_equal(wanted(&s, 1, TOPIC_LABEL), i < 4);
        assert_int_equal(wanted(&s, 0, TOPIC_MAP), i == 0);
        apply(&s, 0, matching[i], fresh);
        assert_false(wanted(&s, 0, TOPIC_LABEL));
    }
    for (int i = 0; i < 5; i++) {
        apply(&s, 1, strange[i], fresh);
        assert_false(wanted(&s, 0, TOPIC_LABEL));
    }
    apply(&s, 1, "label/", fresh);
    apply(&s, 1, "lab", fresh);
    apply(&s, 0, "label/", fresh);
    assert_true(wanted(&s, 0, TOPIC_LABEL)); /* "lab" still does */
    subscriptions_finish(&s);
}

static void subscribing_to_info_asks_for_it_each_time(void **state)
{
    static const char *const streams[] = {"kitchen", "garden"};
    struct subscriptions s;
    bool fresh[2] = {false, false};
    assert_int_equal(subscriptions_init(&s, streams, 2), 0);
    apply(&s, 1, "label/", fresh);
    assert_false(fresh[0] || fresh[1]);
    apply(&s, 1, "info/gar", fresh);
    assert_true(!fresh[0] && fresh[1]);
    fresh[1] = false;
    apply(&s, 1, "", fresh);
    assert_true(fresh[0] && fresh[1]);
    fresh[0] = fresh[1] = false;
    apply(&s, 0, "", fresh);
    subscriptions_apply(&s, (const uint8_t *)"\2info", 5, fresh);
    subscriptions_apply(&s, (const uint8_t *)"", 0, fresh);
    assert_false(fresh[0] || fresh[1]);
    subscriptions_finish(&s);
}

static void stream_names_are_checked(void **state)
{
    char name[80];
    memset(name, 'a', sizeof name);
    name[63] = '\0';
    assert_true(stream_name_valid(name));
    assert_true(stream_name_valid("Living_room.2-b"));
    name[63] = 'a';
    name[64] = '\0';
    assert_false(stream_name_valid(name));
    assert_false(stream_name_valid(""));
    assert_false(stream_name_valid("a/b"));
    assert_false(stream_name_valid("k\xc3\xbc"
                                   "che"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_header_has_the_common_fields),
        cmocka_unit_test(a_label_names_its_top_and_its_rows),
        cmocka_unit_test(maps_say_where_each_begins),
        cmocka_unit_test(a_mask_is_one_bit_a_cell),
        cmocka_unit_test(pcm_and_spectrogram_name_their_units),
        cmocka_unit_test(an_event_names_its_label_and_times),
        cmocka_unit_test(health_survives_text_that_is_not_utf8),
        cmocka_unit_test(no_float_becomes_what_json_cannot_say),
        cmocka_unit_test(info_keeps_the_common_fields_its_own),
        cmocka_unit_test(a_prefix_wants_what_it_begins),
        cmocka_unit_test(subscribing_to_info_asks_for_it_each_time),
        cmocka_unit_test(stream_names_are_checked),
    };
    labels = json_pack("[s,s,s]", "dog", "rooster", "sea waves");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(labels);
    return failed;
}
