/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/packet.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ALIGNMENT = 8 };

int64_t monotonic_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct packet *packet_create(enum packet_kind kind, const char *header, size_t payload_bytes,
                             void **ret_payload)
{
    size_t text = strlen(header), whole = 4 + text;
    size_t before = (whole + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    unsigned char *block = malloc(sizeof(struct packet) + LWS_PRE + before + payload_bytes);
    if (block == NULL)
        return NULL;
    struct packet *p = (struct packet *)block;
    *p = (struct packet){.refs = 1,
                         .kind = kind,
                         .made_us = monotonic_us(),
                         .bytes = before + payload_bytes,
                         .data = block + sizeof *p + LWS_PRE};
    size_t n = before - 4;
    for (int i = 0; i < 4; i++)
        p->data[i] = (unsigned char)(n >> 8 * i);
    memcpy(p->data + 4, header, text);
    memset(p->data + whole, ' ', before - whole);
    if (ret_payload != NULL)
        *ret_payload = p->data + before;
    return p;
}

struct packet *packet_ref(struct packet *packet)
{
    packet->refs++;
    return packet;
}

void packet_unref(struct packet *packet)
{
    if (packet != NULL && --packet->refs == 0)
        free(packet);
}
