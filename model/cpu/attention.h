/* SPDX-License-Identifier: Apache-2.0
 * Attention and its gradient: products of all heads by oneDNN, the softmax between them in a loop.
 */
#ifndef FOCALD_MODEL_CPU_ATTENTION_H
#define FOCALD_MODEL_CPU_ATTENTION_H

#include "model/backend.h"
#include "model/cpu/onednn.h"

struct cpu_attention;

/* GRAPH_ATTENTION, GRAPH_ATTENTION_GRAD. */
int cpu_attention_create(struct cpu_attention **ret, struct onednn *onednn,
                         const struct step_spec *spec, struct error *error);
void cpu_attention_destroy(struct cpu_attention *attention); /* takes NULL */
size_t cpu_attention_scratch(const struct cpu_attention *attention);
void cpu_attention_bind(struct cpu_attention *attention, const struct step_memory *memory);
int cpu_attention_run(struct cpu_attention *attention, struct error *error);

#endif
