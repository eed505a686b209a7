/* SPDX-License-Identifier: Apache-2.0
 * Model directories of any geometry, with the weights of golden/README's hash. */
#ifndef FOCALD_TESTS_MODEL_MADE_MODEL_H
#define FOCALD_TESTS_MODEL_MADE_MODEL_H

#include "base/error.h"

/* Makes dir with model.safetensors, config.json (this text) and labels.txt. piq_keys: of PIQ's
 * codebook, or 0 for none. */
int made_model(const char *dir, const char *config, int classes, int piq_keys, struct error *error);

/* The model at `from`, made anew in dir with every value of one tensor (float32) set to `value`. */
int made_changed(const char *dir, const char *from, const char *tensor, float value,
                 struct error *error);
/* A tensor of the head whose sums overflow with this: the model opens, and names no sound. */
#define MADE_OVERFLOWING "classifier.blocks.1.w.weight", 3e38f

/* Small geometries, on images of 64 x 64 and windows of 5 s. */
extern const char made_focalnet[], made_vit[];

#endif
