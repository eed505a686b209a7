/* SPDX-License-Identifier: Apache-2.0
 * A network as a static graph of operators over float32 NHWC tensors. It knows shapes and nothing
 * of who runs it. Every node keeps what its gradient will need: operator, inputs, weights,
 * attributes.
 *
 * A value is the output of one node and is named by the node's number. Builders check shapes; the
 * first mistake is kept in the graph, later calls do nothing, and graph_finish tells it. */
#ifndef FOCALD_MODEL_GRAPH_H
#define FOCALD_MODEL_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tensor_shape {
    int n, h, w, c;
};

enum graph_op {
    GRAPH_INPUT,
    GRAPH_CONV,          /* weights: kernel [out][in][k][k], bias [out] */
    GRAPH_LINEAR,        /* weights: [out][in], bias [out]; over c */
    GRAPH_LAYER_NORM,    /* weights: scale [c], shift [c]; over c, biased variance */
    GRAPH_GELU,          /* exact: x/2 (1 + erf(x / sqrt 2)) */
    GRAPH_FOCAL_CONTEXT, /* see graph_focal_context */
    GRAPH_SLICE,         /* channels [from, from + c): a view */
    GRAPH_MUL,           /* element by element */
    GRAPH_ADD,
    GRAPH_CHANNEL_SCALE, /* weights: [c] (layer scale) */
    GRAPH_SAMPLE_SCALE,  /* each sample by a number of its own */
    GRAPH_MEAN,          /* over h, w */
    GRAPH_CHANNEL_L2,    /* sqrt of the sum over c of squares: [n][h][w][1] */
    GRAPH_BATCH_NORM,    /* weights: scale, shift, running mean, running variance; inference */
    GRAPH_COSINE,        /* weights: [classes][c]; both sides divided by max(norm, 1e-12) */
    GRAPH_RELU,
    GRAPH_SIGMOID,
    GRAPH_RESIZE,           /* bilinear, half-pixel centres, no antialiasing */
    GRAPH_PAD,              /* rows and columns behind the last: of zeros, or taken away */
    GRAPH_CONV_TRANSPOSED,  /* weights: kernel [in][out][kh][kw], bias [out] */
    GRAPH_TOKENS,           /* weights: cls token [1][1][c], positions [1][1 + h w][c] */
    GRAPH_GRID,             /* tokens without the first, as rows and columns */
    GRAPH_ATTENTION,        /* softmax(q k^T / sqrt(c / heads)) v, by head */
    GRAPH_CLS_ATTENTION,    /* the first token's row of that softmax, by head */
    GRAPH_ATTENTION_MAP,    /* its mean over heads, without the first token, as rows and columns */
    GRAPH_NEAREST,          /* weights: codebook [K][c]; see graph_nearest */
    GRAPH_LOOKUP,           /* weights: codebook [K][c]; the row of each index */
    GRAPH_STRAIGHT_THROUGH, /* the first input; the gradient goes to the second */
    /* The backward pass (graph_grad.h): g is the gradient of the operator's value, the first input
     * of each; what else it needs follows. …_WEIGHTS gives the gradients of the operator's weights,
     * one after the other: [1][1][1][cells]. */
    GRAPH_LINEAR_GRAD,                  /* g */
    GRAPH_LINEAR_GRAD_WEIGHTS,          /* g, x */
    GRAPH_CONV_GRAD,                    /* g */
    GRAPH_CONV_GRAD_WEIGHTS,            /* g, x */
    GRAPH_CONV_TRANSPOSED_GRAD,         /* g */
    GRAPH_CONV_TRANSPOSED_GRAD_WEIGHTS, /* g, x */
    GRAPH_LAYER_NORM_GRAD,              /* g, x */
    GRAPH_LAYER_NORM_GRAD_WEIGHTS,      /* g, x */
    GRAPH_GELU_GRAD,                    /* g, x */
    GRAPH_RELU_GRAD,                    /* g, y */
    GRAPH_SIGMOID_GRAD,                 /* g, y */
    GRAPH_FOCAL_GRAD,                   /* g, x; zero for q */
    GRAPH_FOCAL_GRAD_WEIGHTS,           /* g, x */
    GRAPH_SLICE_GRAD,                   /* g; zero for the other channels */
    GRAPH_CHANNEL_SCALE_GRAD_WEIGHTS,   /* g, x */
    GRAPH_MEAN_GRAD,                    /* g */
    GRAPH_CHANNEL_L2_GRAD,              /* g, x, y */
    GRAPH_BATCH_NORM_GRAD,              /* g, x; in training: statistics; shared: sums */
    GRAPH_BATCH_NORM_GRAD_WEIGHTS,      /* g, x; in training: statistics: of scale and shift */
    GRAPH_BATCH_STATISTICS,             /* x: mean and biased variance over n, h, w: [2][c] */
    GRAPH_COSINE_GRAD,                  /* g, x */
    GRAPH_COSINE_GRAD_WEIGHTS,          /* g, x */
    GRAPH_RESIZE_GRAD,                  /* g */
    GRAPH_TOKENS_GRAD_WEIGHTS,          /* g */
    GRAPH_GRID_GRAD,                    /* g; zero for the first token */
    GRAPH_ATTENTION_GRAD,               /* g, q, k, v: of q, k and v, one after the other in c */
    GRAPH_CLS_ATTENTION_GRAD,           /* g, q, k, y: of q and k */
    GRAPH_ATTENTION_MAP_GRAD,           /* g */
    GRAPH_LOOKUP_GRAD_WEIGHTS,          /* g, indices */
    GRAPH_OPS
};

