/* SPDX-License-Identifier: Apache-2.0
 * Every operator in plain C: what the others are checked against. */
#ifndef FOCALD_MODEL_REF_REF_H
#define FOCALD_MODEL_REF_REF_H

#include "model/backend.h"

/* The operator's forward pass. weights: as published, one array per weight of the node. LINEAR
 * takes the fused residual and GELU of the spec. */
typedef void (*ref_forward)(const struct step_spec *spec, const float *const *weights,
                            const struct step_memory *memory);

ref_forward ref_operator(enum graph_op op);

float ref_gelu(float x);

/* Weights kept as they are published: what a step of `spec` needs, and where weight i begins. */
size_t ref_weights_bytes(const struct step_spec *spec);
void ref_weights_pack(const struct step_spec *spec, const float *const *weights, void *packed);
void ref_weights_find(const struct step_spec *spec, const void *packed, const float **ret);

#endif
