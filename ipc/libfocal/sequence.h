/* SPDX-License-Identifier: Apache-2.0
 * Follows the sequence numbers of each topic of each stream. Not installed. */
#ifndef FOCALD_LIBFOCAL_SEQUENCE_H
#define FOCALD_LIBFOCAL_SEQUENCE_H

#include <stddef.h>

#include "ipc/libfocal/parse.h"

enum { SEQUENCE_MAX = 4096 };

struct sequence_entry {
    char name[2 * PARSE_NAME_BYTES]; /* "label/kitchen" */
    uint64_t next;
    int64_t run;
};

struct sequences {
    struct sequence_entry *list;
    size_t n, capacity;
};

void sequences_finish(struct sequences *s);

/* How many messages went missing right before this one. The first of a name, and the first after
 * the daemon was started anew, follow nothing, so nothing is missing. */
uint64_t sequences_follow(struct sequences *s, const struct parsed *message);

/* Forgets the names that start with prefix: what comes while nobody subscribes is no loss. */
void sequences_forget(struct sequences *s, const char *prefix);

#endif
