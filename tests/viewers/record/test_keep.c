/* SPDX-License-Identifier: Apache-2.0
 * What is kept of what was heard: the real focal-record, told by a publisher made for it. */
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/viewers/record/pretender.h"

struct stage {
    struct pretender p;
    struct recorder r;
};

static const char short_times[] = "[record]\nlead = 0.5 s\ntail = 0.25 s\n";

static void begin(struct stage *s, int streams, const char *config)
{
    char dir[] = "/tmp/pretender-XXXXXX";
    assert_non_null(mkdtemp(dir));
    pretender_start(&s->p, dir, streams);
    recorder_prepare(&s->r, NULL, &s->p, NULL, config);
    recorder_start(&s->r, 0);
    pretender_wait(&s->p);
}

static void finish(struct stage *s)
{
    char command[300];
    pretender_stop(&s->p);
    recorder_clean(&s->r);
    snprintf(command, sizeof command, "rm -rf '%s'", s->p.dir);
    assert_int_equal(system(command), 0);
}

/* Every sample of a file is what the stream held at its position; 16 bits round by half a step. */
static void must_hold(const struct recorder *r, const char *file, uint64_t first, float gain,
                      uint64_t silent_from, uint64_t silent_to)
{
    size_t n;
    float *samples = recorder_samples(r, file, &n);
    for (size_t i = 0; i < n; i++) {
        uint64_t at = first + i;
        float expected = at >= silent_from && at < silent_to ? 0 : gain * pretender_sample(at);
        if (!(fabsf(samples[i] - expected) <= 1.0f / 32768))
            fail_msg("%s: sample %llu is %g, not %g", file, (unsigned long long)at,
                     (double)samples[i], (double)expected);
    }
    free(samples);
}

static void an_event_becomes_sound_picture_and_row(void **state)
{
    struct stage s;
    begin(&s, 1, short_times);
    uint64_t id = pretender_sound(&s.p, 0, DOG, 0.9, 8);
    uint64_t onset = s.p.streams[0].onset, end = onset + 8 * PRETENDER_HOP;
    recorder_wait(&s.r, "SELECT count(*) FROM event", 1);

    assert_int_equal(recorder_number(&s.r, "SELECT event FROM event"), id);
    assert_int_equal(recorder_number(&s.r, "SELECT run FROM event"), s.p.run);
    assert_int_equal(recorder_number(&s.r, "SELECT onset FROM event"), onset);
    assert_int_equal(recorder_number(&s.r, "SELECT \"end\" FROM event"), end);
    uint64_t first = (uint64_t)recorder_number(&s.r, "SELECT first FROM event");
    assert_int_equal(first, onset - 8000);
    assert_int_equal(recorder_number(&s.r, "SELECT count FROM event"), 8000 + end - onset + 4000);
    assert_int_equal(recorder_number(&s.r, "SELECT t_first_ns FROM event"),
                     s.p.t0_ns + (int64_t)first * 62500);
    assert_int_equal(recorder_number(&s.r, "SELECT lost FROM event"), 0);
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM gap"), 0);
    char *label = recorder_text(&s.r, "SELECT label || model_hash || labels FROM event JOIN model"
                                      " ON model_hash = hash");
    assert_string_equal(label, "dog0123456789abcdef[\"rooster\",\"dog\",\"speech\",\"rain\"]");
    free(label);

    char *input = recorder_text(&s.r, "SELECT input_file FROM event");
    char *audio = recorder_text(&s.r, "SELECT audio_file FROM event");
    must_hold(&s.r, input, first, 1, 0, 0);
    must_hold(&s.r, audio, first, 0.5f, 0, 0);
    free(input);
    free(audio);

    /* the scores are those of the window in which the dog was most probable */
    char *shown = recorder_run(&s.r, NULL, "show 1 --json");
    json_t *json = json_loads(shown, 0, NULL);
    assert_non_null(json);
    json_t *best = json_array_get(json_object_get(json, "scores"), 0);
    assert_string_equal(json_string_value(json_object_get(best, "label")), "dog");
    assert_true(fabs(json_real_value(json_object_get(best, "p")) - 0.9) <= 1e-6);
    assert_true(fabs(json_real_value(json_object_get(best, "p_paper")) - 0.45) <= 1e-6);
    assert_true(fabs(json_real_value(json_object_get(best, "cosine")) - 0.4) <= 1e-6);
    json_decref(json);
    free(shown);
    recorder_must_be_whole(&s.r);
    assert_int_equal(recorder_stop(&s.r), 0);
    finish(&s);
}

