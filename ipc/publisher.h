/* SPDX-License-Identifier: Apache-2.0
 * The daemon's side of the protocol: one ipc thread owns the XPUB `data` and the ROUTER `control`
 * socket. Threads of the daemon hand it messages through outboxes (one writer each, bounded, no
 * waiting); it adds sequence numbers, encodes headers and sends. A full outbox or a subscriber that
 * does not read loses messages, visibly (sequence gaps, dropped_messages), and slows nobody. */
#ifndef FOCALD_IPC_PUBLISHER_H
#define FOCALD_IPC_PUBLISHER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "ipc/message.h"

struct publisher_config {
    const char *ipc_dir; /* "/run/focald" or "$XDG_RUNTIME_DIR/focald"; sockets data and control in
                            it. Created 0750 if missing. A live daemon there is -EADDRINUSE; a stale
                            socket file is replaced. */
    const char *tcp_data,
        *tcp_control; /* "tcp://ADDRESS:PORT" or NULL. Beyond loopback: needs CURVE */
    const char *curve_secret_key_file; /* Z85 secret key of the server, mode 0600, or NULL */
    const char *curve_clients_file;    /* Z85 public keys that may connect, one a line, # comments;
                                          NULL: any client that knows the server's public key */
    int send_hwm;                      /* messages kept for one slow subscriber; 256 */
    const char *const *streams;        /* [n_streams] names: [A-Za-z0-9_.-]{1,63} */
    int n_streams;
    /* Answers a control request on the ipc thread; must be quick. Returns 0 and *ret_reply (a new
     * reference, an object), or a negative errno with the error: the publisher then answers
     * {"ok":false,"error":text}; or 1: publisher_answer will say it, by this ticket. request is an
     * object with a string "cmd". */
    int (*request)(void *user, const json_t *request, uint64_t ticket, json_t **ret_reply,
                   struct error *error);
    void *user;
};

struct publisher;

/* What publisher_create would refuse of the TCP endpoints and the files of keys, by reading. Binds
 * nothing: whether an address is this machine's and free is not known. */
int publisher_check(const struct publisher_config *config, struct error *error);

/* Binds the sockets and starts the thread. Errors name the endpoint and the mend. */
int publisher_create(struct publisher **ret, const struct publisher_config *config,
                     struct error *error);
/* Sends what is queued for up to 200 ms, closes, removes the socket files. Takes NULL. */
void publisher_destroy(struct publisher *publisher);

/* True when somebody subscribes to the topic of the stream. Any thread, wait-free. */
bool publisher_wants(const struct publisher *publisher, int stream, enum topic topic);

/* What info/STREAM says: fields is copied; sent now if it changed, on subscribing, every 10 s.
 * Its `count`, `first`, `t_wall_ns`: the span last told by any message but health. Any thread. */
int publisher_set_info(struct publisher *publisher, int stream, const json_t *fields);

/* The answer to a request that was left for later: reply, a reference that is taken over, or where
 * it is NULL the error. Any thread. */
void publisher_answer(struct publisher *publisher, uint64_t ticket, json_t *reply,
                      const struct error *error);

/* Messages that were dropped because an outbox was full. */
uint64_t publisher_dropped(const struct publisher *publisher);

/* Where the TCP sockets listen, with the port that "tcp://ADDRESS:*" got; "" without TCP. */
const char *publisher_tcp_data(const struct publisher *publisher);
const char *publisher_tcp_control(const struct publisher *publisher);

struct outbox; /* one writing thread, the ipc thread reads */

/* slots messages, payload_capacity bytes each, all taken here. Before or while running; 64 at most.
 * Messages of one topic of one stream go through one outbox, or their order is not kept. */
int outbox_create(struct outbox **ret, struct publisher *publisher, int slots,
                  size_t payload_capacity, struct error *error);
/* The outbox goes with publisher_destroy, before which its writer must have stopped. */

/* A message to fill, header fields zeroed; never NULL. Not sent until outbox_send; asking again
 * without sending gives the same one, as it was left. */
struct message *outbox_take(struct outbox *outbox);
/* payload_bytes must be what the header promises (message_payload_bytes). A full outbox drops the
 * message here: it counts as dropped and its sequence number is spent, so that clients see it. */
void outbox_send(struct outbox *outbox);
/* True when all that was sent is on its way, with the labels of its time. Any thread. */
bool outbox_empty(struct outbox *outbox);

#endif
