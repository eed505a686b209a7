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
    GRAPH_MEAN,          /* over h, w */
    GRAPH_CHANNEL_L2,    /* sqrt of the sum over c of squares: [n][h][w][1] */
    GRAPH_BATCH_NORM,    /* weights: scale, shift, running mean, running variance; inference */
    GRAPH_COSINE,        /* weights: [classes][c]; both sides divided by max(norm, 1e-12) */
    GRAPH_OPS
};

const char *graph_op_name(enum graph_op op);

enum { GRAPH_MAX_INPUTS = 2, GRAPH_MAX_NODE_WEIGHTS = 8, GRAPH_WEIGHT_NAME = 112 };

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
    int kernel, stride, pad; /* CONV */
    bool sum_inputs;         /* CONV: one plane stands for all input channels of the kernel */
    int from;                /* SLICE */
    float eps;               /* LAYER_NORM, BATCH_NORM */
    int levels, window;      /* FOCAL_CONTEXT */
    bool normalize;          /* FOCAL_CONTEXT: divide by levels + 1 */
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
int graph_mean(struct graph *graph, int x);
int graph_channel_l2(struct graph *graph, int x);
int graph_batch_norm(struct graph *graph, int x, const int weights[4], float eps);
int graph_cosine(struct graph *graph, int x, int weight);
/* Keeps the value to be read after a run. Returns it. */
int graph_output(struct graph *graph, int x);

/* 2 * multiply-adds of the node: linear, convolutions, cosine. */
double graph_node_flops(const struct graph *graph, const struct graph_node *node);

#endif
