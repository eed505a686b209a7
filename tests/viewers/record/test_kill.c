/* SPDX-License-Identifier: Apache-2.0
 * The recorder is killed two hundred times at random points, while it records three streams and
 * deletes what is old. After each kill: every row has whole files; files of one snippet at most are
 * on their way; and after the next start: every file has a row. No row that was there is lost.
 * Events are numbered: where sounds come one after the other, one number at most is missing, and
 * where more comes than can be written, none is missing before the newest that was kept. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/viewers/record/pretender.h"
#include "viewers/record/place.h"

enum { KILLS = 200, STREAMS = 3 };

#define NEWEST "SELECT coalesce(max(id), 0) FROM event"

static const char config[] = "[record]\nlead = 0.2 s\ntail = 0.1 s\n"
                             "[retention]\nmin_free = 0\nmax_size = 1500 kB\n";

struct seen {
    sqlite3 *db;
    sqlite3_stmt *find;
    bool strangers; /* are a mistake */
    int64_t files;
};

static int see_file(void *user, const char *file, struct error *error)
{
    struct seen *seen = user;
    sqlite3_bind_text(seen->find, 1, file, -1, SQLITE_TRANSIENT);
    int step = sqlite3_step(seen->find);
    sqlite3_reset(seen->find);
    if (step == SQLITE_ROW)
        seen->files++;
    else if (seen->strangers)
        fail_msg("%s has no row", file);
    return 0;
}

static int64_t number_of(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return value;
}

/* Every row's files have the bytes that were written: they are whole, as they appear by a rename.
 */
static void rows_must_have_whole_files(const struct recorder *r, sqlite3 *db)
{
    sqlite3_stmt *q;
    assert_int_equal(
        sqlite3_prepare_v2(
            db, "SELECT bytes, input_file, audio_file, picture_file, thumb_file FROM event", -1, &q,
            NULL),
        SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW) {
        int64_t bytes = 0;
        for (int i = 1; i < 5; i++) {
            char path[700];
            struct stat st;
            snprintf(path, sizeof path, "%s/%s", r->history, sqlite3_column_text(q, i));
            if (stat(path, &st) < 0)
                fail_msg("%s is not there, and has a row", path);
            bytes += st.st_size;
        }
        assert_int_equal(bytes, sqlite3_column_int64(q, 0));
    }
    sqlite3_finalize(q);
}

/* Compares rows and files as they are; beside a recorder, between its changes. */
static void must_agree(const struct recorder *r, bool strangers)
{
    struct seen seen = {.strangers = strangers};
    struct place place;
    struct error error;
    char path[300];
    if (place_look(&place, r->history, &error) < 0)
        return; /* killed before it had made its directory */
    assert_int_equal(place_commit_begin(&place, 0, &error), 0);
    snprintf(path, sizeof path, "%s/history.db", r->history);
    if (sqlite3_open_v2(path, &seen.db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(seen.db, 10000) == SQLITE_OK &&
        sqlite3_prepare_v2(seen.db,
                           "SELECT 1 FROM event WHERE ?1 IN (input_file, audio_file,"
                           " picture_file, thumb_file)",
                           -1, &seen.find, NULL) == SQLITE_OK) {
        rows_must_have_whole_files(r, seen.db);
        assert_int_equal(place_walk(&place, see_file, &seen, &error), 0);
        assert_int_equal(seen.files, 4 * number_of(seen.db, "SELECT count(*) FROM event"));
        sqlite3_finalize(seen.find);
    }
    sqlite3_close(seen.db);
    place_commit_end(&place);
    place_release(&place);
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

/* A snippet's files have all their names but the ending in common. */
static void one_snippet_at_most_is_on_its_way(const struct recorder *r, int kill_number)
{
    char path[300], stem[256] = "";
    snprintf(path, sizeof path, "%s/incoming", r->history);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        size_t n = strlen(e->d_name) - strlen(strchr(e->d_name, 'Z'));
        n += strcspn(e->d_name + n, ".");
        if (stem[0] == '\0')
            snprintf(stem, sizeof stem, "%.*s", (int)n, e->d_name);
        else if (strlen(stem) != n || memcmp(stem, e->d_name, n) != 0)
            fail_msg("kill %d: %s... and %s were written at once", kill_number, stem, e->d_name);
    }
    if (dir != NULL)
        closedir(dir);
}

static int64_t newest_of(const struct recorder *r, int stream)
{
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT coalesce(max(event), 0) FROM event WHERE stream = 's%d'",
             stream);
    return recorder_number(r, sql);
}

