/* SPDX-License-Identifier: Apache-2.0
 * The tensors of what the world publishes, as one list: a Hugging Face directory (safetensors or
 * PyTorch, whole or in shards), a SpeechBrain directory (a .ckpt for each module), or one file. */
#ifndef FOCALD_MODEL_WEIGHTS_CHECKPOINT_H
#define FOCALD_MODEL_WEIGHTS_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/weights/safetensors.h"

enum checkpoint_layout { CHECKPOINT_HUGGING_FACE, CHECKPOINT_SPEECHBRAIN, CHECKPOINT_FILE };

/* What a file is known to hold by its name. */
enum checkpoint_part { PART_ANY, PART_BACKBONE, PART_HEAD, PART_PSI };

struct checkpoint_tensor {
    const char *name; /* as in the file */
    const char *path; /* of the file */
    enum checkpoint_part part;
    enum safetensors_dtype dtype;
    int rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
    size_t cells;
    size_t source;  /* the file's number */
    const void *at; /* the reader's own */
};

struct checkpoint;

/* path: a directory, or a .safetensors, .index.json, .bin or .ckpt file. In a directory the first
 * of these counts: embedding_model.ckpt (with classifier.ckpt and psi_model.ckpt where they are
 * there), model.safetensors, its index, pytorch_model.bin, its index; psi_model.ckpt goes with each
 * of them. A directory of SpeechBrain's checkpointer (CKPT+…) finds what it lacks in the one above.
 * Errors name the file; nothing is read yet but names and shapes. */
int checkpoint_open(struct checkpoint **ret, const char *path, struct error *error);
void checkpoint_close(struct checkpoint *checkpoint); /* takes NULL */

enum checkpoint_layout checkpoint_layout(const struct checkpoint *checkpoint);
/* The directory that path is, or that holds it. */
const char *checkpoint_dir(const struct checkpoint *checkpoint);
/* The files that hold tensors. */
size_t checkpoint_files(const struct checkpoint *checkpoint);
const char *checkpoint_file(const struct checkpoint *checkpoint, size_t i);
/* True when one of them is known to hold this part. */
bool checkpoint_has(const struct checkpoint *checkpoint, enum checkpoint_part part);
/* The path of a file beside them, in `ret`; false when there is none. */
bool checkpoint_beside(const struct checkpoint *checkpoint, const char *name, char *ret,
                       size_t size);

size_t checkpoint_count(const struct checkpoint *checkpoint);
/* In the order of the files. */
const struct checkpoint_tensor *checkpoint_at(const struct checkpoint *checkpoint, size_t i);

/* Copies the tensor densely, row-major, in its own dtype. ret: [cells * dtype_size] bytes. */
int checkpoint_read(const struct checkpoint *checkpoint, const struct checkpoint_tensor *tensor,
                    void *ret, struct error *error);

/* The one safetensors file it consists of, or NULL. */
const struct safetensors *checkpoint_whole(const struct checkpoint *checkpoint);

#endif