/* An unknown sound ends an event, and its scores are published as ever: they are not the event's.
 */
static void scores_are_of_a_window_that_has_a_name(void **state)
{
    static const float named[PRETENDER_CLASSES] = {0, 0.7f}, nameless[PRETENDER_CLASSES] = {0, 1};
    struct stage s;
    begin(&s, 1, "");
    pretender_quiet(&s.p, 0, 10);
    pretender_onset(&s.p, 0, DOG, 0.7);
    for (int i = 0; i < 4; i++)
        pretender_hop(&s.p, 0, named);
    pretender_end(&s.p, 0, DOG, 0.7);
    s.p.unknown = true;
    pretender_hop(&s.p, 0, nameless);
    s.p.unknown = false;
    pretender_quiet(&s.p, 0, 20);
    recorder_wait(&s.r, "SELECT count(*) FROM event WHERE scores IS NOT NULL", 1);
    char *shown = recorder_run(&s.r, NULL, "show 1 --json");
    json_t *json = json_loads(shown, 0, NULL);
    assert_non_null(json);
    double p =
        json_real_value(json_object_get(json_array_get(json_object_get(json, "scores"), 0), "p"));
    if (!(fabs(p - 0.7) <= 1e-6))
        fail_msg("the best score is %g, of a window without a name", p);
    json_decref(json);
    free(shown);
    finish(&s);
}

/* Nobody can say that it was not. */
static void private_sound_without_a_name_is_withheld_too(void **state)
{
    static const float speech[PRETENDER_CLASSES] = {0, 0, 0.5f, 0};
    struct stage s;
    begin(&s, 1, "[record]\nlead = 0.3 s\ntail = 0\n[label speech]\nprivate = yes\n");
    pretender_quiet(&s.p, 0, 30);
    s.p.unknown = true;
    pretender_onset(&s.p, 0, DOG, 0.9);
    for (int i = 0; i < 4; i++)
        pretender_hop(&s.p, 0, speech);
    pretender_end(&s.p, 0, DOG, 0.9);
    s.p.unknown = false;
    pretender_quiet(&s.p, 0, 30);
    recorder_wait(&s.r, "SELECT private FROM tally WHERE label = 'dog'", 1);
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM event"), 0);
    finish(&s);
}

static void twenty_four_bits_are_exact(void **state)
{
    struct stage s;
    begin(&s, 1, "[record]\nlead = 0.1 s\ntail = 0\nbits = 24\naudio = no\n");
    pretender_sound(&s.p, 0, DOG, 0.9, 4);
    recorder_wait(&s.r, "SELECT count(*) FROM event WHERE audio_file IS NULL", 1);
    size_t n;
    char *input = recorder_text(&s.r, "SELECT input_file FROM event");
    float *samples = recorder_samples(&s.r, input, &n);
    uint64_t first = (uint64_t)recorder_number(&s.r, "SELECT first FROM event");
    for (size_t i = 0; i < n; i++)
        assert_true(fabsf(samples[i] - pretender_sample(first + i)) <= 1.0f / 8388608);
    free(samples);
    free(input);
    finish(&s);
}

