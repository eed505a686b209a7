/* SPDX-License-Identifier: Apache-2.0
 * The values that a pickle is read into: made one by one, freed together. For pickle.c. */
#ifndef FOCALD_MODEL_WEIGHTS_PICKLE_TREE_H
#define FOCALD_MODEL_WEIGHTS_PICKLE_TREE_H

#include "model/weights/pickle.h"

struct pickle_block;

struct pickle {
    struct pickle_block *blocks;
    const struct pickle_value *root;
};

/* NULL when memory is exhausted. */
struct pickle_value *pickle_value(struct pickle *pickle, enum pickle_kind kind);

/* For how many items a container of n has room. */
size_t pickle_room(size_t n);

/* Appends the n items; false when memory is exhausted. */
bool pickle_add(struct pickle_value *container, struct pickle_value *const *items, size_t n);

#endif
