/* SPDX-License-Identifier: Apache-2.0
 * What was kept is found again: query, show, play, export, stats, verify, favourite, note, delete,
 * and the same through history.h. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zip.h>

#include <cmocka.h>

#include "tests/viewers/record/pretender.h"
#include "viewers/record/history.h"
#include "viewers/record/place.h"

static struct pretender p;
static struct recorder r;

/* Two streams; in s0 a dog, a rooster and a dog, in s1 rain. */
static int record_some(void **state)
{
    char dir[] = "/tmp/pretender-XXXXXX";
    assert_non_null(mkdtemp(dir));
    pretender_start(&p, dir, 2);
    recorder_prepare(&r, NULL, &p, NULL, "[record]\nlead = 0.2 s\ntail = 0.1 s\n");
    recorder_start(&r, 0);
    pretender_wait(&p);
    pretender_sound(&p, 0, DOG, 0.9, 6);
    pretender_sound(&p, 0, ROOSTER, 0.7, 6);
    pretender_sound(&p, 0, DOG, 0.65, 6);
    pretender_sound(&p, 1, RAIN, 0.8, 6);
    recorder_wait(&r, "SELECT count(*) FROM event", 4);
    recorder_wait(&r, "SELECT sum(kept) FROM tally", 4);
    return recorder_stop(&r);
}

static int clean_up(void **state)
{
    char command[300];
    pretender_stop(&p);
    recorder_clean(&r);
    snprintf(command, sizeof command, "rm -rf '%s'", p.dir);
    return system(command);
}

static int lines(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static void must_list(int n, const char *command)
{
    int status;
    char *text = recorder_run(&r, &status, "query --json %s", command);
    if (status != 0 || lines(text) != n)
        fail_msg("query %s: %d lines, not %d:\n%s", command, lines(text), n, text);
    free(text);
}

static void query_finds_by_label_time_stream_and_probability(void **state)
{
    must_list(4, "");
    must_list(2, "--label dog");
    must_list(2, "-l DOG");
    must_list(0, "--label dogs");
    must_list(1, "--stream s1");
    must_list(2, "--min-p 0.75");
    must_list(1, "--label dog --min-p 0.75 --stream s0");
    must_list(3, "-n 3");
    must_list(4, "--since '10 min'");
    must_list(0, "--until '10 min'");
    must_list(0, "--since 2999-01-01");
    must_list(4, "--since 2020-01-01T00:00:00Z");
    must_list(2, "--text oo --text o --label dog");
    must_list(0, "--text %");
    must_list(0, "--kind continuous");
    must_list(0, "--label \"' OR 1=1 --\"");
}

static void query_prints_what_programs_read(void **state)
{
    char *text = recorder_run(&r, NULL, "query --json --label rooster");
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "stream")), "s0");
    assert_true(json_integer_value(json_object_get(json, "count")) > 0);
    json_decref(json);
    free(text);
    text = recorder_run(&r, NULL, "query --csv");
    assert_int_equal(lines(text), 5);
    assert_int_equal(strncmp(text, "id,kind,stream,label,p_peak,", 28), 0);
    free(text);
}