static void a_lost_message_is_a_gap_and_silence(void **state)
{
    static const float dog[PRETENDER_CLASSES] = {0, 0.9f, 0, 0};
    struct stage s;
    begin(&s, 1, short_times);
    pretender_quiet(&s.p, 0, 12); /* labels and masks come with the tenth */
    pretender_onset(&s.p, 0, DOG, 0.9);
    pretender_hop(&s.p, 0, dog);
    uint64_t lost = s.p.streams[0].position;
    /* a hop that is sent and never arrives: all its topics' numbers are spent */
    for (int i = 0; i < 5; i++)
        pretender_lose(&s.p, 0, (const char *[]){"label", "mask", "spec", "audio", "input"}[i], 1);
    s.p.streams[0].position += PRETENDER_HOP;
    pretender_hop(&s.p, 0, dog);
    pretender_hop(&s.p, 0, dog);
    pretender_end(&s.p, 0, DOG, 0.9);
    pretender_quiet(&s.p, 0, 6);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 1);
    recorder_wait(&s.r, "SELECT count(*) FROM loss", 5);
    assert_int_equal(recorder_number(&s.r, "SELECT sum(messages) FROM loss"), 5);
    assert_int_equal(recorder_number(&s.r, "SELECT first FROM gap WHERE topic = 'input' AND"
                                           " kind = 'messages' AND messages = 1"),
                     lost);
    assert_int_equal(recorder_number(&s.r, "SELECT count FROM gap WHERE topic = 'input'"),
                     PRETENDER_HOP);
    assert_int_equal(recorder_number(&s.r, "SELECT first FROM gap WHERE topic = 'audio'"),
                     lost - PRETENDER_HOP);
    assert_int_equal(recorder_number(&s.r, "SELECT count(DISTINCT topic) FROM gap"), 5);
    assert_int_equal(recorder_number(&s.r, "SELECT lost FROM event"), PRETENDER_HOP);
    uint64_t first = (uint64_t)recorder_number(&s.r, "SELECT first FROM event");
    char *input = recorder_text(&s.r, "SELECT input_file FROM event");
    must_hold(&s.r, input, first, 1, lost, lost + PRETENDER_HOP);
    free(input);
    recorder_must_be_whole(&s.r);
    finish(&s);
}

static void samples_that_the_source_never_had_are_told(void **state)
{
    struct stage s;
    float zeros[PRETENDER_HOP] = {0};
    begin(&s, 1, "[record]\nlead = 0.5 s\ntail = 0.25 s\naudio = no\n");
    pretender_quiet(&s.p, 0, 6);
    pretender_onset(&s.p, 0, DOG, 0.9);
    pretender_say(&s.p, 0, "input", s.p.streams[0].position, PRETENDER_HOP,
                  json_pack("{s:i,s:i}", "rate_hz", 16000, "lost", 700), zeros, sizeof zeros);
    s.p.streams[0].position += PRETENDER_HOP;
    pretender_quiet(&s.p, 0, 2);
    pretender_end(&s.p, 0, DOG, 0.9);
    pretender_quiet(&s.p, 0, 6);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 1);
    assert_int_equal(recorder_number(&s.r, "SELECT lost FROM event"), 700);
    assert_int_equal(recorder_number(&s.r, "SELECT count FROM gap WHERE kind = 'source'"),
                     PRETENDER_HOP);
    finish(&s);
}

static void a_private_label_leaves_a_count_and_nothing_else(void **state)
{
    struct stage s;
    begin(&s, 1, "[record]\nlead = 0.5 s\ntail = 0.25 s\n[label Speech]\nprivate = yes\n");
    pretender_sound(&s.p, 0, SPEECH, 0.9, 6);
    pretender_quiet(&s.p, 0, 20);
    pretender_sound(&s.p, 0, DOG, 0.9, 6);
    pretender_quiet(&s.p, 0, 20);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 1);
    recorder_wait(&s.r, "SELECT private FROM tally WHERE label = 'speech'", 1);
    assert_int_equal(recorder_number(&s.r, "SELECT heard FROM tally WHERE label = 'speech'"), 1);
    assert_int_equal(recorder_number(&s.r, "SELECT kept FROM tally WHERE label = 'speech'"), 0);
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM event WHERE label = 'speech'"), 0);
    char *files =
        recorder_run(&s.r, NULL, "query --json >/dev/null; find %s -name '*speech*'", s.r.history);
    assert_string_equal(files, "");
    free(files);
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM gap WHERE kind = 'private'"), 0);
    finish(&s);
}

