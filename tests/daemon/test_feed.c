/* SPDX-License-Identifier: Apache-2.0
 * What a stream says of its source, from before the source has said anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/feed.h"

static struct config_stream stream_of(const char *source)
{
    struct config_stream stream = {.name = "yard", .loop = true};
    snprintf(stream.source, sizeof stream.source, "%s", source);
    return stream;
}

static void what_has_not_begun_says_what_begins(void **state)
{
    (void)state;
    const char *sources[] = {"file:/clips/dog.ogg", "auto", "jack:2"};
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        struct config_stream stream = stream_of(sources[i]);
        struct source_status status;
        struct feed *feed;
        struct error error;
        const char *kind;
        assert_int_equal(feed_create(&feed, &stream, 1.0, &error), 0);
        feed_status(feed, &status, &kind);
        assert_int_equal(status.state, SOURCE_STARTING);
        assert_non_null(strstr(status.text, "starting "));
        assert_non_null(strstr(status.text, sources[i]));
        feed_destroy(feed);
    }
}

static void a_name_too_long_to_tell_is_cut(void **state)
{
    (void)state;
    struct config_stream stream = stream_of("file:");
    memset(stream.source + 5, 'a', sizeof stream.source - 6);
    struct source_status status;
    struct feed *feed;
    struct error error;
    const char *kind;
    assert_int_equal(feed_create(&feed, &stream, 1.0, &error), 0);
    feed_status(feed, &status, &kind);
    assert_int_equal(strlen(status.text), sizeof status.text - 1);
    feed_destroy(feed);
}

static void at_no_time_does_it_say_nothing(void **state)
{
    (void)state;
    char clip[512];
    snprintf(clip, sizeof clip, "file:%s/dog.ogg", getenv("FOCALD_DEMO"));
    struct config_stream stream = stream_of(clip);
    struct source_status status = {0};
    struct feed *feed;
    struct error error;
    const char *kind;
    assert_int_equal(feed_create(&feed, &stream, 1.0, &error), 0);
    assert_int_equal(feed_start(feed, &error), 0);
    for (int i = 0; i < 60000 && strstr(status.text, "playing ") == NULL; i++) {
        feed_status(feed, &status, &kind);
        assert_true(status.text[0] != '\0');
        nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    }
    assert_non_null(strstr(status.text, "playing "));
    assert_string_equal(kind, "file");
    feed_destroy(feed);
}

static void a_kind_that_is_none_is_refused_by_the_stream(void **state)
{
    (void)state;
    struct config_stream stream = stream_of("gramophone:1");
    struct feed *feed;
    struct error error;
    assert_int_equal(feed_create(&feed, &stream, 1.0, &error), -EINVAL);
    assert_non_null(strstr(error.text, "yard"));
    assert_non_null(strstr(error.text, "gramophone"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_not_begun_says_what_begins),
        cmocka_unit_test(a_name_too_long_to_tell_is_cut),
        cmocka_unit_test(at_no_time_does_it_say_nothing),
        cmocka_unit_test(a_kind_that_is_none_is_refused_by_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
