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

#define REF_FORWARD(name)                                                                          \
    void name(const struct step_spec *spec, const float *const *weights,                           \
              const struct step_memory *memory)
REF_FORWARD(ref_relu);
REF_FORWARD(ref_sigmoid);
REF_FORWARD(ref_resize);
REF_FORWARD(ref_conv_transposed);
REF_FORWARD(ref_tokens);
REF_FORWARD(ref_grid);
REF_FORWARD(ref_attention);
REF_FORWARD(ref_cls_attention);
REF_FORWARD(ref_attention_map);
REF_FORWARD(ref_nearest);
REF_FORWARD(ref_lookup);
#undef REF_FORWARD

float ref_gelu(float x);

/* Weights kept as they are published: what a step of `spec` needs, and where weight i begins. */
size_t ref_weights_bytes(const struct step_spec *spec);
void ref_weights_pack(const struct step_spec *spec, const float *const *weights, void *packed);
void ref_weights_find(const struct step_spec *spec, const void *packed, const float **ret);

#endif
