/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/queue.h"

#include <string.h>

static const int64_t life_us[PACKET_KINDS] = {
    [PACKET_PICTURE] = 1500000, [PACKET_SOUND] = 4000000, [PACKET_TEXT] = 20000000};

void queue_init(struct queue *queue)
{
    queue->n = 0;
    queue->thinned = 0;
}

void queue_finish(struct queue *queue)
{
    for (int i = 0; i < queue->n; i++)
        packet_unref(queue->entry[i].packet);
    queue->n = 0;
}

static void drop_expired(struct queue *q, int64_t now_us)
{
    int kept = 0;
    for (int i = 0; i < q->n; i++) {
        if (q->entry[i].until_us > now_us)
            q->entry[kept++] = q->entry[i];
        else
            packet_unref(q->entry[i].packet);
    }
    q->thinned += (uint64_t)(q->n - kept);
    q->n = kept;
}

static void drop_least(struct queue *q)
{
    int least = 0;
    for (int i = 1; i < q->n; i++)
        if (q->entry[i].packet->kind < q->entry[least].packet->kind)
            least = i;
    packet_unref(q->entry[least].packet);
    memmove(q->entry + least, q->entry + least + 1,
            (size_t)(q->n - least - 1) * sizeof q->entry[0]);
    q->n--;
    q->thinned++;
}

void queue_push(struct queue *queue, struct packet *packet, int64_t now_us, int64_t extra_us)
{
    drop_expired(queue, now_us);
    if (queue->n == QUEUE_PLACES)
        drop_least(queue);
    queue->entry[queue->n++] =
        (struct queue_entry){packet_ref(packet), now_us + life_us[packet->kind] + extra_us};
}

struct packet *queue_pop(struct queue *queue, int64_t now_us)
{
    drop_expired(queue, now_us);
    if (queue->n == 0)
        return NULL;
    struct packet *first = queue->entry[0].packet;
    queue->n--;
    memmove(queue->entry, queue->entry + 1, (size_t)queue->n * sizeof queue->entry[0]);
    return first;
}
