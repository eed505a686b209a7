/* SPDX-License-Identifier: Apache-2.0
 * Writes safetensors files, one tensor in memory at a time. */
#ifndef FOCALD_MODEL_WEIGHTS_SAFETENSORS_WRITE_H
#define FOCALD_MODEL_WEIGHTS_SAFETENSORS_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/weights/safetensors.h"

struct safetensors_entry {
    const char *name; /* UTF-8, each once */
    enum safetensors_dtype dtype;
    int rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
};

/* Gives tensor i's bytes, dense and row-major: [size]; not asked for none. An error ends the
 * writing. */
typedef int safetensors_read_fn(void *context, size_t i, void *ret, size_t size,
                                struct error *error);

/* Writes the n tensors to fd from its position on, data in the order of the entries, which should
 * have wide types first, so that each tensor is aligned to its type. __metadata__ gets format "pt",
 * without which Hugging Face's readers refuse the file. path: for errors. -EINVAL for entries that
 * no file can hold, the errno of write, or what `read` returned. The file is synced to the disk. */
int safetensors_write(int fd, const char *path, const struct safetensors_entry *entries, size_t n,
                      safetensors_read_fn *read, void *context, struct error *error);

/* All of bytes[size] to fd, in spite of signals and short writes. */
int write_fully(int fd, const char *path, const void *bytes, size_t size, struct error *error);

#endif
