/* SPDX-License-Identifier: Apache-2.0
 * Every operator in plain C: what the others are checked against. Sums are in double. The same code
 * is compiled for values in float, which the backend runs, and, with REF_DOUBLE, in double, by
 * which gradients are checked against finite differences. */
#ifndef FOCALD_MODEL_REF_REF_H
#define FOCALD_MODEL_REF_REF_H

#include "model/backend.h"

#ifdef REF_DOUBLE
typedef double real;
#define REF(name) name##_double
#else
typedef float real;
#define REF(name) name
#endif

struct REF(ref_memory) {
    const real *in[GRAPH_MAX_INPUTS];
    const real *residual;
    real *out, *scratch;
};
#define ref_memory REF(ref_memory)

/* An operator. weights: as published, one array per weight of the node. LINEAR takes the fused
 * residual and GELU of the spec, CONV_TRANSPOSED the ReLU. */
typedef void (*REF(ref_forward))(const struct step_spec *spec, const real *const *weights,
                                 const struct ref_memory *memory);
#define ref_forward REF(ref_forward)

ref_forward REF(ref_operator)(enum graph_op op);
#define ref_operator REF(ref_operator)

#define REF_FORWARD(name)                                                                          \
    void REF(name)(const struct step_spec *spec, const real *const *w, const struct ref_memory *m)
REF_FORWARD(ref_relu);
REF_FORWARD(ref_sigmoid);
REF_FORWARD(ref_resize);
REF_FORWARD(ref_pad);
REF_FORWARD(ref_conv_transposed);
REF_FORWARD(ref_tokens);
REF_FORWARD(ref_grid);
REF_FORWARD(ref_attention);
REF_FORWARD(ref_cls_attention);
REF_FORWARD(ref_attention_map);
REF_FORWARD(ref_nearest);
REF_FORWARD(ref_lookup);
REF_FORWARD(ref_straight_through);
REF_FORWARD(ref_linear_grad);
REF_FORWARD(ref_linear_grad_weights);
REF_FORWARD(ref_conv_grad);
REF_FORWARD(ref_conv_grad_weights);
REF_FORWARD(ref_conv_transposed_grad);
REF_FORWARD(ref_conv_transposed_grad_weights);
REF_FORWARD(ref_layer_norm_grad);
REF_FORWARD(ref_layer_norm_grad_weights);
REF_FORWARD(ref_gelu_grad);
REF_FORWARD(ref_relu_grad);
REF_FORWARD(ref_sigmoid_grad);
REF_FORWARD(ref_focal_grad);
REF_FORWARD(ref_focal_grad_weights);
REF_FORWARD(ref_slice_grad);
REF_FORWARD(ref_channel_scale_grad_weights);
REF_FORWARD(ref_mean_grad);
REF_FORWARD(ref_channel_l2_grad);
REF_FORWARD(ref_batch_norm_grad);
REF_FORWARD(ref_batch_norm_grad_weights);
REF_FORWARD(ref_batch_statistics);
REF_FORWARD(ref_cosine_grad);
REF_FORWARD(ref_cosine_grad_weights);
REF_FORWARD(ref_resize_grad);
REF_FORWARD(ref_tokens_grad_weights);
REF_FORWARD(ref_grid_grad);
REF_FORWARD(ref_attention_grad);
REF_FORWARD(ref_cls_attention_grad);
REF_FORWARD(ref_attention_map_grad);
REF_FORWARD(ref_lookup_grad_weights);

/* Bilinear resizing of an axis of `in` cells: the two neighbours of cell i of `out`, and the second
 * one's weight. */
void REF(ref_neighbours)(int i, int in, int out, size_t *ret_first, size_t *ret_second,
                         double *ret_weight);
#define ref_neighbours REF(ref_neighbours)

/* Floats (or doubles) of scratch that the operator wants. */
size_t REF(ref_scratch)(const struct step_spec *spec);
#define ref_scratch REF(ref_scratch)

/* Weights kept as they are published: what a step of `spec` needs, and where weight i begins. */
size_t ref_weights_bytes(const struct step_spec *spec);
void ref_weights_pack(const struct step_spec *spec, const float *const *weights, void *packed);
void ref_weights_find(const struct step_spec *spec, const void *packed, const float **ret);

#ifndef REF_DOUBLE
static inline struct ref_memory ref_memory_of(const struct step_memory *m)
{
    struct ref_memory ret = {.residual = m->residual, .out = m->out, .scratch = m->scratch};
    for (int i = 0; i < GRAPH_MAX_INPUTS; i++)
        ret.in[i] = m->in[i];
    return ret;
}
#endif

#endif
