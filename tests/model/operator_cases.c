/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/model/operator_cases.h"

#include <stdio.h>

#include "base/memory.h"

/* Sums of k products in float: about sqrt(k) * 2^-24 of the largest, times 4. */
const struct operator_program operator_programs[PROGRAMS] = {
    [P_LINEAR] = {"linear", 4e-6},
    [P_LINEAR_GELU] = {"linear + gelu", 4e-6},
    [P_LINEAR_ADD] = {"linear + residual", 4e-6},
    [P_LINEAR_SELF] = {"linear + its own input", 4e-6},
    [P_LINEAR_VIEW] = {"linear + residual, slice kept", 4e-6},
    [P_LINEAR_SCALE] = {"linear + layer scale + residual", 4e-6},
    [P_CONV] = {"conv", 4e-6},
    [P_CONV_PLANE] = {"conv of one plane", 4e-6},
    /* differences to a float mean, and rows whose variance is rounding noise next to eps */
    [P_LAYER_NORM] = {"layer norm", 1e-5},
    [P_GELU] = {"gelu", 4e-7}, /* the rational approximation of erf */
    /* up to (3 + 2l)^2 products a level, levels in sequence, each through erf */
    [P_FOCAL] = {"focal context", 4e-6},
    [P_FOCAL_NORMALIZED] = {"focal context, normalized", 4e-6},
    [P_MUL] = {"mul", 0}, /* one float operation: the same bits */
    [P_ADD] = {"add", 0},
    [P_CHANNEL_SCALE] = {"channel scale", 0},
    [P_SAMPLE_SCALE] = {"sample scale", 0},
    [P_SAMPLE_SCALE_INNER] = {"sample scale in place", 4e-7}, /* gelu's */
    [P_MEAN] = {"mean", 1e-6},
    [P_CHANNEL_L2] = {"channel l2", 1e-6},
    [P_BATCH_NORM] = {"batch norm", 1e-6},
    [P_COSINE] = {"cosine", 1e-6},
    [P_RELU] = {"relu", 0},
    [P_SIGMOID] = {"sigmoid", 4e-7}, /* e^x within 2 ulp */
    /* differences to a float mean, over up to 1 / sqrt(eps) */
    [P_BATCH_NORM_TRAIN] = {"batch norm in training", 1e-5},
    [P_BATCH_NORM_SHARED] = {"batch norm, shared", 1e-5},
    [P_BATCH_NORM_INNER] = {"batch norm in place", 1e-6},
    [P_RESIZE] = {"resize", 0}, /* the same code */
    [P_PAD] = {"pad", 0},
    [P_TRANSPOSED] = {"transposed conv", 4e-6},
    [P_TRANSPOSED_RELU] = {"transposed conv + relu", 4e-6},
    [P_TOKENS] = {"tokens", 0},
    [P_GRID] = {"grid", 0},
    /* scores up to 30^2 * D / sqrt(D), of which e^x takes the absolute error */
    [P_ATTENTION] = {"attention", 2e-5},
    [P_CLS_ATTENTION] = {"cls attention", 0},
    [P_ATTENTION_MAP] = {"attention map", 0},
    [P_QUANTISE] = {"nearest + lookup", 0},
};