static void a_rule_for_what_the_model_does_not_know_is_told(void **state)
{
    static const char *const lines[] = {
        "s0: the model there has no such labels, so these sections do nothing: [label talk], "
        "[label a b]",
        "s1: the model there has no such labels, so these sections do nothing: [label talk], "
        "[label a b]"};
    struct stage s;
    bool told[2] = {false};
    begin(&s, 2, "[label talk]\nprivate = yes\n[label Rooster]\n[label a b]\nrecord = no\n");
    for (int i = 0; i < 600 && !(told[0] && told[1]); i++)
        for (int stream = 0; stream < 2; stream++) {
            pretender_quiet(&s.p, stream, 1);
            told[stream] = recorder_logged(&s.r, lines[stream]);
        }
    assert_true(told[0] && told[1]);
    assert_false(recorder_logged(&s.r, "label Rooster"));
    finish(&s);
}

/* A dog barks while somebody speaks: every window that holds speech is withheld from the dog's
 * snippet and from the continuous recording. */
static void private_sound_is_in_nobody_elses_snippet(void **state)
{
    static const float both[PRETENDER_CLASSES] = {0, 0.7f, 0.3f, 0};
    struct stage s;
    begin(&s, 1,
          "[record]\nlead = 2 s\ntail = 2 s\ncontinuous = *\nchunk = 5 s\n"
          "[label speech]\nprivate = yes\n");
    pretender_quiet(&s.p, 0, 40);
    pretender_onset(&s.p, 0, DOG, 0.9);
    uint64_t from = s.p.streams[0].position + PRETENDER_HOP - PRETENDER_WINDOW;
    pretender_hop(&s.p, 0, both);
    pretender_hop(&s.p, 0, both);
    uint64_t to = s.p.streams[0].position;
    pretender_quiet(&s.p, 0, 1);
    pretender_end(&s.p, 0, DOG, 0.9);
    pretender_quiet(&s.p, 0, 80);
    recorder_wait(&s.r, "SELECT count(*) FROM event WHERE kind = 'event'", 1);
    recorder_wait(&s.r, "SELECT count(*) FROM event WHERE kind = 'continuous'", 2);
    assert_int_equal(recorder_number(&s.r,
                                     "SELECT gap.first FROM gap JOIN event ON event_id = id WHERE"
                                     " gap.kind = 'private' AND event.kind = 'event'"),
                     from);
    char *sql = NULL;
    for (int row = 1; row <= 3; row++) {
        assert_true(asprintf(&sql, "SELECT first FROM event WHERE id = %d", row) > 0);
        uint64_t first = (uint64_t)recorder_number(&s.r, sql);
        free(sql);
        assert_true(asprintf(&sql, "SELECT input_file FROM event WHERE id = %d", row) > 0);
        char *input = recorder_text(&s.r, sql);
        free(sql);
        must_hold(&s.r, input, first, 1, from, to);
        free(input);
        assert_true(asprintf(&sql, "SELECT audio_file FROM event WHERE id = %d", row) > 0);
        char *audio = recorder_text(&s.r, sql);
        free(sql);
        must_hold(&s.r, audio, first, 0.5f, from, to);
        free(audio);
    }
    finish(&s);
}