static void mistakes_are_named(void **state)
{
    static const struct {
        const char *command, *says;
        int status;
    } cases[] = {
        {"", "no command given", 2},
        {"record", "no such command", 2},
        {"query --labl x", "no such option", 2},
        {"query extra", "one word too many", 2},
        {"query --min-p 2", "must be from 0 to 1", 2},
        {"query --since 2026-02-31", "no time", 2},
        {"show", "needs a word more", 2},
        {"show x", "no snippet's number", 2},
        {"show 99", "no such snippet", 1},
        {"play --csv 1", "does not take --csv", 2},
        {"delete 99", "no such snippet", 1},
        {"export", "name a zip file", 2},
        {"export --label none /tmp/none.zip", "nothing to export", 1},
        {"--dir /nonexistent query", "no history there", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status;
        char *text = recorder_run(&r, &status, "%s", cases[i].command);
        if (status != cases[i].status || strstr(text, cases[i].says) == NULL || lines(text) != 1)
            fail_msg("%s: %d %s", cases[i].command, status, text);
        free(text);
    }
}

/* Root may read everything, so that the test becomes somebody else. */
static void a_history_that_may_not_be_read_says_who_may(void **state)
{
    char command[1500], text[500] = "";
    snprintf(command, sizeof command,
             "chmod 0 %s; %s %s --dir %s query 2>&1; s=$?; chmod 750 %s; exit $s", r.history,
             geteuid() == 0 ? "env HOME=/ setpriv --reuid 65534 --clear-groups" : "",
             getenv("FOCAL_RECORD"), r.history, r.history);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    text[fread(text, 1, sizeof text - 1, pipe)] = '\0';
    int status = pclose(pipe);
    if (WEXITSTATUS(status) > 125) {
        print_message("skipped: only root may run %s\n", getenv("FOCAL_RECORD"));
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 1);
    if (strstr(text, "history.db: this user may not read it; be in the group") == NULL)
        fail_msg("%s", text);
}

static void mistakes_in_the_configuration_name_line_and_mend(void **state)
{
    static const struct {
        const char *config, *says;
    } cases[] = {
        {"[record]\nled = 3 s\n", ":6: unknown key \"led\" in [record]; did you mean \"lead\""},
        {"[record]\nlead = soon\n", ":6: lead = \"soon\" in [record]; allowed: a time from 0"},
        {"[record]\nbits = 17\n", "allowed: one of 16 24"},
        {"[label]\nprivate = yes\n", "a label has 1 to 127 bytes"},
        {"[retention]\nmax_size = much\n", "allowed: a size from 0 B to 1000 TB"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status;
        recorder_configure(&r, p.data, cases[i].config);
        char *text = recorder_run(&r, &status, "query");
        if (status != 1 || strstr(text, cases[i].says) == NULL)
            fail_msg("%s: %d %s", cases[i].config, status, text);
        free(text);
    }
    recorder_configure(&r, p.data, "");
}

static void export_writes_clips_pictures_and_a_table(void **state)
{
    char path[300];
    int status, number;
    snprintf(path, sizeof path, "%s/out.zip", r.dir);
    free(recorder_run(&r, &status, "export --label dog %s", path));
    assert_int_equal(status, 0);
    zip_t *zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &number);
    assert_non_null(zip);
    assert_int_equal(zip_get_num_entries(zip, 0), 2 * 3 + 1);
    assert_true(zip_name_locate(zip, "events.csv", 0) >= 0);
    char *input = recorder_text(&r, "SELECT input_file FROM event WHERE label = 'dog'");
    assert_true(zip_name_locate(zip, input, 0) >= 0);
    free(input);
    zip_discard(zip);
    char *again = recorder_run(&r, &status, "export %s", path);
    assert_int_equal(status, 1);
    assert_non_null(strstr(again, "is there already"));
    free(again);
}

/* Files that are gone when they are read, as a recorder deletes old ones while a zip is written. */
static void export_leaves_out_what_is_deleted_meanwhile(void **state)
{
    char path[300], command[900];
    int status, number;
    char *gone = recorder_text(&r, "SELECT audio_file FROM event WHERE id = 2");
    char *last = recorder_text(&r, "SELECT picture_file FROM event WHERE id = 4");
    snprintf(path, sizeof path, "%s/less.zip", r.dir);
    snprintf(command, sizeof command, "cd '%s' && mv '%s' a.saved && mv '%s' b.saved", r.history,
             gone, last);
    assert_int_equal(system(command), 0);
    char *text = recorder_run(&r, &status, "export %s", path);
    snprintf(command, sizeof command, "cd '%s' && mv a.saved '%s' && mv b.saved '%s'", r.history,
             gone, last);
    assert_int_equal(system(command), 0);
    if (status != 0 || strstr(text, "2 files were deleted meanwhile") == NULL)
        fail_msg("%d %s", status, text);
    zip_t *zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &number);
    assert_non_null(zip);
    assert_int_equal(zip_get_num_entries(zip, 0), 4 * 3 - 2 + 1);
    zip_discard(zip);
    free(text);
    free(gone);
    free(last);
}

