/* SPDX-License-Identifier: Apache-2.0
 * Weights by their published names, wherever they come from: a safetensors file, arrays in memory,
 * or the hash of golden/README for the built-in geometries. */
#ifndef FOCALD_MODEL_WEIGHTS_PROVIDER_H
#define FOCALD_MODEL_WEIGHTS_PROVIDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "model/weights/safetensors.h"

struct weights;

/* From a file that outlives it. */
int weights_from_file(struct weights **ret, const struct safetensors *file, struct error *error);
/* From memory that outlives it and may change between one use and the next: arrays: [n], kept. */
struct weights_array {
    const char *name;
    int rank;
    const int64_t *shape;
    const float *data;
};
int weights_from_arrays(struct weights **ret, const struct weights_array *arrays, int n,
                        struct error *error);
/* Generated from names. */
int weights_hashed(struct weights **ret, struct error *error);
void weights_destroy(struct weights *weights); /* takes NULL */

/* The tensor as float32, [shape], or NULL with the error: which tensor, what was expected, what
 * there is. Points into the file or to a copy kept until weights_done. */
const float *weights_get(struct weights *weights, const char *name, int rank, const int64_t *shape,
                         struct error *error);

/* 0 when weights_get would find it, or -EINVAL with the same error. */
int weights_check(const struct weights *weights, const char *name, int rank, const int64_t *shape,
                  struct error *error);

/* From here on every tensor whose name `chosen` takes is a random one: each value is drawn anew
 * from the tensor's own, so that their distribution stays and what they had learnt goes. The same
 * seed gives the same tensor whichever others are chosen. chosen NULL: none. */
void weights_randomize(struct weights *weights, bool (*chosen)(const void *user, const char *name),
                       const void *user, uint64_t seed);

/* Frees the copies and lets the file's pages go: what was needed has been packed. More may be asked
 * for later. */
void weights_done(struct weights *weights);

/* Value i of the hashed tensor (golden/README, "hashed"), for tests and generation. */
float weights_hashed_value(const char *name, int rank, const int64_t *shape, uint64_t i);

#endif
