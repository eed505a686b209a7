/* SPDX-License-Identifier: Apache-2.0 */
#include "model/backend.h"

#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"

void *backend_memory(const struct backend_ops *ops, struct backend *backend, size_t bytes,
                     struct error *error)
{
    if (ops->device != NULL)
        return ops->device->allocate(backend, bytes, error);
    void *memory = memory_large(bytes);
    if (memory == NULL)
        error_set(error, ENOMEM, "out of memory for %zu MB", bytes >> 20);
    return memory;
}

void backend_memory_free(const struct backend_ops *ops, struct backend *backend, void *memory)
{
    if (ops->device != NULL)
        ops->device->release(backend, memory);
    else
        free(memory);
}