/* Windows that never came may have heard anything. */
static void what_no_window_judged_is_withheld_where_something_is_private(void **state)
{
    static const float dog[PRETENDER_CLASSES] = {0, 0.9f, 0, 0};
    struct stage s;
    begin(&s, 1, "[record]\nlead = 0.5 s\ntail = 0.25 s\n[label speech]\nprivate = yes\n");
    pretender_quiet(&s.p, 0, 30);
    pretender_onset(&s.p, 0, DOG, 0.9);
    pretender_hop(&s.p, 0, dog);
    pretender_lose(&s.p, 0, "label", 3);
    pretender_hop(&s.p, 0, dog);
    uint64_t to = s.p.streams[0].position;
    pretender_end(&s.p, 0, DOG, 0.9);
    pretender_quiet(&s.p, 0, 30);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 1);
    uint64_t first = (uint64_t)recorder_number(&s.r, "SELECT first FROM event");
    char *input = recorder_text(&s.r, "SELECT input_file FROM event");
    must_hold(&s.r, input, first, 1, 0, to);
    free(input);
    assert_true(recorder_number(&s.r, "SELECT count(*) FROM gap WHERE kind = 'private'") > 0);
    finish(&s);
}

static void rules_by_label_hold(void **state)
{
    struct stage s;
    begin(&s, 1,
          "[record]\nlead = 0.1 s\ntail = 0\n"
          "[label rain]\nrecord = no\n"
          "[label dog]\nmin_length = 0.5 s\n" /* a hop is 0.116 s */
          "[label *]\nmin_probability = 0.6\n"
          "[label rooster]\ncool_down = 3 s\n");
    pretender_sound(&s.p, 0, RAIN, 0.9, 6);    /* off */
    pretender_sound(&s.p, 0, DOG, 0.9, 4);     /* too short */
    pretender_sound(&s.p, 0, DOG, 0.55, 6);    /* too improbable, by [label *] */
    pretender_sound(&s.p, 0, DOG, 0.9, 5);     /* kept */
    pretender_sound(&s.p, 0, ROOSTER, 0.9, 2); /* kept */
    pretender_sound(&s.p, 0, ROOSTER, 0.9, 2); /* cools down */
    pretender_quiet(&s.p, 0, 26);
    pretender_sound(&s.p, 0, ROOSTER, 0.9, 2); /* kept */
    recorder_wait(&s.r, "SELECT count(*) FROM event", 3);
    recorder_wait(&s.r, "SELECT sum(heard) FROM tally", 7);
    assert_int_equal(recorder_stop(&s.r), 0);
    char *events = recorder_text(&s.r, "SELECT group_concat(event, ' ') FROM"
                                       " (SELECT event FROM event ORDER BY id)");
    assert_string_equal(events, "4 5 7");
    free(events);
    char *tally = recorder_text(
        &s.r, "SELECT group_concat(label || ' ' || h || ' ' || k || ' ' || r, ', ') FROM (SELECT"
              " label, sum(heard) h, sum(kept) k, sum(ruled_out) r FROM tally GROUP BY label)");
    assert_string_equal(tally, "dog 3 1 2, rain 1 0 1, rooster 3 2 1");
    free(tally);
    finish(&s);
}

/* It has rained for longer than max_length, and goes on. */
static void rain_on(struct stage *s)
{
    static const float rain[PRETENDER_CLASSES] = {0, 0, 0, 0.9f};
    pretender_quiet(&s->p, 0, 6);
    pretender_onset(&s->p, 0, RAIN, 0.8);
    for (int i = 0; i < 20; i++)
        pretender_hop(&s->p, 0, rain);
    recorder_wait(&s->r, "SELECT count(*) FROM event WHERE cut = 1 AND t_end_ns IS NULL", 1);
}

