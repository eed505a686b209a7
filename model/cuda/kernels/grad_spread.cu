/* SPDX-License-Identifier: Apache-2.0
 * Gradients of what took cells together or picked some: each cell of the input finds what it has
 * its share of. */
#include "model/cuda/kernels/grad_cells.h"
#include "model/cuda/kernels/grad_operators.h"

namespace grad
{

namespace
{

struct of_slice {
    any_cells g;
    unsigned from, c;
    __device__ float operator()(size_t row, unsigned i) const
    {
        return i >= from && i - from < c ? g.at(row, i - from) : 0;
    }
};

struct of_mean {
    any_cells g;
    unsigned area;
    __device__ float operator()(size_t row, unsigned i) const
    {
        return g.at(divide(row, area), i) / (float)area;
    }
};

struct of_channel_l2 {
    any_cells g, x, y;
    __device__ float operator()(size_t row, unsigned i) const
    {
        const float length = y.at(row, 0);
        return length > 0 ? g.at(row, 0) / length * x.at(row, i) : 0;
    }
};

/* The tokens of a sequence are its rows; the first one is no cell. */
struct of_grid {
    any_cells g;
    unsigned tokens;
    __device__ float operator()(size_t row, unsigned i) const
    {
        const size_t n = divide(row, tokens), t = row - n * tokens;
        return t > 0 ? g.at(n * (tokens - 1) + t - 1, i) : 0;
    }
};

struct of_attention_map {
    any_cells g;
    unsigned heads, tokens;
    __device__ float operator()(size_t row, unsigned t) const
    {
        return t > 0 ? g.at(divide(row, heads) * (tokens - 1) + t - 1, 0) / (float)heads : 0;
    }
};

/* An axis resized from `small` cells, whose gradient is wanted, to `large`, whatever is larger. */
struct axis {
    unsigned small, large;
    float step; /* small / large */

    /* Cells of the large axis that have a share of `at`, or more: [*from, *to). */
    __device__ void find(unsigned at, unsigned *from, unsigned *to) const
    {
        const float low = ((float)at - 0.5f) / step - 1.5f, high = ((float)at + 1.5f) / step + 1.5f;
        *from = at == 0 || low < 0 ? 0 : (unsigned)low;
        *to = at + 1 >= small || high >= (float)large ? large : (unsigned)high + 1;
    }

    /* What cell i of the large axis takes of `at`. */
    __device__ float share(unsigned at, unsigned i) const
    {
        float centre = ((float)i + 0.5f) * step - 0.5f;
        centre = centre > 0 ? centre : 0;
        const unsigned floor = (unsigned)centre, first = floor < small - 1 ? floor : small - 1,
                       second = first + 1 < small ? first + 1 : first;
        const float weight = centre - (float)first;
        return (first == at ? 1 - weight : 0) + (second == at ? weight : 0);
    }
};

struct of_resize {
    any_cells g;
    axis y, x;
    __device__ float operator()(size_t row, unsigned c) const
    {
        const size_t line = divide(row, x.small), n = divide(line, y.small);
        const unsigned at_x = (unsigned)(row - line * x.small),
                       at_y = (unsigned)(line - n * y.small);
        unsigned y0, y1, x0, x1;
        float sum = 0;
        y.find(at_y, &y0, &y1);
        x.find(at_x, &x0, &x1);
        for (unsigned i = y0; i < y1; i++) {
            const float share = y.share(at_y, i);
            for (unsigned k = x0; k < x1 && share != 0; k++)
                sum += share * x.share(at_x, k) * g.at((n * y.large + i) * x.large + k, c);
        }
        return sum;
    }
};

axis axis_of(int small, int large)
{
    return axis{(unsigned)small, (unsigned)large, (float)small / (float)large};
}

} // namespace

cudaError_t slice(const struct cuda_call *call)
{
    return fill(call, of_slice{any_of(&call->in[0]), (unsigned)call->node->from,
                               (unsigned)call->in[0].shape.c});
}

cudaError_t mean(const struct cuda_call *call)
{
    return fill(call, of_mean{any_of(&call->in[0]), (unsigned)area(call->out.shape)});
}

cudaError_t channel_l2(const struct cuda_call *call)
{
    return fill(call,
                of_channel_l2{any_of(&call->in[0]), any_of(&call->in[1]), any_of(&call->in[2])});
}

cudaError_t resize(const struct cuda_call *call)
{
    const struct tensor_shape in = call->in[0].shape, out = call->out.shape;
    return fill(call, of_resize{any_of(&call->in[0]), axis_of(out.h, in.h), axis_of(out.w, in.w)});
}

cudaError_t grid(const struct cuda_call *call)
{
    return fill(call, of_grid{any_of(&call->in[0]), (unsigned)call->out.shape.w});
}

cudaError_t attention_map(const struct cuda_call *call)
{
    return fill(call, of_attention_map{any_of(&call->in[0]), (unsigned)call->out.shape.w,
                                       (unsigned)call->out.shape.c});
}

} // namespace grad