/* A label track's times fit the file that the label is of. */
static void the_label_track_fits_the_clip(void **state)
{
    char path[300], line[200];
    double begin, end;
    char label[64];
    snprintf(path, sizeof path, "%s/labels.txt", r.dir);
    free(recorder_run(&r, NULL, "export --label rooster --audacity %s", path));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_int_equal(sscanf(line, "%lf\t%lf\t%63[^\n]", &begin, &end, label), 3);
    assert_string_equal(label, "rooster 70%");
    assert_true(begin >= 0.2 - 1e-6 && begin <= 0.2 + 1e-6); /* the lead */
    double length = 6.0 * PRETENDER_HOP / 16000;
    assert_true(end - begin >= length - 1e-5 && end - begin <= length + 1e-5);
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
}

static void play_gives_the_file_to_the_player(void **state)
{
    int status;
    char *input = recorder_text(&r, "SELECT input_file FROM event WHERE id = 1");
    char *audio = recorder_text(&r, "SELECT audio_file FROM event WHERE id = 1");
    char *text = recorder_run(&r, &status, "play 1 --player 'echo playing'");
    assert_int_equal(status, 0);
    assert_true(strncmp(text, "playing ", 8) == 0 && strstr(text, input) != NULL);
    free(text);
    text = recorder_run(&r, &status, "play 1 --interpretation --player echo");
    assert_non_null(strstr(text, audio));
    free(text);
    text = recorder_run(&r, &status, "play 1 --player false");
    assert_int_equal(status, 1);
    free(text);
    free(input);
    free(audio);
}

static void stats_count_by_hour_and_label(void **state)
{
    char path[300];
    int status;
    unsigned char head[8] = {0};
    char *text = recorder_run(&r, &status, "stats --csv");
    assert_int_equal(lines(text), 4);
    assert_non_null(strstr(text, "\ndog,"));
    assert_non_null(strstr(text, ",2,2,0,0,0\r\n"));
    free(text);
    snprintf(path, sizeof path, "%s/stats.png", r.dir);
    free(recorder_run(&r, &status, "stats --png %s", path));
    assert_int_equal(status, 0);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(head, 1, 8, file), 8);
    fclose(file);
    assert_memory_equal(head, "\x89PNG\r\n\x1a\n", 8);
}

static void favourites_and_notes_stay(void **state)
{
    must_list(0, "--favourites");
    free(recorder_run(&r, NULL, "favourite 1 3"));
    must_list(2, "--favourites");
    free(recorder_run(&r, NULL, "favourite 3 --off"));
    must_list(1, "--favourites");
    free(recorder_run(&r, NULL, "note 2 'the neighbour''s'"));
    must_list(1, "--text neighbour");
    free(recorder_run(&r, NULL, "note 2 ''"));
    must_list(0, "--text neighbour");
}

static void write_row(const char *sql)
{
    char path[300];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/history.db", r.history);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* Labels and notes are whatever a daemon or a person has written. */
static void nothing_of_others_steers_the_terminal(void **state)
{
    static const struct {
        const char *command, *says;
    } cases[] = {
        {"query", "\"?[2Jx?y ä\"\n"},
        {"show 2", "note        ?[2Jx?y ä\n"},
        {"stats", "\n??ääääääääääääääääääää       1 "}, /* cut at a whole letter */
    };
    free(recorder_run(&r, NULL, "note 2 \"$(printf '\\033[2Jx\\302\\233y \\303\\244')\""));
    write_row("INSERT INTO tally VALUES ('s0', char(27, 155) || 'ääääääääääääääääääääöö', 0, 1, 0,"
              " 0, 1, 0)");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = recorder_run(&r, NULL, "%s", cases[i].command);
        if (strchr(text, '\033') != NULL || strstr(text, "\302\233") != NULL ||
            strstr(text, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].command, text);
        free(text);
    }
    write_row("DELETE FROM tally WHERE hour = 0");
    free(recorder_run(&r, NULL, "note 2 ''"));
}

