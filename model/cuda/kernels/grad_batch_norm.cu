/* SPDX-License-Identifier: Apache-2.0
 * The gradient of batch norm by running statistics, which cuDNN has only of the batch's own, and
 * what that reads of these (../batch_norm.c). unit = (x - mean) / sqrt(variance + eps), over the
 * positions of a channel:
 *
 *   dx = g scale / sqrt(variance + eps),  dscale = sum(g unit),  dshift = sum(g) */
#include "model/cuda/kernels/grad_columns.h"
#include "model/cuda/kernels/grad_operators.h"

namespace grad
{

namespace
{

struct of_input {
    any_cells g;
    const float *scale, *variance; /* [c] */
    float eps;
    __device__ float operator()(size_t row, unsigned c) const
    {
        return g.at(row, c) * scale[c] / sqrtf(variance[c] + eps);
    }
};

struct of_weights {
    any_cells g, x;
    const float *mean, *variance; /* [c] */
    float eps;
    __device__ pair operator()(size_t row, unsigned c) const
    {
        const float at = g.at(row, c);
        return pair{at * (x.at(row, c) - mean[c]) / sqrtf(variance[c] + eps), at};
    }
};

__global__ void invert(float *to, const float *variance, float eps, size_t c)
{
    for (size_t i = first_thread(); i < c; i += all_threads())
        to[i] = 1 / sqrtf(variance[i] + eps);
}

} // namespace

cudaError_t batch_norm(const struct cuda_call *call)
{
    return fill(
        call, of_input{any_of(&call->in[0]), call->weights[0], call->weights[3], call->node->eps});
}

/* out: [2][c], of scale and shift */
cudaError_t batch_norm_weights(const struct cuda_call *call)
{
    return column_sums(call->stream,
                       of_weights{any_of(&call->in[0]), any_of(&call->in[1]), call->weights[2],
                                  call->weights[3], call->node->eps},
                       positions(call->in[0].shape), (unsigned)call->in[0].shape.c,
                       (float *)call->scratch, (float *)call->out.data);
}

size_t batch_norm_weights_scratch(const struct cuda_call *call)
{
    return column_parts_bytes(positions(call->in[0].shape), (size_t)call->in[0].shape.c);
}

} // namespace grad

cudaError_t cuda_inverse_deviations(cudaStream_t stream, float *to, const float *variance,
                                    float eps, size_t c)
{
    return launch(grad::invert, blocks_for(c, 256), dim3(256), stream, to, variance, eps, c);
}
