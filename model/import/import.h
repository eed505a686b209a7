/* SPDX-License-Identifier: Apache-2.0
 * From a published checkpoint to a model's directory: first a plan, which reads names, shapes and
 * the small files and tells everything that is wrong, then the writing of it. */
#ifndef FOCALD_MODEL_IMPORT_IMPORT_H
#define FOCALD_MODEL_IMPORT_IMPORT_H

#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "model/import/geometry.h"
#include "model/nets/net.h"
#include "model/weights/checkpoint.h"

struct import_options {
    const char *labels; /* a labels.txt to take, or NULL */
    struct geometry_options geometry;
    int antialias; /* 1, 0, or -1: as the source has it */
};

struct import_row {
    const struct checkpoint_tensor *from;
    const char *to;               /* NULL: left over */
    enum safetensors_dtype dtype; /* as it is written */
};

/* Filled by import_plan_create; to be read only. */
struct import_plan {
    struct checkpoint *checkpoint;
    struct net_config net;
    bool head;                  /* has the cosine classifier */
    struct named_tensor *named; /* what has a name of ours, by name */
    size_t n_named;
    struct import_row *rows; /* [checkpoint_count], in its order */
    char **missing;          /* names of what the network needs and the source lacks */
    size_t n_missing, n_left;
    size_t parameters; /* weights, running statistics not counted */
    json_t *config_object;
    char *config, *labels, *preprocess; /* the files' texts; NULL: not written */
    bool antialias;
    bool config_derived;
    char geometry_said[256];    /* what was taken for granted, or "" */
    char labels_path[PATH_MAX]; /* where the labels are from */
    bool preprocess_found;      /* beside the source */
    bool complete;              /* false: problem says what keeps it from being imported */
    struct error problem;
};

/* Errors: what keeps the source from being understood at all. What does not fit is in `problem`. */
int import_plan_create(struct import_plan **ret, const char *source,
                       const struct import_options *options, struct error *error);
void import_plan_destroy(struct import_plan *plan); /* takes NULL */

/* The files as they came would be written byte for byte. */
bool import_is_copy(const struct import_plan *plan);

/* Writes a complete plan's files into dir, which is empty, and sees to it that they are on the disk
 * and open as a model. *stop: ends it early with -EINTR. */
int import_write(const struct import_plan *plan, const char *dir, const volatile sig_atomic_t *stop,
                 struct error *error);

/* For export too: a new file with this text, on the disk. */
int import_write_text(const char *dir, const char *name, const char *text, struct error *error);
/* A new file with the bytes of the checkpoint's one safetensors file, on the disk. */
int import_copy_weights(const struct safetensors *from, const char *dir,
                        const volatile sig_atomic_t *stop, struct error *error);

#endif
