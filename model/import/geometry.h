/* SPDX-License-Identifier: Apache-2.0
 * A backbone's config.json out of the shapes of its tensors, where none came with them. */
#ifndef FOCALD_MODEL_IMPORT_GEOMETRY_H
#define FOCALD_MODEL_IMPORT_GEOMETRY_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"
#include "model/nets/net.h"
#include "model/weights/checkpoint.h"

/* What shapes cannot tell, or 0. */
struct geometry_options {
    int image_rows, image_cols;
    int heads;
};

/* A tensor by our name, with its shape, in the order of the checkpoint. */
struct named_tensor {
    char *name;
    const struct checkpoint_tensor *from;
};

/* *ret: config.json's object with Hugging Face's keys, the caller's to json_decref. said: what was
 * taken for granted, for people, one line. -EINVAL names the tensor that is missing or odd. */
int geometry_derive(json_t **ret, enum net_kind kind, const struct named_tensor *tensors, size_t n,
                    const struct geometry_options *options, const char *where, char *said,
                    size_t said_size, struct error *error);

#endif
