/* SPDX-License-Identifier: Apache-2.0
 * What the history keeps where the file system, the disk or somebody else is in the way. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "viewers/record/retention.h"
#include "viewers/record/store.h"

enum { BYTES = 100000, FREE = 1000 * BYTES, ROWS = 10 };

/* A file system that frees lazily: what is deleted does not show. */
int statvfs(const char *path, struct statvfs *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->f_frsize = BYTES;
    ret->f_bavail = FREE / BYTES;
    return 0;
}

struct stage {
    char dir[64];
    struct place place;
    struct store *store;
};

static void name_of(int number, char ret[PLACE_FILE_BYTES])
{
    snprintf(ret, PLACE_FILE_BYTES, "clips/2026-11-28/20261128T1200%02d.000Z_s_dog_%d.input.flac",
             number, number);
}

static void path_of(const struct stage *s, int number, char ret[PLACE_PATH_BYTES])
{
    char file[PLACE_FILE_BYTES];
    name_of(number, file);
    snprintf(ret, PLACE_PATH_BYTES, "%s/%s", s->dir, file);
}

/* Rows from 1 on, the oldest first, with a file each. */
static void begin(struct stage *s)
{
    struct error error;
    char path[PLACE_PATH_BYTES], file[PLACE_FILE_BYTES];
    snprintf(s->dir, sizeof s->dir, "/tmp/focal-store-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    assert_int_equal(place_hold(&s->place, s->dir, &error), 0);
    assert_int_equal(store_open(&s->store, &s->place, 1, &error), 0);
    snprintf(path, sizeof path, "%s/clips/2026-11-28", s->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    for (int i = 1; i <= ROWS; i++) {
        struct snippet snippet = {.stream = "s", .label = "dog", .run = 1, .count = 16000};
        struct store_files files = {.input = file, .bytes = BYTES};
        name_of(i, file);
        path_of(s, i, path);
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_int_equal(ftruncate(fileno(out), BYTES), 0);
        fclose(out);
        snippet.event = (uint64_t)i;
        snippet.t_first_ns = snippet.t_onset_ns = i;
        assert_int_equal(store_snippet(s->store, &snippet, &files, &error), 0);
    }
}

static void finish(struct stage *s)
{
    char command[100];
    store_close(s->store);
    place_release(&s->place);
    snprintf(command, sizeof command, "rm -rf '%s'", s->dir);
    assert_int_equal(system(command), 0);
}

static bool is_there(const struct stage *s, int number)
{
    char path[PLACE_PATH_BYTES];
    path_of(s, number, path);
    return access(path, F_OK) == 0;
}

static int n_there(const struct stage *s)
{
    int n = 0;
    for (int i = 1; i <= ROWS; i++)
        n += is_there(s, i);
    return n;
}

static void space_that_is_freed_lazily_does_not_cost_the_history(void **state)
{
    struct stage s;
    struct error error;
    struct settings settings = {.min_free_bytes = FREE + 2.5 * BYTES};
    begin(&s);
    struct retention r = {.settings = &settings, .place = &s.place, .store = s.store};
    assert_int_equal(retention_count(&r, &error), 0);
    assert_int_equal(retention_make_room(&r, 0, &error), 0);
    assert_int_equal(n_there(&s), ROWS - 3);
    assert_int_equal(retention_make_room(&r, BYTES / 4, &error), 0); /* a snippet comes */
    assert_int_equal(n_there(&s), ROWS - 3);
    assert_int_equal(retention_make_room(&r, BYTES, &error), 0);
    assert_int_equal(n_there(&s), ROWS - 4);
    assert_int_equal(retention_count(&r, &error), 0); /* later: what is missing still */
    assert_int_equal(retention_make_room(&r, 0, &error), 0);
    assert_int_equal(n_there(&s), ROWS - 7);
    finish(&s);
}

/* Of the files: what the database itself takes is told apart. */
static int64_t files_bytes(const struct stage *s)
{
    struct error error;
    struct store *fresh;
    struct place place;
    int64_t bytes, by_one_that_sums_up;
    assert_int_equal(place_look(&place, s->dir, &error), 0);
    assert_int_equal(store_open(&fresh, &place, 0, &error), 0);
    assert_int_equal(store_size(fresh, &by_one_that_sums_up, &error), 0);
    assert_int_equal(store_size(s->store, &bytes, &error), 0);
    assert_int_equal(bytes, by_one_that_sums_up);
    store_close(fresh);
    place_release(&place);
    return bytes / BYTES;
}

static void the_size_is_right_whoever_changes_what(void **state)
{
    struct stage s;
    struct store *other;
    struct place other_place;
    struct error error;
    const struct snippet snippet = {.stream = "s", .label = "dog", .run = 1, .count = 16000};
    const struct store_files files = {.bytes = 50 * BYTES};
    int64_t bytes;
    begin(&s);
    const int64_t database = files_bytes(&s) - ROWS; /* in units of a file's */
    assert_true(database < 5);
    assert_int_equal(store_delete(s.store, 1, &error), 0);
    assert_int_equal(files_bytes(&s), database + ROWS - 1);
    assert_int_equal(store_begin(s.store, &error), 0);
    assert_int_equal(store_snippet(s.store, &snippet, &files, &error), 0);
    store_undo(s.store);
    assert_int_equal(files_bytes(&s), database + ROWS - 1);
    assert_int_equal(store_snippet(s.store, &snippet, &files, &error), 0);
    assert_int_equal(files_bytes(&s), database + ROWS - 1 + 50);
    assert_int_equal(place_look(&other_place, s.dir, &error), 0);
    assert_int_equal(store_open(&other, &other_place, 0, &error), 0);
    assert_int_equal(store_delete_oldest(other, 4, 0, &bytes, &error), 4);
    assert_int_equal(files_bytes(&s), database + ROWS - 1 + 50 - bytes / BYTES);
    store_close(other);
    place_release(&other_place);
    finish(&s);
}

static void *delete_one(void *user)
{
    struct error error;
    int64_t bytes;
    int n = store_delete_oldest(user, 1, 0, &bytes, &error);
    return n == 1 ? user : NULL;
}

/* The row that would go is made a favourite while whoever deletes waits for a reader. */
static void what_becomes_a_favourite_meanwhile_stays(void **state)
{
    struct stage s;
    struct place other_place;
    struct store *other;
    struct error error;
    pthread_t thread;
    void *done;
    begin(&s);
    assert_int_equal(place_look(&other_place, s.dir, &error), 0);
    assert_int_equal(store_open(&other, &other_place, 0, &error), 0);
    assert_int_equal(place_commit_begin(&other_place, 0, &error), 0);
    assert_int_equal(pthread_create(&thread, NULL, delete_one, s.store), 0);
    usleep(100000); /* it waits then; where it does not yet, nothing is proven and nothing fails */
    assert_int_equal(store_set_favourite(other, 1, 1, &error), 0);
    place_commit_end(&other_place);
    pthread_join(thread, &done);
    assert_non_null(done);
    assert_true(is_there(&s, 1));
    assert_false(is_there(&s, 2));
    store_close(other);
    place_release(&other_place);
    finish(&s);
}

/* A loop of links stands for a disk that cannot be read, and for files of another user. */
static void files_that_cannot_be_looked_at_keep_their_rows(void **state)
{
    struct stage s;
    struct error error;
    char day[128], away[128], command[600];
    int files, rows;
    begin(&s);
    snprintf(day, sizeof day, "%s/clips/2026-11-28", s.dir);
    snprintf(away, sizeof away, "%s/away", s.dir);
    snprintf(command, sizeof command, "mv %s %s && ln -s %s %s", day, away, day, day);
    assert_int_equal(system(command), 0);
    assert_int_equal(store_recover(s.store, &files, &rows, &error), -ELOOP);
    assert_non_null(strstr(error.text, "_s_dog_"));
    assert_non_null(strstr(error.text, "chown"));
    snprintf(command, sizeof command, "rm %s && mv %s %s", day, away, day);
    assert_int_equal(system(command), 0);
    assert_int_equal(store_recover(s.store, &files, &rows, &error), 0);
    assert_int_equal(files + rows, 0);
    assert_int_equal(n_there(&s), ROWS);
    finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(space_that_is_freed_lazily_does_not_cost_the_history),
        cmocka_unit_test(the_size_is_right_whoever_changes_what),
        cmocka_unit_test(what_becomes_a_favourite_meanwhile_stays),
        cmocka_unit_test(files_that_cannot_be_looked_at_keep_their_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
