/* SPDX-License-Identifier: Apache-2.0 */
#include "model/graph_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *graph_op_name(enum graph_op op)
{
    static const char *const names[GRAPH_OPS] = {
        [GRAPH_INPUT] = "input",
        [GRAPH_CONV] = "conv",
        [GRAPH_LINEAR] = "linear",
        [GRAPH_LAYER_NORM] = "layer_norm",
        [GRAPH_GELU] = "gelu",
        [GRAPH_FOCAL_CONTEXT] = "focal_context",
        [GRAPH_SLICE] = "slice",
        [GRAPH_MUL] = "mul",
        [GRAPH_ADD] = "add",
        [GRAPH_CHANNEL_SCALE] = "channel_scale",
        [GRAPH_SAMPLE_SCALE] = "sample_scale",
        [GRAPH_MEAN] = "mean",
        [GRAPH_CHANNEL_L2] = "channel_l2",
        [GRAPH_BATCH_NORM] = "batch_norm",
        [GRAPH_COSINE] = "cosine",
        [GRAPH_RELU] = "relu",
        [GRAPH_SIGMOID] = "sigmoid",
        [GRAPH_RESIZE] = "resize",
        [GRAPH_PAD] = "pad",
        [GRAPH_CONV_TRANSPOSED] = "conv_transposed",
        [GRAPH_TOKENS] = "tokens",
        [GRAPH_GRID] = "grid",
        [GRAPH_ATTENTION] = "attention",
        [GRAPH_CLS_ATTENTION] = "cls_attention",
        [GRAPH_ATTENTION_MAP] = "attention_map",
        [GRAPH_NEAREST] = "nearest",
        [GRAPH_LOOKUP] = "lookup",
        [GRAPH_LINEAR_GRAD] = "linear_grad",
        [GRAPH_LINEAR_GRAD_WEIGHTS] = "linear_grad_weights",
        [GRAPH_CONV_GRAD] = "conv_grad",
        [GRAPH_CONV_GRAD_WEIGHTS] = "conv_grad_weights",
        [GRAPH_CONV_TRANSPOSED_GRAD] = "conv_transposed_grad",
        [GRAPH_CONV_TRANSPOSED_GRAD_WEIGHTS] = "conv_transposed_grad_weights",
        [GRAPH_LAYER_NORM_GRAD] = "layer_norm_grad",
        [GRAPH_LAYER_NORM_GRAD_WEIGHTS] = "layer_norm_grad_weights",
        [GRAPH_GELU_GRAD] = "gelu_grad",
        [GRAPH_RELU_GRAD] = "relu_grad",
        [GRAPH_SIGMOID_GRAD] = "sigmoid_grad",
        [GRAPH_FOCAL_GRAD] = "focal_grad",
        [GRAPH_FOCAL_GRAD_WEIGHTS] = "focal_grad_weights",
        [GRAPH_SLICE_GRAD] = "slice_grad",
        [GRAPH_CHANNEL_SCALE_GRAD_WEIGHTS] = "channel_scale_grad_weights",
        [GRAPH_MEAN_GRAD] = "mean_grad",
        [GRAPH_CHANNEL_L2_GRAD] = "channel_l2_grad",
        [GRAPH_BATCH_NORM_GRAD] = "batch_norm_grad",
        [GRAPH_BATCH_NORM_GRAD_WEIGHTS] = "batch_norm_grad_weights",
        [GRAPH_BATCH_STATISTICS] = "batch_statistics",
        [GRAPH_COSINE_GRAD] = "cosine_grad",
        [GRAPH_COSINE_GRAD_WEIGHTS] = "cosine_grad_weights",
        [GRAPH_RESIZE_GRAD] = "resize_grad",
        [GRAPH_TOKENS_GRAD_WEIGHTS] = "tokens_grad_weights",
        [GRAPH_GRID_GRAD] = "grid_grad",
        [GRAPH_ATTENTION_GRAD] = "attention_grad",
        [GRAPH_CLS_ATTENTION_GRAD] = "cls_attention_grad",
        [GRAPH_ATTENTION_MAP_GRAD] = "attention_map_grad",
        [GRAPH_LOOKUP_GRAD_WEIGHTS] = "lookup_grad_weights",
    };
    return names[op];
}

void graph_init(struct graph *graph)
{
    memset(graph, 0, sizeof *graph);
}

void graph_finish(struct graph *graph)
{
    free(graph->nodes);
    free(graph->weights);
    graph_init(graph);
}

int graph_check(const struct graph *graph, struct error *error)
{
    return graph->code < 0 ? error_set(error, -graph->code, "%s", graph->error.text) : 0;
}

