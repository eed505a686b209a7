/* SPDX-License-Identifier: Apache-2.0
 * The one client of focald that all browsers share. It subscribes to what they watch and no more,
 * since focald computes what somebody subscribes to; turns each message into a packet once; and
 * remembers what a new page shows at once: info, health, the last events, and some seconds of
 * picture. */
#ifndef FOCAL_WEB_HUB_H
#define FOCAL_WEB_HUB_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/libfocal/focal.h"
#include "base/error.h"
#include "viewers/web/packet.h"

enum { HUB_STREAMS = 64 };

struct hub;

/* Who gets a packet. */
enum audience { EVERYBODY, WATCHERS, LISTENERS };

/* stream: an index that stays the stream's while it is there; -1: of none. */
typedef void hub_deliver(void *user, struct packet *packet, enum audience audience, int stream);

int hub_create(struct hub **ret, const struct focal_options *options, hub_deliver *deliver,
               void *user, struct error *error);
void hub_destroy(struct hub *hub); /* takes NULL */
int hub_fd(struct hub *hub);
/* The data endpoint that it hears now, as focal_where. */
const char *hub_where(const struct hub *hub);
/* Takes what has come. Call it when hub_fd is readable and every now and then. */
void hub_drain(struct hub *hub);
/* Every half second: notices that focald went away, or a stream. */
void hub_tick(struct hub *hub);

/* Whether anybody watches, and which streams (bits) somebody listens to. */
void hub_want(struct hub *hub, bool watched, uint64_t listened);
/* Whether a stream came or went since the last call: indices are to be looked up again. */
bool hub_streams_changed(struct hub *hub);
/* -1: no such stream (yet). */
int hub_find(const struct hub *hub, const char *stream);
/* What a page that has just been opened needs to know. */
void hub_greet(struct hub *hub, hub_deliver *deliver, void *user);
/* The last seconds of the streams (bits), for a page that begins to watch. */
void hub_replay(struct hub *hub, uint64_t streams, hub_deliver *deliver, void *user);

#endif
