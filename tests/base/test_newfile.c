/* SPDX-License-Identifier: Apache-2.0
 * Files appear whole or not at all. */
#include "tests/model/places.h"

#include "base/newfile.h"

typedef int begin_newfile(struct newfile *ret, const char *path, struct error *error);
static begin_newfile *const begins[] = {newfile_begin, newfile_begin_alone};

static void put(const struct newfile *file, const char *text)
{
    assert_int_equal(write(file->fd, text, strlen(text)), strlen(text));
}

static void holds(const char *path, const char *text)
{
    size_t n;
    char *bytes = read_bytes(path, &n);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(bytes, text, n);
    free(bytes);
}

static void the_old_file_stays_until_the_new_one_is_whole(void **state)
{
    (void)state;
    struct error error;
    for (size_t i = 0; i < 2; i++) {
        struct newfile file;
        struct place p = in_scratch("old");
        write_bytes(p.path, "old", 3);
        assert_int_equal(begins[i](&file, p.path, &error), 0);
        put(&file, "new one");
        holds(p.path, "old");
        assert_int_equal(newfile_commit(&file, &error), 0);
        holds(p.path, "new one");
        assert_int_equal(access(file.temporary, F_OK), -1);
        newfile_abandon(&file);
        holds(p.path, "new one");
    }
}

static void what_is_abandoned_leaves_nothing(void **state)
{
    (void)state;
    struct error error;
    for (size_t i = 0; i < 2; i++) {
        struct newfile file;
        struct place p = in_scratch("never");
        assert_int_equal(begins[i](&file, p.path, &error), 0);
        assert_int_equal(access(file.temporary, F_OK), 0);
        put(&file, "half");
        newfile_abandon(&file);
        newfile_abandon(&file);
        assert_int_equal(access(p.path, F_OK), -1);
        assert_int_equal(access(file.temporary, F_OK), -1);
    }
}

static void files_get_the_permissions_that_people_ask_for(void **state)
{
    (void)state;
    struct error error;
    const mode_t before = umask(027);
    for (size_t i = 0; i < 2; i++) {
        struct newfile file;
        struct stat st;
        struct place p = in_scratch("mode");
        assert_int_equal(begins[i](&file, p.path, &error), 0);
        assert_int_equal(newfile_commit(&file, &error), 0);
        assert_int_equal(stat(p.path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0640);
        unlink(p.path);
    }
    umask(before);
}

static void what_a_killed_process_left_is_written_over(void **state)
{
    (void)state;
    struct error error;
    struct newfile file;
    struct place p = in_scratch("state"), left = in_scratch("state.new");
    write_bytes(left.path, "the half of something", 21);
    assert_int_equal(newfile_begin_alone(&file, p.path, &error), 0);
    assert_string_equal(file.temporary, left.path);
    put(&file, "all");
    assert_int_equal(newfile_commit(&file, &error), 0);
    holds(p.path, "all");
}

static void two_at_once_do_not_meet(void **state)
{
    (void)state;
    struct error error;
    struct newfile a, b;
    struct place p = in_scratch("twice");
    assert_int_equal(newfile_begin(&a, p.path, &error), 0);
    assert_int_equal(newfile_begin(&b, p.path, &error), 0);
    assert_string_not_equal(a.temporary, b.temporary);
    put(&a, "a");
    put(&b, "b");
    assert_int_equal(newfile_commit(&a, &error), 0);
    holds(p.path, "a");
    assert_int_equal(newfile_commit(&b, &error), 0);
    holds(p.path, "b");
}

static void where_nothing_can_be_written_the_path_is_named(void **state)
{
    (void)state;
    static char longest[2 * PATH_MAX];
    struct error error;
    memset(longest, 'x', sizeof longest - 1);
    for (size_t i = 0; i < 2; i++) {
        struct newfile file;
        assert_int_equal(begins[i](&file, "/nowhere/file", &error), -ENOENT);
        assert_line(&error, "/nowhere/file", NULL);
        newfile_abandon(&file);
        assert_int_equal(begins[i](&file, longest, &error), -ENAMETOOLONG);
        newfile_abandon(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_old_file_stays_until_the_new_one_is_whole),
        cmocka_unit_test(what_is_abandoned_leaves_nothing),
        cmocka_unit_test(files_get_the_permissions_that_people_ask_for),
        cmocka_unit_test(what_a_killed_process_left_is_written_over),
        cmocka_unit_test(two_at_once_do_not_meet),
        cmocka_unit_test(where_nothing_can_be_written_the_path_is_named),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
