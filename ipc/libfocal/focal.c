/* SPDX-License-Identifier: Apache-2.0
 * The client library. A SUB socket is connected at once, a DEALER with the first request. */
#include "ipc/libfocal/focal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "ipc/libfocal/parse.h"
#include "ipc/libfocal/place.h"
#include "ipc/libfocal/sequence.h"

enum { FRAMES = 3, ERROR_BYTES = 512, KEY_TEXT_BYTES = 41, ENDPOINT_BYTES = PLACE_BYTES };
enum { LOOK_MS = 1000, AWAY_MS = 5000 }; /* see focal_open */

struct curve {
    bool on;
    char server[KEY_TEXT_BYTES], public[KEY_TEXT_BYTES], secret[KEY_TEXT_BYTES];
};

struct focal {
    void *context, *data, *control; /* control: NULL until the first request */
    char data_endpoint[ENDPOINT_BYTES], control_endpoint[ENDPOINT_BYTES];
    char name[ENDPOINT_BYTES];              /* "": the usual one */
    bool data_is_chosen, control_is_chosen; /* by focal_endpoint */
    int64_t looked_ms;                      /* when it was asked last */
    int64_t heard_ms;                       /* when the last message came */
    int64_t away_ms; /* since when it would go from what is not there; 0: it would not */
    struct curve curve;
    struct sequences sequences;
    uint64_t request_id;

    /* the message given out last */
    zmq_msg_t payload;
    struct parsed message;
    char *header;
    size_t header_capacity;
    void *aligned; /* a copy of the payload, where ZeroMQ put it at an odd address */
    size_t aligned_capacity;

    char error[ERROR_BYTES];
};

static _Thread_local char last_error[ERROR_BYTES];

