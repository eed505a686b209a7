/* SPDX-License-Identifier: Apache-2.0
 * CURVE: TCP needs keys, the ipc side does not, and only listed clients get in. Uses libfocal as
 * the client, so its side is tried too. */
#include "tests/ipc/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/endpoint.h"
#include "ipc/keys.h"
#include "ipc/libfocal/focal.h"

static struct fixture f;
static char secret_path[96], clients_path[96];
static char server_public[KEY_TEXT_BYTES];
static char client_path[96], client_public[KEY_TEXT_BYTES], client_secret[KEY_TEXT_BYTES];

static int setup(void **state)
{
    struct error error;
    fixture_init(&f);
    snprintf(secret_path, sizeof secret_path, "%s/server", f.directory);
    snprintf(client_path, sizeof client_path, "%s/client", f.directory);
    snprintf(clients_path, sizeof clients_path, "%s/clients", f.directory);
    assert_int_equal(key_write_pair(secret_path, server_public, &error), 0);
    assert_int_equal(key_write_pair(client_path, client_public, &error), 0);
    assert_int_equal(key_read_secret(client_path, client_secret, client_public, &error), 0);
    f.config.tcp_data = "tcp://127.0.0.1:*";
    f.config.tcp_control = "tcp://127.0.0.1:*";
    f.config.curve_secret_key_file = secret_path;
    return 0;
}

static int teardown(void **state)
{
    fixture_finish(&f);
    return 0;
}

