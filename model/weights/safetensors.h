/* SPDX-License-Identifier: Apache-2.0
 * Reading safetensors files: an 8-byte little-endian length, a JSON header, raw data. The file is
 * mapped, and everything in it is checked before it is used. A file that is in use must be replaced
 * by rename, never rewritten in place: reading pages that were cut off would end the process. */
#ifndef FOCALD_MODEL_WEIGHTS_SAFETENSORS_H
#define FOCALD_MODEL_WEIGHTS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { SAFETENSORS_MAX_RANK = 8 };

enum safetensors_dtype {
    DTYPE_F64,
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_I64,
    DTYPE_I32,
    DTYPE_I16,
    DTYPE_I8,
    DTYPE_U8,
    DTYPE_BOOL,
    DTYPE_COUNT
};

const char *dtype_name(enum safetensors_dtype dtype);
size_t dtype_size(enum safetensors_dtype dtype);

struct safetensors_tensor {
    const char *name;
    enum safetensors_dtype dtype;
    int rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
    size_t cells;
    const void *data; /* in the mapping, not aligned in general */
};

struct safetensors;

/* Errors name the file, the tensor, what was expected and what came. */
int safetensors_open(struct safetensors **ret, const char *path, struct error *error);
void safetensors_close(struct safetensors *file); /* takes NULL */

const char *safetensors_path(const struct safetensors *file);
size_t safetensors_count(const struct safetensors *file);
/* In the order of the header. */
const struct safetensors_tensor *safetensors_at(const struct safetensors *file, size_t i);
/* By name, or NULL. */
const struct safetensors_tensor *safetensors_find(const struct safetensors *file, const char *name);
/* A string of __metadata__, or NULL. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);

/* The raw file, for its hash. */
const void *safetensors_bytes(const struct safetensors *file, size_t *ret_size);
/* Lets the pages of the mapping go; they come back when read. */
void safetensors_release_pages(const struct safetensors *file);

/* Copies as float32: F64, F32, F16, BF16 (integers and booleans by value). ret: [cells] */
void safetensors_float(const struct safetensors_tensor *tensor, float *ret);

/* -EINVAL, with path, tensor, place and value, where a network could compute nothing with it: what
 * is not a finite float32, and a running variance below zero. */
int safetensors_check_values(const char *path, const struct safetensors_tensor *tensor,
                             struct error *error);

/* "[3, 4]" into text. */
void safetensors_shape_text(int rank, const int64_t *shape, char *ret, size_t size);

#endif
