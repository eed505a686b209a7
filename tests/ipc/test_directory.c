/* SPDX-License-Identifier: Apache-2.0
 * The sockets' directory: held by one daemon, taken over from a dead one, errors that name it. */
#include "tests/ipc/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;

static int setup(void **state)
{
    fixture_init(&f);
    return 0;
}

static int teardown(void **state)
{
    fixture_finish(&f);
    return 0;
}

static void expect_error(int code, const char *has)
{
    struct publisher *publisher = NULL;
    struct error error = {""};
    assert_int_equal(publisher_create(&publisher, &f.config, &error), code);
    assert_null(publisher);
    if (strstr(error.text, has) == NULL || strchr(error.text, '\n') != NULL)
        fail_msg("\"%s\" does not name %s in one line", error.text, has);
}

static void a_living_daemon_keeps_its_sockets(void **state)
{
    fixture_start(&f);
    expect_error(-EADDRINUSE, f.directory);
    struct subscriber s = fixture_subscribe(f.data, "label/");
    assert_true(wait_until(publisher_wants(f.publisher, 0, TOPIC_LABEL)));
    subscriber_close(&s);
    json_t *reply = fixture_ask(f.control, "{\"cmd\":\"ping\"}", 14, 5000);
    assert_true(json_is_true(json_object_get(reply, "ok")));
    json_decref(reply);
}

static int hold_for_ever(const char *directory)
{
    fixture_init(&f);
    f.config.ipc_dir = directory;
    fixture_start(&f);
    rmdir(f.directory); /* its own, not used */
    fixture_ready();
    while (pause() != 0) {
    }
    return 0;
}

static void a_killed_daemon_leaves_nothing_in_the_way(void **state)
{
    pid_t pid = fixture_spawn("--hold", f.directory);
    char pid_text[32];
    snprintf(pid_text, sizeof pid_text, "process %d", (int)pid);
    expect_error(-EADDRINUSE, pid_text);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    struct stat st;
    assert_int_equal(stat(f.data + strlen("ipc://"), &st), 0); /* the stale socket is there */
    fixture_start(&f);
    struct subscriber s = fixture_subscribe(f.data, "label/");
    assert_true(wait_until(publisher_wants(f.publisher, 0, TOPIC_LABEL)));
    subscriber_close(&s);
}

static void another_programs_socket_is_not_taken(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/control", f.directory);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    expect_error(-EADDRINUSE, address.sun_path);
    assert_int_equal(access(address.sun_path, F_OK), 0);
    close(fd);
}

static void a_file_in_the_way_is_not_removed(void **state)
{
    char path[96];
    snprintf(path, sizeof path, "%s/data", f.directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    expect_error(-EEXIST, path);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
}

static void a_missing_directory_is_made_and_removed(void **state)
{
    char path[96];
    struct stat st;
    snprintf(path, sizeof path, "%s/focald", f.directory);
    f.config.ipc_dir = path;
    umask(0);
    fixture_start(&f);
    umask(022);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    publisher_destroy(f.publisher);
    f.publisher = NULL;
    assert_int_equal(stat(path, &st), -1);
    snprintf(path, sizeof path, "%s/a/b", f.directory);
    expect_error(-ENOENT, path);
}

static void an_unwritable_directory_is_named(void **state)
{
    if (geteuid() == 0) {
        /* root may write anywhere but here */
        f.config.ipc_dir = "/proc/self";
        expect_error(-ENOENT, "/proc/self");
        f.config.ipc_dir = "/sys/kernel/focald";
        struct publisher *publisher;
        struct error error;
        assert_true(publisher_create(&publisher, &f.config, &error) < 0);
        assert_non_null(strstr(error.text, "/sys/kernel/focald"));
        return;
    }
    assert_int_equal(chmod(f.directory, 0500), 0);
    expect_error(-EACCES, f.directory);
    assert_int_equal(chmod(f.directory, 0700), 0);
}

static void a_path_that_no_socket_can_have_is_refused(void **state)
{
    char path[256] = "/tmp/";
    memset(path + 5, 'x', 150);
    f.config.ipc_dir = path;
    expect_error(-ENAMETOOLONG, "characters");
}

static void bad_stream_names_are_refused(void **state)
{
    static const char *const slash[] = {"a/b"}, *const twice[] = {"a", "a"};
    f.config.streams = slash;
    f.config.n_streams = 1;
    expect_error(-EINVAL, "a/b");
    f.config.streams = twice;
    f.config.n_streams = 2;
    expect_error(-EEXIST, "twice");
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--hold") == 0)
        return hold_for_ever(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_living_daemon_keeps_its_sockets, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_daemon_leaves_nothing_in_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(another_programs_socket_is_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_in_the_way_is_not_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_directory_is_made_and_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unwritable_directory_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_path_that_no_socket_can_have_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_stream_names_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
