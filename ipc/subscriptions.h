/* SPDX-License-Identifier: Apache-2.0
 * Which topics of which streams somebody wants. ZeroMQ subscribes by prefix: "", "lab", "label/"
 * and "label/kit" all want label/kitchen. A prefix of a known name is told by its length alone, so
 * one bit for each length is the whole set, and hostile subscriptions cost no memory here. */
#ifndef FOCALD_IPC_SUBSCRIPTIONS_H
#define FOCALD_IPC_SUBSCRIPTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/message.h"

struct subscription {
    char name[80]; /* "label/kitchen" */
    size_t name_bytes;
    uint64_t lengths[2]; /* bit n: somebody subscribes to the first n bytes of name */
    atomic_bool wanted;  /* any thread reads */
};

struct subscriptions {
    int n_streams;
    struct subscription *list; /* [n_streams][TOPIC_COUNT] */
};

/* Names must be valid. Returns 0 or -ENOMEM. */
int subscriptions_init(struct subscriptions *s, const char *const *streams, int n_streams);
void subscriptions_finish(struct subscriptions *s);

/* One message that an XPUB socket received: 1 or 0, then the prefix. Sets fresh_info[stream] for
 * each stream whose info the new subscription covers. Anything else is ignored. */
void subscriptions_apply(struct subscriptions *s, const uint8_t *frame, size_t bytes,
                         bool *fresh_info);

static inline struct subscription *subscriptions_at(const struct subscriptions *s, int stream,
                                                    enum topic topic)
{
    return &s->list[stream * TOPIC_COUNT + (int)topic];
}

#endif