const struct operator_case operator_cases[] = {
    {P_LINEAR, {1, 1, 1, 1}, 1, 0, 0, 0, false},
    {P_LINEAR, {1, 1, 1, 1027}, 3, 0, 0, 0, false},
    {P_LINEAR, {3, 5, 7, 13}, 17, 0, 0, 0, false},
    {P_LINEAR, {1, 7, 7, 256}, 515, 0, 0, 0, false},
    {P_LINEAR, {2, 14, 14, 64}, 131, 0, 0, 0, false},
    {P_LINEAR_GELU, {1, 1, 1, 2}, 1, 0, 0, 0, false},
    {P_LINEAR_GELU, {1, 3, 11, 31}, 33, 0, 0, 0, false},
    {P_LINEAR_GELU, {1, 14, 14, 128}, 512, 0, 0, 0, false},
    {P_LINEAR, {1, 1, 2, 1}, 5, 0, 0, 0, true},
    {P_LINEAR, {2, 3, 9, 63}, 64, 0, 0, 0, true},
    {P_LINEAR_SELF, {1, 3, 5, 33}, 33, 0, 0, 0, false},
    {P_LINEAR_VIEW, {1, 14, 5, 64}, 64, 0, 0, 0, false},
    {P_LINEAR_ADD, {1, 1, 1, 1}, 1, 0, 0, 0, false},
    {P_LINEAR_ADD, {2, 5, 3, 19}, 19, 0, 0, 0, false},
    {P_LINEAR_ADD, {1, 14, 14, 512}, 512, 0, 0, 0, false},
    {P_LINEAR_SCALE, {1, 2, 2, 3}, 3, 0, 0, 0, false},
    {P_LINEAR_SCALE, {1, 13, 3, 47}, 47, 0, 0, 0, false},
    {P_CONV, {1, 1, 1, 1}, 1, 1, 1, 0, false},
    {P_CONV, {2, 7, 5, 3}, 9, 3, 2, 1, false},
    {P_CONV, {1, 28, 30, 3}, 16, 7, 4, 2, false},
    {P_CONV, {1, 14, 14, 64}, 128, 2, 2, 0, false},
    {P_CONV, {1, 9, 9, 17}, 31, 2, 2, 0, false},
    {P_CONV_PLANE, {1, 16, 12, 1}, 24, 4, 4, 0, false},
    {P_CONV_PLANE, {3, 15, 15, 1}, 5, 7, 4, 2, false},
    {P_LAYER_NORM, {1, 1, 1, 1}, 0, 0, 0, 0, false},
    {P_LAYER_NORM, {2, 3, 5, 7}, 0, 0, 0, 0, false},
    {P_LAYER_NORM, {1, 56, 56, 128}, 0, 0, 0, 0, false},
    {P_LAYER_NORM, {1, 7, 7, 1027}, 0, 0, 0, 0, false},
    {P_LAYER_NORM, {1, 4, 3, 31}, 0, 0, 0, 0, true},
    {P_GELU, {1, 4, 3, 31}, 0, 0, 0, 0, true},
    {P_GELU, {1, 1, 1, 1}, 0, 0, 0, 0, false},
    {P_GELU, {1, 3, 37, 151}, 0, 0, 0, 0, false},
    {P_FOCAL, {1, 1, 1, 1}, 1, 1, 0, 0, false},
    {P_FOCAL, {1, 1, 1, 16}, 2, 3, 0, 0, false},
    {P_FOCAL, {2, 1, 9, 17}, 2, 3, 0, 0, false},
    {P_FOCAL, {1, 13, 1, 31}, 3, 3, 0, 0, false},
    {P_FOCAL, {2, 2, 2, 33}, 3, 5, 0, 0, false},
    {P_FOCAL, {1, 5, 7, 47}, 8, 1, 0, 0, false},
    {P_FOCAL, {1, 14, 14, 512}, 2, 3, 0, 0, false},
    {P_FOCAL, {1, 6, 19, 100}, 2, 9, 0, 0, false},
    {P_FOCAL_NORMALIZED, {3, 7, 7, 65}, 3, 3, 0, 0, false},
    {P_MUL, {1, 3, 3, 1}, 0, 0, 0, 0, false},
    {P_MUL, {2, 14, 13, 131}, 0, 0, 0, 0, false},
    {P_ADD, {1, 7, 3, 5}, 0, 0, 0, 0, false},
    {P_ADD, {1, 28, 28, 129}, 0, 0, 0, 0, false},
    {P_CHANNEL_SCALE, {1, 5, 3, 21}, 0, 0, 0, 0, false},
    {P_CHANNEL_SCALE, {2, 28, 27, 131}, 0, 0, 0, 0, true},
    {P_SAMPLE_SCALE, {1, 1, 1, 1}, 0, 0, 0, 0, false},
    {P_SAMPLE_SCALE, {3, 5, 7, 19}, 0, 0, 0, 0, true},
    {P_SAMPLE_SCALE, {2, 28, 28, 129}, 0, 0, 0, 0, false},
    {P_SAMPLE_SCALE_INNER, {4, 7, 3, 33}, 0, 0, 0, 0, false},
    {P_MEAN, {1, 1, 1, 1}, 0, 0, 0, 0, false},
    {P_MEAN, {3, 7, 5, 19}, 0, 0, 0, 0, false},
    {P_CHANNEL_L2, {1, 1, 1, 1}, 0, 0, 0, 0, false},
    {P_CHANNEL_L2, {2, 56, 56, 130}, 0, 0, 0, 0, false},
    {P_BATCH_NORM, {3, 1, 1, 77}, 0, 0, 0, 0, false},
    {P_BATCH_NORM_TRAIN, {1, 1, 1, 1}, 0, 0, 0, 0, false},
    {P_BATCH_NORM_TRAIN, {3, 1, 1, 77}, 0, 0, 0, 0, false},
    {P_BATCH_NORM_TRAIN, {2, 53, 66, 33}, 0, 0, 0, 0, false},
    {P_BATCH_NORM_TRAIN, {4, 9, 7, 19}, 0, 0, 0, 0, true},
    {P_BATCH_NORM_SHARED, {2, 53, 66, 33}, 0, 0, 0, 0, false},
    {P_BATCH_NORM_SHARED, {4, 9, 7, 19}, 0, 0, 0, 0, true},
    {P_COSINE, {3, 1, 1, 192}, 50, 0, 0, 0, false},
    {P_COSINE, {1, 1, 1, 1}, 1, 0, 0, 0, false},
    {P_COSINE, {37, 1, 1, 1027}, 3, 0, 0, 0, true},
    {P_RELU, {2, 3, 5, 7}, 0, 0, 0, 0, true},
    {P_RELU, {3, 37, 41, 5}, 0, 0, 0, 0, false},
    {P_SIGMOID, {1, 1, 1, 1}, 0, 0, 0, 0, false},
    {P_SIGMOID, {2, 43, 51, 1}, 0, 0, 0, 0, false},
    {P_SIGMOID, {2, 3, 5, 19}, 0, 0, 0, 0, true},
    {P_BATCH_NORM_INNER, {2, 53, 66, 33}, 0, 0, 0, 0, false},
    {P_RESIZE, {2, 7, 7, 32}, 0, 14, 14, 0, false},
    {P_RESIZE, {1, 4, 3, 5}, 0, 2, 9, 0, true},
    {P_RESIZE, {3, 9, 1, 130}, 0, 31, 7, 0, false},
    {P_PAD, {1, 1, 1, 1}, 0, 2, 2, 0, false},
    {P_PAD, {2, 7, 5, 33}, 0, 8, 6, 0, true},
    {P_PAD, {3, 13, 12, 64}, 0, 14, 12, 0, false},
    {P_PAD, {2, 6, 9, 19}, 0, 5, 11, 0, false}, /* rows are taken away */
    {P_TRANSPOSED, {1, 1, 1, 1}, 1, 1, 1, 0, false},
    {P_TRANSPOSED, {2, 5, 4, 3}, 5, 2, 2, 0, false},
    {P_TRANSPOSED, {2, 14, 14, 32}, 1, 10, 2, 1, false}, /* one channel: as a product */
    {P_TRANSPOSED, {1, 9, 7, 18}, 2, 4, 1, 1, true},
    {P_TRANSPOSED_RELU, {2, 7, 6, 33}, 17, 4, 3, 1, false},
    {P_TRANSPOSED_RELU, {1, 5, 5, 8}, 3, 3, 4, 1, false},
    {P_TRANSPOSED_RELU, {2, 13, 9, 64}, 64, 4, 2, 1, false},
    {P_TOKENS, {1, 1, 1, 1}, 0, 0, 0, 0, false},
    {P_TOKENS, {3, 4, 5, 48}, 0, 0, 0, 0, true},
    {P_TOKENS, {5, 13, 9, 67}, 0, 0, 0, 0, false},
    {P_GRID, {2, 4, 5, 48}, 0, 0, 0, 0, false},
    {P_GRID, {3, 13, 9, 67}, 0, 0, 0, 0, false},
    {P_ATTENTION, {1, 1, 1, 1}, 0, 1, 0, 0, false},
    {P_ATTENTION, {2, 1, 17, 48}, 0, 4, 0, 0, false},
    {P_ATTENTION, {2, 1, 197, 128}, 0, 2, 0, 0, false},
    {P_ATTENTION, {1, 1, 33, 35}, 0, 5, 0, 0, true},
    {P_ATTENTION, {2, 1, 5, 515}, 0, 1, 0, 0, false},
    {P_CLS_ATTENTION, {2, 1, 17, 48}, 0, 4, 0, 0, false},
    {P_CLS_ATTENTION, {3, 1, 1, 35}, 0, 5, 0, 0, true},
    {P_CLS_ATTENTION, {1, 1, 197, 129}, 0, 1, 0, 0, false},
    {P_ATTENTION_MAP, {2, 1, 13, 8}, 0, 4, 0, 0, false},
    {P_QUANTISE, {2, 7, 7, 32}, 64, 0, 0, 0, false},
    {P_QUANTISE, {1, 3, 5, 17}, 23, 0, 0, 0, true},
};

