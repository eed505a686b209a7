/* SPDX-License-Identifier: Apache-2.0
 * What a stream says of its source, from before the source has said anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
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

/* Of a stream that was made and not started. */
static struct source_status first_status(const char *source)
{
    struct config_stream stream = stream_of(source);
    struct source_status status;
    struct feed *feed;
    struct error error;
    const char *kind;
    assert_int_equal(feed_create(&feed, &stream, 1.0, &error), 0);
    feed_status(feed, &status, &kind);
    feed_destroy(feed);
    return status;
}

static void what_has_not_begun_says_what_begins(void **state)
{
    (void)state;
    const char *sources[] = {"file:/clips/dog.ogg", "auto", "jack:2"};
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        struct source_status status = first_status(sources[i]);
        assert_int_equal(status.state, SOURCE_STARTING);
        assert_non_null(strstr(status.text, "starting "));
        assert_non_null(strstr(status.text, sources[i]));
    }
}

static void a_name_too_long_to_tell_is_cut(void **state)
{
    (void)state;
    char source[500] = "file:";
    memset(source + 5, 'a', sizeof source - 6);
    struct source_status status = first_status(source);
    assert_int_equal(strlen(status.text), sizeof status.text - 1);
}

static void write_clip(const char *path)
{
    SF_INFO info = {.samplerate = 16000, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    static const short silence[800];
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    assert_non_null(file);
    assert_int_equal(sf_writef_short(file, silence, 800), 800);
    sf_close(file);
}

/* Waits until the text has changed n times, as it does with each clip; how often it did. */
static int follow(struct feed *feed, int n)
{
    char said[sizeof((struct source_status *)0)->text] = "";
    int changes = 0;
    for (int i = 0; i < 20000 && changes < n; i++) {
        struct source_status status;
        const char *kind;
        feed_status(feed, &status, &kind);
        changes += strcmp(status.text, said) != 0;
        memcpy(said, status.text, sizeof said);
        nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    }
    return changes;
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

/* Returns where the log went before. */
static int log_into(const char *path)
{
    fflush(stderr);
    const int own = dup(STDERR_FILENO), file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    dup2(file, STDERR_FILENO);
    close(file);
    return own;
}

static void log_as_before(int own)
{
    fflush(stderr);
    dup2(own, STDERR_FILENO);
    close(own);
}

/* A directory of three clips, played round and round; one is removed after some of them. */
static void a_loop_says_only_what_is_news(void **state)
{
    (void)state;
    char dir[] = "/tmp/focald-feed-XXXXXX", a[64], b[64], c[64], log[64], spec[64];
    assert_non_null(mkdtemp(dir));
    snprintf(a, sizeof a, "%s/a.wav", dir);
    snprintf(b, sizeof b, "%s/b.wav", dir);
    snprintf(c, sizeof c, "%s/c.wav", dir);
    snprintf(log, sizeof log, "%s/log", dir);
    snprintf(spec, sizeof spec, "file:%s", dir);
    write_clip(a);
    write_clip(b);
    write_clip(c);
    struct config_stream stream = stream_of(spec);
    struct feed *feed;
    struct error error;
    assert_int_equal(feed_create(&feed, &stream, 1.0, &error), 0);
    const int own = log_into(log);
    const int r = feed_start(feed, &error), all = follow(feed, 9);
    unlink(a);
    const int rest = follow(feed, 8);
    feed_destroy(feed);
    log_as_before(own);
    assert_int_equal(r, 0);
    assert_int_equal(all, 9);
    assert_int_equal(rest, 8);
    assert_int_equal(count_lines(log, "playing "), 3);
    assert_int_equal(count_lines(log, "a.wav cannot be played: "), 1);
    unlink(b);
    unlink(c);
    unlink(log);
    assert_int_equal(rmdir(dir), 0);
}

static bool comes_to(struct feed *feed, enum source_state wanted)
{
    for (int i = 0; i < 5000; i++) {
        struct source_status status;
        const char *kind;
        feed_status(feed, &status, &kind);
        if (status.state == wanted)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    }
    return false;
}

/* What is away for long is said once, and so is its return. */
static void a_loop_whose_file_is_away_says_so_once(void **state)
{
    (void)state;
    char dir[] = "/tmp/focald-feed-XXXXXX", a[64], b[64], log[64], spec[80];
    assert_non_null(mkdtemp(dir));
    snprintf(a, sizeof a, "%s/a.wav", dir);
    snprintf(b, sizeof b, "%s/b.wav", dir);
    snprintf(log, sizeof log, "%s/log", dir);
    snprintf(spec, sizeof spec, "file:%s", a);
    write_clip(a);
    struct config_stream stream = stream_of(spec);
    struct feed *feed;
    struct error error;
    assert_int_equal(feed_create(&feed, &stream, 1.0, &error), 0);
    const int own = log_into(log);
    const int r = feed_start(feed, &error);
    const bool began = comes_to(feed, SOURCE_RUNNING);
    rename(a, b);
    const bool waits = comes_to(feed, SOURCE_WAITING);
    nanosleep(&(struct timespec){.tv_sec = 3}, NULL);
    rename(b, a);
    const bool back = comes_to(feed, SOURCE_RUNNING);
    feed_destroy(feed);
    log_as_before(own);
    assert_int_equal(r, 0);
    assert_true(began);
    assert_true(waits);
    assert_true(back);
    assert_int_equal(count_lines(log, "playing "), 2);
    assert_int_equal(count_lines(log, "a.wav cannot be played: No such file"), 1);
    assert_int_equal(count_lines(log, "waiting for "), 1);
    unlink(a);
    unlink(log);
    assert_int_equal(rmdir(dir), 0);
}

static bool is_lossless(const struct config_stream *stream)
{
    struct feed *feed;
    struct error error;
    assert_int_equal(feed_create(&feed, stream, 1.0, &error), 0);
    bool lossless = feed_lossless(feed);
    feed_destroy(feed);
    return lossless;
}

/* Known before the pipeline is made, which waits for a lossless one. */
static void a_fallback_is_as_lossless_as_it_would_be_alone(void **state)
{
    (void)state;
    char dir[] = "/tmp/focald-feed-XXXXXX";
    struct config_stream stream = stream_of("auto");
    assert_non_null(mkdtemp(dir));
    setenv("PIPEWIRE_RUNTIME_DIR", dir, 1); /* no server is here */
    setenv("JACK_DEFAULT_SERVER", "focald-none", 1);
    assert_false(is_lossless(&stream));
    snprintf(stream.fallback, sizeof stream.fallback, "stdin:16000:1");
    assert_true(is_lossless(&stream));
    snprintf(stream.fallback, sizeof stream.fallback, "file:/clips");
    assert_false(is_lossless(&stream));
    stream.fast = true;
    assert_true(is_lossless(&stream));
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
        cmocka_unit_test(a_loop_says_only_what_is_news),
        cmocka_unit_test(a_loop_whose_file_is_away_says_so_once),
        cmocka_unit_test(a_fallback_is_as_lossless_as_it_would_be_alone),
        cmocka_unit_test(a_kind_that_is_none_is_refused_by_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