/* history.h */

static int count_row(void *user, const struct history_row *row)
{
    int64_t *ids = user;
    ids[++ids[0]] = row->id;
    return 0;
}

static int keep_count(void *user, const struct history_count *c)
{
    struct history_count *ret = user;
    *ret = *c;
    ret->label = ret->stream = ret->day = NULL;
    return 0;
}

static int count_one(void *user, const struct history_span *span)
{
    ++*(int *)user;
    return span->t_to_ns >= span->t_from_ns ? 0 : -1;
}

static void viewers_page_and_count_through_history_h(void **state)
{
    struct history *h;
    struct error error;
    struct history_filter filter = {.limit = 3};
    int64_t ids[10] = {0}, rest[10] = {0};
    char path[600];
    if (history_open(&h, r.history, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(history_query(h, &filter, count_row, ids, &error), 0);
    assert_int_equal(ids[0], 3);
    filter.before_id = ids[3];
    assert_int_equal(history_query(h, &filter, count_row, rest, &error), 0);
    assert_int_equal(rest[0], 1);
    assert_int_equal(ids[1] + ids[2] + ids[3] + rest[1], 1 + 2 + 3 + 4);

    struct history_count count;
    filter = (struct history_filter){.label = "dog"};
    assert_int_equal(history_counts(h, HISTORY_BY_DAY, &filter, keep_count, &count, &error), 0);
    assert_int_equal(count.heard, 2);
    assert_int_equal(count.kept, 2);
    int spans = 0;
    assert_int_equal(history_listening(h, NULL, count_one, &spans, &error), 0);
    assert_int_equal(spans, 2);

    assert_int_equal(history_path(h, "../etc/passwd", path, sizeof path, &error), -EINVAL);
    assert_int_equal(history_path(h, "clips/../../x", path, sizeof path, &error), -EINVAL);
    assert_int_equal(history_path(h, "/etc/passwd", path, sizeof path, &error), -EINVAL);
    assert_int_equal(history_path(h, "clips/x", path, sizeof path, &error), 0);
    history_close(h);
    assert_int_equal(history_open(&h, "/nonexistent", &error), -ENOENT);
}

static void damage(const char *sql, const char *says)
{
    char command[800];
    int status;
    char *file = recorder_text(&r, sql);
    snprintf(command, sizeof command, "f='%s/%s'; cp \"$f\" '%s/saved'; truncate -s -100 \"$f\"",
             r.history, file, r.dir);
    assert_int_equal(system(command), 0);
    char *text = recorder_run(&r, &status, "verify");
    if (status != 1 || strstr(text, says) == NULL)
        fail_msg("%s is damaged, and verify says %d %s", file, status, text);
    free(text);
    snprintf(command, sizeof command, "mv '%s/saved' '%s/%s'", r.dir, r.history, file);
    assert_int_equal(system(command), 0);
    free(file);
}

static void verify_finds_every_damage(void **state)
{
    char command[800];
    int status;
    recorder_must_be_whole(&r);
    damage("SELECT input_file FROM event WHERE id = 2", "2: ");
    damage("SELECT audio_file FROM event WHERE id = 3", "3: ");
    damage("SELECT picture_file FROM event WHERE id = 4", "4: ");
    damage("SELECT thumb_file FROM event WHERE id = 1", "1: ");
    recorder_must_be_whole(&r);
    snprintf(command, sizeof command,
             "cd '%s/clips/'* && touch 20260101T000000.000Z_x_y_1.png && touch mine.txt",
             r.history);
    assert_int_equal(system(command), 0);
    char *text = recorder_run(&r, &status, "verify");
    assert_int_equal(status, 1);
    assert_non_null(strstr(text, "_x_y_1.png: no row has it; the recorder removes it"));
    assert_non_null(strstr(text, "mine.txt: no row has it\n"));
    free(text);
}

/* An index that no query of verify's own reads. Its page is in the file, not in the log. */
static void verify_finds_a_damaged_database(void **state)
{
    char command[900];
    int status;
    write_row("PRAGMA wal_checkpoint(TRUNCATE)");
    int64_t page = recorder_number(&r, "SELECT page_size FROM pragma_page_size");
    int64_t root =
        recorder_number(&r, "SELECT rootpage FROM sqlite_schema WHERE name = 'event_oldest'");
    assert_true(page > 0 && root > 1);
    snprintf(command, sizeof command,
             "cp '%s/history.db' '%s/saved' && dd if=/dev/zero of='%s/history.db' conv=notrunc"
             " bs=%lld seek=%lld count=1 2>/dev/null",
             r.history, r.dir, r.history, (long long)page, (long long)root - 1);
    assert_int_equal(system(command), 0);
    char *text = recorder_run(&r, &status, "verify");
    if (status != 1 || strstr(text, "history.db: ") == NULL ||
        strstr(text, "not all whole") == NULL)
        fail_msg("verify of a damaged index: %d %s", status, text);
    free(text);
    snprintf(command, sizeof command, "cp '%s/saved' '%s/history.db'", r.dir, r.history);
    assert_int_equal(system(command), 0);
    write_row("INSERT INTO gap VALUES (99, 'input', 'source', 0, 0, 0)");
    text = recorder_run(&r, &status, "verify");
    if (status != 1 || strstr(text, "of gap is of a row of event that is not there\n") == NULL)
        fail_msg("verify of an orphan: %d %s", status, text);
    free(text);
    write_row("DELETE FROM gap WHERE event_id = 99");
    recorder_must_be_whole(&r);
}

/* More than a pipe holds, and nobody reads on. */
static FILE *command_that_waits(const char *arguments)
{
    char command[900];
    snprintf(command, sizeof command, "exec %s --config %s --dir %s %s", getenv("FOCAL_RECORD"),
             r.config, r.history, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    struct pollfd printed = {.fd = fileno(pipe), .events = POLLIN};
    assert_int_equal(poll(&printed, 1, 20000), 1);
    return pipe;
}

/* Rows of a stream `many`, more than a pipe holds. */
static void add_many(void)
{
    static const char more[] = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
                               " WHERE i < 5000) ";
    char text[600];
    snprintf(text, sizeof text,
             "%sINSERT INTO event (kind, stream, run, label, p_peak, t_onset_ns, onset, t_first_ns,"
             " first, count, cut, bytes, lost)"
             " SELECT 'event', 'many', 1, 'dog', 1, i, 0, i, 0, 1, 0, 0, 0 FROM n",
             more);
    write_row(text);
    snprintf(text, sizeof text, "%sINSERT INTO tally SELECT 'many', i, 0, 1, 1, 0, 0, 0 FROM n",
             more);
    write_row(text);
}

static void remove_many(void)
{
    write_row("DELETE FROM event WHERE stream = 'many'; DELETE FROM tally WHERE stream = 'many'");
}

static void what_cannot_be_held_is_an_error_and_nothing_is_printed(void **state)
{
    /* a file takes 128 KiB at most: less than the rows, more than SQLite needs to read them */
    static const char *const limits[] = {"trap '' XFSZ; ulimit -f 256", "export TMPDIR=/nowhere"};
    char command[1600], text[1000];
    add_many();
    for (size_t i = 0; i < 2; i++) {
        snprintf(command, sizeof command,
                 "%s; %s --config %s --dir %s query --json 2>&1 >/dev/null | cat; "
                 "%s --config %s --dir %s query --json 2>/dev/null",
                 limits[i], getenv("FOCAL_RECORD"), r.config, r.history, getenv("FOCAL_RECORD"),
                 r.config, r.history);
        FILE *pipe = popen(command, "r");
        assert_non_null(pipe);
        text[fread(text, 1, sizeof text - 1, pipe)] = '\0';
        int status = pclose(pipe);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || lines(text) != 1 ||
            strstr(text, "TMPDIR") == NULL)
            fail_msg("%s: %d\n%s", limits[i], status, text);
    }
    remove_many();
}

static void whoever_reads_slowly_holds_no_recorder(void **state)
{
    static const char *const commands[] = {"query --limit 0", "query --json", "query --csv",
                                           "stats --json", "stats --csv"};
    char text[600], path[300];
    struct place place;
    struct error error;
    sqlite3 *db;
    add_many();
    snprintf(path, sizeof path, "%s/history.db", r.history);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        FILE *pipe = command_that_waits(commands[i]);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db,
                                      "UPDATE tally SET heard = heard + 1 WHERE stream = 'many'",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
        if (sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) !=
            SQLITE_OK)
            fail_msg("%s holds the log: %s", commands[i], sqlite3_errmsg(db));
        sqlite3_close(db);
        pclose(pipe);
    }
    remove_many();

    snprintf(text, sizeof text, "cd '%s/clips/'* && seq -f 'stranger-%%g' 5000 | xargs touch",
             r.history);
    assert_int_equal(system(text), 0);
    FILE *pipe = command_that_waits("verify");
    assert_int_equal(place_look(&place, r.history, &error), 0);
    assert_int_equal(flock(place.commit_fd, LOCK_EX | LOCK_NB), 0);
    place_release(&place);
    pclose(pipe);
    snprintf(text, sizeof text, "cd '%s/clips/'* && rm stranger-*", r.history);
    assert_int_equal(system(text), 0);
    recorder_must_be_whole(&r);
}