const int n_operator_cases = ARRAY_LEN(operator_cases);

static int weight(struct graph *g, const char *name, int rank, int64_t a, int64_t b, int64_t k)
{
    return graph_weight(g, rank, (const int64_t[]){a, b, k, k}, "case.%s", name);
}

static int linear(struct graph *g, int x, int in, int out)
{
    return graph_linear(g, x, weight(g, "linear.weight", 2, out, in, 1),
                        weight(g, "linear.bias", 1, out, 1, 1));
}

static int layer_norm(struct graph *g, int x, int c)
{
    return graph_layer_norm(g, x, weight(g, "norm.weight", 1, c, 1, 1),
                            weight(g, "norm.bias", 1, c, 1, 1), 1e-5f);
}

static int focal(struct graph *g, const struct operator_case *c, int *inputs)
{
    struct tensor_shape s = c->in;
    int kernels[GRAPH_MAX_NODE_WEIGHTS];
    s.c = 2 * c->in.c + c->out + 1;
    inputs[0] = graph_input(g, s);
    for (int l = 0; l < c->out; l++) {
        char name[32];
        snprintf(name, sizeof name, "focal.%d.weight", l);
        kernels[l] = weight(g, name, 4, c->in.c, 1, c->kernel + 2 * l);
    }
    return graph_focal_context(g, inputs[0], kernels, c->out, c->kernel,
                               c->program == P_FOCAL_NORMALIZED);
}

