/* SPDX-License-Identifier: Apache-2.0
 * The recorder is killed two hundred times at random points, while it records three streams and
 * deletes what is old. After each kill: every row has whole files; and after the next start: every
 * file has a row. No row that was there is lost, and of what was recorded in between only the last
 * is: events are numbered, and no number is missing before the newest that was kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/viewers/record/pretender.h"

enum { KILLS = 200, STREAMS = 3 };

static const char config[] = "[record]\nlead = 0.2 s\ntail = 0.1 s\n"
                             "[retention]\nmin_free = 0\nmax_size = 3 MB\n";

/* Rows whose files are missing or not of their size, by the file system alone. */
static void rows_must_have_files(const struct recorder *r, int kill_number)
{
    int status;
    char *text = recorder_run(r, &status, "verify");
    /* strangers are lines without an id before the recorder was started again; rows are not */
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save))
        if (strstr(line, "no row has it") == NULL && strstr(line, "snippets,") == NULL) {
            recorder_print_log(r);
            fail_msg("kill %d: %s", kill_number, line);
        }
    free(text);
}

/* Of the events between the oldest and the newest that are kept none is missing, in each stream,
 * since the recorder was started at `from` of each. */
static void no_number_may_be_missing(const struct recorder *r, const uint64_t from[STREAMS],
                                     int kill_number)
{
    for (int i = 0; i < STREAMS; i++) {
        char *sql;
        assert_true(asprintf(&sql,
                             "SELECT coalesce(max(event) - min(event) + 1 - count(*), 0) FROM event"
                             " WHERE stream = 's%d' AND event > %llu",
                             i, (unsigned long long)from[i]) > 0);
        int64_t missing = recorder_number(r, sql);
        free(sql);
        if (missing != 0)
            fail_msg("kill %d: %lld events of stream %d are missing in the midst", kill_number,
                     (long long)missing, i);
    }
}

static void say_for(struct pretender *p, double duration_s)
{
    double until = seconds() + duration_s;
    for (int i = 0; seconds() < until; i++) {
        int stream = i % STREAMS;
        pretender_quiet(p, stream, 2);
        pretender_onset(p, stream, DOG, 0.9);
        pretender_quiet(p, stream, 2);
        pretender_end(p, stream, DOG, 0.9);
        pretender_quiet(p, stream, 2);
        usleep(3000);
    }
}

static void nothing_but_the_snippet_in_progress_is_lost(void **state)
{
    char dir[] = "/tmp/pretender-XXXXXX";
    struct pretender p;
    struct recorder r;
    unsigned seed = (unsigned)time(NULL);
    int64_t newest = 0, kept = 0;
    const char *given = getenv("SEED");
    seed = given != NULL ? (unsigned)atoi(given) : seed;
    print_message("SEED=%u\n", seed);
    srand(seed);
    assert_non_null(mkdtemp(dir));
    pretender_start(&p, dir, STREAMS);
    recorder_prepare(&r, NULL, &p, NULL, config);
    for (int k = 0; k < KILLS; k++) {
        uint64_t from[STREAMS];
        pretender_drain(&p);
        recorder_start(&r, 0);
        if (k % 10 == 9) { /* some die before they have begun */
            usleep((useconds_t)(rand() % 20000));
            recorder_kill(&r);
            continue;
        }
        pretender_wait(&p);
        for (int i = 0; i < STREAMS; i++)
            from[i] = p.streams[i].event;
        recorder_must_be_whole(&r); /* it has mended what the kill before left */
        say_for(&p, 0.02 + (double)(rand() % 180) / 1000);
        recorder_kill(&r);
        rows_must_have_files(&r, k);
        no_number_may_be_missing(&r, from, k);
        int64_t now = recorder_number(&r, "SELECT coalesce(max(id), 0) FROM event");
        assert_true(now >= newest);
        kept += now - newest;
        newest = now;
    }
    pretender_drain(&p);
    recorder_start(&r, 0);
    pretender_wait(&p);
    recorder_must_be_whole(&r);
    assert_int_equal(recorder_stop(&r), 0);
    recorder_must_be_whole(&r);
    print_message("%lld snippets were kept between %d kills\n", (long long)kept, KILLS);
    assert_true(kept > KILLS);
    pretender_stop(&p);
    recorder_clean(&r);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_but_the_snippet_in_progress_is_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
