/* SPDX-License-Identifier: Apache-2.0
 * What a stream says of its source, from before the source has said anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

static void write_clip(const char *path)
{
    SF_INFO info = {
        .samplerate = 16000, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    static const short silence[800];
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    assert_non_null(file);
    assert_int_equal(sf_writef_short(file, silence, 800), 800);
    sf_close(file);
}

/* Lines of the file that hold the word. */
static int count_lines(const char *path, const char *word)
{
    char line[1024];
    int n = 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        n += strstr(line, word) != NULL;
    fclose(file);
    return n;
}

static void a_loop_is_told_once(void **state)
{
    (void)state;
    char dir[] = "/tmp/focald-feed-XXXXXX", a[64], b[64], log[64], spec[64], said[192] = "";
    assert_non_null(mkdtemp(dir));
    snprintf(a, sizeof a, "%s/a.wav", dir);
    snprintf(b, sizeof b, "%s/b.wav", dir);
    snprintf(log, sizeof log, "%s/log", dir);
    snprintf(spec, sizeof spec, "file:%s", dir);
    write_clip(a);
    write_clip(b);
    struct config_stream stream = stream_of(spec);
    struct feed *feed;
    struct error error;
    int own = dup(STDERR_FILENO), changes = 0;
    assert_non_null(freopen(log, "w", stderr));
    assert_int_equal(feed_create(&feed, &stream, 1.0, &error), 0);
    assert_int_equal(feed_start(feed, &error), 0);
    for (int i = 0; i < 60000 && changes < 8; i++) {
        struct source_status status;
        const char *kind;
        feed_status(feed, &status, &kind);
        changes += strcmp(status.text, said) != 0;
        memcpy(said, status.text, sizeof said);
        nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    }
    feed_destroy(feed);
    fflush(stderr);
    dup2(own, STDERR_FILENO);
    close(own);
    assert_int_equal(changes, 8);
    assert_int_equal(count_lines(log, "playing "), 2);
    assert_int_equal(count_lines(log, "a.wav"), 1);
    unlink(a);
    unlink(b);
    unlink(log);
    assert_int_equal(rmdir(dir), 0);
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
        cmocka_unit_test(a_loop_is_told_once),
        cmocka_unit_test(a_kind_that_is_none_is_refused_by_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