const char *graph_op_name(enum graph_op op);

enum { GRAPH_MAX_INPUTS = 4, GRAPH_MAX_NODE_WEIGHTS = 8, GRAPH_WEIGHT_NAME = 112 };

struct graph_weight {
    char name[GRAPH_WEIGHT_NAME]; /* as published */
    int rank;
    int64_t shape[4];
};

struct graph_node {
    enum graph_op op;
    int in[GRAPH_MAX_INPUTS];
    int n_in;
    int weights[GRAPH_MAX_NODE_WEIGHTS]; /* into graph.weights */
    int n_weights;
    struct tensor_shape shape; /* of the value */
    bool output;               /* read after a run */
    /* attributes, by operator */
    int kernel[2], stride[2], pad; /* CONV, CONV_TRANSPOSED: rows, columns */
    bool sum_inputs;               /* CONV: one plane stands for all input channels of the kernel */
    int from;                      /* SLICE */
    float eps;                     /* LAYER_NORM, BATCH_NORM */
    int levels, window;            /* FOCAL_CONTEXT */
    bool normalize;                /* FOCAL_CONTEXT: divide by levels + 1 */
    int heads;                     /* ATTENTION, CLS_ATTENTION */
    int shared;                    /* NEAREST: keys that belong to every class … */
    bool use_shared;               /* … and may be chosen */
    bool train;                    /* BATCH_NORM: by the batch's own statistics */
    int ranks;                     /* BATCH_NORM in training: processes that share the batch; see
                                      graph_batch_norm_shared */
    /* The backward pass may compute a value anew instead of having it kept (graph_grad.h). */
    int again_of; /* 1 + the node whose value this one gives again, or 0 */
    bool again;   /* there is such a node */
};

struct graph {
    struct graph_node *nodes;
    int n_nodes;
    struct graph_weight *weights;
    int n_weights;
    int code; /* the first mistake */
    struct error error;
};

void graph_init(struct graph *graph);
void graph_finish(struct graph *graph); /* frees */
/* The first mistake of all building so far, or 0. */
int graph_check(const struct graph *graph, struct error *error);

size_t tensor_cells(struct tensor_shape shape);
size_t graph_weight_cells(const struct graph_weight *weight);
/* Channels of value x; 1 after a mistake. */
int graph_channels(const struct graph *graph, int x);

