/* SPDX-License-Identifier: Apache-2.0
 * What focald publishes, made small for browsers: spectrograms as decibels in a byte, the last map
 * at most 128 cells a side, levels of 20 ms. docs/web.md describes the results. */
#ifndef FOCAL_WEB_CONVERT_H
#define FOCAL_WEB_CONVERT_H

#include "ipc/libfocal/focal.h"
#include "viewers/web/packet.h"

/* Each takes the message that focal_next gave out last. NULL: memory is short, or the message has
 * not the shape that docs/protocol.md promises. */
struct packet *convert_spec(struct focal *focal, const struct focal_message *m);
struct packet *convert_map(struct focal *focal, const struct focal_message *m);
struct packet *convert_level(struct focal *focal, const struct focal_message *m);
/* The message as it came, with its payload or without. */
struct packet *convert_whole(struct focal *focal, const struct focal_message *m);
struct packet *convert_header(struct focal *focal, const struct focal_message *m);

#endif
