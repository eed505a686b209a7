/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/outbox.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "ipc/publisher.h"

struct slot {
    struct message message;
    uint64_t seq;
};

struct outbox {
    /* immutable after creation */
    struct outbox_shared *shared;
    struct slot *slots; /* [n_slots]: those in the ring and the one that the writer fills */
    uint64_t n_slots;
    uint8_t *payloads;

    /* the writer's; head counts messages sent */
    _Alignas(MEMORY_ALIGN) atomic_uint_fast64_t head;
    bool taken;

    /* the reader's; tail counts messages read */
    _Alignas(MEMORY_ALIGN) atomic_uint_fast64_t tail;
};

int outbox_new(struct outbox **ret, struct outbox_shared *shared, int slots,
               size_t payload_capacity, struct error *error)
{
    assert(slots >= 1);
    uint64_t n_slots = (uint64_t)slots + 1;
    size_t stride = (payload_capacity + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    struct outbox *outbox = memory_zeroed(1, sizeof *outbox);
    if (outbox != NULL) {
        outbox->slots = memory_zeroed(n_slots, sizeof *outbox->slots);
        outbox->payloads = memory_zeroed(n_slots, stride);
    }
    if (outbox == NULL || outbox->slots == NULL || outbox->payloads == NULL) {
        outbox_free(outbox);
        return error_set(error, ENOMEM, "outbox of %d messages of %zu bytes: out of memory", slots,
                         payload_capacity);
    }
    outbox->shared = shared;
    outbox->n_slots = n_slots;
    for (uint64_t i = 0; i < n_slots; i++) {
        outbox->slots[i].message.payload = outbox->payloads + i * stride;
        outbox->slots[i].message.payload_capacity = payload_capacity;
    }
    atomic_init(&outbox->head, 0);
    atomic_init(&outbox->tail, 0);
    *ret = outbox;
    return 0;
}

void outbox_free(struct outbox *outbox)
{
    if (outbox == NULL)
        return;
    free(outbox->slots);
    free(outbox->payloads);
    free(outbox);
}

struct message *outbox_take(struct outbox *outbox)
{
    uint64_t head = atomic_load_explicit(&outbox->head, memory_order_relaxed);
    struct message *m = &outbox->slots[head % outbox->n_slots].message;
    if (!outbox->taken) {
        void *payload = m->payload;
        size_t capacity = m->payload_capacity;
        memset(m, 0, sizeof *m);
        m->payload = payload;
        m->payload_capacity = capacity;
        outbox->taken = true;
    }
    return m;
}

void outbox_send(struct outbox *outbox)
{
    assert(outbox->taken);
    struct outbox_shared *shared = outbox->shared;
    uint64_t head = atomic_load_explicit(&outbox->head, memory_order_relaxed);
    struct slot *slot = &outbox->slots[head % outbox->n_slots];
    const struct message *m = &slot->message;
    assert(m->stream >= 0 && m->stream < shared->n_streams);
    assert((unsigned)m->topic < TOPIC_COUNT && m->topic != TOPIC_INFO);
    assert(m->payload_bytes <= m->payload_capacity);
    assert(m->payload_bytes == message_payload_bytes(m));

    outbox->taken = false;
    slot->seq = atomic_fetch_add_explicit(&shared->seq[m->stream * TOPIC_COUNT + (int)m->topic], 1,
                                          memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&outbox->tail, memory_order_acquire);
    if (head - tail == outbox->n_slots - 1) {
        atomic_fetch_add_explicit(&shared->dropped, 1, memory_order_relaxed);
        return;
    }
    atomic_store_explicit(&outbox->head, head + 1, memory_order_release);
    uint64_t one = 1;
    ssize_t written = write(shared->wake_fd, &one, sizeof one);
    (void)written; /* EAGAIN: the counter is full, so the ipc thread is awake anyway */
}

bool outbox_empty(struct outbox *outbox)
{
    uint64_t tail = atomic_load_explicit(&outbox->tail, memory_order_acquire);
    return tail == atomic_load_explicit(&outbox->head, memory_order_acquire);
}

const struct message *outbox_peek(struct outbox *outbox, uint64_t *ret_seq)
{
    uint64_t tail = atomic_load_explicit(&outbox->tail, memory_order_relaxed);
    if (tail == atomic_load_explicit(&outbox->head, memory_order_acquire))
        return NULL;
    const struct slot *slot = &outbox->slots[tail % outbox->n_slots];
    *ret_seq = slot->seq;
    return &slot->message;
}

void outbox_pop(struct outbox *outbox)
{
    uint64_t tail = atomic_load_explicit(&outbox->tail, memory_order_relaxed);
    atomic_store_explicit(&outbox->tail, tail + 1, memory_order_release);
}
