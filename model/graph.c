/* SPDX-License-Identifier: Apache-2.0 */
#include "model/graph.h"

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
        [GRAPH_MEAN] = "mean",
        [GRAPH_CHANNEL_L2] = "channel_l2",
        [GRAPH_BATCH_NORM] = "batch_norm",
        [GRAPH_COSINE] = "cosine",
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

static bool same_shape(struct tensor_shape a, struct tensor_shape b)
{
    return a.n == b.n && a.h == b.h && a.w == b.w && a.c == b.c;
}

/* Keeps the first mistake. Returns -1, the value that is none. */
static int mistake(struct graph *graph, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int mistake(struct graph *graph, const char *format, ...)
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

static int add_node(struct graph *graph, const struct graph_node *node)
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
        return mistake(graph, "graph: the weight's name %s is too long", w->name);
    return graph->n_weights++;
}

/* The shape of value x, or zeros after a mistake. */
static struct tensor_shape shape_of(struct graph *graph, int x)
{
    if (graph->code == 0 && (x < 0 || x >= graph->n_nodes))
        mistake(graph, "graph: there is no value %d", x);
    return graph->code == 0 ? graph->nodes[x].shape : (struct tensor_shape){0, 0, 0, 0};
}

/* Dimension i of weight w must be n. */
static void expect_weight(struct graph *graph, enum graph_op op, int w, int rank, int64_t first,
                          int64_t second)
{
    if (graph->code < 0)
        return;
    if (w < 0 || w >= graph->n_weights) {
        mistake(graph, "graph: %s has no weight %d", graph_op_name(op), w);
        return;
    }
    const struct graph_weight *weight = &graph->weights[w];
    if (weight->rank < rank || weight->shape[0] != first ||
        (rank > 1 && weight->shape[1] != second))
        mistake(graph, "graph: %s of [%lld, %lld] does not fit weight %s of [%lld, %lld]",
                graph_op_name(op), (long long)first, (long long)second, weight->name,
                (long long)weight->shape[0], (long long)weight->shape[1]);
}

static struct graph_node node_of(enum graph_op op, int a, struct tensor_shape shape)
{
    return (struct graph_node){.op = op, .in = {a, -1}, .n_in = 1, .shape = shape};
}

int graph_input(struct graph *graph, struct tensor_shape shape)
{
    if (shape.n < 1 || shape.h < 1 || shape.w < 1 || shape.c < 1)
        return mistake(graph, "graph: an input of [%d, %d, %d, %d]", shape.n, shape.h, shape.w,
                       shape.c);
    return add_node(graph, &(struct graph_node){.op = GRAPH_INPUT, .shape = shape, .output = true});
}

int graph_conv(struct graph *graph, int x, int weight, int bias, int stride, int pad,
               bool sum_inputs)
{
    struct tensor_shape in = shape_of(graph, x);
    if (graph->code < 0)
        return -1;
    const struct graph_weight *w = &graph->weights[weight];
    int kernel = (int)w->shape[2];
    if (w->rank != 4 || w->shape[2] != w->shape[3] || (sum_inputs ? 1 : w->shape[1]) != in.c)
        return mistake(graph, "graph: conv over %d channels does not fit weight %s", in.c, w->name);
    expect_weight(graph, GRAPH_CONV, bias, 1, w->shape[0], 0);
    struct tensor_shape out = {in.n, (in.h + 2 * pad - kernel) / stride + 1,
                               (in.w + 2 * pad - kernel) / stride + 1, (int)w->shape[0]};
    if (in.h + 2 * pad < kernel || in.w + 2 * pad < kernel)
        return mistake(graph, "graph: conv %d x %d over [%d, %d] leaves nothing", kernel, kernel,
                       in.h, in.w);
    struct graph_node node = node_of(GRAPH_CONV, x, out);
    node.weights[0] = weight;
    node.weights[1] = bias;
    node.n_weights = 2;
    node.kernel = kernel;
    node.stride = stride;
    node.pad = pad;
    node.sum_inputs = sum_inputs;
    return add_node(graph, &node);
}

int graph_linear(struct graph *graph, int x, int weight, int bias)
{
    struct tensor_shape s = shape_of(graph, x);
    if (graph->code < 0)
        return -1;
    int out = (int)graph->weights[weight].shape[0];
    expect_weight(graph, GRAPH_LINEAR, weight, 2, out, s.c);
    expect_weight(graph, GRAPH_LINEAR, bias, 1, out, 0);
    s.c = out;
    struct graph_node node = node_of(GRAPH_LINEAR, x, s);
    node.weights[0] = weight;
    node.weights[1] = bias;
    node.n_weights = 2;
    return add_node(graph, &node);
}

int graph_layer_norm(struct graph *graph, int x, int scale, int shift, float eps)
{
    struct tensor_shape s = shape_of(graph, x);
    expect_weight(graph, GRAPH_LAYER_NORM, scale, 1, s.c, 0);
    expect_weight(graph, GRAPH_LAYER_NORM, shift, 1, s.c, 0);
    struct graph_node node = node_of(GRAPH_LAYER_NORM, x, s);
    node.weights[0] = scale;
    node.weights[1] = shift;
    node.n_weights = 2;
    node.eps = eps;
    return add_node(graph, &node);
}

