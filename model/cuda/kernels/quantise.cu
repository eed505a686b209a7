/* SPDX-License-Identifier: Apache-2.0
 * Class-partitioned vector quantisation. K: keys of the codebook [K][C], the last `shared` of which
 * belong to every class. */
#include "model/cuda/kernels/cells.h"
#include "model/cuda/kernels/forward.h"

namespace
{

constexpr unsigned WARPS = 8;      /* of a block */
constexpr unsigned LANE_CELLS = 8; /* of a vector that a lane's registers hold */

/* graph_key_class on the device: products and sums are rounded one by one, as there. */
struct owners {
    float start, end, step;
    int own; /* keys */
};

owners owners_of(int own, int classes)
{
    owners o = {-0.5f, (float)((double)classes - 0.51), 0, own};
    o.step = own > 1 ? (o.end - o.start) / (float)(own - 1) : 0;
    return o;
}

__device__ inline int owner(const owners &o, int key)
{
    const float at = key < o.own / 2
                         ? __fadd_rn(o.start, __fmul_rn(o.step, (float)key))
                         : __fadd_rn(o.end, -__fmul_rn(o.step, (float)(o.own - key - 1)));
    return (int)rintf(at);
}

/* The first of the largest. */
__device__ inline int largest(const any_cells &scores, size_t row, int n)
{
    int best = 0;
    float most = scores.at(row, 0);
    for (int i = 1; i < n; i++) {
        const float x = scores.at(row, (size_t)i);
        best = x > most ? i : best;
        most = x > most ? x : most;
    }
    return best;
}

struct search {
    size_t rows, area;
    unsigned cols;
    int classes, keys;
    owners own;
};

/* A warp for each vector: x: [rows][C], scores: [n][classes] -> [rows] */
__global__ void nearest(any_cells x, any_cells scores, const float *codebook, any_cells to,
                        search s)
{
    for (size_t row = (size_t)blockIdx.x * WARPS + threadIdx.y; row < s.rows;
         row += (size_t)gridDim.x * WARPS) {
        const int of_class = largest(scores, row / s.area, s.classes);
        float v[LANE_CELLS];
#pragma unroll
        for (unsigned i = 0; i < LANE_CELLS; i++) {
            const unsigned col = i * WARP + threadIdx.x;
            v[i] = col < s.cols ? x.at(row, col) : 0;
        }
        float least = INFINITY;
        int best = 0; /* also where all is NaN */
        for (int key = 0; key < s.keys; key++) {
            if (key < s.own.own && owner(s.own, key) != of_class)
                continue;
            const float *k = codebook + (size_t)key * s.cols;
            float sum = 0;
#pragma unroll
            for (unsigned i = 0; i < LANE_CELLS; i++) {
                const unsigned col = i * WARP + threadIdx.x;
                const float d = col < s.cols ? v[i] - k[col] : 0;
                sum = fmaf(d, d, sum);
            }
            for (unsigned col = LANE_CELLS * WARP + threadIdx.x; col < s.cols; col += WARP) {
                const float d = x.at(row, col) - k[col];
                sum = fmaf(d, d, sum);
            }
            sum = warp_sum(sum);
            best = sum < least ? key : best;
            least = sum < least ? sum : least;
        }
        if (threadIdx.x == 0)
            to.put(row, 0, (float)best);
    }
}

/* indices: [rows] -> [rows][C] */
__global__ void lookup(any_cells indices, const float *codebook, any_cells to, size_t rows,
                       size_t keys, unsigned cols)
{
    for (size_t row = (size_t)blockIdx.y * blockDim.y + threadIdx.y; row < rows;
         row += (size_t)gridDim.y * blockDim.y) {
        const float index = indices.at(row, 0);
        const size_t key = !(index > 0) ? 0 : index < (float)keys ? (size_t)index : keys - 1;
        for (size_t col = (size_t)blockIdx.x * blockDim.x + threadIdx.x; col < cols;
             col += (size_t)gridDim.x * blockDim.x)
            to.put(row, col, codebook[key * cols + col]);
    }
}

int keys_of(const struct cuda_call *call)
{
    return (int)call->weight_shapes[call->node->weights[0]].shape[0];
}

} // namespace

cudaError_t cuda_nearest(const struct cuda_call *call)
{
    const struct graph_node *node = call->node;
    const struct tensor_shape out = call->out.shape;
    const int all = keys_of(call), own = all - node->shared, classes = call->in[1].shape.c;
    const search s = {positions(out), (size_t)out.h * (size_t)out.w, (unsigned)call->in[0].shape.c,
                      classes,        node->use_shared ? all : own,  owners_of(own, classes)};
    return launch(nearest, blocks_for(s.rows, WARPS), dim3(WARP, WARPS), call->stream,
                  any_of(&call->in[0]), any_of(&call->in[1]), call->weights[0], any_of(&call->out),
                  s);
}

cudaError_t cuda_lookup(const struct cuda_call *call)
{
    const size_t rows = positions(call->out.shape);
    const unsigned cols = (unsigned)call->out.shape.c;
    const launch_shape s = shape_over(rows, cols, 1);
    return launch(lookup, s.grid, s.block, call->stream, any_of(&call->in[0]), call->weights[0],
                  any_of(&call->out), rows, (size_t)keys_of(call), cols);
}
