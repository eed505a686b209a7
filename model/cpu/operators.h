/* SPDX-License-Identifier: Apache-2.0
 * Operators that need nothing but their spec, as the reference's do: loops over rows, shared by
 * threads so that what they give does not depend on how many there are. */
#ifndef FOCALD_MODEL_CPU_OPERATORS_H
#define FOCALD_MODEL_CPU_OPERATORS_H

#include "model/ref/ref.h"

/* NULL: none, the reference's has to do. */
ref_forward cpu_operator(const struct graph_node *node);
/* Bytes of scratch that it wants. */
size_t cpu_operator_scratch(const struct step_spec *spec);

#define CPU_OPERATOR(name)                                                                         \
    void name(const struct step_spec *spec, const float *const *w, const struct ref_memory *m)

/* channels.c: channels' factors */
CPU_OPERATOR(cpu_channel_scale);
CPU_OPERATOR(cpu_channel_scale_grad_weights);
/* cosine.c */
CPU_OPERATOR(cpu_cosine_grad);
CPU_OPERATOR(cpu_cosine_grad_weights);
/* spread.c: gradients of what took part of a value, or less than it */
CPU_OPERATOR(cpu_slice_grad);
CPU_OPERATOR(cpu_mean_grad);
CPU_OPERATOR(cpu_channel_l2_grad);
CPU_OPERATOR(cpu_resize_grad);
CPU_OPERATOR(cpu_lookup_grad_weights);
/* tokens.c: a transformer's */
CPU_OPERATOR(cpu_tokens);
CPU_OPERATOR(cpu_tokens_grad_weights);
CPU_OPERATOR(cpu_grid);
CPU_OPERATOR(cpu_grid_grad);
CPU_OPERATOR(cpu_cls_attention_grad);
CPU_OPERATOR(cpu_attention_map_grad);

#endif
