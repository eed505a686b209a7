/* SPDX-License-Identifier: Apache-2.0
 * The pickle of a PyTorch checkpoint: which storages it has, which tensors are views of them, and
 * the tensors' names. For torch_file.c and what reads its two formats. */
#ifndef FOCALD_MODEL_WEIGHTS_TORCH_TREE_H
#define FOCALD_MODEL_WEIGHTS_TORCH_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/weights/torch_file.h"

enum {
    TORCH_MAX_TENSORS = 1 << 16,
    TORCH_MAX_DEPTH = 64,
    TORCH_MAX_STEPS = 1 << 20, /* while names are made: shared values are met once each time */
    TORCH_NAME_BYTES = 200,
    TORCH_KEY_BYTES = 100,
};

struct torch_storage {
    char key[TORCH_KEY_BYTES + 1]; /* printable ASCII */
    enum safetensors_dtype dtype;
    size_t index; /* in the tree */
    size_t cells, bytes;
    /* set by whoever knows the container */
    bool placed;
    uint64_t place; /* the member of the zip, or the offset in the stream */
};

struct torch_tree {
    struct torch_storage **storages;
    size_t n_storages;
    struct torch_tensor *tensors; /* named; each lies within its storage */
    size_t n_tensors;
    const struct torch_tensor **by_name; /* sorted */
    void *keys;                          /* storages by key */
};

/* Reads the pickle at the start of bytes[size]; tree is zeroed before. ret_used: how many bytes it
 * took. Whatever comes of it, torch_tree_clear afterwards. */
int torch_tree_read(struct torch_tree *tree, const char *place, const void *bytes, size_t size,
                    size_t *ret_used, struct error *error);
void torch_tree_clear(struct torch_tree *tree);

/* By key (n bytes of text), or NULL. */
struct torch_storage *torch_tree_storage(const struct torch_tree *tree, const char *key, size_t n);

#endif
