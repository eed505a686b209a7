/* SPDX-License-Identifier: Apache-2.0
 * Browsers that look on: one WebSocket each, its queue, what it watches, and what it asks. */
#ifndef FOCAL_WEB_VIEWERS_H
#define FOCAL_WEB_VIEWERS_H

#include "viewers/web/queue.h"
#include "viewers/web/web.h"

enum { COMMAND_BYTES = 64 + 67 * HUB_STREAMS }; /* "watch" with the longest names of all */

struct viewer {
    struct lws *wsi;
    struct viewer *next;
    uint64_t id;                       /* never used twice */
    bool watches_all;                  /* also streams to come */
    uint64_t watched;                  /* bits of streams */
    int listened;                      /* index of a stream, or -1 */
    char watched_names[COMMAND_BYTES]; /* separated and ended by NUL, an empty one ends the list */
    char listened_name[64];
    struct queue queue;
    struct bucket commands;
    int64_t wrote_us; /* when something could be sent last, or nothing waited */
    char text[COMMAND_BYTES];
    size_t text_bytes;
};

/* The callback of the WebSocket's protocol. */
int viewers_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len);
/* For hub_create. user: struct web. */
void viewers_deliver(void *user, struct packet *packet, enum audience audience, int stream);
/* Streams came or went: looks their indices up again, and tells the hub what is wanted. */
void viewers_update(struct web *web);
/* Ends those that have taken nothing for half a minute. */
void viewers_tick(struct web *web);
/* Ends all: who may still look on comes again. */
void viewers_dismiss(struct web *web);

void viewer_send(struct viewer *viewer, struct packet *packet);
/* The command in viewer->text. False: it is to be disconnected. */
bool viewer_command(struct web *web, struct viewer *viewer);

#endif
