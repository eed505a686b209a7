/* SPDX-License-Identifier: Apache-2.0
 * The reader's side of an outbox, for the ipc thread: a ring of messages with one writer and one
 * reader, all memory taken at creation. The writer always owns one slot to fill, so a message that
 * finds the ring full is known when it is dropped, and spends its sequence number: the loss shows.
 */
#ifndef FOCALD_IPC_OUTBOX_H
#define FOCALD_IPC_OUTBOX_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "ipc/message.h"

/* What all outboxes of a publisher share. */
struct outbox_shared {
    int n_streams;
    int wake_fd;               /* eventfd of the ipc thread */
    atomic_uint_fast64_t *seq; /* [n_streams][TOPIC_COUNT], the next number */
    atomic_uint_fast64_t dropped;
};

struct outbox;

/* Returns 0 or a negative errno with the error. */
int outbox_new(struct outbox **ret, struct outbox_shared *shared, int slots,
               size_t payload_capacity, struct error *error);
void outbox_free(struct outbox *outbox); /* takes NULL */

/* The oldest message sent and its sequence number, or NULL; valid until outbox_pop. */
const struct message *outbox_peek(struct outbox *outbox, uint64_t *ret_seq);
void outbox_pop(struct outbox *outbox);

#endif
