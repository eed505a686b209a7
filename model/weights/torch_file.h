/* SPDX-License-Identifier: Apache-2.0
 * Reading the tensors of a PyTorch checkpoint, zip (since 1.6) or the stream format before it. What
 * a pickle wants to call is never called: the file is read as data, anything but tensors, numbers
 * and strings in dictionaries, lists and tuples is refused by name, and every count and offset is
 * checked against the file before it is used. The file must not change while it is open. */
#ifndef FOCALD_MODEL_WEIGHTS_TORCH_FILE_H
#define FOCALD_MODEL_WEIGHTS_TORCH_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/weights/safetensors.h"

struct torch_tensor {
    const char *name;
    enum safetensors_dtype dtype;
    int rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
    int64_t stride[SAFETENSORS_MAX_RANK]; /* in elements, never negative */
    size_t cells;
    size_t storage; /* which of the file's storages it is a view of */
    size_t offset;  /* of its first element there, in elements */
};

struct torch_file;

/* Reads names and shapes, not the data. A tensor's name is made of the keys (and the indices of
 * lists and tuples) that lead to it, joined by '.'; leaves that are no tensors are left out. Every
 * tensor of a file that opened lies within it. -EINVAL for a file that is damaged, hostile or no
 * checkpoint; errors name the file. */
int torch_open(struct torch_file **ret, const char *path, struct error *error);
void torch_close(struct torch_file *file); /* takes NULL */

const char *torch_path(const struct torch_file *file);
size_t torch_count(const struct torch_file *file);
/* In the file's order. */
const struct torch_tensor *torch_at(const struct torch_file *file, size_t i);
/* By name, or NULL. */
const struct torch_tensor *torch_find(const struct torch_file *file, const char *name);

/* Copies the tensor densely, row-major, in its own dtype. ret: [cells * dtype_size] bytes. Holds at
 * most one storage in memory, and none at all for a tensor that is dense in the file. One thread at
 * a time. */
int torch_read(const struct torch_file *file, const struct torch_tensor *tensor, void *ret,
               struct error *error);

#endif