static void write_clients(const char *text)
{
    char temporary[112];
    snprintf(temporary, sizeof temporary, "%s.new", clients_path);
    FILE *file = fopen(temporary, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(rename(temporary, clients_path), 0);
}

/* True when a client with these keys gets an answer to ping in time. */
static bool gets_in(const char *control, const char *server_key, const char *secret, int timeout_ms)
{
    struct focal *focal;
    struct focal_options options = {.data = f.data,
                                    .control = control,
                                    .curve_server_public_key = server_key,
                                    .curve_secret_key = secret};
    char *reply = NULL;
    assert_int_equal(focal_open(&focal, &options), 0);
    int code = focal_request(focal, "{\"cmd\":\"ping\"}", &reply, timeout_ms);
    focal_close(focal);
    free(reply);
    return code == 0;
}

static void expect_error(int code, const char *has)
{
    struct publisher *publisher = NULL;
    struct error error = {""};
    assert_int_equal(publisher_create(&publisher, &f.config, &error), code);
    if (strstr(error.text, has) == NULL || strchr(error.text, '\n') != NULL)
        fail_msg("\"%s\" does not name %s in one line", error.text, has);
}

static void ipc_and_tcp_work_side_by_side(void **state)
{
    fixture_start(&f);
    struct focal *near, *far;
    struct focal_options plain = {.data = f.data, .control = f.control};
    struct focal_options curve = {.data = publisher_tcp_data(f.publisher),
                                  .control = publisher_tcp_control(f.publisher),
                                  .curve_server_public_key = server_public};
    assert_int_equal(focal_open(&near, &plain), 0);
    assert_int_equal(focal_open(&far, &curve), 0);
    assert_int_equal(focal_subscribe(near, "input/kitchen"), 0);
    assert_int_equal(focal_subscribe(far, "input/garden"), 0);
    assert_true(wait_until(publisher_wants(f.publisher, 0, TOPIC_INPUT)));
    assert_true(wait_until(publisher_wants(f.publisher, 1, TOPIC_INPUT)));
    struct outbox *outbox;
    assert_int_equal(outbox_create(&outbox, f.publisher, 8, 64, NULL), 0);
    fixture_send_input(outbox, 0, 0, 16);
    fixture_send_input(outbox, 1, 0, 16);
    struct focal_message m;
    assert_int_equal(focal_next(near, &m, 5000), 1);
    assert_string_equal(m.stream, "kitchen");
    assert_int_equal(focal_next(far, &m, 5000), 1);
    assert_string_equal(m.stream, "garden");
    assert_int_equal(m.payload_bytes, 64);
    focal_close(near);
    focal_close(far);
    assert_true(gets_in(f.control, NULL, NULL, 5000));
    assert_true(gets_in(publisher_tcp_control(f.publisher), server_public, NULL, 5000));
}

static void wrong_keys_get_nothing_over_tcp(void **state)
{
    fixture_start(&f);
    const char *tcp = publisher_tcp_control(f.publisher);
    assert_false(gets_in(tcp, NULL, NULL, 400));
    assert_false(gets_in(tcp, client_public, client_secret, 400));
    struct subscriber s = fixture_subscribe(publisher_tcp_data(f.publisher), "audio/");
    fixture_sleep_ms(300);
    assert_false(publisher_wants(f.publisher, 0, TOPIC_AUDIO));
    subscriber_close(&s);
    assert_true(gets_in(tcp, server_public, client_secret, 5000));
}

static void only_listed_clients_get_in(void **state)
{
    char text[256];
    snprintf(text, sizeof text, "# nobody yet\n\n%s\n", server_public);
    write_clients(text);
    f.config.curve_clients_file = clients_path;
    fixture_start(&f);
    const char *tcp = publisher_tcp_control(f.publisher);
    assert_false(gets_in(tcp, server_public, client_secret, 400));
    assert_true(gets_in(f.control, NULL, NULL, 5000)); /* the ipc side asks for nothing */

    snprintf(text, sizeof text, "# now\n  %s  the wall panel\r\n", client_public);
    write_clients(text);
    assert_true(gets_in(tcp, server_public, client_secret, 5000));
    assert_false(gets_in(tcp, server_public, NULL, 400)); /* a made-up pair */

    write_clients("oops\n"); /* while it is broken, nobody */
    assert_false(gets_in(tcp, server_public, client_secret, 400));
    assert_int_equal(unlink(clients_path), 0);
    assert_false(gets_in(tcp, server_public, client_secret, 400));
    write_clients(text);
    assert_true(gets_in(tcp, server_public, client_secret, 5000));
}

static void a_bad_clients_file_is_named_with_its_line(void **state)
{
    write_clients("# ok\nnot-a-key\n");
    f.config.curve_clients_file = clients_path;
    expect_error(-EINVAL, "clients: line 2");
    assert_int_equal(unlink(clients_path), 0);
    expect_error(-ENOENT, clients_path);
    f.config.curve_secret_key_file = NULL;
    expect_error(-EINVAL, "curve_secret_key");
}

static void a_secret_that_others_may_read_is_refused(void **state)
{
    assert_int_equal(chmod(secret_path, 0640), 0);
    expect_error(-EPERM, "chmod 600");
    assert_int_equal(chmod(secret_path, 0600), 0);
    FILE *file = fopen(secret_path, "w");
    fputs("short\n", file);
    fclose(file);
    expect_error(-EINVAL, secret_path);
    assert_int_equal(unlink(secret_path), 0);
    expect_error(-ENOENT, "keygen");
}

static void beyond_loopback_needs_curve(void **state)
{
    static const char *const far[] = {"tcp://*:0",
                                      "tcp://0.0.0.0:*",
                                      "tcp://[::]:*",
                                      "tcp://192.168.1.5:5560",
                                      "tcp://127.evil.com:1",
                                      "tcp://eth0:1"};
    static const char *const near[] = {"tcp://127.0.0.1:*", "tcp://127.9.9.9:80", "tcp://[::1]:*",
                                       "tcp://localhost:5560", "tcp://[::ffff:127.0.0.1]:1"};
    f.config.curve_secret_key_file = NULL;
    f.config.tcp_control = NULL;
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        assert_false(endpoint_is_loopback(far[i]));
        f.config.tcp_data = far[i];
        expect_error(-EPERM, "focalctl keygen");
        expect_error(-EPERM, far[i]);
    }
    for (int i = 0; i < 5; i++)
        assert_true(endpoint_is_loopback(near[i]));
    f.config.tcp_data = "udp://127.0.0.1:1";
    expect_error(-EINVAL, "udp://127.0.0.1:1");
    f.config.tcp_data = "tcp://127.0.0.1";
    expect_error(-EINVAL, "tcp://127.0.0.1");
    f.config.tcp_data = "tcp://127.0.0.1:*";
    fixture_start(&f);
    struct subscriber s = fixture_subscribe(publisher_tcp_data(f.publisher), "label/");
    assert_true(wait_until(publisher_wants(f.publisher, 0, TOPIC_LABEL)));
    subscriber_close(&s);
    struct fixture second;
    fixture_init(&second);
    f.config.ipc_dir = second.directory;
    f.config.tcp_data = publisher_tcp_data(f.publisher);
    expect_error(-EADDRINUSE, f.config.tcp_data);
    assert_int_equal(access(second.data + 6, F_OK), -1); /* and leaves nothing behind */
    fixture_finish(&second);
}

static void keys_are_never_written_over(void **state)
{
    char public[KEY_TEXT_BYTES], secret[KEY_TEXT_BYTES], again[KEY_TEXT_BYTES], path[112];
    struct error error;
    struct stat st;
    assert_int_equal(stat(secret_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(key_read_secret(secret_path, secret, public, &error), 0);
    assert_string_equal(public, server_public);
    snprintf(path, sizeof path, "%s.pub", secret_path);
    assert_int_equal(key_read_public(path, public, &error), 0);
    assert_string_equal(public, server_public);
    assert_int_equal(key_write_pair(secret_path, public, &error), -EEXIST);
    assert_int_equal(unlink(secret_path), 0);
    assert_int_equal(key_write_pair(secret_path, public, &error), -EEXIST); /* .pub is there */
    assert_int_equal(access(secret_path, F_OK), -1);
    assert_int_equal(key_read_public(path, again, &error), 0);
    assert_string_equal(again, server_public);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ipc_and_tcp_work_side_by_side, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_keys_get_nothing_over_tcp, setup, teardown),
        cmocka_unit_test_setup_teardown(only_listed_clients_get_in, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_clients_file_is_named_with_its_line, setup, teardown),
        cmocka_unit_test_setup_teardown(a_secret_that_others_may_read_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(beyond_loopback_needs_curve, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_are_never_written_over, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
