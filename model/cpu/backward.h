/* SPDX-License-Identifier: Apache-2.0
 * Gradients of weights as products: g^T x of a linear layer, g^T patches of x of a convolution, x^T
 * patches of g of a transposed one; and what goes back through that one, patches of g times its
 * kernel. Patches are taken a band at a time. */
#ifndef FOCALD_MODEL_CPU_BACKWARD_H
#define FOCALD_MODEL_CPU_BACKWARD_H

#include "model/backend.h"
#include "model/cpu/onednn.h"

/* GRAPH_LINEAR_GRAD_WEIGHTS, GRAPH_CONV_GRAD_WEIGHTS, GRAPH_CONV_TRANSPOSED_GRAD_WEIGHTS. */
struct cpu_weights_grad;
int cpu_weights_grad_create(struct cpu_weights_grad **ret, struct onednn *onednn,
                            const struct step_spec *spec, struct error *error);
void cpu_weights_grad_destroy(struct cpu_weights_grad *grad); /* takes NULL */
size_t cpu_weights_grad_scratch(const struct cpu_weights_grad *grad);
void cpu_weights_grad_bind(struct cpu_weights_grad *grad, const struct step_memory *memory);
int cpu_weights_grad_run(struct cpu_weights_grad *grad, struct error *error);

/* GRAPH_CONV_TRANSPOSED_GRAD. */
struct cpu_patches_product;
int cpu_patches_product_create(struct cpu_patches_product **ret, struct onednn *onednn,
                               const struct step_spec *spec, struct error *error);
void cpu_patches_product_destroy(struct cpu_patches_product *product); /* takes NULL */
size_t cpu_patches_product_packed(const struct cpu_patches_product *product);
size_t cpu_patches_product_scratch(const struct cpu_patches_product *product);
/* kernel: [in][out][kh][kw] */
int cpu_patches_product_pack(struct cpu_patches_product *product, const float *kernel, void *packed,
                             struct error *error);
void cpu_patches_product_bind(struct cpu_patches_product *product,
                              const struct step_memory *memory);
int cpu_patches_product_run(struct cpu_patches_product *product, struct error *error);

#endif
