/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ipc/fixture.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static int answer(void *user, const json_t *request, uint64_t ticket, json_t **ret_reply,
                  struct error *error)
{
    struct fixture *f = user;
    atomic_fetch_add(&f->requests, 1);
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    if (strcmp(cmd, "echo") == 0) {
        *ret_reply = json_pack("{s:O}", "request", request);
        return 0;
    }
    if (strcmp(cmd, "later") == 0) {
        atomic_store(&f->ticket, ticket);
        return 1;
    }
    if (strcmp(cmd, "nothing") == 0)
        return 0;
    return error_set(error, EINVAL, "unknown command %.100s; allowed: echo", cmd);
}

void fixture_init(struct fixture *f)
{
    static const char *const streams[] = {"kitchen", "garden"};
    memset(f, 0, sizeof *f);
    snprintf(f->directory, sizeof f->directory, "/tmp/focald-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->data, sizeof f->data, "ipc://%s/data", f->directory);
    snprintf(f->control, sizeof f->control, "ipc://%s/control", f->directory);
    f->config = (struct publisher_config){.ipc_dir = f->directory,
                                          .send_hwm = 256,
                                          .streams = streams,
                                          .n_streams = 2,
                                          .request = answer,
                                          .user = f};
}

void fixture_start(struct fixture *f)
{
    struct error error = {""};
    if (publisher_create(&f->publisher, &f->config, &error) != 0)
        fail_msg("publisher_create: %s", error.text);
}

void fixture_finish(struct fixture *f)
{
    publisher_destroy(f->publisher);
    f->publisher = NULL;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", f->directory);
    assert_int_equal(system(command), 0);
}

enum { READY_FD = 9 };

pid_t fixture_spawn(const char *mode, const char *argument)
{
    char *arguments[] = {"/proc/self/exe", (char *)mode, (char *)argument, NULL};
    posix_spawn_file_actions_t actions;
    int ready[2];
    pid_t pid;
    char byte;
    assert_int_equal(pipe(ready), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ready[1], READY_FD);
    posix_spawn_file_actions_addclose(&actions, ready[0]);
    posix_spawn_file_actions_addclose(&actions, ready[1]);
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

void fixture_ready(void)
{
    char byte = 1;
    if (write(READY_FD, &byte, 1) != 1)
        _exit(1);
    close(READY_FD);
}

void fixture_sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

int64_t fixture_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct subscriber fixture_subscribe(const char *endpoint, const char *prefix)
{
    struct subscriber s;
    int zero = 0;
    s.context = zmq_ctx_new();
    s.socket = zmq_socket(s.context, ZMQ_SUB);
    zmq_setsockopt(s.socket, ZMQ_LINGER, &zero, sizeof zero);
    assert_int_equal(zmq_setsockopt(s.socket, ZMQ_SUBSCRIBE, prefix, strlen(prefix)), 0);
    assert_int_equal(zmq_connect(s.socket, endpoint), 0);
    return s;
}

void subscriber_close(struct subscriber *s)
{
    zmq_close(s->socket);
    zmq_ctx_term(s->context);
}

static bool readable(void *socket, int timeout_ms)
{
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    return zmq_poll(&item, 1, timeout_ms) > 0;
}

bool subscriber_next(struct subscriber *s, struct received *ret, int timeout_ms)
{
    if (!readable(s->socket, timeout_ms))
        return false;
    zmq_msg_t frames[3];
    int more = 1;
    size_t size = sizeof more;
    for (int i = 0; i < 3; i++) {
        assert_true(more);
        zmq_msg_init(&frames[i]);
        assert_true(zmq_msg_recv(&frames[i], s->socket, 0) >= 0);
        zmq_getsockopt(s->socket, ZMQ_RCVMORE, &more, &size);
    }
    assert_false(more);
    snprintf(ret->topic, sizeof ret->topic, "%.*s", (int)zmq_msg_size(&frames[0]),
             (const char *)zmq_msg_data(&frames[0]));
    ret->header = json_loadb(zmq_msg_data(&frames[1]), zmq_msg_size(&frames[1]), 0, NULL);
    assert_non_null(ret->header);
    ret->payload_bytes = zmq_msg_size(&frames[2]);
    size_t kept =
        ret->payload_bytes < sizeof ret->payload ? ret->payload_bytes : sizeof ret->payload;
    memcpy(ret->payload, zmq_msg_data(&frames[2]), kept);
    for (int i = 0; i < 3; i++)
        zmq_msg_close(&frames[i]);
    return true;
}

void received_clear(struct received *r)
{
    json_decref(r->header);
    r->header = NULL;
}

int64_t received_int(const struct received *r, const char *key)
{
    const json_t *value = json_object_get(r->header, key);
    if (!json_is_integer(value))
        fail_msg("%s: no integer \"%s\" in the header", r->topic, key);
    return json_integer_value(value);
}

void fixture_send_input(struct outbox *outbox, int stream, uint64_t first, size_t count)
{
    struct message *m = outbox_take(outbox);
    m->topic = TOPIC_INPUT;
    m->stream = stream;
    m->first = first;
    m->count = count;
    m->t_wall_ns = INT64_C(1700000000000000000) + (int64_t)(first * 62500);
    m->pcm = (struct pcm_message){.rate_hz = 16000};
    m->payload_bytes = count * sizeof(float);
    float *samples = m->payload;
    for (size_t i = 0; i < count; i++)
        samples[i] = (float)(first + i) / 1e6f;
    outbox_send(outbox);
}

json_t *fixture_ask(const char *endpoint, const void *request, size_t bytes, int timeout_ms)
{
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_DEALER);
    int zero = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    assert_int_equal(zmq_connect(socket, endpoint), 0);
    zmq_send(socket, request, bytes, 0);
    json_t *reply = NULL;
    if (readable(socket, timeout_ms)) {
        zmq_msg_t body;
        zmq_msg_init(&body);
        zmq_msg_recv(&body, socket, 0);
        reply = json_loadb(zmq_msg_data(&body), zmq_msg_size(&body), 0, NULL);
        zmq_msg_close(&body);
    }
    zmq_close(socket);
    zmq_ctx_term(context);
    return reply;
}
