/* SPDX-License-Identifier: Apache-2.0
 * The control side of the protocol: one JSON object in, one JSON object out. */
#ifndef FOCALD_IPC_CONTROL_H
#define FOCALD_IPC_CONTROL_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

enum { CONTROL_MAX_BYTES = 65536 };

struct control {
    int n_streams;
    const char *const *streams;
    json_t *const *info; /* [n_streams], NULL while unknown */
    int (*request)(void *user, const json_t *request, json_t **ret_reply, struct error *error);
    void *user;
};

/* The reply to one request, whatever the bytes are; answers ping and info itself and hands the rest
 * to request. Text to be freed with free(), or NULL when memory is short. */
char *control_answer(const struct control *control, const void *body, size_t bytes);

/* Answers requests that wait on the ROUTER socket, limit at most; returns how many. A client that
 * does not take its replies loses them. */
int control_serve(const struct control *control, void *socket, int limit);

#endif
