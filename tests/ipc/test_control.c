/* SPDX-License-Identifier: Apache-2.0
 * The control socket: requests of any kind get one JSON answer, and no client can block it. */
#include "tests/ipc/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "ipc/control.h"

static struct fixture f;

static int setup(void **state)
{
    fixture_init(&f);
    fixture_start(&f);
    return 0;
}

static int teardown(void **state)
{
    fixture_finish(&f);
    return 0;
}

static json_t *ask(const char *request)
{
    json_t *reply = fixture_ask(f.control, request, strlen(request), 5000);
    assert_true(json_is_object(reply));
    return reply;
}

static void expect_failure_of(const void *request, size_t bytes, const char *has)
{
    json_t *reply = fixture_ask(f.control, request, bytes, 5000);
    assert_true(json_is_false(json_object_get(reply, "ok")));
    const char *line = json_string_value(json_object_get(reply, "error"));
    assert_non_null(line);
    if (strstr(line, has) == NULL || strchr(line, '\n') != NULL)
        fail_msg("\"%s\" does not name %s in one line", line, has);
    json_decref(reply);
}

static void expect_failure(const char *request, const char *has)
{
    expect_failure_of(request, strlen(request), has);
}

static void ping_and_info_are_answered_at_once(void **state)
{
    json_t *reply = ask("{\"cmd\":\"ping\"}");
    assert_true(json_is_true(json_object_get(reply, "ok")));
    assert_int_equal(json_integer_value(json_object_get(reply, "protocol")), 1);
    json_decref(reply);

    json_t *fields = json_pack("{s:s}", "model", "home");
    assert_int_equal(publisher_set_info(f.publisher, 1, fields), 0);
    reply = ask("{\"cmd\":\"info\",\"stream\":\"garden\"}");
    const json_t *info = json_object_get(reply, "info");
    assert_int_equal(json_object_size(info), 1);
    assert_true(json_equal((json_t *)json_object_get(info, "garden"), fields));
    json_decref(reply);
    reply = ask("{\"cmd\":\"info\"}");
    assert_int_equal(json_object_size(json_object_get(reply, "info")), 2);
    json_decref(reply);
    json_decref(fields);
    expect_failure("{\"cmd\":\"info\",\"stream\":\"attic\"}", "attic");
    expect_failure("{\"cmd\":\"info\",\"stream\":5}", "string");
    assert_int_equal(f.requests, 0);
}

static void other_commands_reach_the_daemon(void **state)
{
    json_t *reply = ask("{\"cmd\":\"echo\",\"key\":[1,2.5,\"\u00fc\"]}");
    assert_true(json_is_true(json_object_get(reply, "ok")));
    const json_t *key = json_object_get(json_object_get(reply, "request"), "key");
    assert_int_equal(json_array_size(key), 3);
    json_decref(reply);
    expect_failure("{\"cmd\":\"dance\"}", "unknown command dance");
    expect_failure("{\"cmd\":\"nothing\"}", "no answer");
    assert_int_equal(f.requests, 3);
}

struct asker {
    void *context, *socket;
    uint64_t ticket;
};

static struct asker ask_for_later(void)
{
    const uint64_t before = atomic_load(&f.ticket);
    struct asker a = {.context = zmq_ctx_new()};
    a.socket = zmq_socket(a.context, ZMQ_REQ);
    assert_int_equal(zmq_setsockopt(a.socket, ZMQ_LINGER, &(int){0}, sizeof(int)), 0);
    assert_int_equal(zmq_setsockopt(a.socket, ZMQ_RCVTIMEO, &(int){5000}, sizeof(int)), 0);
    assert_int_equal(zmq_connect(a.socket, f.control), 0);
    assert_int_equal(zmq_send(a.socket, "{\"cmd\":\"later\"}", 15, 0), 15);
    assert_true(wait_until((a.ticket = atomic_load(&f.ticket)) != before));
    return a;
}

static void hears(struct asker *a, const char *text)
{
    char reply[256];
    const int n = zmq_recv(a->socket, reply, sizeof reply - 1, 0);
    assert_true(n > 0);
    reply[n] = '\0';
    assert_string_equal(reply, text);
    zmq_close(a->socket);
    zmq_ctx_term(a->context);
}

static void what_is_answered_later_holds_up_nobody(void **state)
{
    (void)state;
    struct asker first = ask_for_later(), second = ask_for_later(), gone = ask_for_later(),
                 third = ask_for_later();
    struct error error;
    error_set(&error, EINVAL, "it was broken");
    json_decref(ask("{\"cmd\":\"ping\"}"));
    zmq_close(gone.socket);
    zmq_ctx_term(gone.context);
    publisher_answer(f.publisher, 12345, json_object(), &error); /* nobody's */
    publisher_answer(f.publisher, gone.ticket, json_object(), &error);
    publisher_answer(f.publisher, third.ticket, NULL, &error);
    publisher_answer(f.publisher, second.ticket, json_pack("{s:i}", "n", 2), &error);
    hears(&second, "{\"n\":2,\"ok\":true}");
    hears(&third, "{\"ok\":false,\"error\":\"it was broken\"}");
    publisher_answer(f.publisher, first.ticket, json_pack("{s:i}", "n", 1), &error);
    hears(&first, "{\"n\":1,\"ok\":true}");
    struct asker never = ask_for_later(); /* and it ends all the same */
    zmq_close(never.socket);
    zmq_ctx_term(never.context);
}