/* Of what was said since `from` of each stream, the number of events without a row. */
static int64_t said_and_not_kept(const struct pretender *p, const struct recorder *r,
                                 const uint64_t from[STREAMS])
{
    int64_t n = 0;
    for (int i = 0; i < STREAMS; i++) {
        int64_t kept = newest_of(r, i), before = (int64_t)from[i];
        n += (int64_t)p->streams[i].event - (kept > before ? kept : before);
    }
    return n;
}

static void say(struct pretender *p, int stream)
{
    pretender_quiet(p, stream, 2);
    pretender_onset(p, stream, DOG, 0.9);
    pretender_quiet(p, stream, 2);
    pretender_end(p, stream, DOG, 0.9);
    pretender_quiet(p, stream, 2);
}

/* Sounds until so many more snippets are kept, and then for a moment more. */
static void say_until(struct pretender *p, const struct recorder *r, int64_t newest, int more,
                      double moment_s)
{
    double give_up = seconds() + 60;
    for (int i = 0; recorder_number(r, NEWEST) < newest + more; i++) {
        say(p, i % STREAMS);
        usleep(20000);
        if (seconds() > give_up) {
            recorder_print_log(r);
            fail_msg("nothing is kept any more");
        }
    }
    double until = seconds() + moment_s;
    for (int i = 0; seconds() < until; i++) {
        say(p, i % STREAMS);
        usleep(2000);
    }
}

/* Brings all streams to the same time: what is kept of one that lags behind would be the oldest,
 * and go first for what comes. */
static void catch_up(struct pretender *p)
{
    uint64_t newest = 0;
    for (int i = 0; i < STREAMS; i++)
        newest = p->streams[i].position > newest ? p->streams[i].position : newest;
    for (int i = 0; i < STREAMS; i++)
        while (p->streams[i].position < newest)
            pretender_quiet(p, i, 1);
}

/* The next sound comes when the one before is kept, until so many more are, and one more. */
static void say_one_by_one(struct pretender *p, const struct recorder *r, int more, double moment_s)
{
    for (int i = 0; i < more; i++) {
        double give_up = seconds() + 60;
        catch_up(p);
        say(p, i % STREAMS);
        while (newest_of(r, i % STREAMS) < (int64_t)p->streams[i % STREAMS].event) {
            usleep(1000);
            if (seconds() > give_up) {
                recorder_print_log(r);
                fail_msg("nothing is kept any more");
            }
        }
    }
    catch_up(p);
    say(p, more % STREAMS);
    usleep((useconds_t)(moment_s * 1e6));
}

/* Starts it, sees that it has mended what the kill before left, and kills it while it records. */
static void record_and_kill(struct pretender *p, struct recorder *r, int kill_number)
{
    uint64_t from[STREAMS];
    bool one_by_one = kill_number % 2 == 0;
    int64_t newest = recorder_number(r, NEWEST);
    double moment_s = (double)(rand() % 60) / 1000;
    pretender_wait(p);
    for (int i = 0; i < STREAMS; i++)
        from[i] = p->streams[i].event;
    must_agree(r, true);
    if (one_by_one)
        say_one_by_one(p, r, rand() % 4, moment_s);
    else
        say_until(p, r, newest > 0 ? newest : 0, rand() % 4, moment_s);
    recorder_kill(r);
    must_agree(r, false);
    one_snippet_at_most_is_on_its_way(r, kill_number);
    no_number_may_be_missing(r, from, kill_number);
    if (one_by_one && said_and_not_kept(p, r, from) > 1)
        fail_msg("kill %d: more than the snippet in progress is lost", kill_number);
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
        pretender_drain(&p);
        recorder_start(&r, 0);
        if (k % 10 == 9) { /* some die before they have begun */
            usleep((useconds_t)(rand() % 20000));
            recorder_kill(&r);
            continue;
        }
        record_and_kill(&p, &r, k);
        int64_t now = recorder_number(&r, NEWEST);
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