static void a_long_event_is_cut_and_its_end_is_told(void **state)
{
    struct stage s;
    begin(&s, 1, "[record]\nlead = 0.5 s\ntail = 0.25 s\nmax_length = 1 s\n");
    rain_on(&s);
    assert_int_equal(recorder_number(&s.r, "SELECT count FROM event"), 24000);
    pretender_end(&s.p, 0, RAIN, 0.95);
    recorder_wait(&s.r, "SELECT \"end\" FROM event", (int64_t)s.p.streams[0].position);
    assert_int_equal(recorder_number(&s.r, "SELECT round(100 * p_peak) FROM event"), 95);
    assert_int_equal(recorder_number(&s.r, "SELECT sum(heard) FROM tally"), 1);
    assert_int_equal(recorder_stop(&s.r), 0);
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM event"), 1);
    finish(&s);
}

static void a_daemon_that_starts_anew_begins_another_timeline(void **state)
{
    struct stage s;
    begin(&s, 1, short_times);
    pretender_sound(&s.p, 0, DOG, 0.9, 6);
    pretender_quiet(&s.p, 0, 4);
    pretender_onset(&s.p, 0, DOG, 0.9);
    pretender_quiet(&s.p, 0, 4); /* it dies while a dog barks */
    s.p.run += 1000;
    memset(s.p.streams[0].seq, 0, sizeof s.p.streams[0].seq);
    s.p.streams[0].position = s.p.streams[0].event = 0;
    pretender_info(&s.p, 0);
    pretender_sound(&s.p, 0, DOG, 0.9, 6);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 3);
    assert_int_equal(recorder_number(&s.r, "SELECT count(DISTINCT run) FROM event"), 2);
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM event WHERE t_end_ns IS NULL"), 1);
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM loss"), 0);
    assert_int_equal(recorder_number(&s.r, "SELECT lost FROM event WHERE id = 3"), 0);
    uint64_t first = (uint64_t)recorder_number(&s.r, "SELECT first FROM event WHERE id = 3");
    char *input = recorder_text(&s.r, "SELECT input_file FROM event WHERE id = 3");
    must_hold(&s.r, input, first, 1, 0, 0);
    free(input);
    recorder_must_be_whole(&s.r);
    finish(&s);
}

static void continuous_pieces_join_without_a_gap(void **state)
{
    struct stage s;
    begin(&s, 2,
          "[record]\ncontinuous = s1\nchunk = 5 s\npicture = no\ntail = 0\n"
          "[label rain]\nrecord = no\n");
    for (int i = 0; i < 150; i++) {
        if (i == 140)
            pretender_onset(&s.p, 1, RAIN, 0.9);
        pretender_quiet(&s.p, 0, 1);
        pretender_quiet(&s.p, 1, 1);
    }
    uint64_t end = s.p.streams[1].position;
    pretender_end(&s.p, 1, RAIN, 0.9); /* once it is counted all before it was heard */
    recorder_wait(&s.r, "SELECT coalesce(sum(ruled_out), 0) FROM tally", 1);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 3);
    assert_int_equal(recorder_stop(&s.r), 0); /* writes the piece under way */
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM event WHERE stream <> 's1' OR kind"
                                           " <> 'continuous' OR lost > 0 AND id < 4"),
                     0);
    assert_int_equal(recorder_number(&s.r, "SELECT sum(count) FROM event"), end);
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM event a JOIN event b ON"
                                           " a.first + a.count = b.first"),
                     recorder_number(&s.r, "SELECT count(*) - 1 FROM event"));
    recorder_must_be_whole(&s.r);
    finish(&s);
}

static void only_the_streams_that_are_named_are_recorded(void **state)
{
    struct stage s;
    begin(&s, 12, "[record]\nstreams = s1, s3\nlead = 0.1 s\ntail = 0\n");
    for (int i = 0; i < 12; i++)
        pretender_sound(&s.p, i, DOG, 0.9, 4);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 2);
    assert_int_equal(recorder_stop(&s.r), 0);
    char *streams = recorder_text(&s.r, "SELECT group_concat(stream, ' ') FROM"
                                        " (SELECT DISTINCT stream FROM listening ORDER BY 1)");
    assert_string_equal(streams, "s1 s3"); /* and not s10, which begins alike */
    free(streams);
    finish(&s);
}