/* It removes what is its own and nothing else. */
static void the_next_start_mends(void **state)
{
    char command[800];
    int status;
    char *file = recorder_text(&r, "SELECT picture_file FROM event WHERE id = 4");
    snprintf(command, sizeof command, "rm '%s/%s'", r.history, file);
    assert_int_equal(system(command), 0);
    pretender_drain(&p);
    recorder_start(&r, 0);
    pretender_wait(&p);
    char *text = recorder_run(&r, &status, "verify");
    assert_null(strstr(text, "_x_y_1.png"));
    assert_non_null(strstr(text, "mine.txt"));
    assert_null(strstr(text, "No such file"));
    free(text);
    snprintf(command, sizeof command, "rm '%s/clips/'*/mine.txt", r.history);
    assert_int_equal(system(command), 0);
    recorder_must_be_whole(&r);
    assert_int_equal(recorder_number(&r, "SELECT picture_file IS NULL FROM event WHERE id = 4"), 1);
    assert_int_equal(recorder_stop(&r), 0);
    free(file);
}

static void delete_takes_row_and_files(void **state)
{
    char *file = recorder_text(&r, "SELECT input_file FROM event WHERE id = 1");
    char path[700];
    snprintf(path, sizeof path, "%s/%s", r.history, file);
    assert_int_equal(access(path, F_OK), 0);
    free(recorder_run(&r, NULL, "delete 1"));
    must_list(3, "");
    assert_int_not_equal(access(path, F_OK), 0);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(query_finds_by_label_time_stream_and_probability),
        cmocka_unit_test(query_prints_what_programs_read),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(a_history_that_may_not_be_read_says_who_may),
        cmocka_unit_test(mistakes_in_the_configuration_name_line_and_mend),
        cmocka_unit_test(export_writes_clips_pictures_and_a_table),
        cmocka_unit_test(export_leaves_out_what_is_deleted_meanwhile),
        cmocka_unit_test(the_label_track_fits_the_clip),
        cmocka_unit_test(play_gives_the_file_to_the_player),
        cmocka_unit_test(stats_count_by_hour_and_label),
        cmocka_unit_test(favourites_and_notes_stay),
        cmocka_unit_test(nothing_of_others_steers_the_terminal),
        cmocka_unit_test(viewers_page_and_count_through_history_h),
        cmocka_unit_test(what_cannot_be_held_is_an_error_and_nothing_is_printed),
        cmocka_unit_test(whoever_reads_slowly_holds_no_recorder),
        cmocka_unit_test(verify_finds_a_damaged_database),
        cmocka_unit_test(verify_finds_every_damage),
        cmocka_unit_test(the_next_start_mends),
        cmocka_unit_test(delete_takes_row_and_files),
    };
    return cmocka_run_group_tests(tests, record_some, clean_up);
}
