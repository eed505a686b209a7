/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weights/pickle_tree.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_VALUES = 512 };

struct pickle_block {
    struct pickle_block *next;
    size_t n;
    struct pickle_value values[BLOCK_VALUES];
};

struct pickle_value *pickle_value(struct pickle *p, enum pickle_kind kind)
{
    struct pickle_block *b = p->blocks;
    if (b == NULL || b->n == BLOCK_VALUES) {
        b = malloc(sizeof *b);
        if (b == NULL)
            return NULL;
        b->next = p->blocks;
        b->n = 0;
        p->blocks = b;
    }
    struct pickle_value *v = &b->values[b->n++];
    *v = (struct pickle_value){.kind = kind};
    return v;
}

struct pickle_value *pickle_object(struct pickle *p, int type, size_t index)
{
    struct pickle_value *v = pickle_value(p, PICKLE_OBJECT);
    if (v != NULL) {
        v->type = type;
        v->index = index;
    }
    return v;
}

size_t pickle_room(size_t n)
{
    size_t room = n == 0 ? 0 : 2;
    while (room < n)
        room *= 2;
    return room;
}

bool pickle_add(struct pickle_value *container, struct pickle_value *const *items, size_t n)
{
    if (n == 0)
        return true;
    size_t room = pickle_room(container->n + n);
    if (room > pickle_room(container->n)) {
        struct pickle_value **grown = realloc(container->items, room * sizeof(*grown));
        if (grown == NULL)
            return false;
        container->items = grown;
    }
    memcpy(container->items + container->n, items, n * sizeof(*items));
    container->n += n;
    return true;
}

void pickle_printable(const char *text, size_t n, char *ret, size_t size)
{
    size_t i = 0;
    for (; i < n && i + 1 < size; i++)
        ret[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    ret[i] = '\0';
}

bool pickle_is_text(const struct pickle_value *value, const char *text)
{
    return value->kind == PICKLE_STRING && value->n == strlen(text) &&
           memcmp(value->text, text, value->n) == 0;
}

void pickle_destroy(struct pickle *p)
{
    if (p == NULL)
        return;
    for (struct pickle_block *b = p->blocks, *next; b != NULL; b = next) {
        next = b->next;
        for (size_t i = 0; i < b->n; i++)
            if (b->values[i].kind == PICKLE_TUPLE || b->values[i].kind == PICKLE_LIST ||
                b->values[i].kind == PICKLE_DICT)
                free(b->values[i].items);
        free(b);
    }
    free(p);
}

const struct pickle_value *pickle_root(const struct pickle *p)
{
    return p->root;
}