static int fail(struct focal *f, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct focal *f, int errnum, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(f->error, sizeof f->error, format, args);
    va_end(args);
    return -errnum;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void close_control(struct focal *f)
{
    if (f->control != NULL)
        zmq_close(f->control);
    f->control = NULL;
}

static int too_long(struct focal *f, const char *socket)
{
    return fail(f, ENAMETOOLONG, "the %s endpoint is longer than %d characters", socket,
                ENDPOINT_BYTES - 1);
}

static int choose_data(struct focal *f, char ret[ENDPOINT_BYTES])
{
    const char *name = f->name[0] != '\0' ? f->name : NULL;
    int code = focal_endpoint(ret, ENDPOINT_BYTES, name, "data");
    if (code == -EINVAL)
        return fail(f, EINVAL, "name \"%s\": must be that of a directory, without /", f->name);
    return code < 0 ? too_long(f, "data") : 0;
}

/* The same daemon's: what turns its knobs shows what it hears. "" where nobody can tell. */
static int choose_control(struct focal *f, char ret[ENDPOINT_BYTES])
{
    const char *said = getenv("FOCALD_CONTROL");
    int code = f->name[0] == '\0' && said != NULL && said[0] != '\0'
                   ? place_fit(ret, ENDPOINT_BYTES, "%s", said)
                   : place_beside(ret, ENDPOINT_BYTES, f->data_endpoint);
    return code < 0 ? too_long(f, "control") : 0;
}

static int choose_endpoints(struct focal *f, const struct focal_options *o)
{
    if (o->name != NULL &&
        (o->name[0] == '\0' || place_fit(f->name, sizeof f->name, "%s", o->name) < 0))
        return fail(f, EINVAL, "name: must have 1 to %zu characters", sizeof f->name - 1);
    f->data_is_chosen = o->data == NULL;
    f->control_is_chosen = o->control == NULL;
    f->looked_ms = now_ms();
    int code = 0;
    if (f->data_is_chosen)
        code = choose_data(f, f->data_endpoint);
    else if (place_fit(f->data_endpoint, ENDPOINT_BYTES, "%s", o->data) < 0)
        code = too_long(f, "data");
    if (code < 0)
        return code;
    if (f->control_is_chosen)
        return choose_control(f, f->control_endpoint);
    return place_fit(f->control_endpoint, ENDPOINT_BYTES, "%s", o->control) < 0
               ? too_long(f, "control")
               : 0;
}

/* Whether what is gone may come back. A program that has not looked for so long cannot tell since
 * when it is gone. */
static bool is_waited_for(struct focal *f, int64_t ms, int64_t looked_ms)
{
    if (!place_is_gone(f->data_endpoint) || ms - looked_ms >= AWAY_MS)
        return false;
    if (f->away_ms == 0)
        f->away_ms = ms;
    return ms - f->away_ms < AWAY_MS;
}

/* The user's daemon, which comes before any other, and it speaks. */
static bool is_at_first(const struct focal *f, int64_t looked_ms)
{
    char users[ENDPOINT_BYTES];
    const char *name = f->name[0] != '\0' ? f->name : "focald";
    return f->heard_ms >= looked_ms && place_of_user(users, sizeof users, name, "data") == 0 &&
           strcmp(users, f->data_endpoint) == 0;
}

static void follow_control(struct focal *f)
{
    char to[ENDPOINT_BYTES];
    if (!f->control_is_chosen || choose_control(f, to) < 0 || strcmp(to, f->control_endpoint) == 0)
        return;
    memcpy(f->control_endpoint, to, sizeof to);
    close_control(f);
}

/* Goes where the daemon is now (focal_open). Where that fails, all is as before. */
static void follow(struct focal *f)
{
    char to[ENDPOINT_BYTES];
    const int64_t ms = now_ms(), looked_ms = f->looked_ms;
    if (!f->data_is_chosen || ms - looked_ms < LOOK_MS)
        return;
    f->looked_ms = ms;
    if (is_at_first(f, looked_ms) || choose_data(f, to) < 0 || strcmp(to, f->data_endpoint) == 0 ||
        !place_is_there(to)) {
        f->away_ms = 0;
        return;
    }
    if (is_waited_for(f, ms, looked_ms) || zmq_connect(f->data, to) != 0)
        return;
    zmq_disconnect(f->data, f->data_endpoint);
    memcpy(f->data_endpoint, to, sizeof to);
    f->away_ms = 0;
    follow_control(f);
}

static bool is_key(const char *text)
{
    uint8_t bytes[32];
    return strlen(text) == KEY_TEXT_BYTES - 1 && zmq_z85_decode(bytes, text) != NULL;
}

static int choose_keys(struct focal *f, const struct focal_options *o)
{
    struct curve *c = &f->curve;
    const char *server = o->curve_server_public_key;
    const char *public = o->curve_public_key, *secret = o->curve_secret_key;
    if (server == NULL) {
        if (public != NULL || secret != NULL)
            return fail(f, EINVAL,
                        "curve_public_key, curve_secret_key: need "
                        "curve_server_public_key too");
        return 0;
    }
    if (!is_key(server) || (public != NULL && !is_key(public)) ||
        (secret != NULL && !is_key(secret)))
        return fail(f, EINVAL, "%s: not a key, which is 40 characters of Z85",
                    !is_key(server)                     ? "curve_server_public_key"
                    : public != NULL && !is_key(public) ? "curve_public_key"
                                                        : "curve_secret_key");
    if (public != NULL && secret == NULL)
        return fail(f, EINVAL, "curve_public_key: needs curve_secret_key too");
    int code = 0;
    memcpy(c->server, server, sizeof c->server);
    if (secret == NULL) {
        code = zmq_curve_keypair(c->public, c->secret);
    } else {
        memcpy(c->secret, secret, sizeof c->secret);
        code = zmq_curve_public(c->public, c->secret);
        if (code == 0 && public != NULL && strcmp(public, c->public) != 0)
            return fail(f, EINVAL, "curve_public_key: does not belong to curve_secret_key");
    }
    if (code != 0)
        return fail(f, ENOTSUP, "this libzmq has no CURVE");
    c->on = true;
    return 0;
}

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

/* The kernel asks whether a silent peer is still there, as a subscriber never sends anything by
 * itself: a daemon whose machine lost its power is noticed in about a minute. ZeroMQ's heartbeats
 * would also cut off a daemon whose answer waits behind messages that the client does not take. */
static int keep_alive(void *socket)
{
    int failed = 0;
    failed |= set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    failed |= set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, 30);
    failed |= set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, 10);
    failed |= set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, 3);
    return failed;
}

