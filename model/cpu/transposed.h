/* SPDX-License-Identifier: Apache-2.0
 * Transposed convolution as what it is at heart: each input cell's contributions to all taps are
 * one product, and each output cell gathers the taps that reach it. A band of input rows at a time,
 * so that the contributions stay in the cache. (The library's own allocates in every run, and to
 * one channel it is slow.) */
#ifndef FOCALD_MODEL_CPU_TRANSPOSED_H
#define FOCALD_MODEL_CPU_TRANSPOSED_H

#include "model/backend.h"
#include "model/cpu/onednn.h"

struct cpu_transposed;

/* GRAPH_CONV_TRANSPOSED, and GRAPH_CONV_GRAD, which is the same with a convolution's kernel. */
int cpu_transposed_create(struct cpu_transposed **ret, struct onednn *onednn,
                          const struct step_spec *spec, const struct cpu_transposed *like,
                          struct error *error);
void cpu_transposed_destroy(struct cpu_transposed *transposed); /* takes NULL */
size_t cpu_transposed_packed(const struct cpu_transposed *transposed);
size_t cpu_transposed_scratch(const struct cpu_transposed *transposed);
/* kernel: [in][out][kh][kw], bias: [out] or NULL. */
int cpu_transposed_pack(struct cpu_transposed *transposed, const float *kernel, const float *bias,
                        void *packed, struct error *error);
void cpu_transposed_bind(struct cpu_transposed *transposed, const struct step_memory *memory);
int cpu_transposed_run(struct cpu_transposed *transposed, struct error *error);

#endif