int graph_gelu(struct graph *graph, int x)
{
    struct graph_node node = node_of(GRAPH_GELU, x, shape_of(graph, x));
    return add_node(graph, &node);
}

int graph_focal_context(struct graph *graph, int x, const int *kernels, int levels, int window,
                        bool normalize)
{
    struct tensor_shape s = shape_of(graph, x);
    int c = (s.c - levels - 1) / 2;
    if (graph->code == 0 &&
        (levels < 1 || levels > GRAPH_MAX_NODE_WEIGHTS || c < 1 || 2 * c + levels + 1 != s.c))
        return mistake(graph, "graph: %d channels are not q, ctx and %d gates", s.c, levels + 1);
    s.c = c;
    struct graph_node node = node_of(GRAPH_FOCAL_CONTEXT, x, s);
    for (int l = 0; l < levels && graph->code == 0; l++) {
        expect_weight(graph, GRAPH_FOCAL_CONTEXT, kernels[l], 2, c, 1);
        node.weights[l] = kernels[l];
    }
    node.n_weights = levels;
    node.levels = levels;
    node.window = window;
    node.normalize = normalize;
    return add_node(graph, &node);
}

int graph_slice(struct graph *graph, int x, int from, int c)
{
    struct tensor_shape s = shape_of(graph, x);
    if (graph->code == 0 && (from < 0 || c < 1 || from + c > s.c))
        return mistake(graph, "graph: channels %d to %d of %d", from, from + c, s.c);
    s.c = c;
    if (graph->code == 0 && graph->nodes[x].op == GRAPH_SLICE) { /* of a slice: of the whole */
        from += graph->nodes[x].from;
        x = graph->nodes[x].in[0];
    }
    struct graph_node node = node_of(GRAPH_SLICE, x, s);
    node.from = from;
    return add_node(graph, &node);
}

static int add_pair(struct graph *graph, enum graph_op op, int a, int b)
{
    struct tensor_shape sa = shape_of(graph, a), sb = shape_of(graph, b);
    if (graph->code == 0 && !same_shape(sa, sb))
        return mistake(graph, "graph: %s of [%d, %d, %d, %d] and [%d, %d, %d, %d]",
                       graph_op_name(op), sa.n, sa.h, sa.w, sa.c, sb.n, sb.h, sb.w, sb.c);
    struct graph_node node = node_of(op, a, sa);
    node.in[1] = b;
    node.n_in = 2;
    return add_node(graph, &node);
}

int graph_mul(struct graph *graph, int a, int b)
{
    return add_pair(graph, GRAPH_MUL, a, b);
}

int graph_add(struct graph *graph, int a, int b)
{
    return add_pair(graph, GRAPH_ADD, a, b);
}

int graph_channel_scale(struct graph *graph, int x, int scale)
{
    struct tensor_shape s = shape_of(graph, x);
    expect_weight(graph, GRAPH_CHANNEL_SCALE, scale, 1, s.c, 0);
    struct graph_node node = node_of(GRAPH_CHANNEL_SCALE, x, s);
    node.weights[0] = scale;
    node.n_weights = 1;
    return add_node(graph, &node);
}

int graph_mean(struct graph *graph, int x)
{
    struct tensor_shape s = shape_of(graph, x);
    s.h = s.w = 1;
    struct graph_node node = node_of(GRAPH_MEAN, x, s);
    return add_node(graph, &node);
}

int graph_channel_l2(struct graph *graph, int x)
{
    struct tensor_shape s = shape_of(graph, x);
    s.c = 1;
    struct graph_node node = node_of(GRAPH_CHANNEL_L2, x, s);
    return add_node(graph, &node);
}

int graph_batch_norm(struct graph *graph, int x, const int weights[4], float eps)
{
    struct tensor_shape s = shape_of(graph, x);
    struct graph_node node = node_of(GRAPH_BATCH_NORM, x, s);
    for (int i = 0; i < 4; i++) {
        expect_weight(graph, GRAPH_BATCH_NORM, weights[i], 1, s.c, 0);
        node.weights[i] = weights[i];
    }
    node.n_weights = 4;
    node.eps = eps;
    return add_node(graph, &node);
}

int graph_cosine(struct graph *graph, int x, int weight)
{
    struct tensor_shape s = shape_of(graph, x);
    if (graph->code < 0)
        return -1;
    expect_weight(graph, GRAPH_COSINE, weight, 2, graph->weights[weight].shape[0], s.c);
    s.c = (int)graph->weights[weight].shape[0];
    struct graph_node node = node_of(GRAPH_COSINE, x, s);
    node.weights[0] = weight;
    node.n_weights = 1;
    return add_node(graph, &node);
}

int graph_output(struct graph *graph, int x)
{
    shape_of(graph, x);
    if (graph->code == 0 && graph->nodes[x].op == GRAPH_SLICE)
        return mistake(graph, "graph: a slice is a view and cannot be an output");
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
    if (node->op != GRAPH_CONV && node->op != GRAPH_LINEAR && node->op != GRAPH_COSINE)
        return 0;
    const struct graph_node *in = &graph->nodes[node->in[0]];
    double taps = node->op == GRAPH_CONV ? (double)node->kernel * node->kernel : 1;
    return 2 * cells * in->shape.c * taps;
}
