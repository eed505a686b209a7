/* SPDX-License-Identifier: Apache-2.0
 * Which operator is which kernel. */
#include "model/cuda/kernels/forward.h"
#include "model/cuda/kernels/grad.h"

namespace
{

struct entry {
    enum graph_op op;
    cuda_kernel kernel;
    size_t (*scratch)(const struct cuda_call *call); /* NULL: none */
};

constexpr entry TABLE[] = {
    {GRAPH_LAYER_NORM, cuda_layer_norm, nullptr},
    {GRAPH_GELU, cuda_gelu, nullptr},
    {GRAPH_FOCAL_CONTEXT, cuda_focal_context, cuda_focal_context_scratch},
    {GRAPH_MUL, cuda_mul, nullptr},
    {GRAPH_ADD, cuda_add, nullptr},
    {GRAPH_CHANNEL_SCALE, cuda_channel_scale, nullptr},
    {GRAPH_SAMPLE_SCALE, cuda_sample_scale, nullptr},
    {GRAPH_MEAN, cuda_mean, cuda_mean_scratch},
    {GRAPH_CHANNEL_L2, cuda_channel_l2, nullptr},
    {GRAPH_COSINE, cuda_cosine, nullptr},
    {GRAPH_RELU, cuda_relu, nullptr},
    {GRAPH_SIGMOID, cuda_sigmoid, nullptr},
    {GRAPH_RESIZE, cuda_resize, nullptr},
    {GRAPH_PAD, cuda_pad, nullptr},
    {GRAPH_TOKENS, cuda_tokens, nullptr},
    {GRAPH_GRID, cuda_grid, nullptr},
    {GRAPH_CLS_ATTENTION, cuda_cls_attention, cuda_cls_attention_scratch},
    {GRAPH_ATTENTION_MAP, cuda_attention_map, nullptr},
    {GRAPH_NEAREST, cuda_nearest, nullptr},
    {GRAPH_LOOKUP, cuda_lookup, nullptr},
    {GRAPH_STRAIGHT_THROUGH, cuda_straight_through, nullptr},
};

const entry *entry_of(enum graph_op op)
{
    for (const entry &e : TABLE)
        if (e.op == op)
            return &e;
    return nullptr;
}

} // namespace

cuda_kernel cuda_kernel_of(enum graph_op op)
{
    const entry *e = entry_of(op);
    return e != nullptr ? e->kernel : cuda_grad_kernel_of(op);
}

size_t cuda_kernel_scratch(const struct cuda_call *call)
{
    const entry *e = entry_of(call->node->op);
    if (e == nullptr)
        return cuda_grad_kernel_scratch(call);
    return e->scratch != nullptr ? e->scratch(call) : 0;
}
