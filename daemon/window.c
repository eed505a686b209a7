/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/window.h"

enum { MAILBOX_FRESH = 4, MAILBOX_SLOT = 3 };

uint64_t window_lost(const struct window *window, uint64_t first, uint64_t count)
{
    uint64_t lost = 0;
    for (int i = 0; i < window->n_gaps; i++) {
        const struct gap *gap = &window->gaps[i];
        uint64_t from = gap->first > first ? gap->first : first;
        uint64_t gap_end = gap->first + gap->count;
        uint64_t to = gap_end < first + count ? gap_end : first + count;
        if (to > from)
            lost += to - from;
    }
    return lost;
}

void mailbox_init(struct mailbox *mailbox)
{
    mailbox->back = 0;
    mailbox->front = 2;
    atomic_init(&mailbox->middle, 1);
}

unsigned mailbox_back(const struct mailbox *mailbox)
{
    return mailbox->back;
}

bool mailbox_post(struct mailbox *mailbox)
{
    unsigned before = atomic_exchange_explicit(&mailbox->middle, mailbox->back | MAILBOX_FRESH,
                                               memory_order_acq_rel);
    mailbox->back = before & MAILBOX_SLOT;
    return (before & MAILBOX_FRESH) != 0;
}

bool mailbox_pending(const struct mailbox *mailbox)
{
    return (atomic_load_explicit(&mailbox->middle, memory_order_acquire) & MAILBOX_FRESH) != 0;
}

bool mailbox_take(struct mailbox *mailbox, unsigned *ret_slot)
{
    if (!mailbox_pending(mailbox))
        return false;
    unsigned before =
        atomic_exchange_explicit(&mailbox->middle, mailbox->front, memory_order_acq_rel);
    mailbox->front = before & MAILBOX_SLOT;
    *ret_slot = mailbox->front;
    return true;
}
