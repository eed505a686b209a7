/* SPDX-License-Identifier: Apache-2.0 */
#include "model/cpu/operators.h"

#include "model/cpu/loops.h"

ref_forward cpu_operator(const struct graph_node *node)
{
    static const ref_forward operators[GRAPH_OPS] = {
        [GRAPH_CHANNEL_SCALE] = cpu_channel_scale,
        [GRAPH_CHANNEL_SCALE_GRAD_WEIGHTS] = cpu_channel_scale_grad_weights,
        [GRAPH_COSINE_GRAD] = cpu_cosine_grad,
        [GRAPH_COSINE_GRAD_WEIGHTS] = cpu_cosine_grad_weights,
        [GRAPH_SLICE_GRAD] = cpu_slice_grad,
        [GRAPH_MEAN_GRAD] = cpu_mean_grad,
        [GRAPH_CHANNEL_L2_GRAD] = cpu_channel_l2_grad,
        [GRAPH_RESIZE_GRAD] = cpu_resize_grad,
        [GRAPH_LOOKUP_GRAD_WEIGHTS] = cpu_lookup_grad_weights,
        [GRAPH_TOKENS] = cpu_tokens,
        [GRAPH_TOKENS_GRAD_WEIGHTS] = cpu_tokens_grad_weights,
        [GRAPH_GRID] = cpu_grid,
        [GRAPH_GRID_GRAD] = cpu_grid_grad,
        [GRAPH_CLS_ATTENTION_GRAD] = cpu_cls_attention_grad,
        [GRAPH_ATTENTION_MAP_GRAD] = cpu_attention_map_grad,
    };
    return operators[node->op];
}

size_t cpu_operator_scratch(const struct step_spec *spec)
{
    const size_t c = (size_t)spec->in[0].c;
    switch (spec->node->op) {
    case GRAPH_CHANNEL_SCALE_GRAD_WEIGHTS:
        return loop_sums_scratch(c);
    case GRAPH_COSINE_GRAD: /* lengths of the rows and of the classes */
    case GRAPH_COSINE_GRAD_WEIGHTS:
        return 2 * (tensor_cells(spec->in[1]) / (size_t)spec->in[1].c + c) * sizeof(float);
    case GRAPH_CLS_ATTENTION_GRAD: /* a row of gradients for each head */
        return tensor_cells(spec->in[0]) * sizeof(float);
    default:
        return 0;
    }
}
