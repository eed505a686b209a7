/* SPDX-License-Identifier: Apache-2.0
 * What waits for one browser. A browser that cannot keep up is thinned out: pictures are dropped
 * when they have waited for 1.5 s, sound after 4 s, the rest after 20 s, so that what arrives is
 * fresh and what is held is bounded by time; and when the places run out the least important and
 * oldest goes. The sequence numbers in the headers make every loss visible to the page. */
#ifndef FOCAL_WEB_QUEUE_H
#define FOCAL_WEB_QUEUE_H

#include "viewers/web/packet.h"

enum { QUEUE_PLACES = 1024 };

struct queue_entry {
    struct packet *packet;
    int64_t until_us;
};

struct queue {
    struct queue_entry entry[QUEUE_PLACES]; /* oldest first */
    int n;
    uint64_t thinned; /* packets dropped, ever */
};

void queue_init(struct queue *queue);
void queue_finish(struct queue *queue);
/* Takes a reference of its own. extra_us: longer life, for what a new page gets at once. */
void queue_push(struct queue *queue, struct packet *packet, int64_t now_us, int64_t extra_us);
/* The oldest packet that is still worth sending, the caller's to unref; NULL: none. */
struct packet *queue_pop(struct queue *queue, int64_t now_us);

#endif