static int connect_socket(struct focal *f, void **ret, int type, const char *endpoint, int hwm)
{
    void *socket = zmq_socket(f->context, type);
    if (socket == NULL)
        return fail(f, zmq_errno(), "%s: no ZeroMQ socket: %s", endpoint,
                    zmq_strerror(zmq_errno()));
    int failed = keep_alive(socket);
    failed |= set_int(socket, ZMQ_LINGER, 0);
    failed |= set_int(socket, ZMQ_RCVHWM, hwm);
    failed |= set_int(socket, ZMQ_IPV6, 1);
    failed |= set_int(socket, ZMQ_RECONNECT_IVL, 100);
    failed |= set_int(socket, ZMQ_RECONNECT_IVL_MAX, 2000);
    /* keys only where they are asked for: a CURVE client cannot talk to a daemon's ipc socket */
    if (f->curve.on && strncmp(endpoint, "ipc://", 6) != 0) {
        failed |= zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, f->curve.server, KEY_TEXT_BYTES - 1);
        failed |= zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, f->curve.public, KEY_TEXT_BYTES - 1);
        failed |= zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, f->curve.secret, KEY_TEXT_BYTES - 1);
    }
    if (failed != 0 || zmq_connect(socket, endpoint) != 0) {
        int code = fail(f, zmq_errno(), "%s: cannot connect: %s", endpoint,
                        zmq_errno() == EINVAL ? "not an endpoint such as ipc:///run/focald/data or "
                                                "tcp://ADDRESS:PORT"
                                              : zmq_strerror(zmq_errno()));
        zmq_close(socket);
        return code;
    }
    *ret = socket;
    return 0;
}

static int open_all(struct focal *f, const struct focal_options *options)
{
    int code = choose_endpoints(f, options);
    if (code < 0)
        return code;
    if (options->receive_hwm < 0)
        return fail(f, EINVAL, "receive_hwm: %d is negative; 0 takes the usual 1000",
                    options->receive_hwm);
    code = choose_keys(f, options);
    if (code != 0)
        return code;
    f->context = zmq_ctx_new();
    if (f->context == NULL)
        return fail(f, zmq_errno(), "ZeroMQ: %s", zmq_strerror(zmq_errno()));
    return connect_socket(f, &f->data, ZMQ_SUB, f->data_endpoint,
                          options->receive_hwm > 0 ? options->receive_hwm : 1000);
}

int focal_open(struct focal **ret, const struct focal_options *options)
{
    static const struct focal_options none = {0};
    *ret = NULL;
    struct focal *f = calloc(1, sizeof *f);
    if (f == NULL) {
        snprintf(last_error, sizeof last_error, "out of memory");
        return -ENOMEM;
    }
    zmq_msg_init(&f->payload);
    int code = open_all(f, options != NULL ? options : &none);
    if (code != 0) {
        memcpy(last_error, f->error, sizeof last_error);
        focal_close(f);
        return code;
    }
    *ret = f;
    return 0;
}

void focal_close(struct focal *f)
{
    if (f == NULL)
        return;
    zmq_msg_close(&f->payload);
    json_decref(f->message.header);
    if (f->data != NULL)
        zmq_close(f->data);
    close_control(f);
    if (f->context != NULL)
        while (zmq_ctx_term(f->context) != 0 && zmq_errno() == EINTR) {
        }
    sequences_finish(&f->sequences);
    explicit_bzero(&f->curve, sizeof f->curve);
    free(f->header);
    free(f->aligned);
    free(f);
}

const char *focal_error(const struct focal *f)
{
    return f->error;
}

const char *focal_last_error(void)
{
    return last_error;
}

const char *focal_where(const struct focal *f)
{
    return f->data_endpoint;
}

int focal_subscribe(struct focal *f, const char *topic)
{
    if (zmq_setsockopt(f->data, ZMQ_SUBSCRIBE, topic, strlen(topic)) != 0)
        return fail(f, zmq_errno(), "subscribing to \"%s\": %s", topic, zmq_strerror(zmq_errno()));
    return 0;
}

int focal_unsubscribe(struct focal *f, const char *topic)
{
    if (zmq_setsockopt(f->data, ZMQ_UNSUBSCRIBE, topic, strlen(topic)) != 0)
        return fail(f, zmq_errno(), "unsubscribing from \"%s\": %s", topic,
                    zmq_strerror(zmq_errno()));
    sequences_forget(&f->sequences, topic);
    return 0;
}

