/* SPDX-License-Identifier: Apache-2.0
 * libfocal: the client side of focald's protocol. Link with `pkg-config --libs libfocal`.
 *
 * A client subscribes to topics ("label/kitchen", "audio/", "" for all) and takes messages one by
 * one. It may lag or die; the daemon does not notice. A `struct focal` belongs to one thread.
 * Functions return 0 or a positive count, or a negative errno; focal_error() then has the line. */
#ifndef FOCAL_H
#define FOCAL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FOCAL_API __attribute__((visibility("default")))

struct focal;

struct focal_options {
    const char *data; /* endpoint; NULL: as focal_endpoint chooses, now and later */
    /* NULL: FOCALD_CONTROL where no name is given, else the one beside data's socket file; with
     * data over TCP there is none then, and focal_request fails (-EDESTADDRREQ). */
    const char *control;
    const char *name; /* [ipc] name of the daemon; NULL: as with focal_endpoint */
    const char *curve_server_public_key; /* Z85, for TCP endpoints with CURVE; NULL otherwise */
    const char *curve_public_key, *curve_secret_key; /* the client's own pair; NULL: a new pair */
    int receive_hwm; /* messages kept while the client does not read; 0: 1000 */
};

/* Where the socket ("data" or "control") of the focald is whose [ipc] name is `name`:
 * the first of ipc://$XDG_RUNTIME_DIR/NAME/SOCKET and ipc:///run/NAME/SOCKET that is there, not one
 * that a killed daemon left where the other is there, and where none is, the one that this user's
 * daemon will make: it may come later. name NULL: what FOCALD_DATA or FOCALD_CONTROL says (the
 * latter unset: what lies beside the former's socket file), else that of "focald". -EINVAL: another
 * socket, or a name that is empty or has a slash; -ENAMETOOLONG: more than ret holds; ret is then
 * "". */
FOCAL_API int focal_endpoint(char *ret, size_t size, const char *name, const char *socket);

/* options may be NULL. Connecting succeeds without a daemon; messages come once it is there. On
 * failure *ret is NULL, the line goes to focal_last_error().
 *
 * Where the options do not say where the data socket is, the user's and the system's daemon may
 * come and go: focal_next looks about once a second where focal_endpoint would send it, and goes
 * there, subscriptions and all, where a socket is there. One that has gone, or that a killed daemon
 * left, is waited for five seconds before another is taken, as a daemon that is started anew has it
 * again by then. focal_request looks before it asks, and while it waits only once its daemon has
 * gone: what one may be doing is not asked of another. */
FOCAL_API int focal_open(struct focal **ret, const struct focal_options *options);
FOCAL_API void focal_close(struct focal *focal); /* takes NULL */
FOCAL_API const char *focal_error(const struct focal *focal);
/* The last failure of focal_open in this thread. */
FOCAL_API const char *focal_last_error(void);
/* The data endpoint in use. It lives as long as the focal; its text changes when that moves. */
FOCAL_API const char *focal_where(const struct focal *focal);

/* topic is a prefix: "label/", "event/kitchen", "". May be called many times. */
FOCAL_API int focal_subscribe(struct focal *focal, const char *topic);
FOCAL_API int focal_unsubscribe(struct focal *focal, const char *topic);

struct focal_message {
    const char *topic;     /* "label" */
    const char *stream;    /* "kitchen" */
    uint64_t seq;          /* counts per topic and stream */
    uint64_t lost;         /* messages of this topic and stream that went missing right before it */
    uint64_t first, count; /* samples on the stream's 16 kHz timeline */
    int64_t t_ns;          /* wall clock (Unix epoch) of sample `first` */
    const char *header;    /* the whole JSON header, NUL-terminated */
    size_t header_bytes;
    const void *payload; /* raw, little-endian, 8-byte aligned; see header's shape, dtype, unit */
    size_t payload_bytes;
};

/* Waits up to timeout_ms (-1: for ever) for the next message. 1: *ret is filled and valid until the
 * next call with this focal; 0: none came; -EPROTO: a message that is not focald's was dropped;
 * -EINTR: a signal came. */
FOCAL_API int focal_next(struct focal *focal, struct focal_message *ret, int timeout_ms);

/* A number or string of the message's header by dotted path ("top.0.label"). Returns 0, -ENOENT
 * (also for null), or -EINVAL when it has another type. true and false are the numbers 1 and 0. The
 * string lives as long as the message. */
FOCAL_API int focal_number(struct focal *focal, const char *path, double *ret);
FOCAL_API int focal_string(struct focal *focal, const char *path, const char **ret);

/* The file descriptor to poll for reading, and the rule of ZeroMQ: after it fired, call focal_next
 * with timeout 0 until it gives 0. Do so every second or two without it, too: see focal_open. */
FOCAL_API int focal_fd(struct focal *focal);

/* One control request: a JSON object such as {"cmd":"status"}; *ret_reply is the reply's JSON text,
 * to be freed with free(). -ETIMEDOUT: no daemon answered. Messages given out stay valid. */
FOCAL_API int focal_request(struct focal *focal, const char *request, char **ret_reply,
                            int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
