/* SPDX-License-Identifier: Apache-2.0
 * Attention: scores of all heads as products by oneDNN, softmax in a loop, values as products. */
#ifndef FOCALD_MODEL_CPU_ATTENTION_H
#define FOCALD_MODEL_CPU_ATTENTION_H

#include "model/backend.h"
#include "model/cpu/onednn.h"

struct cpu_attention;

/* GRAPH_ATTENTION. */
int cpu_attention_create(struct cpu_attention **ret, struct onednn *onednn,
                         const struct step_spec *spec, struct error *error);
void cpu_attention_destroy(struct cpu_attention *attention); /* takes NULL */
size_t cpu_attention_scratch(const struct cpu_attention *attention);
int cpu_attention_bind(struct cpu_attention *attention, const struct step_memory *memory,
                       struct error *error);
int cpu_attention_run(struct cpu_attention *attention, struct error *error);

#endif
