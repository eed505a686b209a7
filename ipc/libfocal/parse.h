/* SPDX-License-Identifier: Apache-2.0
 * One received message, checked and taken apart. Not installed. */
#ifndef FOCALD_LIBFOCAL_PARSE_H
#define FOCALD_LIBFOCAL_PARSE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum { PARSE_NAME_BYTES = 64 };

struct parsed {
    char topic[PARSE_NAME_BYTES], stream[PARSE_NAME_BYTES];
    uint64_t seq, first, count;
    int64_t t_ns, run;
    json_t *header; /* the caller's reference */
};

/* topic: "label/kitchen", header: JSON, neither NUL-terminated. Returns 0, or -EPROTO with a line
 * of why_size bytes in why; *ret is untouched then. */
int parse_message(struct parsed *ret, const void *topic, size_t topic_bytes, const void *header,
                  size_t header_bytes, char *why, size_t why_size);

/* The value at a dotted path, "top.0.label"; NULL when there is none. */
const json_t *parse_find(const json_t *header, const char *path);

#endif