static uint64_t sound_of(struct pretender *p, const struct recorder *r, int64_t n)
{
    uint64_t id = pretender_sound(p, 0, DOG, 0.9, 4);
    recorder_wait(r, "SELECT count(*) FROM event", n);
    return id;
}

/* Of two daemons the user's is heard, whenever it comes, and the system's while it is away. In a
 * place where /run is the test's own. */
static void the_daemon_that_is_to_be_heard_is_found_whenever_it_comes(void **state)
{
    struct pretender user, system_wide;
    struct recorder r;
    char runtime[] = "/tmp/pretender-XXXXXX", directory[64], path[80];
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/run", "tmpfs", 0, "size=4m") < 0) {
        print_message("skipped: a /run of its own needs root\n");
        skip();
    }
    assert_non_null(mkdtemp(runtime));
    snprintf(directory, sizeof directory, "%s/focald", runtime);
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(mkdir("/run/focald", 0700), 0);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", runtime, 1), 0);
    unsetenv("FOCALD_DATA");
    recorder_prepare(&r, NULL, NULL, "", short_times);
    recorder_start(&r, 0); /* where there is none yet */
    recorder_wait(&r, "SELECT count(*) FROM event", 0);
    pretender_start(&system_wide, "/run/focald", 1);
    pretender_wait(&system_wide);
    sound_of(&system_wide, &r, 1);
    pretender_start(&user, directory, 1);
    pretender_wait(&user);
    sound_of(&user, &r, 2);
    assert_int_equal(recorder_number(&r, "SELECT run FROM event WHERE id = 2"), user.run);
    pretender_stop(&user);
    snprintf(path, sizeof path, "%s/data", directory);
    assert_int_equal(unlink(path), 0); /* as focald does when it ends */
    pretender_drain(&system_wide);
    pretender_wait(&system_wide);
    sound_of(&system_wide, &r, 3);
    pretender_stop(&system_wide);
    recorder_clean(&r);
    rmdir(directory);
    rmdir(runtime);
    umount("/run");
}

/* Somebody holds the database for longer than a writer waits: a backup, say. */
static void wait_until_it_gave_up(const struct stage *s, sqlite3 *db)
{
    recorder_wait_log(&s->r, "database is locked");
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* The model is told once only. The trouble is over though nothing is heard yet. */
static void a_model_that_a_busy_database_could_not_take_is_written_later(void **state)
{
    struct stage s;
    char dir[] = "/tmp/pretender-XXXXXX";
    assert_non_null(mkdtemp(dir));
    pretender_start(&s.p, dir, 1);
    recorder_prepare(&s.r, NULL, &s.p, NULL, short_times);
    recorder_start(&s.r, 0);
    recorder_wait_log(&s.r, "the history is in"); /* it has begun: its own writing is over */
    sqlite3 *db = recorder_lock(&s.r);
    pretender_wait(&s.p); /* and says its info */
    wait_until_it_gave_up(&s, db);
    recorder_wait(&s.r, "SELECT count(*) FROM model", 1);
    recorder_wait_log(&s.r, "recording again");
    pretender_sound(&s.p, 0, DOG, 0.9, 8);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 1);
    char *shown = recorder_run(&s.r, NULL, "show 1");
    const char *best = strstr(shown, "90.0 %  cosine");
    assert_non_null(best);
    assert_non_null(strstr(best, "dog\n"));
    free(shown);
    finish(&s);
}