static int batch_norm(struct graph *g, int x, int c, enum program program)
{
    const int w[4] = {weight(g, "bn.weight", 1, c, 1, 1), weight(g, "bn.bias", 1, c, 1, 1),
                      weight(g, "bn.running_mean", 1, c, 1, 1),
                      weight(g, "bn.running_var", 1, c, 1, 1)};
    if (program == P_BATCH_NORM_SHARED)
        return graph_batch_norm_shared(g, x, w, 1e-5f, 1);
    return (program == P_BATCH_NORM_TRAIN ? graph_batch_norm_train : graph_batch_norm)(g, x, w,
                                                                                       1e-5f);
}

static int transposed(struct graph *g, int x, const struct operator_case *c)
{
    int columns = c->kernel > 1 ? c->kernel - 1 : 1;
    const int stride[2] = {c->stride, c->stride > 1 ? c->stride - 1 : 1};
    int w = graph_weight(g, 4, (const int64_t[]){c->in.c, c->out, c->kernel, columns},
                         "case.transposed.weight");
    return graph_conv_transposed(g, x, w, weight(g, "transposed.bias", 1, c->out, 1, 1), stride,
                                 c->pad);
}

static int tokens(struct graph *g, int x, struct tensor_shape s)
{
    return graph_tokens(g, x, weight(g, "cls_token", 3, 1, 1, s.c),
                        weight(g, "position_embeddings", 3, 1, 1 + s.h * s.w, s.c));
}

/* The input itself, or the inner channels of one with one more on each side: rows that are neither
 * dense nor aligned. */
static int case_input(struct graph *g, const struct operator_case *c)
{
    struct tensor_shape s = c->in;
    s.c += c->slice ? 2 : 0;
    int x = graph_input(g, s);
    return c->slice ? graph_slice(g, x, 1, c->in.c) : x;
}

