/* SPDX-License-Identifier: Apache-2.0
 * The focal context. C: channels, L: levels, A: cells of an image. Each level's context is kept in
 * scratch, so that the sum over levels is rounded once:
 *   focal_level   ctx[l] = gelu(depthwise(ctx[l - 1])), L times; the last leaves partial sums
 *   sums_finish   global = gelu(sum / A)
 *   focal_gather  out = sum over l of ctx[l] gate[l] + global gate[L]
 * Threads lie side by side over channels; each computes a tile of cells, of which it reads a row
 * at a time, once for all the rows of the tile that it reaches. */
#include "model/cuda/kernels/cells.h"
#include "model/cuda/kernels/focal_parts.h"
#include "model/cuda/kernels/forward.h"
#include "model/cuda/kernels/gelu.h"
#include "model/cuda/kernels/sums.h"

namespace
{

constexpr unsigned MOST_CHANNELS = 64; /* of a block */
constexpr unsigned TILES = 8;          /* of a block */
constexpr unsigned TILE_COLS = 7;      /* 224 / 4 / 2^stage is a multiple of it */
constexpr unsigned TALL = 4, FLAT = 1; /* rows of a tile, many or few cells being there */
constexpr size_t MANY = (size_t)1 << 22;
constexpr int MOST_KERNEL = 11; /* that has a kernel of its own */
constexpr size_t PLACE = 256;   /* what parts of scratch are aligned to, in bytes */

struct geometry {
    int h, w;
    unsigned channels, channel_blocks, block_channels;
    unsigned tile_rows, tiles_across, tiles, groups; /* of an image; a group is a block's tiles */
    unsigned images;
};

unsigned parts(size_t of, size_t each)
{
    return (unsigned)((of + each - 1) / each);
}

geometry geometry_of(struct tensor_shape s)
{
    geometry g = {};
    const bool many = tensor_cells(s) >= MANY;
    const unsigned most = many ? MOST_CHANNELS : MOST_CHANNELS / 4;
    g.h = s.h;
    g.w = s.w;
    g.channels = (unsigned)s.c;
    /* Alike, and so wide that a block is of whole warps. */
    g.block_channels = parts(parts(g.channels, parts(g.channels, most)), 4) * 4;
    g.channel_blocks = parts(g.channels, g.block_channels);
    g.tile_rows = many ? TALL : FLAT;
    g.tiles_across = parts((size_t)s.w, TILE_COLS);
    g.tiles = g.tiles_across * parts((size_t)s.h, g.tile_rows);
    g.groups = parts(g.tiles, TILES);
    g.images = (unsigned)s.n;
    return g;
}

/* What a thread works on: channel c of the tile from row y, column x of an image. */
struct place {
    size_t image;
    unsigned c;
    int y, x;
    bool there;
};

__device__ inline place place_of(const geometry &g)
{
    const unsigned block = blockIdx.x / g.channel_blocks;
    const unsigned tile = block % g.groups * TILES + threadIdx.y;
    const unsigned c = blockIdx.x % g.channel_blocks * g.block_channels + threadIdx.x;
    return {block / g.groups, c, (int)(tile / g.tiles_across * g.tile_rows),
            (int)(tile % g.tiles_across * TILE_COLS), tile < g.tiles && c < g.channels};
}

/* Columns [x, x + N) of a row of one channel, zero outside the image. */
template <class T, unsigned N>
__device__ inline void load_row(float (&to)[N], const T *row, size_t stride, int x, int w)
{
#pragma unroll
    for (unsigned i = 0; i < N; i++) {
        const int at = x + (int)i;
        to[i] = at >= 0 && at < w ? to_float(row[(size_t)at * stride]) : 0;
    }
}

/* The tile's contexts, and their sum. from: channel c of the image; taps: [K][K]; to: of the
 * image, C apart. */
template <class T, int K, int ROWS>
__device__ inline float level_tile(const T *from, size_t stride, const float *taps, T *to,
                                   const geometry &g, const place &p)
{
    float acc[ROWS][TILE_COLS] = {};
#pragma unroll 1
    for (int r = 0; r < ROWS + K - 1; r++) {
        const int y = p.y + r - K / 2;
        if (y < 0 || y >= g.h)
            continue;
        float in[TILE_COLS + K - 1];
        load_row(in, from + (size_t)y * (size_t)g.w * stride, stride, p.x - K / 2, g.w);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            if (r < i || r - i >= K)
                continue;
            const float *row = taps + (r - i) * K;
#pragma unroll
            for (int k = 0; k < K; k++) {
                const float tap = row[k];
#pragma unroll
                for (int j = 0; j < (int)TILE_COLS; j++)
                    acc[i][j] = fmaf(tap, in[j + k], acc[i][j]);
            }
        }
    }
    float sum = 0;
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int j = 0; j < (int)TILE_COLS; j++)
            if (p.y + i < g.h && p.x + j < g.w) {
                const T y = from_float<T>(gelu(acc[i][j]));
                to[((size_t)(p.y + i) * (size_t)g.w + (size_t)(p.x + j)) * g.channels] = y;
                sum += to_float(y);
            }
    return sum;
}

