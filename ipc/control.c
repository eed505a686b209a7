/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "ipc/message.h"

static json_t *failure(const char *text)
{
    json_t *line = json_string(text);
    return json_pack("{s:b,s:o}", "ok", 0, "error",
                     line != NULL ? line : json_string("failed, for a reason that is not text"));
}

static int answer_ping(json_t **ret)
{
    *ret = json_pack("{s:b,s:s,s:i}", "ok", 1, "version", FOCALD_VERSION, "protocol",
                     PROTOCOL_VERSION);
    return 0;
}

static int answer_info(const struct control *control, const json_t *request, json_t **ret,
                       struct error *error)
{
    const json_t *wanted = json_object_get(request, "stream");
    if (wanted != NULL && !json_is_string(wanted))
        return error_set(error, EINVAL, "info: stream must be a string");
    json_t *all = json_object();
    bool found = wanted == NULL;
    for (int i = 0; i < control->n_streams; i++) {
        if (wanted != NULL && strcmp(json_string_value(wanted), control->streams[i]) != 0)
            continue;
        found = true;
        json_object_set_new(all, control->streams[i],
                            control->info[i] != NULL ? json_incref(control->info[i])
                                                     : json_object());
    }
    if (!found) {
        json_decref(all);
        return error_set(error, ENOENT,
                         "info: no stream \"%.80s\"; {\"cmd\":\"streams\"} lists them",
                         json_string_value(wanted));
    }
    *ret = json_pack("{s:b,s:o}", "ok", 1, "info", all);
    return 0;
}

/* 1: later */
static int answer(struct control *control, const void *body, size_t bytes, json_t **ret,
                  struct error *error)
{
    if (bytes > CONTROL_MAX_BYTES)
        return error_set(error, E2BIG, "request: %zu bytes; at most %d are taken", bytes,
                         CONTROL_MAX_BYTES);
    json_error_t parse;
    json_t *request = json_loadb(body, bytes, JSON_REJECT_DUPLICATES, &parse);
    if (request == NULL)
        return error_set(error, EINVAL, "request: not JSON at byte %d: %s", parse.position,
                         parse.text);
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    int code;
    if (cmd == NULL)
        code = error_set(error, EINVAL,
                         "request: must be an object with a string \"cmd\", such as "
                         "{\"cmd\":\"status\"}");
    else if (strcmp(cmd, "ping") == 0)
        code = answer_ping(ret);
    else if (strcmp(cmd, "info") == 0)
        code = answer_info(control, request, ret, error);
    else
        code = control->request(control->user, request, ++control->ticket, ret, error);
    json_decref(request);
    return code;
}

char *control_text(json_t *reply, const struct error *error)
{
    if (reply == NULL) {
        reply = failure(error->text);
    } else if (!json_is_object(reply)) {
        json_decref(reply);
        reply = failure("the daemon had no answer");
    } else if (json_object_get(reply, "ok") == NULL) {
        json_object_set_new(reply, "ok", json_true());
    }
    char *text = json_dumps(reply, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(reply);
    return text;
}

char *control_answer(struct control *control, const void *body, size_t bytes)
{
    struct error error = {"the daemon had no answer"};
    json_t *reply = NULL;
    int code = answer(control, body, bytes, &reply, &error);
    control->later = code > 0;
    if (code < 0) {
        json_decref(reply);
        reply = NULL;
    }
    return code > 0 ? NULL : control_text(reply, &error);
}

/* A request as ROUTER gives it: the sender's identity, the frames of its envelope up to and with
 * the empty one (REQ) or none (DEALER), the body. */
enum { MAX_FRAMES = 8 };

struct incoming {
    zmq_msg_t frames[MAX_FRAMES];
    int n;
    bool too_many;
};

static bool receive(void *socket, struct incoming *in)
{
    in->n = 0;
    in->too_many = false;
    bool more = true;
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            break;
        }
        more = zmq_msg_more(&frame);
        if (in->n < MAX_FRAMES) {
            in->frames[in->n++] = frame;
        } else {
            in->too_many = true;
            zmq_msg_close(&frame);
        }
    }
    return in->n > 0;
}

static void close_incoming(struct incoming *in)
{
    for (int i = 0; i < in->n; i++)
        zmq_msg_close(&in->frames[i]);
}

/* To whom `in` came from. */
static void send_reply(void *socket, struct incoming *in, const char *text)
{
    for (int i = 0; i < in->n - 1; i++)
        zmq_msg_send(&in->frames[i], socket, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(socket, text, strlen(text), ZMQ_DONTWAIT);
}

struct waiting {
    uint64_t ticket;
    struct incoming in;
};

/* Takes `in` over. False when memory is short. */
static bool keep_waiting(struct control *control, const struct incoming *in)
{
    const size_t n = (size_t)control->n_waiting;
    struct waiting *grown = realloc(control->waiting, (n + 1) * sizeof *grown);
    if (grown == NULL)
        return false;
    control->waiting = grown;
    grown[control->n_waiting++] = (struct waiting){control->ticket, *in};
    return true;
}

/* Takes `in` over. */
static void reply(struct control *control, void *socket, struct incoming *in)
{
    char *text = NULL;
    if (in->n >= 2 && !in->too_many) { /* else it is no request that could be answered */
        zmq_msg_t *body = &in->frames[in->n - 1];
        text = control_answer(control, zmq_msg_data(body), zmq_msg_size(body));
        if (text == NULL && control->later && keep_waiting(control, in))
            return;
    }
    if (text != NULL)
        send_reply(socket, in, text);
    free(text);
    close_incoming(in);
}

int control_serve(struct control *control, void *socket, int limit)
{
    struct incoming in;
    int n = 0;
    while (n < limit && receive(socket, &in)) {
        reply(control, socket, &in);
        n++;
    }
    return n;
}

void control_deliver(struct control *control, void *socket, uint64_t ticket, const char *text)
{
    int i = 0;
    while (i < control->n_waiting && control->waiting[i].ticket != ticket)
        i++;
    if (i == control->n_waiting)
        return;
    send_reply(socket, &control->waiting[i].in, text);
    close_incoming(&control->waiting[i].in);
    control->waiting[i] = control->waiting[--control->n_waiting];
}

void control_finish(struct control *control)
{
    for (int i = 0; i < control->n_waiting; i++)
        close_incoming(&control->waiting[i].in);
    free(control->waiting);
    control->waiting = NULL;
    control->n_waiting = 0;
}
