/* SPDX-License-Identifier: Apache-2.0
 * The first token's attention to all tokens, by head. T: tokens, D: channels of a head. */
#include <math.h>

#include "model/cuda/kernels/cells.h"
#include "model/cuda/kernels/forward.h"

namespace
{

constexpr unsigned WARPS = 8; /* of a block */

/* q, k: [n][T][heads D] -> [n][heads][T], products not scaled: a warp for each */
__global__ void first_row(any_cells q, any_cells k, float *to, size_t rows, unsigned heads,
                          unsigned tokens, unsigned d)
{
    for (size_t i = (size_t)blockIdx.x * WARPS + threadIdx.y; i < rows * tokens;
         i += (size_t)gridDim.x * WARPS) {
        const size_t row = i / tokens, token = i % tokens;
        const size_t image = row / heads, head = row % heads;
        float dot = 0;
        for (unsigned c = threadIdx.x; c < d; c += WARP)
            dot = fmaf(q.at(image * tokens, head * d + c),
                       k.at(image * tokens + token, head * d + c), dot);
        dot = warp_sum(dot);
        if (threadIdx.x == 0)
            to[i] = dot;
    }
}

size_t rows_of(const struct cuda_call *call)
{
    return (size_t)call->out.shape.n * (size_t)call->out.shape.w;
}

} // namespace

cudaError_t cuda_cls_attention(const struct cuda_call *call)
{
    const size_t rows = rows_of(call);
    const unsigned heads = (unsigned)call->out.shape.w, tokens = (unsigned)call->out.shape.c;
    const unsigned d = (unsigned)call->in[0].shape.c / heads;
    float *products = (float *)call->scratch;
    cudaError_t code =
        launch(first_row, blocks_for(rows * tokens, WARPS), dim3(WARP, WARPS), call->stream,
               any_of(&call->in[0]), any_of(&call->in[1]), products, rows, heads, tokens, d);
    if (code != cudaSuccess)
        return code;
    return cuda_softmax(call->stream, call->out.data, call->out.type, products, CELL_FLOAT32,
                        1 / sqrtf((float)d), rows, tokens);
}

size_t cuda_cls_attention_scratch(const struct cuda_call *call)
{
    return rows_of(call) * (size_t)call->out.shape.c * sizeof(float);
}
