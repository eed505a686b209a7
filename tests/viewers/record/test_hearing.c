/* SPDX-License-Identifier: Apache-2.0
 * What a hearing makes of pauses, of crowds, and of clocks that leap. Time is the test's own. */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "viewers/record/hearing.h"

#define HOUR_S INT64_C(3600)

/* Seconds that the wall clock was put forward. */
static int64_t leap_s;

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    int code = (int)syscall(SYS_clock_gettime, clock, ret);
    if (clock == CLOCK_REALTIME)
        ret->tv_sec += leap_s;
    return code;
}

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct stage {
    char dir[64];
    struct settings settings;
    struct writer *writer;
    struct hearing *hearing;
    uint64_t seq;
};

/* Rows and counts are enough here: no files are written. */
static void begin(struct stage *s, const char *rules)
{
    struct error error;
    char path[128], history[128];
    memset(s, 0, sizeof *s);
    snprintf(s->dir, sizeof s->dir, "/tmp/focal-hearing-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(path, sizeof path, "%s/record.conf", s->dir);
    snprintf(history, sizeof history, "%s/history", s->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "[record]\ninput = no\naudio = no\npicture = no\n[retention]\nmin_free = 0\n%s",
            rules);
    assert_int_equal(fclose(file), 0);
    if (settings_load(&s->settings, path, &error) < 0 ||
        writer_create(&s->writer, &s->settings, history, &error) < 0 ||
        hearing_create(&s->hearing, "s", 0, &s->settings, s->writer, &error) < 0)
        fail_msg("%s", error.text);
}

/* Writes all; afterwards the history can be asked. */
static void end(struct stage *s)
{
    hearing_destroy(s->hearing);
    writer_destroy(s->writer);
    settings_finish(&s->settings);
}

static void must_be(const struct stage *s, const char *sql, int64_t wanted)
{
    char path[128];
    sqlite3 *db;
    sqlite3_stmt *q;
    snprintf(path, sizeof path, "%s/history/history.db", s->dir);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int64_t is = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    if (is != wanted)
        fail_msg("%s: %lld, not %lld", sql, (long long)is, (long long)wanted);
}

static void remove_all(struct stage *s)
{
    char command[100];
    leap_s = 0;
    snprintf(command, sizeof command, "rm -rf '%s'", s->dir);
    assert_int_equal(system(command), 0);
}

/* The begin, or the end a second later, of a sound that began at that time. */
static void say(struct stage *s, uint64_t id, const char *label, int64_t t_onset_ns, int ended)
{
    struct error error;
    uint64_t onset = id * 16000;
    json_t *header =
        json_pack("{s:i,s:I,s:b,s:i,s:s,s:f,s:I,s:I,s:I}", "run", 1, "id", (json_int_t)id, "ended",
                  ended, "index", 1, "label", label, "p_peak", 0.9, "onset", (json_int_t)onset,
                  "end", (json_int_t)(onset + 16000), "t_onset_ns", (json_int_t)t_onset_ns);
    char *text = json_dumps(header, JSON_COMPACT);
    assert_non_null(text);
    struct focal_message m = {.topic = "event",
                              .stream = "s",
                              .seq = s->seq++,
                              .first = onset,
                              .count = ended ? 16000 : 0,
                              .t_ns = t_onset_ns,
                              .header = text,
                              .header_bytes = strlen(text),
                              .payload = ""};
    if (hearing_take(s->hearing, &m, &error) < 0)
        fail_msg("%s", error.text);
    free(text);
    json_decref(header);
}

static void pause_of_15_s(struct stage *s)
{
    hearing_tick(s->hearing, now_ns(CLOCK_MONOTONIC) / 1000000 + 16000);
}

static void a_sound_with_a_pause_in_it_is_one_sound(void **state)
{
    static const struct {
        const char *rule, *counted;
        int kept;
    } cases[] = {
        {"", "SELECT kept FROM tally", 1},
        {"[label dog]\nrecord = no\n", "SELECT ruled_out FROM tally", 0},
        {"[label dog]\nprivate = yes\n", "SELECT private FROM tally", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage s;
        int64_t t_ns = now_ns(CLOCK_REALTIME);
        begin(&s, cases[i].rule);
        say(&s, 7, "dog", t_ns, 0);
        pause_of_15_s(&s);
        pause_of_15_s(&s);
        say(&s, 7, "dog", t_ns, 1);
        end(&s);
        must_be(&s, "SELECT count(*) FROM event", cases[i].kept);
        must_be(&s, "SELECT count(*) FROM event WHERE cut AND t_end_ns = t_onset_ns + 1000000000",
                cases[i].kept);
        must_be(&s, "SELECT heard FROM tally", 1);
        must_be(&s, cases[i].counted, 1);
        remove_all(&s);
    }
}

static void more_sounds_at_a_time_than_are_remembered_are_counted_once(void **state)
{
    struct stage s;
    int64_t t_ns = now_ns(CLOCK_REALTIME) / (HOUR_S * 1000000000) * HOUR_S * 1000000000;
    begin(&s, "[label *]\nrecord = no\n");
    for (uint64_t id = 1; id <= 129; id++)
        say(&s, id, "dog", t_ns, 0);
    for (uint64_t id = 2; id <= 129; id++)
        say(&s, id, "dog", t_ns, 1);
    end(&s);
    must_be(&s, "SELECT heard FROM tally", 129);
    remove_all(&s);
}

static void what_lies_across_a_leap_of_the_clock_was_not_heard(void **state)
{
    struct stage s;
    begin(&s, "");
    say(&s, 1, "dog", now_ns(CLOCK_REALTIME), 0);
    leap_s = 8 * HOUR_S; /* the machine slept: its monotonic clock stood still */
    say(&s, 1, "dog", now_ns(CLOCK_REALTIME), 0);
    leap_s = 7 * HOUR_S; /* and was put back */
    say(&s, 1, "dog", now_ns(CLOCK_REALTIME), 0);
    say(&s, 1, "dog", now_ns(CLOCK_REALTIME), 0);
    end(&s);
    must_be(&s, "SELECT count(*) FROM listening", 3);
    must_be(&s, "SELECT count(*) FROM listening WHERE t_to_ns - t_from_ns > 600000000000", 0);
    must_be(&s, "SELECT count(*) FROM listening WHERE t_to_ns < t_from_ns", 0);
    remove_all(&s);
}

static void a_clock_that_is_put_back_does_not_rule_a_label_out(void **state)
{
    struct stage s;
    int64_t t_ns = now_ns(CLOCK_REALTIME), ten_min = 600 * INT64_C(1000000000);
    begin(&s, "[label dog]\ncool_down = 1 h\n");
    say(&s, 1, "dog", t_ns, 1);
    say(&s, 2, "dog", t_ns - ten_min, 1);
    say(&s, 3, "dog", t_ns, 1);
    end(&s);
    must_be(&s, "SELECT count(*) FROM event", 2);
    must_be(&s, "SELECT max(event) FROM event", 2);
    remove_all(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_with_a_pause_in_it_is_one_sound),
        cmocka_unit_test(more_sounds_at_a_time_than_are_remembered_are_counted_once),
        cmocka_unit_test(what_lies_across_a_leap_of_the_clock_was_not_heard),
        cmocka_unit_test(a_clock_that_is_put_back_does_not_rule_a_label_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
