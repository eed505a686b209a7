/* SPDX-License-Identifier: Apache-2.0
 * The parts of a network from the head down to the input, for the sanity check that randomises one
 * after the other (Adebayo et al. 2018, cascading randomisation). */
#ifndef FOCALD_MODEL_CASCADE_H
#define FOCALD_MODEL_CASCADE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/model.h"

/* The classifier; FocalNet's stages (each with the downsampling behind it) or ViT's layers, the
 * last first; the embeddings. A PIQ interpreter is none of them: it explains, and is not what is
 * explained. */
int cascade_parts(const struct model *model);
/* "classifier", "stage 4", "layer 12", "embeddings". 0 <= part < cascade_parts */
void cascade_name(const struct model *model, int part, char *ret, size_t size);

/* Whether a weight of this published name lies in the first n parts. */
bool cascade_holds(const struct model *model, int n, const char *weight);

#endif