/* Waits for socket until the time deadline_ms (-1: for ever). 1: readable; 0: not in time. */
static int wait_readable(struct focal *f, void *socket, int64_t deadline_ms)
{
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    long timeout = -1;
    if (deadline_ms >= 0) {
        int64_t rest = deadline_ms - now_ms();
        timeout = rest > 0 ? (long)rest : 0;
    }
    int n = zmq_poll(&item, 1, timeout);
    if (n < 0)
        return fail(f, zmq_errno(), "waiting for focald: %s", zmq_strerror(zmq_errno()));
    return n > 0;
}

/* The same, or until it was time to look where the daemon is: then, too, 1. asked: what a daemon
 * that is still there may be doing is not asked of another. */
static int wait_looking(struct focal *f, void *socket, int64_t deadline_ms, bool asked)
{
    const int64_t look_ms = f->looked_ms + LOOK_MS;
    const bool looks = f->data_is_chosen && (deadline_ms < 0 || look_ms < deadline_ms);
    int code = wait_readable(f, socket, looks ? look_ms : deadline_ms);
    if (code != 0 || !looks)
        return code;
    if (!asked || place_is_gone(f->data_endpoint)) {
        follow(f);
        return 1;
    }
    f->looked_ms = now_ms();
    f->away_ms = 0;
    return 1;
}

static int64_t deadline_of(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

/* All frames of a message; those past max are dropped. Returns how many came, 0 when none waits. */
static int receive_frames(void *socket, zmq_msg_t *frames, int max)
{
    int n = 0;
    bool more = true;
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            break;
        }
        more = zmq_msg_more(&frame);
        if (n < max)
            frames[n] = frame;
        else
            zmq_msg_close(&frame);
        n++;
    }
    return n;
}

static void close_frames(zmq_msg_t *frames, int n, int max)
{
    for (int i = 0; i < n && i < max; i++)
        zmq_msg_close(&frames[i]);
}

static bool reserve(void **buffer, size_t *capacity, size_t bytes)
{
    if (bytes <= *capacity)
        return true;
    void *grown = realloc(*buffer, bytes);
    if (grown == NULL)
        return false;
    *buffer = grown;
    *capacity = bytes;
    return true;
}

/* Takes the message over from its frames and fills *ret. */
static int give_out(struct focal *f, zmq_msg_t *frames, struct focal_message *ret)
{
    struct parsed parsed;
    size_t header_bytes = zmq_msg_size(&frames[1]);
    int code = parse_message(&parsed, zmq_msg_data(&frames[0]), zmq_msg_size(&frames[0]),
                             zmq_msg_data(&frames[1]), header_bytes, f->error, sizeof f->error);
    if (code != 0)
        return code;
    f->heard_ms = now_ms();
    json_decref(f->message.header);
    f->message = parsed;
    zmq_msg_move(&f->payload, &frames[2]);

    const void *payload = zmq_msg_data(&f->payload);
    size_t payload_bytes = zmq_msg_size(&f->payload);
    bool aligned = (uintptr_t)payload % 8 == 0;
    if (!reserve((void **)&f->header, &f->header_capacity, header_bytes + 1) ||
        (!aligned && !reserve(&f->aligned, &f->aligned_capacity, payload_bytes)))
        return fail(f, ENOMEM, "message of %s/%s: out of memory", parsed.topic, parsed.stream);
    memcpy(f->header, zmq_msg_data(&frames[1]), header_bytes);
    f->header[header_bytes] = '\0';
    if (!aligned)
        payload = memcpy(f->aligned, payload, payload_bytes);

    *ret = (struct focal_message){.topic = f->message.topic,
                                  .stream = f->message.stream,
                                  .seq = parsed.seq,
                                  .lost = sequences_follow(&f->sequences, &parsed),
                                  .first = parsed.first,
                                  .count = parsed.count,
                                  .t_ns = parsed.t_ns,
                                  .header = f->header,
                                  .header_bytes = header_bytes,
                                  .payload = payload,
                                  .payload_bytes = payload_bytes};
    return 1;
}

int focal_next(struct focal *f, struct focal_message *ret, int timeout_ms)
{
    zmq_msg_t frames[FRAMES];
    const int64_t deadline = deadline_of(timeout_ms);
    follow(f);
    int n = receive_frames(f->data, frames, FRAMES);
    while (n == 0) {
        int code = wait_looking(f, f->data, deadline, false);
        if (code <= 0)
            return code;
        n = receive_frames(f->data, frames, FRAMES);
    }
    int code = n == FRAMES ? give_out(f, frames, ret)
                           : fail(f, EPROTO, "message: %d frames instead of %d; not from focald?",
                                  n, FRAMES);
    close_frames(frames, n, FRAMES);
    return code;
}

