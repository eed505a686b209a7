/* SPDX-License-Identifier: Apache-2.0
 * A transposed convolution to one or a few channels: the library has no fast one, but its parts
 * are. Each input cell's contributions to all taps are one product; each output cell gathers the
 * taps that reach it. */
#ifndef FOCALD_MODEL_CPU_THIN_H
#define FOCALD_MODEL_CPU_THIN_H

#include <stdbool.h>

#include "model/backend.h"
#include "model/cpu/onednn.h"

struct cpu_thin;

/* Whether GRAPH_CONV_TRANSPOSED is better done so. */
bool cpu_thin_fits(const struct step_spec *spec);

int cpu_thin_create(struct cpu_thin **ret, struct onednn *onednn, const struct step_spec *spec,
                    const struct cpu_thin *like, struct error *error);
void cpu_thin_destroy(struct cpu_thin *thin); /* takes NULL */
size_t cpu_thin_packed(const struct cpu_thin *thin);
size_t cpu_thin_scratch(const struct cpu_thin *thin);
/* weights: kernel [in][out][kh][kw], bias [out]. */
int cpu_thin_pack(struct cpu_thin *thin, const float *const *weights, void *packed,
                  struct error *error);
int cpu_thin_bind(struct cpu_thin *thin, const struct step_memory *memory, struct error *error);
int cpu_thin_run(struct cpu_thin *thin, struct error *error);

#endif
