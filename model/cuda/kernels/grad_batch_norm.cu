/* SPDX-License-Identifier: Apache-2.0
 * Batch norm, by the batch's own statistics or by running ones. Over the positions of a channel, R
 * of them, unit = (x - mean) / sqrt(variance + eps):
 *
 *   dx = scale / sqrt(variance + eps) (g - sum g / R - unit sum (g unit) / R)
 *
 * where the sums are there in training only. */
#include "model/cuda/kernels/grad_columns.h"
#include "model/cuda/kernels/grad_operators.h"
#include "model/cuda/kernels/sums.h"

namespace grad
{

namespace
{

/* By the running statistics, or the batch's. */
struct norm {
    const float *mean, *variance; /* [c] */
    float eps;
    __device__ float centred(float x, unsigned c) const
    {
        return x - mean[c];
    }
    __device__ float inverse(unsigned c) const
    {
        return 1 / sqrtf(variance[c] + eps);
    }
};

/* Of the scale and of the shift. */
struct of_weights {
    any_cells g, x;
    norm n;
    __device__ pair operator()(size_t row, unsigned c) const
    {
        const float at = g.at(row, c);
        return pair{at * n.centred(x.at(row, c), c) * n.inverse(c), at};
    }
};

struct of_input {
    any_cells g, x;
    norm n;
    const float *scale, *sums; /* sums: [2][c] of weights, or NULL */
    unsigned c;
    float share; /* 1 / R */
    __device__ float operator()(size_t row, unsigned i) const
    {
        const float inverse = n.inverse(i);
        float at = g.at(row, i);
        if (sums != NULL)
            at -= (sums[c + i] + n.centred(x.at(row, i), i) * inverse * sums[i]) * share;
        return inverse * scale[i] * at;
    }
};

struct room {               /* in scratch */
    float *parts, *weights; /* weights: [2][c] */
    void *statistics;
};

room room_of(const struct cuda_call *call)
{
    const size_t c = (size_t)call->in[1].shape.c;
    float *parts = (float *)call->scratch;
    float *weights = parts + column_parts_bytes(positions(call->in[1].shape), c) / sizeof(float);
    return room{parts, weights, weights + 2 * c};
}

/* In training enqueues what its values are read from. */
cudaError_t norm_of(const struct cuda_call *call, const room *to, norm *ret)
{
    struct statistics used = {call->weights[2], call->weights[3]};
    cudaError_t r = cudaSuccess;
    if (call->node->train)
        r = sums_statistics(call->stream, &call->in[1], to->statistics, &used);
    *ret = norm{used.mean, used.variance, call->node->eps};
    return r;
}

cudaError_t weights_sums(const struct cuda_call *call, const norm *n, float *parts, float *to)
{
    return column_sums(call->stream, of_weights{any_of(&call->in[0]), any_of(&call->in[1]), *n},
                       positions(call->in[0].shape), (unsigned)call->in[0].shape.c, parts, to);
}

} // namespace

cudaError_t batch_norm(const struct cuda_call *call)
{
    const room to = room_of(call);
    norm n;
    cudaError_t r = norm_of(call, &to, &n);
    if (r == cudaSuccess && call->node->train)
        r = weights_sums(call, &n, to.parts, to.weights);
    if (r != cudaSuccess)
        return r;
    return fill(call, of_input{any_of(&call->in[0]), any_of(&call->in[1]), n, call->weights[0],
                               call->node->train ? to.weights : NULL, (unsigned)call->out.shape.c,
                               1 / (float)positions(call->out.shape)});
}

cudaError_t batch_norm_weights(const struct cuda_call *call)
{
    const room to = room_of(call);
    norm n;
    const cudaError_t r = norm_of(call, &to, &n);
    return r == cudaSuccess ? weights_sums(call, &n, to.parts, (float *)call->out.data) : r;
}

size_t batch_norm_scratch(const struct cuda_call *call)
{
    const size_t c = (size_t)call->in[1].shape.c;
    return column_parts_bytes(positions(call->in[1].shape), c) + 2 * c * sizeof(float) +
           sums_statistics_scratch(&call->in[1]);
}

} // namespace grad