int focal_number(struct focal *f, const char *path, double *ret)
{
    const json_t *value = parse_find(f->message.header, path);
    if (value == NULL || json_is_null(value))
        return fail(f, ENOENT, "header: no value at \"%s\"", path);
    if (json_is_boolean(value))
        *ret = json_is_true(value) ? 1 : 0;
    else if (json_is_number(value))
        *ret = json_number_value(value);
    else
        return fail(f, EINVAL, "header: the value at \"%s\" is not a number", path);
    return 0;
}

int focal_string(struct focal *f, const char *path, const char **ret)
{
    const json_t *value = parse_find(f->message.header, path);
    if (value == NULL || json_is_null(value))
        return fail(f, ENOENT, "header: no value at \"%s\"", path);
    if (!json_is_string(value))
        return fail(f, EINVAL, "header: the value at \"%s\" is not a string", path);
    *ret = json_string_value(value);
    return 0;
}

int focal_fd(struct focal *f)
{
    int fd;
    size_t size = sizeof fd;
    if (zmq_getsockopt(f->data, ZMQ_FD, &fd, &size) != 0)
        return fail(f, zmq_errno(), "no file descriptor: %s", zmq_strerror(zmq_errno()));
    return fd;
}

/* The reply to request_id, if that is what the frames are: id, empty, body. */
static bool take_reply(zmq_msg_t *frames, int n, uint64_t request_id, char **ret)
{
    if (n != FRAMES || zmq_msg_size(&frames[0]) != sizeof request_id ||
        memcmp(zmq_msg_data(&frames[0]), &request_id, sizeof request_id) != 0)
        return false;
    size_t bytes = zmq_msg_size(&frames[2]);
    char *text = malloc(bytes + 1);
    if (text != NULL) {
        memcpy(text, zmq_msg_data(&frames[2]), bytes);
        text[bytes] = '\0';
    }
    *ret = text;
    return true;
}

/* To where the control socket is now. */
static int send_request(struct focal *f, uint64_t id, const char *request)
{
    int code = 0;
    if (f->control_endpoint[0] == '\0')
        return fail(f, EDESTADDRREQ,
                    "%s: only the data socket is known; say where the control socket is "
                    "(FOCALD_CONTROL, or control)",
                    f->data_endpoint);
    if (f->control == NULL)
        code = connect_socket(f, &f->control, ZMQ_DEALER, f->control_endpoint, 100);
    if (code < 0)
        return code;
    if (zmq_send(f->control, &id, sizeof id, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(f->control, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(f->control, request, strlen(request), ZMQ_DONTWAIT) < 0)
        return fail(f, zmq_errno(), "%s: request not sent: %s", f->control_endpoint,
                    zmq_strerror(zmq_errno()));
    return 0;
}

int focal_request(struct focal *f, const char *request, char **ret_reply, int timeout_ms)
{
    const int64_t deadline = deadline_of(timeout_ms);
    const uint64_t id = ++f->request_id;
    follow(f);
    int code = send_request(f, id, request);
    while (code == 0) {
        zmq_msg_t frames[FRAMES];
        char *text = NULL;
        int n = receive_frames(f->control, frames, FRAMES);
        bool ours = n > 0 && take_reply(frames, n, id, &text);
        close_frames(frames, n, FRAMES);
        if (ours && text == NULL)
            return fail(f, ENOMEM, "%s: reply: out of memory", f->control_endpoint);
        if (ours) {
            *ret_reply = text;
            return 0;
        }
        if (n > 0)
            continue; /* the late answer to a request given up */
        code = wait_looking(f, f->control, deadline, true);
        if (code == 0) {
            /* what was not sent must not be done much later, when nobody waits for it */
            close_control(f);
            return fail(f, ETIMEDOUT, "%s: no answer within %d ms; is focald running?",
                        f->control_endpoint, timeout_ms);
        }
        if (code < 0)
            return code;
        code = f->control == NULL ? send_request(f, id, request) : 0; /* it is elsewhere now */
    }
    return code;
}
