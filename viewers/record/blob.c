/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/blob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void blob_finish(struct blob *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}

int blob_write(struct blob *b, const void *data, size_t size)
{
    size_t end = b->at + size;
    if (end > b->capacity) {
        size_t capacity = b->capacity > 0 ? b->capacity : 1 << 16;
        while (capacity < end)
            capacity *= 2;
        unsigned char *grown = realloc(b->data, capacity);
        if (grown == NULL)
            return -ENOMEM;
        b->data = grown;
        b->capacity = capacity;
    }
    if (b->at > b->size) /* a hole, as a file would have */
        memset(b->data + b->size, 0, b->at - b->size);
    memcpy(b->data + b->at, data, size);
    b->at = end;
    b->size = end > b->size ? end : b->size;
    return 0;
}
