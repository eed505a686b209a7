/* SPDX-License-Identifier: Apache-2.0
 * Aligned, zeroed memory for samples and tensors. */
#ifndef FOCALD_BASE_MEMORY_H
#define FOCALD_BASE_MEMORY_H

#include <stddef.h>

enum { MEMORY_ALIGN = 64 }; /* one cache line, one AVX-512 vector */

/* count * size bytes, zeroed, aligned to MEMORY_ALIGN; NULL on overflow or exhaustion. Free it with
 * free(). */
void *memory_zeroed(size_t count, size_t size);

/* The same for many megabytes that are read again and again: in huge pages where the system gives
 * them to who asks. */
void *memory_large(size_t bytes);

/* Bytes of this process that are in memory now; 0 where /proc does not tell. */
size_t memory_resident(void);

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
