/* SPDX-License-Identifier: Apache-2.0
 * The control side of the protocol: one JSON object in, one JSON object out. */
#ifndef FOCALD_IPC_CONTROL_H
#define FOCALD_IPC_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { CONTROL_MAX_BYTES = 65536 };

struct control {
    int n_streams;
    const char *const *streams;
    json_t *const *info; /* [n_streams], NULL while unknown */
    /* See struct publisher_config. */
    int (*request)(void *user, const json_t *request, uint64_t ticket, json_t **ret_reply,
                   struct error *error);
    void *user;
    /* control.c's own, 0 at first */
    uint64_t ticket;         /* of the newest request */
    bool later;              /* that one is to be answered later */
    struct waiting *waiting; /* [n_waiting] who waits for that */
    int n_waiting;
};

/* The reply to one request, whatever the bytes are; answers ping and info itself and hands the rest
 * to request. Text to be freed with free(); NULL when memory is short, or where control->later
 * says so. */
char *control_answer(struct control *control, const void *body, size_t bytes);
/* The text of a reply: `reply`, which is taken over, or where it is NULL the error. NULL when
 * memory is short. */
char *control_text(json_t *reply, const struct error *error);

/* Answers requests that wait on the ROUTER socket, limit at most; returns how many. A client that
 * does not take its replies loses them. */
int control_serve(struct control *control, void *socket, int limit);
/* The answer to a request that was left for later. */
void control_deliver(struct control *control, void *socket, uint64_t ticket, const char *text);
/* Forgets who still waits. */
void control_finish(struct control *control);

#endif