/* The same with a kernel of any size, cell by cell. */
template <class T>
__device__ inline float level_tile_any(const T *from, size_t stride, const float *taps, int size,
                                       T *to, const geometry &g, const place &p)
{
    float sum = 0;
    for (int y = p.y; y < p.y + (int)g.tile_rows && y < g.h; y++)
        for (int x = p.x; x < p.x + (int)TILE_COLS && x < g.w; x++) {
            float acc = 0;
            for (int i = 0; i < size; i++)
                for (int j = 0; j < size; j++) {
                    const int iy = y + i - size / 2, ix = x + j - size / 2;
                    if (iy >= 0 && iy < g.h && ix >= 0 && ix < g.w)
                        acc = fmaf(taps[i * size + j],
                                   to_float(from[((size_t)iy * (size_t)g.w + (size_t)ix) * stride]),
                                   acc);
                }
            const T value = from_float<T>(gelu(acc));
            to[((size_t)y * (size_t)g.w + (size_t)x) * g.channels] = value;
            sum += to_float(value);
        }
    return sum;
}

/* The block's sum of each channel. partial: [n][groups][C]; all threads come here. */
__device__ inline void keep_sum(float sum, float *partial, const geometry &g, const place &p)
{
    __shared__ float sums[TILES][MOST_CHANNELS];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || p.c >= g.channels)
        return;
    float total = 0;
    for (unsigned y = 0; y < TILES; y++)
        total += sums[y][threadIdx.x];
    partial[(size_t)(blockIdx.x / g.channel_blocks) * g.channels + p.c] = total;
}

/* from: [n][A], `stride` apart; kernel: [C][K][K]; to: [n][A][C]; partial may be NULL. K odd, so
 * that the taps of neighbouring channels lie in different banks. */
template <class T, int K, int ROWS>
__global__ void __launch_bounds__(MOST_CHANNELS *TILES)
    focal_level(const T *from, size_t stride, const float *kernel, T *to, float *partial,
                geometry g)
{
    __shared__ float taps[MOST_CHANNELS * K * K];
    const place p = place_of(g);
    const unsigned first = p.c - threadIdx.x;
    const unsigned channels =
        g.channels - first < g.block_channels ? g.channels - first : g.block_channels;
    for (unsigned i = threadIdx.y * g.block_channels + threadIdx.x; i < channels * K * K;
         i += TILES * g.block_channels)
        taps[i] = kernel[(size_t)first * K * K + i];
    __syncthreads();
    const size_t area = (size_t)g.h * (size_t)g.w;
    float sum = 0;
    if (p.there)
        sum = level_tile<T, K, ROWS>(from + p.image * area * stride + p.c, stride,
                                     taps + threadIdx.x * K * K,
                                     to + p.image * area * g.channels + p.c, g, p);
    if (partial != nullptr)
        keep_sum(sum, partial, g, p);
}

template <class T>
__global__ void __launch_bounds__(MOST_CHANNELS *TILES)
    focal_level_any(const T *from, size_t stride, const float *kernel, int size, T *to,
                    float *partial, geometry g)
{
    const place p = place_of(g);
    const size_t area = (size_t)g.h * (size_t)g.w;
    float sum = 0;
    if (p.there)
        sum = level_tile_any(from + p.image * area * stride + p.c, stride,
                             kernel + (size_t)p.c * (size_t)(size * size), size,
                             to + p.image * area * g.channels + p.c, g, p);
    if (partial != nullptr)
        keep_sum(sum, partial, g, p);
}

