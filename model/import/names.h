/* SPDX-License-Identifier: Apache-2.0
 * The names under which tensors are published, and ours: Hugging Face's for the backbones,
 * "classifier." and "psi." before SpeechBrain's. */
#ifndef FOCALD_MODEL_IMPORT_NAMES_H
#define FOCALD_MODEL_IMPORT_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "model/nets/net.h"
#include "model/weights/checkpoint.h"

/* Leaves out what wrappers put before a name (module., model., 0., focalnet., vit., …) and puts the
 * network's own prefix there. psi: an interpreter's names count without a prefix too. False when
 * the name belongs to nothing that we know, or is too long for `ret`. */
bool canonical_name(const struct checkpoint_tensor *tensor, enum net_kind kind, bool psi, char *ret,
                    size_t size);

/* Whether an interpreter's codebook is among them; "decoder." and the like are other networks'
 * names as well. */
bool names_of_interpreter(const struct checkpoint *checkpoint);

/* Which network the names speak of; false when of none. */
bool kind_of_names(const struct checkpoint *checkpoint, enum net_kind *ret);

#endif
