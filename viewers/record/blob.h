/* SPDX-License-Identifier: Apache-2.0
 * A file in memory: encoders fill it, so that a full disk is met in one place only. */
#ifndef FOCAL_RECORD_BLOB_H
#define FOCAL_RECORD_BLOB_H

#include <stddef.h>

struct blob {
    unsigned char *data;
    size_t size, capacity, at; /* at: where the next bytes go */
};

void blob_finish(struct blob *blob);
/* Writes at `at`, growing. -ENOMEM. */
int blob_write(struct blob *blob, const void *data, size_t size);

#endif
