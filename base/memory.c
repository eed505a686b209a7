/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *memory_zeroed(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - MEMORY_ALIGN)
        return NULL;
    bytes = (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    void *p = aligned_alloc(MEMORY_ALIGN, bytes > 0 ? bytes : MEMORY_ALIGN);
    if (p != NULL)
        memset(p, 0, bytes);
    return p;
}
