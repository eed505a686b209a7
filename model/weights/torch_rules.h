/* SPDX-License-Identifier: Apache-2.0
 * What the globals and persistent ids of a checkpoint's pickle stand for: storages, and tensors
 * that are views of them. For torch_tree.c. */
#ifndef FOCALD_MODEL_WEIGHTS_TORCH_RULES_H
#define FOCALD_MODEL_WEIGHTS_TORCH_RULES_H

#include "model/weights/pickle.h"
#include "model/weights/torch_tree.h"

/* Types of PICKLE_OBJECT */
enum { TORCH_STORAGE_VIEW, TORCH_TENSOR };

/* A run of a storage's values, what a tensor's offset counts in. */
struct torch_view {
    size_t storage, first, cells;
};

struct torch_build {
    struct torch_tree *tree; /* gets the storages */
    const char *place;
    struct torch_view *views; /* by index of TORCH_STORAGE_VIEW */
    size_t n_views;
    struct torch_tensor *tensors; /* nameless, by index of TORCH_TENSOR */
    size_t n_tensors;
};

/* For pickle_read; build is their context. */
struct pickle_rules torch_rules(struct torch_build *build);
void torch_build_clear(struct torch_build *build);

#endif
