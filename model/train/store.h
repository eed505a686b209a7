/* SPDX-License-Identifier: Apache-2.0
 * Flat arrays of floats where a backend computes: in the host's memory, or in a device's own. What
 * trains knows them by this alone. One thread at a time; what changes them on a device is enqueued
 * there, behind the steps of plans. */
#ifndef FOCALD_MODEL_TRAIN_STORE_H
#define FOCALD_MODEL_TRAIN_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "model/backend.h"

struct store {
    const struct backend_ops *ops; /* NULL: the host's memory */
    struct backend *backend;       /* outlives what lies in it */
};

/* NULL: it is the host's memory, where everyone may read and write. */
const struct backend_device *store_device(const struct store *store);

/* [n] of 0, or NULL with the error set. */
float *store_floats(const struct store *store, size_t n, struct error *error);
void store_free(const struct store *store, void *floats); /* takes NULL */

/* [n] from the host's memory, and to it. */
int store_put(const struct store *store, float *to, const float *from, size_t n,
              struct error *error);
int store_get(const struct store *store, float *to, const float *from, size_t n,
              struct error *error);

/* to: [n] = keep to + take from, which may be to */
int store_mix(const struct store *store, float *to, const float *from, size_t n, float keep,
              float take, struct error *error);

#endif
