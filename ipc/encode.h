/* SPDX-License-Identifier: Apache-2.0
 * A message's JSON header, field for field as docs/protocol.md has them. */
#ifndef FOCALD_IPC_ENCODE_H
#define FOCALD_IPC_ENCODE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/message.h"

struct encode_context {
    const char *stream;
    uint64_t seq;
    int64_t run_ns;       /* when the daemon started: a client tells a restart from a loss by it */
    const json_t *labels; /* array of strings by index, or NULL while unknown */
};

/* The header as text, to be freed with free(); NULL when memory is short. NaN and infinity become
 * null, bytes that are not UTF-8 become '?'. */
char *encode_header(const struct message *message, const struct encode_context *context);

/* The same for info: fields is the object of publisher_set_info. */
char *encode_info(const json_t *fields, uint64_t first, uint64_t count, int64_t t_wall_ns,
                  const struct encode_context *context);

#endif
