/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for cuDNN: what a convolution computes. */
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include <oneapi/dnnl/dnnl.h>

#include "cudnn_convolution.h"

using namespace dnn;

namespace
{
/* Four dimensions of which the second is the channels. */
struct cells4 {
    char *at;
    cudaDataType_t type;
    bool last;
    size_t n, c, h, w;
};
} // namespace

static cudaDataType_t cuda_type(cudnnDataType_t type)
{
    return type == CUDNN_DATA_HALF       ? CUDA_R_16F
           : type == CUDNN_DATA_BFLOAT16 ? CUDA_R_16BF
                                         : CUDA_R_32F;
}

/* Images are taken into float32 as [n][h][w][c], kernels as [k][h][w][c]. */

static size_t count(const cells4 &t)
{
    return t.n * t.c * t.h * t.w;
}

static size_t bytes(const cells4 &t)
{
    return count(t) * cell_bytes(t.type);
}

static cells4 cells_of(char *at, const cudnnTensorStruct &t)
{
    return {at,          cuda_type(t.type), t.format == CUDNN_TENSOR_NHWC, (size_t)t.n, (size_t)t.c,
            (size_t)t.h, (size_t)t.w};
}

static cells4 cells_of(char *at, const cudnnFilterStruct &f)
{
    return {at,          cuda_type(f.type), f.format == CUDNN_TENSOR_NHWC, (size_t)f.k, (size_t)f.c,
            (size_t)f.h, (size_t)f.w};
}

/* each(index by channels last, index in memory) */
template <class Each> static void for_cells(const cells4 &t, Each each)
{
    size_t i = 0;
    for (size_t n = 0; n < t.n; n++)
        for (size_t p = 0; p < t.h * t.w; p++)
            for (size_t c = 0; c < t.c; c++, i++)
                each(i, t.last ? i : (n * t.c + c) * t.h * t.w + p);
}

static std::vector<float> take(const cells4 &t, bool tf32)
{
    std::vector<float> ret(count(t));
    for_cells(t, [&](size_t i, size_t at) {
        float x = cell_get(t.at, t.type, at);
        ret[i] = tf32 ? to_tf32(x) : x;
    });
    return ret;
}

/* to = alpha x + beta to */
static void give(const cells4 &to, const std::vector<float> &x, float alpha, float beta)
{
    for_cells(to, [&](size_t i, size_t at) {
        float before = beta != 0 ? beta * cell_get(to.at, to.type, at) : 0;
        cell_put(to.at, to.type, at, alpha * x[i] + before);
    });
}

static void give_fused(const operands &o, const cells4 &to, const std::vector<float> &x)
{
    for_cells(to, [&](size_t i, size_t at) {
        float y = o.alpha * x[i] + cell_get(o.bias, to.type, i % to.c);
        y += o.beta != 0 ? o.beta * cell_get(o.z, to.type, at) : 0;
        cell_put(to.at, to.type, at, o.relu && !(y > 0) ? 0 : y);
    });
}

/* Taps of the window at row oy, column ox of y that lie inside x: each(tap, cell of x). */
template <class Each> static void for_taps(const problem &p, int oy, int ox, Each each)
{
    for (int ky = 0; ky < p.w.h; ky++)
        for (int kx = 0; kx < p.w.w; kx++) {
            const bool flip = p.conv.mode == CUDNN_CONVOLUTION;
            const int ty = flip ? p.w.h - 1 - ky : ky, tx = flip ? p.w.w - 1 - kx : kx;
            const int y = oy * p.conv.stride[0] + ty * p.conv.dilation[0] - p.conv.pad[0];
            const int x = ox * p.conv.stride[1] + tx * p.conv.dilation[1] - p.conv.pad[1];
            if (y >= 0 && y < p.x.h && x >= 0 && x < p.x.w)
                each((size_t)ky * (size_t)p.w.w + (size_t)kx,
                     (size_t)y * (size_t)p.x.w + (size_t)x);
        }
}

/* One image's patches of a group, [h][w of y][taps][c], to or from the image from its first channel
 * on. */
static void patches(const problem &p, float *image, float *patch, bool back)
{
    const size_t c = (size_t)p.w.c, taps = (size_t)p.w.h * (size_t)p.w.w;
    if (!back)
        std::fill_n(patch, (size_t)p.y.h * (size_t)p.y.w * taps * c, 0.0f);
    for (int oy = 0; oy < p.y.h; oy++)
        for (int ox = 0; ox < p.y.w; ox++, patch += taps * c)
            for_taps(p, oy, ox, [&](size_t tap, size_t cell) {
                float *in = image + cell * (size_t)p.x.c, *to = patch + tap * c;
                for (size_t i = 0; i < c; i++)
                    if (back)
                        in[i] += to[i];
                    else
                        to[i] = in[i];
            });
}

static bool product(char a, char b, size_t m, size_t n, size_t k, const float *x, size_t ldx,
                    const float *y, size_t ldy, float beta, float *to, size_t ldto)
{
    return dnnl_sgemm(a, b, (dnnl_dim_t)m, (dnnl_dim_t)n, (dnnl_dim_t)k, 1, x, (dnnl_dim_t)ldx, y,
                      (dnnl_dim_t)ldy, beta, to, (dnnl_dim_t)ldto) == dnnl_success;
}

/* A group of one channel either way, for which a library's product takes longer to begin than to
 * compute. Each product and its sum are one instruction, as CUDNN_FMA_MATH says. */
