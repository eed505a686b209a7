/* SPDX-License-Identifier: Apache-2.0
 * Gradients of a transformer's operators that are no products, and of keys looked up. N: batch, T:
 * tokens, C: channels, H: heads, D = C / H. */
#include "model/cuda/kernels/grad_cells.h"
#include "model/cuda/kernels/grad_operators.h"

namespace grad
{

namespace
{

/* to: cls [C], positions [T][C] */
__global__ void tokens_kernel(any_cells g, unsigned n, unsigned tokens, unsigned c, float *to)
{
    for (size_t i = first_thread(); i < (size_t)tokens * c; i += all_threads()) {
        const size_t t = divide(i, c);
        const unsigned channel = (unsigned)(i - t * c);
        float sum = 0;
        for (unsigned k = 0; k < n; k++)
            sum += g.at((size_t)k * tokens + t, channel);
        to[c + i] = sum;
        if (t == 0)
            to[i] = sum;
    }
}

/* to: [K][C]. Each key goes through all indices: they are few. */
__global__ void lookup_kernel(any_cells g, any_cells indices, size_t rows, unsigned keys,
                              unsigned c, float *to)
{
    for (size_t i = first_thread(); i < (size_t)keys * c; i += all_threads()) {
        const size_t key = divide(i, c);
        const unsigned channel = (unsigned)(i - key * c);
        float sum = 0;
        for (size_t row = 0; row < rows; row++)
            if ((size_t)indices.at(row, 0) == key)
                sum += g.at(row, channel);
        to[i] = sum;
    }
}

constexpr unsigned WARPS = 4;

/* of_scores: [N][H][T], ds = y (g - sum y g) / sqrt(D). A warp: one head of one sample. */
__global__ void scores_kernel(any_cells g, any_cells y, unsigned rows, unsigned tokens, float scale,
                              float *of_scores)
{
    const unsigned row = blockIdx.x * WARPS + threadIdx.x / WARP;
    if (row >= rows)
        return;
    float sum = 0;
    for (unsigned t = threadIdx.x % WARP; t < tokens; t += WARP)
        sum += y.at(row, t) * g.at(row, t);
    sum = warp_sum(sum);
    for (unsigned t = threadIdx.x % WARP; t < tokens; t += WARP)
        of_scores[(size_t)row * tokens + t] = scale * y.at(row, t) * (g.at(row, t) - sum);
}

/* out: [N][T][2 C]: of q, where only the first token was asked with, and of k. */
struct of_queries_and_keys {
    any_cells q, k;
    const float *of_scores;
    unsigned tokens, c, d;
    __device__ float operator()(size_t row, unsigned i) const
    {
        const size_t n = divide(row, tokens), t = row - n * tokens;
        const unsigned channel = i < c ? i : i - c;
        const float *ds = of_scores + (n * (c / d) + channel / d) * tokens;
        if (i >= c)
            return ds[t] * q.at(n * tokens, channel);
        float sum = 0;
        for (unsigned s = 0; s < tokens && t == 0; s++)
            sum += ds[s] * k.at(n * tokens + s, channel);
        return sum;
    }
};

} // namespace

cudaError_t tokens_weights(const struct cuda_call *call)
{
    const struct tensor_shape s = call->in[0].shape;
    const size_t cells = (size_t)s.w * (size_t)s.c;
    return launch(tokens_kernel, blocks_for(cells, 128), dim3(128), call->stream,
                  any_of(&call->in[0]), (unsigned)s.n, (unsigned)s.w, (unsigned)s.c,
                  (float *)call->out.data);
}

cudaError_t lookup_weights(const struct cuda_call *call)
{
    const size_t cells = (size_t)call->out.shape.c, c = (size_t)call->in[0].shape.c;
    return launch(lookup_kernel, blocks_for(cells, 128), dim3(128), call->stream,
                  any_of(&call->in[0]), any_of(&call->in[1]), positions(call->in[0].shape),
                  (unsigned)(cells / c), (unsigned)c, (float *)call->out.data);
}

cudaError_t cls_attention(const struct cuda_call *call)
{
    const struct tensor_shape s = call->in[1].shape;
    const unsigned heads = (unsigned)call->node->heads, tokens = (unsigned)s.w, c = (unsigned)s.c,
                   rows = (unsigned)s.n * heads;
    float *of_scores = (float *)call->scratch;
    const cudaError_t r =
        launch(scores_kernel, dim3((rows + WARPS - 1) / WARPS), dim3(WARPS * WARP), call->stream,
               any_of(&call->in[0]), any_of(&call->in[3]), rows, tokens,
               1 / sqrtf((float)(c / heads)), of_scores);
    if (r != cudaSuccess)
        return r;
    return fill(call, of_queries_and_keys{any_of(&call->in[1]), any_of(&call->in[2]), of_scores,
                                          tokens, c, c / heads});
}

size_t cls_attention_scratch(const struct cuda_call *call)
{
    const struct tensor_shape s = call->in[1].shape;
    return (size_t)s.n * (size_t)call->node->heads * (size_t)s.w * sizeof(float);
}

} // namespace grad