/* A weight by its published name. */
int graph_weight(struct graph *graph, int rank, const int64_t *shape, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

int graph_input(struct graph *graph, struct tensor_shape shape);
int graph_conv(struct graph *graph, int x, int weight, int bias, int stride, int pad,
               bool sum_inputs);
int graph_linear(struct graph *graph, int x, int weight, int bias);
int graph_layer_norm(struct graph *graph, int x, int scale, int shift, float eps);
int graph_gelu(struct graph *graph, int x);
/* The focal context: x is [q | ctx | gates] with C, C, levels + 1 channels. For each level l
 * ctx = gelu(depthwise(ctx)) with kernels[l]: [C][1][window + 2l][same], zero padding, and
 * acc += ctx * gates[l]; then acc += gelu(mean over h, w of ctx) * gates[levels]; normalize divides
 * by levels + 1. Gives acc: [n][h][w][C]. */
int graph_focal_context(struct graph *graph, int x, const int *kernels, int levels, int window,
                        bool normalize);
int graph_slice(struct graph *graph, int x, int from, int c);
int graph_mul(struct graph *graph, int a, int b);
int graph_add(struct graph *graph, int a, int b);
int graph_channel_scale(struct graph *graph, int x, int scale);
/* Sample i of x times scales: [n][1][1][1], which are drawn, not learnt: they have no gradient. */
int graph_sample_scale(struct graph *graph, int x, int scales);
int graph_mean(struct graph *graph, int x);
int graph_channel_l2(struct graph *graph, int x);
int graph_batch_norm(struct graph *graph, int x, const int weights[4], float eps);
/* The same with the batch's own mean and biased variance, as in training. */
int graph_batch_norm_train(struct graph *graph, int x, const int weights[4], float eps);
/* The same where x is one of `ranks` equal parts of the batch. Its statistics are a value before it
 * (BATCH_STATISTICS), and in the backward pass the sums over g are one (…_GRAD_WEIGHTS): inputs
 * behind g and x. Who runs the graph puts into each what it is over the whole batch, after the
 * node's run. */
int graph_batch_norm_shared(struct graph *graph, int x, const int weights[4], float eps, int ranks);
int graph_cosine(struct graph *graph, int x, int weight);
int graph_relu(struct graph *graph, int x);
int graph_sigmoid(struct graph *graph, int x);
int graph_resize(struct graph *graph, int x, int h, int w);
/* [n][h][w][c]: x with zeros below and on the right, or cut there; x itself where that is its size.
 * The gradient is the same back to x's size. */
int graph_pad(struct graph *graph, int x, int h, int w);
/* (h - 1) stride + kernel - 2 pad rows, columns likewise. stride: rows, columns */
int graph_conv_transposed(struct graph *graph, int x, int weight, int bias, const int stride[2],
                          int pad);

/* Transformers: a sequence of T tokens is [n][1][T][c]. */

/* [n][h][w][c] -> [n][1][1 + h w][c]: the cls token, then the cells row by row, plus positions. */
int graph_tokens(struct graph *graph, int x, int cls, int positions);
/* [n][1][1 + h w][c] -> [n][h][w][c] */
int graph_grid(struct graph *graph, int x, int h, int w);
/* q, k, v: [n][1][T][c]; head i has channels [i c / heads, (i + 1) c / heads). */
int graph_attention(struct graph *graph, int q, int k, int v, int heads);
/* q, k: [n][1][T][c] -> [n][1][heads][T]; each row sums to 1. */
int graph_cls_attention(struct graph *graph, int q, int k, int heads);
/* [n][1][heads][1 + h w] -> [n][h][w][1] */
int graph_attention_map(struct graph *graph, int x, int h, int w);

/* Class-partitioned vector quantisation (SpeechBrain lobes/models/PIQ.py). x: [n][h][w][c];
 * scores: [n][1][1][classes], whose largest (the first of equals) is the image's class. Gives the
 * number of the nearest key, by squared distance, the first of equals, among the class's own keys
 * and, with use_shared, the last `shared` ones: [n][h][w][1]. */
int graph_nearest(struct graph *graph, int x, int scores, int codebook, int shared,
                  bool use_shared);
int graph_lookup(struct graph *graph, int x, int codebook);
/* x as it is; its gradient is taken for that of `through`. */
int graph_straight_through(struct graph *graph, int x, int through);
/* The class that owns key i of n that are not shared: round(linspace(-0.5, classes - 0.51, n)). */
int graph_key_class(int i, int n, int classes);

/* Keeps the value to be read after a run. Returns it. */
int graph_output(struct graph *graph, int x);

/* 2 * multiply-adds of the node: linear, convolutions, attention, cosine. */
double graph_node_flops(const struct graph *graph, const struct graph_node *node);
double graph_flops(const struct graph *graph);
/* All weights, running statistics not counted. */
size_t graph_parameters(const struct graph *graph);

#endif
