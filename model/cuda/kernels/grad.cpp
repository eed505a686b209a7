/* SPDX-License-Identifier: Apache-2.0 */
#include "model/cuda/kernels/grad.h"

#include "model/cuda/kernels/grad_operators.h"

namespace
{

struct entry {
    enum graph_op op;
    cuda_kernel run;
    size_t (*scratch)(const struct cuda_call *call); /* NULL: none */
};

const struct entry entries[] = {
    {GRAPH_GELU_GRAD, grad::gelu, NULL},
    {GRAPH_RELU_GRAD, grad::relu, NULL},
    {GRAPH_SIGMOID_GRAD, grad::sigmoid, NULL},
    {GRAPH_SLICE_GRAD, grad::slice, NULL},
    {GRAPH_MEAN_GRAD, grad::mean, NULL},
    {GRAPH_CHANNEL_L2_GRAD, grad::channel_l2, NULL},
    {GRAPH_RESIZE_GRAD, grad::resize, NULL},
    {GRAPH_GRID_GRAD, grad::grid, NULL},
    {GRAPH_ATTENTION_MAP_GRAD, grad::attention_map, NULL},
    {GRAPH_LAYER_NORM_GRAD, grad::layer_norm, grad::layer_norm_scratch},
    {GRAPH_LAYER_NORM_GRAD_WEIGHTS, grad::layer_norm_weights, grad::layer_norm_scratch},
    {GRAPH_BATCH_NORM_GRAD, grad::batch_norm, NULL},
    {GRAPH_BATCH_NORM_GRAD_WEIGHTS, grad::batch_norm_weights, grad::batch_norm_weights_scratch},
    {GRAPH_CHANNEL_SCALE_GRAD_WEIGHTS, grad::channel_scale_weights,
     grad::channel_scale_weights_scratch},
    {GRAPH_COSINE_GRAD, grad::cosine, grad::cosine_scratch},
    {GRAPH_COSINE_GRAD_WEIGHTS, grad::cosine_weights, grad::cosine_scratch},
    {GRAPH_FOCAL_GRAD, grad::focal, grad::focal_scratch},
    {GRAPH_FOCAL_GRAD_WEIGHTS, grad::focal_weights, grad::focal_scratch},
    {GRAPH_TOKENS_GRAD_WEIGHTS, grad::tokens_weights, NULL},
    {GRAPH_LOOKUP_GRAD_WEIGHTS, grad::lookup_weights, NULL},
    {GRAPH_CLS_ATTENTION_GRAD, grad::cls_attention, grad::cls_attention_scratch},
};

const struct entry *find(enum graph_op op)
{
    for (const struct entry &e : entries)
        if (e.op == op)
            return &e;
    return NULL;
}

} // namespace

cuda_kernel cuda_grad_kernel_of(enum graph_op op)
{
    const struct entry *e = find(op);
    return e != NULL ? e->run : NULL;
}

size_t cuda_grad_kernel_scratch(const struct cuda_call *call)
{
    const struct entry *e = find(call->node->op);
    return e != NULL && e->scratch != NULL ? e->scratch(call) : 0;
}
