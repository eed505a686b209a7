/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/subscriptions.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int subscriptions_init(struct subscriptions *s, const char *const *streams, int n_streams)
{
    struct subscription *list = calloc((size_t)n_streams * TOPIC_COUNT, sizeof *list);
    if (list == NULL)
        return -ENOMEM;
    s->n_streams = n_streams;
    s->list = list;
    for (int i = 0; i < n_streams; i++) {
        for (int t = 0; t < TOPIC_COUNT; t++) {
            struct subscription *sub = subscriptions_at(s, i, (enum topic)t);
            int n = snprintf(sub->name, sizeof sub->name, "%s/%s", topic_name((enum topic)t),
                             streams[i]);
            assert(n > 0 && (size_t)n < sizeof sub->name);
            sub->name_bytes = (size_t)n;
            atomic_init(&sub->wanted, false);
        }
    }
    return 0;
}

void subscriptions_finish(struct subscriptions *s)
{
    free(s->list);
    s->list = NULL;
}

void subscriptions_apply(struct subscriptions *s, const uint8_t *frame, size_t bytes,
                         bool *fresh_info)
{
    if (bytes < 1 || frame[0] > 1)
        return;
    const uint8_t *prefix = frame + 1;
    size_t n = bytes - 1;
    for (int i = 0; i < s->n_streams * TOPIC_COUNT; i++) {
        struct subscription *sub = &s->list[i];
        if (n > sub->name_bytes || memcmp(sub->name, prefix, n) != 0)
            continue;
        uint64_t bit = UINT64_C(1) << (n % 64);
        if (frame[0] == 1)
            sub->lengths[n / 64] |= bit;
        else
            sub->lengths[n / 64] &= ~bit;
        atomic_store_explicit(&sub->wanted, (sub->lengths[0] | sub->lengths[1]) != 0,
                              memory_order_relaxed);
        if (frame[0] == 1 && i % TOPIC_COUNT == TOPIC_INFO)
            fresh_info[i / TOPIC_COUNT] = true;
    }
}
