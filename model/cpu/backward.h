/* SPDX-License-Identifier: Apache-2.0
 * Gradients of weights as products: g^T x of a linear layer, g^T patches of a convolution. */
#ifndef FOCALD_MODEL_CPU_BACKWARD_H
#define FOCALD_MODEL_CPU_BACKWARD_H

#include "model/backend.h"
#include "model/cpu/onednn.h"

struct cpu_weights_grad;

/* GRAPH_LINEAR_GRAD_WEIGHTS, GRAPH_CONV_GRAD_WEIGHTS. */
int cpu_weights_grad_create(struct cpu_weights_grad **ret, struct onednn *onednn,
                            const struct step_spec *spec, struct error *error);
void cpu_weights_grad_destroy(struct cpu_weights_grad *grad); /* takes NULL */
size_t cpu_weights_grad_scratch(const struct cpu_weights_grad *grad);
int cpu_weights_grad_bind(struct cpu_weights_grad *grad, const struct step_memory *memory,
                          struct error *error);
int cpu_weights_grad_run(struct cpu_weights_grad *grad, struct error *error);

#endif