int operator_build(struct graph *g, const struct operator_case *c, int inputs[2])
{
    int ch = c->in.c;
    inputs[0] = inputs[1] = -1;
    if (c->program == P_FOCAL || c->program == P_FOCAL_NORMALIZED)
        return focal(g, c, inputs);
    int half, y, x = case_input(g, c);
    inputs[0] = x;
    if (c->slice)
        inputs[0] = g->nodes[x].in[0];
    switch (c->program) {
    case P_LINEAR:
        return linear(g, x, ch, c->out);
    case P_LINEAR_GELU:
        return graph_gelu(g, linear(g, x, ch, c->out));
    case P_LINEAR_ADD: /* gelu(x) may be overwritten by the sum */
        y = graph_gelu(g, x);
        return graph_add(g, y, linear(g, x, ch, ch));
    case P_LINEAR_SELF:
        y = graph_gelu(g, x);
        return graph_add(g, y, linear(g, y, ch, ch));
    case P_LINEAR_VIEW:
        y = graph_gelu(g, x);
        half = graph_slice(g, y, ch / 2, ch - ch / 2);
        x = graph_add(g, y, linear(g, x, ch, ch));
        return graph_mul(g, graph_slice(g, x, 0, ch - ch / 2), half);
    case P_LINEAR_SCALE: /* y is read after the sum: it must survive it */
        y = graph_gelu(g, x);
        x = graph_channel_scale(g, linear(g, y, ch, ch), weight(g, "gamma", 1, ch, 1, 1));
        return graph_mul(g, graph_add(g, y, x), y);
    case P_CONV:
    case P_CONV_PLANE:
        return graph_conv(
            g, x, weight(g, "conv.weight", 4, c->out, c->program == P_CONV ? ch : 3, c->kernel),
            weight(g, "conv.bias", 1, c->out, 1, 1), c->stride, c->pad, c->program == P_CONV_PLANE);
    case P_LAYER_NORM:
        return layer_norm(g, x, ch);
    case P_GELU:
        return graph_gelu(g, x);
    case P_CHANNEL_SCALE:
        return graph_channel_scale(g, x, weight(g, "gamma", 1, ch, 1, 1));
    case P_SAMPLE_SCALE:
    case P_SAMPLE_SCALE_INNER: /* gelu(x) may be overwritten */
        inputs[1] = graph_input(g, (struct tensor_shape){c->in.n, 1, 1, 3});
        return graph_sample_scale(g, c->program == P_SAMPLE_SCALE ? x : graph_gelu(g, x),
                                  graph_slice(g, inputs[1], 1, 1));
    case P_MEAN:
        return graph_mean(g, x);
    case P_CHANNEL_L2:
        return graph_channel_l2(g, x);
    case P_BATCH_NORM:
    case P_BATCH_NORM_TRAIN:
    case P_BATCH_NORM_SHARED:
        return batch_norm(g, x, ch, c->program);
    case P_COSINE:
        return graph_cosine(g, x, weight(g, "cosine.weight", 2, c->out, ch, 1));
    case P_RELU:
        return graph_relu(g, x);
    case P_SIGMOID:
        return graph_sigmoid(g, x);
    case P_BATCH_NORM_INNER: /* gelu(x) may be overwritten */
        return batch_norm(g, graph_gelu(g, x), ch, P_BATCH_NORM);
    case P_RESIZE:
        return graph_resize(g, x, c->kernel, c->stride);
    case P_PAD:
        return graph_pad(g, x, c->kernel, c->stride);
    case P_TRANSPOSED:
        return transposed(g, x, c);
    case P_TRANSPOSED_RELU:
        return graph_relu(g, transposed(g, x, c));
    case P_TOKENS:
        return tokens(g, x, c->in);
    case P_GRID:
        return graph_grid(g, tokens(g, x, c->in), c->in.w, c->in.h); /* transposed sizes fit too */
    case P_ATTENTION:
        y = inputs[1] = graph_input(g, c->in);
        return graph_attention(g, x, y, graph_gelu(g, y), c->kernel);
    case P_CLS_ATTENTION:
        y = inputs[1] = graph_input(g, c->in);
        return graph_cls_attention(g, x, y, c->kernel);
    case P_ATTENTION_MAP:
        y = graph_cls_attention(g, x, x, c->kernel);
        return graph_attention_map(g, y, c->in.w - 1, 1);
    case P_QUANTISE: {
        y = inputs[1] = graph_input(g, (struct tensor_shape){c->in.n, 1, 1, OPERATOR_CLASSES});
        int codebook = weight(g, "codebook", 2, c->out, ch, 1);
        return graph_lookup(g, graph_nearest(g, x, y, codebook, OPERATOR_SHARED, true), codebook);
    }
    default:
        y = inputs[1] = graph_input(g, c->in);
        return (c->program == P_MUL ? graph_mul : graph_add)(g, x, y);
    }
}