size_t tensor_cells(struct tensor_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w * (size_t)s.c;
}

int graph_mistake(struct graph *graph, const char *format, ...)
{
    if (graph->code < 0)
        return -1;
    char text[sizeof graph->error.text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    graph->code = error_set(&graph->error, EINVAL, "%s", text);
    return -1;
}

/* Room for one more, doubling from 64. */
static void *grown(void *array, int n, size_t size)
{
    if (n != 0 && (n < 64 || (n & (n - 1)) != 0))
        return array;
    return realloc(array, (n < 64 ? 64 : 2 * (size_t)n) * size);
}

int graph_add_node(struct graph *graph, const struct graph_node *node)
{
    if (graph->code < 0)
        return -1;
    void *nodes = grown(graph->nodes, graph->n_nodes, sizeof *graph->nodes);
    if (nodes == NULL) {
        graph->code = error_set(&graph->error, ENOMEM, "graph: out of memory");
        return -1;
    }
    graph->nodes = nodes;
    graph->nodes[graph->n_nodes] = *node;
    return graph->n_nodes++;
}

size_t graph_weight_cells(const struct graph_weight *w)
{
    size_t cells = 1;
    for (int i = 0; i < w->rank; i++)
        cells *= (size_t)w->shape[i];
    return cells;
}

int graph_channels(const struct graph *graph, int x)
{
    return graph->code == 0 && x >= 0 && x < graph->n_nodes ? graph->nodes[x].shape.c : 1;
}

int graph_weight(struct graph *graph, int rank, const int64_t *shape, const char *format, ...)
{
    if (graph->code < 0)
        return -1;
    void *weights = grown(graph->weights, graph->n_weights, sizeof *graph->weights);
    if (weights == NULL) {
        graph->code = error_set(&graph->error, ENOMEM, "graph: out of memory");
        return -1;
    }
    graph->weights = weights;
    struct graph_weight *w = &graph->weights[graph->n_weights];
    memset(w, 0, sizeof *w);
    w->rank = rank;
    for (int i = 0; i < rank; i++)
        w->shape[i] = shape[i];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(w->name, sizeof w->name, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof w->name)
        return graph_mistake(graph, "graph: the weight's name %s is too long", w->name);
    return graph->n_weights++;
}

/* The shape of value x, or zeros after a mistake. */
struct tensor_shape graph_shape_of(struct graph *graph, int x)
{
    if (graph->code == 0 && (x < 0 || x >= graph->n_nodes))
        graph_mistake(graph, "graph: there is no value %d", x);
    return graph->code == 0 ? graph->nodes[x].shape : (struct tensor_shape){0, 0, 0, 0};
}

int graph_output(struct graph *graph, int x)
{
    graph_shape_of(graph, x);
    if (graph->code == 0 && graph->nodes[x].op == GRAPH_SLICE)
        return graph_mistake(graph, "graph: a slice is a view and cannot be an output");
    if (graph->code == 0)
        graph->nodes[x].output = true;
    return x;
}

double graph_node_flops(const struct graph *graph, const struct graph_node *node)
{
    double cells = (double)tensor_cells(node->shape);
    if (node->op == GRAPH_FOCAL_CONTEXT) {
        double taps = 0;
        for (int l = 0; l < node->levels; l++)
            taps += (double)((node->window + 2 * l) * (node->window + 2 * l));
        return 2 * cells * taps;
    }
    const struct tensor_shape in = node->n_in > 0 ? graph->nodes[node->in[0]].shape : node->shape;
    double taps = (double)node->kernel[0] * node->kernel[1];
    switch (node->op) {
    case GRAPH_LINEAR:
    case GRAPH_COSINE:
        return 2 * cells * in.c;
    case GRAPH_CONV:
        return 2 * cells * in.c * taps;
    case GRAPH_CONV_TRANSPOSED: /* each input meets each tap once */
        return 2 * (double)tensor_cells(in) * node->shape.c * taps;
    case GRAPH_ATTENTION: /* scores and their sum of values */
        return 4 * cells * in.w;
    default:
        return 0;
    }
}

double graph_flops(const struct graph *graph)
{
    double flops = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        flops += graph_node_flops(graph, &graph->nodes[i]);
    return flops;
}

size_t graph_parameters(const struct graph *graph)
{
    size_t parameters = 0;
    for (int i = 0; i < graph->n_weights; i++) {
        if (strstr(graph->weights[i].name, ".running_") != NULL)
            continue;
        parameters += graph_weight_cells(&graph->weights[i]);
    }
    return parameters;
}