/* x: [n][A], gates from cell 2 C on; ctx: [L] of [n][A][C], level_cells apart; global: [n][C].
 * factor: 1 / (L + 1) or 1 */
struct gather {
    size_t level_cells, area, rows;
    unsigned channels;
    int levels;
    float factor;
};

template <class T, class S, unsigned N>
__global__ void focal_gather(typed_cells<T> x, const S *ctx, const float *global, any_cells to,
                             gather s)
{
    const size_t col_step = (size_t)gridDim.x * blockDim.x * N;
    const size_t row_step = (size_t)gridDim.y * blockDim.y;
    for (size_t c = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * N; c < s.channels;
         c += col_step)
        for (size_t row = (size_t)blockIdx.y * blockDim.y + threadIdx.y; row < s.rows;
             row += row_step) {
            float sum[N] = {}, v[N];
            const T *gates = x.data + row * x.stride + 2 * s.channels;
#pragma unroll 4
            for (int l = 0; l < s.levels; l++) {
                const float gate = to_float(gates[l]);
                load_cells(v, ctx + (size_t)l * s.level_cells + row * s.channels + c);
#pragma unroll
                for (unsigned i = 0; i < N; i++)
                    sum[i] = fmaf(v[i], gate, sum[i]);
            }
            const float gate = to_float(gates[s.levels]);
            load_cells(v, global + row / s.area * s.channels + c);
#pragma unroll
            for (unsigned i = 0; i < N; i++)
                sum[i] = fmaf(v[i], gate, sum[i]) * s.factor;
            to.store(sum, row, c);
        }
}

/* Where scratch has what. */
struct layout {
    size_t level_bytes, partial_bytes, global_bytes;
};

size_t placed(size_t bytes)
{
    return (bytes + PLACE - 1) / PLACE * PLACE;
}

layout layout_of(const struct cuda_call *call, const geometry &g)
{
    return {placed(tensor_cells(call->out.shape) * cell_bytes(call->in[0].type)),
            placed((size_t)g.images * g.groups * g.channels * sizeof(float)),
            placed((size_t)g.images * g.channels * sizeof(float))};
}

template <class T> struct level {
    const T *from;
    size_t stride;
    const float *kernel;
    T *to;
    float *partial;
};

template <class T, int K>
cudaError_t run_level(cudaStream_t stream, dim3 grid, dim3 block, const level<T> &l,
                      const geometry &g)
{
    return launch(g.tile_rows == TALL ? focal_level<T, K, TALL> : focal_level<T, K, FLAT>, grid,
                  block, stream, l.from, l.stride, l.kernel, l.to, l.partial, g);
}

template <class T>
cudaError_t run_size(cudaStream_t stream, const level<T> &l, int size, const geometry &g)
{
    const size_t blocks = (size_t)g.channel_blocks * g.groups * g.images;
    if (blocks > 0x7fffffff)
        return cudaErrorInvalidValue;
    const dim3 grid((unsigned)blocks), block(g.block_channels, TILES);
    switch (size) {
    case 3:
        return run_level<T, 3>(stream, grid, block, l, g);
    case 5:
        return run_level<T, 5>(stream, grid, block, l, g);
    case 7:
        return run_level<T, 7>(stream, grid, block, l, g);
    case 9:
        return run_level<T, 9>(stream, grid, block, l, g);
    case MOST_KERNEL:
        return run_level<T, MOST_KERNEL>(stream, grid, block, l, g);
    default:
        return launch(focal_level_any<T>, grid, block, stream, l.from, l.stride, l.kernel, size,
                      l.to, l.partial, g);
    }
}

template <class T, class S, unsigned N>
cudaError_t run_gather(const struct cuda_call *call, const S *ctx, const float *global,
                       const gather &s)
{
    const launch_shape over = shape_over(s.rows, s.channels / N, 1);
    return launch(focal_gather<T, S, N>, over.grid, over.block, call->stream,
                  typed_cells_of<T>(&call->in[0]), ctx, global, any_of(&call->out), s);
}

