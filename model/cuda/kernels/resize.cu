/* SPDX-License-Identifier: Apache-2.0
 * More or fewer rows and columns: bilinear resizing (half-pixel centres, no antialiasing), padding.
 */
#include "model/cuda/kernels/cells.h"
#include "model/cuda/kernels/forward.h"

namespace
{

constexpr unsigned THREADS = 256;

/* The two neighbours of cell i of an axis of `out` cells, in one of `in`: max(0, (i + 1/2) in / out
 * - 1/2), in whole numbers of 1 / (2 out), so that the second's weight has no error of the sum. */
struct neighbours {
    int first, second;
    float weight; /* the second's */
};

__device__ inline neighbours neighbours_of(int i, int in, int out)
{
    const int64_t scaled = (int64_t)(2 * (int64_t)i + 1) * in - out, one = 2 * (int64_t)out;
    const int64_t at = scaled > 0 ? scaled : 0;
    const int whole = (int)(at / one), first = whole < in - 1 ? whole : in - 1;
    return {first, first + 1 < in ? first + 1 : first, (float)(at - first * one) / (float)one};
}

__global__ void resize(any_cells x, any_cells to, struct tensor_shape in, struct tensor_shape out,
                       size_t cells)
{
    const unsigned c = (unsigned)out.c, w = (unsigned)out.w, h = (unsigned)out.h;
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < cells;
         i += (size_t)gridDim.x * THREADS) {
        const size_t row = i / c, line = row / w, image = line / h;
        const size_t channel = i % c;
        const neighbours y = neighbours_of((int)(line % h), in.h, out.h);
        const neighbours z = neighbours_of((int)(row % w), in.w, out.w);
        const size_t upper = (image * (size_t)in.h + (size_t)y.first) * (size_t)in.w;
        const size_t lower = (image * (size_t)in.h + (size_t)y.second) * (size_t)in.w;
        const float a = x.at(upper + (size_t)z.first, channel);
        const float b = x.at(upper + (size_t)z.second, channel);
        const float d = x.at(lower + (size_t)z.first, channel);
        const float e = x.at(lower + (size_t)z.second, channel);
        to.put(row, channel,
               (1 - y.weight) * ((1 - z.weight) * a + z.weight * b) +
                   y.weight * ((1 - z.weight) * d + z.weight * e));
    }
}

__global__ void pad(any_cells x, any_cells to, struct tensor_shape in, struct tensor_shape out,
                    size_t cells)
{
    const unsigned c = (unsigned)out.c, w = (unsigned)out.w, h = (unsigned)out.h;
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < cells;
         i += (size_t)gridDim.x * THREADS) {
        const size_t row = i / c, line = row / w, image = line / h;
        const size_t channel = i % c, y = line % h, z = row % w;
        const bool inside = y < (size_t)in.h && z < (size_t)in.w;
        const size_t from = (image * (size_t)in.h + y) * (size_t)in.w + z;
        to.put(row, channel, inside ? x.at(from, channel) : 0);
    }
}

} // namespace

cudaError_t cuda_resize(const struct cuda_call *call)
{
    const size_t cells = tensor_cells(call->out.shape);
    return launch(resize, blocks_for(cells, THREADS), dim3(THREADS), call->stream,
                  any_of(&call->in[0]), any_of(&call->out), call->in[0].shape, call->out.shape,
                  cells);
}

cudaError_t cuda_pad(const struct cuda_call *call)
{
    const size_t cells = tensor_cells(call->out.shape);
    return launch(pad, blocks_for(cells, THREADS), dim3(THREADS), call->stream,
                  any_of(&call->in[0]), any_of(&call->out), call->in[0].shape, call->out.shape,
                  cells);
}