static void an_end_that_a_busy_database_could_not_take_is_written_later(void **state)
{
    struct stage s;
    begin(&s, 1, "[record]\nlead = 0.5 s\nmax_length = 1 s\n");
    rain_on(&s);
    sqlite3 *db = recorder_lock(&s.r);
    pretender_end(&s.p, 0, RAIN, 0.8);
    wait_until_it_gave_up(&s, db);
    recorder_wait(&s.r, "SELECT \"end\" FROM event", (int64_t)s.p.streams[0].position);
    finish(&s);
}

/* What refuses a row here is a trigger; a constraint does the same. */
static void a_row_that_the_history_refuses_holds_no_other_up(void **state)
{
    struct stage s;
    char dir[] = "/tmp/pretender-XXXXXX";
    assert_non_null(mkdtemp(dir));
    pretender_start(&s.p, dir, 1);
    recorder_prepare(&s.r, NULL, &s.p, NULL, short_times);
    recorder_start(&s.r, 0);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 0);
    sqlite3 *db = recorder_lock(&s.r);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TRIGGER no_model BEFORE INSERT ON model"
                                  " BEGIN SELECT RAISE (ABORT, 'no models here'); END; COMMIT",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    pretender_wait(&s.p); /* and says its info */
    for (int i = 0; i < 3; i++)
        pretender_sound(&s.p, 0, DOG, 0.9, 8);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 3);
    recorder_wait_log(&s.r, "no models here");
    assert_int_equal(recorder_stop(&s.r), 0);
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM listening"), 1);
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM model"), 0);
    finish(&s);
}

static void what_a_busy_database_could_not_take_at_the_end_is_told(void **state)
{
    struct stage s;
    begin(&s, 1, short_times);
    pretender_sound(&s.p, 0, DOG, 0.9, 8);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 1);
    sqlite3 *db = recorder_lock(&s.r);
    pretender_quiet(&s.p, 0, 8);
    kill(s.r.pid, SIGTERM);
    recorder_wait_log(&s.r, "not written before the end: 0 snippets, 1 other rows");
    sqlite3_close(db);
    assert_int_equal(recorder_stop(&s.r), 0);
    finish(&s);
}

static void a_second_recorder_is_refused(void **state)
{
    struct stage s;
    int status;
    begin(&s, 1, short_times);
    char *text = recorder_run(&s.r, &status, "run");
    assert_int_equal(status, 1);
    assert_non_null(strstr(text, "another recorder"));
    free(text);
    finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_becomes_sound_picture_and_row),
        cmocka_unit_test(scores_are_of_a_window_that_has_a_name),
        cmocka_unit_test(private_sound_without_a_name_is_withheld_too),
        cmocka_unit_test(twenty_four_bits_are_exact),
        cmocka_unit_test(a_lost_message_is_a_gap_and_silence),
        cmocka_unit_test(samples_that_the_source_never_had_are_told),
        cmocka_unit_test(a_private_label_leaves_a_count_and_nothing_else),
        cmocka_unit_test(a_rule_for_what_the_model_does_not_know_is_told),
        cmocka_unit_test(private_sound_is_in_nobody_elses_snippet),
        cmocka_unit_test(what_no_window_judged_is_withheld_where_something_is_private),
        cmocka_unit_test(rules_by_label_hold),
        cmocka_unit_test(a_long_event_is_cut_and_its_end_is_told),
        cmocka_unit_test(a_daemon_that_starts_anew_begins_another_timeline),
        cmocka_unit_test(continuous_pieces_join_without_a_gap),
        cmocka_unit_test(only_the_streams_that_are_named_are_recorded),
        cmocka_unit_test(a_model_that_a_busy_database_could_not_take_is_written_later),
        cmocka_unit_test(an_end_that_a_busy_database_could_not_take_is_written_later),
        cmocka_unit_test(a_row_that_the_history_refuses_holds_no_other_up),
        cmocka_unit_test(what_a_busy_database_could_not_take_at_the_end_is_told),
        cmocka_unit_test(a_second_recorder_is_refused),
        cmocka_unit_test(the_daemon_that_is_to_be_heard_is_found_whenever_it_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