/* T: x's cells; S: a context's */
template <class T, class S>
cudaError_t gather_levels(const struct cuda_call *call, const S *ctx, size_t level_cells,
                          const float *global)
{
    const struct graph_node *node = call->node;
    const struct tensor_shape shape = call->out.shape;
    const size_t area = (size_t)shape.h * (size_t)shape.w, n = (size_t)shape.n;
    const gather s = {level_cells,  area,
                      area * n,     (unsigned)shape.c,
                      node->levels, node->normalize ? 1 / (float)(node->levels + 1) : 1};
    constexpr unsigned N = WIDEST / sizeof(T);
    if (s.channels % N == 0 && is_aligned(&call->out, N))
        return run_gather<T, S, N>(call, ctx, global, s);
    return run_gather<T, S, 1>(call, ctx, global, s);
}

template <class T> cudaError_t run(const struct cuda_call *call)
{
    const struct graph_node *node = call->node;
    const struct cuda_tensor *x = &call->in[0], *out = &call->out;
    const geometry g = geometry_of(out->shape);
    const layout place = layout_of(call, g);
    T *ctx = (T *)call->scratch;
    const size_t level_cells = place.level_bytes / sizeof(T);
    float *partial = (float *)((char *)call->scratch + (size_t)node->levels * place.level_bytes);
    float *global = (float *)((char *)partial + place.partial_bytes);
    level<T> l = {(const T *)x->data + g.channels, x->stride, nullptr, ctx, nullptr};
    for (int i = 0; i < node->levels; i++) {
        l.kernel = call->weights[i];
        l.partial = i == node->levels - 1 ? partial : nullptr;
        cudaError_t code = run_size(call->stream, l, node->window + 2 * i, g);
        if (code != cudaSuccess)
            return code;
        l = {l.to, g.channels, nullptr, l.to + level_cells, nullptr};
    }
    const size_t area = (size_t)g.h * (size_t)g.w;
    cudaError_t code = sums_finish(call->stream, {global, g.channels, CELL_FLOAT32}, partial,
                                   {g.images, g.groups, g.channels}, (float)area, true);
    if (code != cudaSuccess)
        return code;
    return gather_levels<T>(call, ctx, level_cells, global);
}

/* of an image */
sums_shape last_level(const struct cuda_call *call)
{
    const struct tensor_shape s = call->out.shape;
    return {(size_t)s.n, (size_t)s.h * (size_t)s.w, (size_t)s.c};
}

} // namespace

cudaError_t cuda_focal_context(const struct cuda_call *call)
{
    return with_type(call->in[0].type, [&](auto cell) { return run<decltype(cell)>(call); });
}

size_t cuda_focal_context_scratch(const struct cuda_call *call)
{
    const layout place = layout_of(call, geometry_of(call->out.shape));
    return (size_t)call->node->levels * place.level_bytes + place.partial_bytes +
           place.global_bytes;
}

size_t cuda_focal_finish_scratch(const struct cuda_call *call)
{
    const sums_shape shape = last_level(call);
    return placed(shape.groups * shape.cols * sizeof(float)) + sums_scratch(shape) * sizeof(float);
}

cudaError_t cuda_focal_finish(const struct cuda_call *call, const float *ctx, size_t level_cells,
                              void *scratch)
{
    const sums_shape shape = last_level(call);
    const size_t cells = shape.groups * shape.cols;
    const float *last = ctx + (size_t)(call->node->levels - 1) * level_cells;
    float *global = (float *)scratch,
          *sums = (float *)((char *)scratch + placed(cells * sizeof(float)));
    cudaError_t code =
        sums_over_rows(call->stream, {global, shape.cols, CELL_FLOAT32},
                       {(void *)last, shape.cols, CELL_FLOAT32}, shape, (float)shape.rows, sums);
    if (code == cudaSuccess)
        code = cuda_gelu_in_place(call->stream, global, CELL_FLOAT32, cells);
    if (code != cudaSuccess)
        return code;
    return with_type(call->in[0].type, [&](auto cell) {
        return gather_levels<decltype(cell)>(call, ctx, level_cells, global);
    });
}