static void convolve_plane(const problem &p, direction way, float *image, float *w, float *small)
{
    const size_t image_stride = (size_t)p.x.c, small_stride = (size_t)p.y.c;
    for (int oy = 0; oy < p.y.h; oy++)
        for (int ox = 0; ox < p.y.w; ox++, small += small_stride)
            for_taps(p, oy, ox, [&](size_t tap, size_t cell) {
                float &x = image[cell * image_stride];
                float &to = way == FORWARD ? *small : way == DATA ? x : w[tap];
                const float a = way == DATA ? *small : x, b = way == FILTER ? *small : w[tap];
                to = fmaf(a, b, to);
            });
}

/* The direction's result for a group of an image: image and small begin at its channels. */
static bool convolve_group(const problem &p, direction way, float *image, float *w, float *small,
                           std::vector<float> &patch)
{
    const size_t positions = (size_t)p.y.h * (size_t)p.y.w, stride = (size_t)p.y.c;
    const size_t k = (size_t)p.w.k / (size_t)p.conv.groups;
    const size_t taps = (size_t)p.w.h * (size_t)p.w.w * (size_t)p.w.c;
    if (k == 1 && p.w.c == 1) {
        convolve_plane(p, way, image, w, small);
        return true;
    }
    if (way != DATA)
        patches(p, image, patch.data(), false);
    if (way == FORWARD)
        return product('N', 'T', positions, k, taps, patch.data(), taps, w, taps, 0, small, stride);
    if (way == FILTER)
        return product('T', 'N', k, taps, positions, small, stride, patch.data(), taps, 1, w, taps);
    if (!product('N', 'N', positions, taps, k, small, stride, w, taps, 0, patch.data(), taps))
        return false;
    patches(p, image, patch.data(), true);
    return true;
}

/* The result of the direction from the two others. */
static bool convolve(const problem &p, direction way, std::vector<float> &x, std::vector<float> &w,
                     std::vector<float> &y)
{
    const size_t positions = (size_t)p.y.h * (size_t)p.y.w, groups = (size_t)p.conv.groups;
    const size_t taps = (size_t)p.w.h * (size_t)p.w.w * (size_t)p.w.c;
    const size_t area = (size_t)p.x.h * (size_t)p.x.w * (size_t)p.x.c;
    const size_t kernels = (size_t)p.w.k / groups;
    std::vector<float> patch(positions * taps);
    bool good = true;
    for (size_t n = 0; n < (size_t)p.x.n && good; n++)
        for (size_t g = 0; g < groups && good; g++)
            good = convolve_group(p, way, &x[n * area + g * (size_t)p.w.c], &w[g * kernels * taps],
                                  &y[n * positions * (size_t)p.y.c + g * kernels], patch);
    return good;
}

static region whole(const char *at, size_t bytes)
{
    return {at, 0, bytes, 1};
}

static cudaError_t check_places(const operands &o, const cells4 &x, const cells4 &w,
                                const cells4 &y)
{
    const cells4 &to = o.way == FORWARD ? y : o.way == DATA ? x : w;
    const region result = whole(to.at, bytes(to));
    const region workspace = whole(o.workspace, o.workspace_bytes);
    for (const cells4 *t : {&x, &w, &y}) {
        const region r = whole(t->at, bytes(*t));
        if (overlap(workspace, r) || (t != &to && overlap(result, r))) {
            fprintf(stderr, "fake CUDA: a convolution's operands overlap\n");
            return cudaErrorInvalidValue;
        }
        if ((t != &to || o.beta != 0) && !o.fused && !fake_reads(t->at, bytes(*t)))
            return cudaErrorIllegalAddress;
    }
    if (o.fused && (!fake_reads(x.at, bytes(x)) || !fake_reads(w.at, bytes(w)) ||
                    (o.beta != 0 && !fake_reads(o.z, bytes(y))) ||
                    !fake_reads(o.bias, y.c * cell_bytes(y.type))))
        return cudaErrorIllegalAddress;
    return fake_writes(to.at, bytes(to)) && use_workspace(o.workspace, o.workspace_bytes)
               ? cudaSuccess
               : cudaErrorIllegalAddress;
}

cudaError_t dnn::run_convolution(const operands &o)
{
    const cells4 x = cells_of(o.x, o.p.x), w = cells_of(o.w, o.p.w), y = cells_of(o.y, o.p.y);
    cudaError_t code = check_places(o, x, w, y);
    if (code != cudaSuccess)
        return code;
    /* On an Ampere and later, float32 goes through TF32 unless FMA_MATH forbids it. */
    const bool tf32 = o.p.x.type == CUDNN_DATA_FLOAT && o.p.conv.math != CUDNN_FMA_MATH;
    std::vector<float> xs = o.way == DATA ? std::vector<float>(count(x)) : take(x, tf32);
    std::vector<float> ws = o.way == FILTER ? std::vector<float>(count(w)) : take(w, tf32);
    std::vector<float> ys = o.way == FORWARD ? std::vector<float>(count(y)) : take(y, tf32);
    if (!convolve(o.p, o.way, xs, ws, ys))
        return cudaErrorUnknown;
    if (o.fused)
        give_fused(o, y, ys);
    else if (o.way == FORWARD)
        give(y, ys, o.alpha, o.beta);
    else if (o.way == DATA)
        give(x, xs, o.alpha, o.beta);
    else
        give(w, ws, o.alpha, o.beta);
    return cudaSuccess;
}