static void what_is_no_request_is_told_so(void **state)
{
    expect_failure("", "not JSON");
    expect_failure("{", "not JSON at byte 1");
    expect_failure("[]", "\"cmd\"");
    expect_failure("\"cmd\"", "not JSON");
    expect_failure("{}", "\"cmd\"");
    expect_failure("{\"cmd\":5}", "\"cmd\"");
    expect_failure("{\"cmd\":\"ping\",\"cmd\":\"ping\"}", "duplicate");
    expect_failure_of("{\"cmd\":\"ping\"}\0", 15, "not JSON");
    expect_failure_of("\xff\xfe\x00{", 4, "not JSON");
    char *deep = malloc(60000);
    memset(deep, '[', 60000);
    expect_failure_of(deep, 60000, "not JSON");
    free(deep);
    assert_int_equal(f.requests, 0);
}

static void requests_beyond_64_kib_are_refused(void **state)
{
    char *body = malloc(4 * 1024 * 1024);
    memset(body, ' ', 4 * 1024 * 1024);
    memcpy(body, "{\"cmd\":\"echo\"}", 14);
    json_t *reply = fixture_ask(f.control, body, CONTROL_MAX_BYTES, 5000);
    assert_true(json_is_true(json_object_get(reply, "ok")));
    json_decref(reply);
    expect_failure_of(body, CONTROL_MAX_BYTES + 1, "65536");
    /* far beyond: the connection goes, and nobody else's */
    assert_null(fixture_ask(f.control, body, 4 * 1024 * 1024, 300));
    free(body);
    json_decref(ask("{\"cmd\":\"ping\"}"));
}

static void envelopes_come_back_as_they_were(void **state)
{
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    int zero = 0, more;
    size_t size = sizeof more;
    char frame[256];
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    assert_int_equal(zmq_connect(socket, f.control), 0);
    zmq_send(socket, "id", 2, ZMQ_SNDMORE);
    zmq_send(socket, "", 0, ZMQ_SNDMORE);
    zmq_send(socket, "{\"cmd\":\"ping\"}", 14, 0);
    assert_int_equal(zmq_recv(socket, frame, sizeof frame, 0), 2);
    assert_memory_equal(frame, "id", 2);
    assert_int_equal(zmq_recv(socket, frame, sizeof frame, 0), 0);
    assert_true(zmq_recv(socket, frame, sizeof frame, 0) > 10);
    zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size);
    assert_int_equal(more, 0);

    for (int i = 0; i < 20; i++) /* too many frames to be a request: dropped whole */
        zmq_send(socket, "x", 1, i < 19 ? ZMQ_SNDMORE : 0);
    zmq_send(socket, "{\"cmd\":\"ping\"}", 14, 0);
    assert_true(zmq_recv(socket, frame, sizeof frame, 0) > 10);
    zmq_close(socket);

    socket = zmq_socket(context, ZMQ_REQ);
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    assert_int_equal(zmq_connect(socket, f.control), 0);
    zmq_send(socket, "{\"cmd\":\"ping\"}", 14, 0);
    assert_true(zmq_recv(socket, frame, sizeof frame, 0) > 10);
    zmq_close(socket);
    zmq_ctx_term(context);
}

static void a_client_that_reads_no_replies_blocks_nobody(void **state)
{
    json_t *fields = json_pack("{s:o}", "padding", json_array());
    for (int i = 0; i < 2000; i++)
        json_array_append_new(json_object_get(fields, "padding"), json_string("0123456789"));
    assert_int_equal(publisher_set_info(f.publisher, 0, fields), 0);
    json_decref(fields);
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    int zero = 0, one = 1;
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &one, sizeof one);
    assert_int_equal(zmq_connect(socket, f.control), 0);
    for (int i = 0; i < 3000; i++)
        zmq_send(socket, "{\"cmd\":\"info\"}", 14, ZMQ_DONTWAIT);
    for (int i = 0; i < 10; i++)
        json_decref(ask("{\"cmd\":\"ping\"}"));
    zmq_close(socket);
    zmq_ctx_term(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ping_and_info_are_answered_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(other_commands_reach_the_daemon, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_answered_later_holds_up_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_request_is_told_so, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_beyond_64_kib_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(envelopes_come_back_as_they_were, setup, teardown),
        cmocka_unit_test_setup_teardown(a_client_that_reads_no_replies_blocks_nobody, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
