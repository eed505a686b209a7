/* SPDX-License-Identifier: Apache-2.0
 * Model directories of any geometry, with the weights of golden/README's hash. */
#ifndef FOCALD_TESTS_MODEL_MADE_MODEL_H
#define FOCALD_TESTS_MODEL_MADE_MODEL_H

#include "base/error.h"

/* Makes dir with model.safetensors, config.json (this text) and labels.txt. piq_keys: of PIQ's
 * codebook, or 0 for none. */
int made_model(const char *dir, const char *config, int classes, int piq_keys, struct error *error);

/* Small geometries, on images of 64 x 64 and windows of 5 s. */
extern const char made_focalnet[], made_vit[];

#endif
