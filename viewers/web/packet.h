/* SPDX-License-Identifier: Apache-2.0
 * What goes to browsers: one message of the stream between focal-web and its pages, made once and
 * shared by all queues that hold it. A packet is one binary WebSocket message: the header's length
 * (u32 little-endian), a JSON header padded with spaces so that the payload is 8-byte aligned, the
 * payload. docs/web.md says what is in them. */
#ifndef FOCAL_WEB_PACKET_H
#define FOCAL_WEB_PACKET_H

#include <stddef.h>
#include <stdint.h>

/* What may be left out for a browser that cannot keep up, first to last. */
enum packet_kind { PACKET_PICTURE, PACKET_SOUND, PACKET_TEXT, PACKET_KINDS };

struct packet {
    unsigned refs;
    enum packet_kind kind;
    int64_t made_us; /* CLOCK_MONOTONIC */
    size_t bytes;
    unsigned char *data; /* as many bytes before it as libwebsockets wants (LWS_PRE) */
};

/* With room for payload_bytes, at *ret_payload (NULL allowed when 0). One reference is the
 * caller's. NULL when memory is short. */
struct packet *packet_create(enum packet_kind kind, const char *header, size_t payload_bytes,
                             void **ret_payload);
struct packet *packet_ref(struct packet *packet);
void packet_unref(struct packet *packet); /* takes NULL */

int64_t monotonic_us(void);

#endif
