/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/libfocal/sequence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sequences_finish(struct sequences *s)
{
    free(s->list);
    *s = (struct sequences){0};
}

static struct sequence_entry *add(struct sequences *s, const char *name)
{
    if (s->n == SEQUENCE_MAX) /* a daemon has far fewer; a hostile one gets no more of our memory */
        return NULL;
    if (s->n == s->capacity) {
        size_t capacity = s->capacity > 0 ? 2 * s->capacity : 16;
        struct sequence_entry *list = realloc(s->list, capacity * sizeof *list);
        if (list == NULL)
            return NULL;
        s->list = list;
        s->capacity = capacity;
    }
    struct sequence_entry *entry = &s->list[s->n++];
    snprintf(entry->name, sizeof entry->name, "%s", name);
    return entry;
}

uint64_t sequences_follow(struct sequences *s, const struct parsed *message)
{
    char name[2 * PARSE_NAME_BYTES];
    snprintf(name, sizeof name, "%s/%s", message->topic, message->stream);
    struct sequence_entry *entry = NULL;
    for (size_t i = 0; i < s->n && entry == NULL; i++)
        if (strcmp(s->list[i].name, name) == 0)
            entry = &s->list[i];
    uint64_t lost = 0;
    if (entry != NULL && entry->run == message->run && message->seq >= entry->next)
        lost = message->seq - entry->next;
    if (entry == NULL)
        entry = add(s, name);
    if (entry != NULL) {
        entry->next = message->seq + 1;
        entry->run = message->run;
    }
    return lost;
}

void sequences_forget(struct sequences *s, const char *prefix)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++)
        if (strncmp(s->list[i].name, prefix, strlen(prefix)) != 0)
            s->list[kept++] = s->list[i];
    s->n = kept;
}
