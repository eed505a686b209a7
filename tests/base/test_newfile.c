/* SPDX-License-Identifier: Apache-2.0
 * Files appear whole or not at all. */
#include "tests/model/places.h"

#include <fcntl.h>

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

static void a_file_keeps_the_permissions_that_it_was_given(void **state)
{
    (void)state;
    struct error error;
    static const mode_t modes[] = {0600, 0664, 0444};
    const mode_t before = umask(022);
    const uid_t user = geteuid() == 0 ? 12345 : geteuid();
    const gid_t group = geteuid() == 0 ? 23456 : getegid();
    for (size_t i = 0; i < 6; i++) {
        struct newfile file;
        struct stat st;
        struct place p = in_scratch("private");
        unlink(p.path);
        write_bytes(p.path, "old", 3);
        assert_int_equal(chown(p.path, user, group), 0);
        assert_int_equal(chmod(p.path, modes[i / 2]), 0);
        assert_int_equal(begins[i % 2](&file, p.path, &error), 0);
        assert_int_equal(fstat(file.fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, modes[i / 2]); /* while it is written as well */
        assert_int_equal(newfile_commit(&file, &error), 0);
        assert_int_equal(stat(p.path, &st), 0);
        assert_int_equal(st.st_mode & 07777, modes[i / 2]);
        assert_int_equal(st.st_uid, user);
        assert_int_equal(st.st_gid, group);
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

/* Of a link in another directory as well: its text is relative to where it lies. */
static void a_link_stays_and_what_it_leads_to_is_replaced(void **state)
{
    (void)state;
    struct error error;
    struct place dir = in_scratch("links"), link = in_scratch("links/link"),
                 second = in_scratch("second"), target = in_scratch("target");
    assert_int_equal(mkdir(dir.path, 0777), 0);
    assert_int_equal(symlink("../second", link.path), 0);
    assert_int_equal(symlink("target", second.path), 0);
    for (size_t i = 0; i < 4; i++) { /* the first time it leads to nothing */
        struct newfile file;
        struct stat st;
        assert_int_equal(begins[i % 2](&file, link.path, &error), 0);
        put(&file, i < 2 ? "first" : "second");
        assert_int_equal(newfile_commit(&file, &error), 0);
        holds(target.path, i < 2 ? "first" : "second");
        assert_int_equal(lstat(link.path, &st), 0);
        assert_true(S_ISLNK(st.st_mode));
        assert_int_equal(lstat(second.path, &st), 0);
        assert_true(S_ISLNK(st.st_mode));
    }
    unlink(second.path);
    assert_int_equal(symlink("second", second.path), 0);
    for (size_t i = 0; i < 2; i++) {
        struct newfile file;
        assert_int_equal(begins[i](&file, link.path, &error), -ELOOP);
        assert_line(&error, link.path, NULL);
    }
}

/* In /tmp anybody may have put it there. */
static void another_users_link_in_a_sticky_directory_is_not_followed(void **state)
{
    (void)state;
    struct error error;
    struct place dir = in_scratch("sticky"), link = in_scratch("sticky/link"),
                 target = in_scratch("precious");
    if (geteuid() != 0)
        skip(); /* a link of another user's is root's to make */
    write_bytes(target.path, "precious", 8);
    assert_int_equal(mkdir(dir.path, 0777), 0);
    assert_int_equal(chmod(dir.path, 01777), 0);
    assert_int_equal(symlink(target.path, link.path), 0);
    for (size_t i = 0; i < 6; i++) {
        const bool trap = i / 2 == 0;
        struct newfile file;
        /* the trap; of one's own; where nobody else may make any */
        assert_int_equal(lchown(link.path, i / 2 == 1 ? geteuid() : 12345, (gid_t)-1), 0);
        assert_int_equal(chmod(dir.path, i / 2 == 2 ? 0755 : 01777), 0);
        assert_int_equal(begins[i % 2](&file, link.path, &error), trap ? -EACCES : 0);
        if (trap)
            assert_line(&error, link.path, "another user", NULL);
        newfile_abandon(&file);
        holds(target.path, "precious");
    }
    assert_int_equal(chmod(dir.path, 01777), 0);
    assert_int_equal(chown(dir.path, 12345, (gid_t)-1), 0);
    struct newfile file;
    assert_int_equal(newfile_begin(&file, link.path, &error), 0); /* the directory's owner's */
    newfile_abandon(&file);
}

static void a_fifo_is_written_to_and_stays(void **state)
{
    (void)state;
    struct error error;
    struct place p = in_scratch("fifo");
    assert_int_equal(mkfifo(p.path, 0600), 0);
    const int reader = open(p.path, O_RDONLY | O_NONBLOCK);
    for (size_t i = 0; i < 2; i++) {
        struct newfile file;
        struct stat st;
        char text[16] = "";
        assert_int_equal(begins[i](&file, p.path, &error), 0);
        put(&file, "through");
        assert_int_equal(newfile_commit(&file, &error), 0);
        assert_int_equal(read(reader, text, sizeof text), 7);
        assert_string_equal(text, "through");
        assert_int_equal(begins[i](&file, p.path, &error), 0);
        newfile_abandon(&file);
        assert_int_equal(lstat(p.path, &st), 0);
        assert_true(S_ISFIFO(st.st_mode));
    }
    close(reader);
}

/* As `--json /dev/fd/3 3>file` and `>file` mean it: behind what is there already. */
static void a_descriptor_of_ours_goes_on_where_it_is(void **state)
{
    (void)state;
    struct error error;
    static const char *const names[] = {"/proc/self/fd/%d", "/dev/fd/%d"};
    for (size_t i = 0; i < 2; i++) {
        struct newfile file;
        struct place p = in_scratch("descriptor");
        char name[64];
        const int fd = open(p.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, "before ", 7), 7);
        snprintf(name, sizeof name, names[i], fd);
        assert_int_equal(newfile_begin(&file, name, &error), 0);
        put(&file, "within ");
        assert_int_equal(newfile_commit(&file, &error), 0);
        assert_int_equal(write(fd, "after", 5), 5);
        close(fd);
        holds(p.path, "before within after");
        assert_int_equal(newfile_begin(&file, name, &error), -EBADF);
        assert_line(&error, name, NULL);
    }
}

static void a_directory_is_told_at_once(void **state)
{
    (void)state;
    struct error error;
    struct place p = in_scratch("directory");
    assert_int_equal(mkdir(p.path, 0777), 0);
    for (size_t i = 0; i < 2; i++) {
        struct newfile file;
        assert_int_equal(begins[i](&file, p.path, &error), -EISDIR);
        assert_line(&error, p.path, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_old_file_stays_until_the_new_one_is_whole),
        cmocka_unit_test(what_is_abandoned_leaves_nothing),
        cmocka_unit_test(files_get_the_permissions_that_people_ask_for),
        cmocka_unit_test(a_file_keeps_the_permissions_that_it_was_given),
        cmocka_unit_test(what_a_killed_process_left_is_written_over),
        cmocka_unit_test(two_at_once_do_not_meet),
        cmocka_unit_test(where_nothing_can_be_written_the_path_is_named),
        cmocka_unit_test(a_link_stays_and_what_it_leads_to_is_replaced),
        cmocka_unit_test(another_users_link_in_a_sticky_directory_is_not_followed),
        cmocka_unit_test(a_fifo_is_written_to_and_stays),
        cmocka_unit_test(a_descriptor_of_ours_goes_on_where_it_is),
        cmocka_unit_test(a_directory_is_told_at_once),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
