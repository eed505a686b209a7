/* SPDX-License-Identifier: Apache-2.0 */
#include "model/graph_grad.h"

#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"
#include "model/graph_internal.h"

struct build {
    struct graph *g;
    struct graph_backward *ret;
    const struct graph_wanted *wanted;
    bool *needed; /* [n_values] the value's gradient leads to one that is wanted */
    int *again;   /* [n_values] the value in the backward pass: itself, another that is it again, or
                     -1: not computed again yet */
};

static bool is_trained(const struct build *b, int weight)
{
    return b->wanted->frozen == NULL || !b->wanted->frozen[weight];
}

/* Running statistics are no parameters; what chooses a key has no gradient. */
static int n_trainable(const struct graph_node *node)
{
    if (node->op == GRAPH_BATCH_NORM)
        return 2;
    return node->op == GRAPH_NEAREST ? 0 : node->n_weights;
}

static bool has_trained_weights(const struct build *b, const struct graph_node *node)
{
    for (int i = 0; i < n_trainable(node); i++)
        if (is_trained(b, node->weights[i]))
            return true;
    return false;
}

static void find_needed(struct build *b)
{
    for (int i = 0; i < b->ret->n_values; i++) {
        const struct graph_node *node = &b->g->nodes[i];
        bool needed =
            has_trained_weights(b, node) || (node->op == GRAPH_INPUT && b->wanted->inputs);
        for (int k = 0; k < node->n_in; k++)
            needed = needed || b->needed[node->in[k]];
        b->needed[i] = needed && node->op != GRAPH_NEAREST;
    }
}

/* Values that are kept: residual sums that all later nodes go through, what comes after the last of
 * them, outputs and inputs. */
static void find_kept(struct build *b)
{
    const int n = b->ret->n_values;
    int reach = 0, last = -1; /* the last reader of any value so far */
    for (int i = 0; i < n; i++)
        b->again[i] = i; /* for now: its last reader */
    for (int i = 0; i < n; i++)
        for (int k = 0; k < b->g->nodes[i].n_in; k++)
            b->again[b->g->nodes[i].in[k]] = i;
    for (int i = 0; i < n; i++) {
        const struct graph_node *node = &b->g->nodes[i];
        const bool all = reach <= i;
        reach = b->again[i] > reach ? b->again[i] : reach;
        b->again[i] = node->op == GRAPH_INPUT || node->output ? i : -1;
        if (node->op == GRAPH_ADD && all) {
            b->again[i] = i;
            last = i;
        }
    }
    for (int i = b->wanted->checkpoint ? last + 1 : 0; i < n; i++)
        b->again[i] = i;
}

/* Forward value x as the backward pass may read it now. */
static int value_again(struct build *b, int x)
{
    if (x < 0 || x >= b->ret->n_values || b->g->code < 0)
        return x;
    if (b->again[x] >= 0)
        return b->again[x];
    struct graph_node node = b->g->nodes[x];
    for (int k = 0; k < node.n_in; k++)
        node.in[k] = value_again(b, node.in[k]);
    if (b->g->code < 0)
        return -1;
    node.again_of = x + 1;
    b->g->nodes[x].again = true;
    b->again[x] = graph_add_node(b->g, &node);
    return b->again[x];
}

/* A node with the attributes and weights of forward node `of`. in: [n], shape: of the value. */
static int add(struct build *b, enum graph_op op, int of, struct tensor_shape shape, int n,
               const int *in)
{
    if (b->g->code < 0)
        return -1;
    struct graph_node node = b->g->nodes[of];
    node.op = op;
    node.shape = shape;
    node.output = false;
    node.again = false;
    node.n_in = n;
    for (int i = 0; i < GRAPH_MAX_INPUTS; i++)
        node.in[i] = i < n ? value_again(b, in[i]) : -1;
    return graph_add_node(b->g, &node);
}

/* Adds a contribution to the gradient of a forward value. */
static void contribute(struct build *b, int value, int gradient)
{
    int *sum = &b->ret->values[value];
    if (gradient >= 0 && b->needed[value])
        *sum = *sum < 0 ? gradient : graph_add(b->g, *sum, gradient);
}

/* The node that gives the gradients of node i's weights, or -1. */
static int add_weights(struct build *b, enum graph_op op, int i, int n, const int *in)
{
    if (b->g->code < 0 || !has_trained_weights(b, &b->g->nodes[i]))
        return -1;
    size_t cells = 0;
    const struct graph_node node = b->g->nodes[i];
    for (int k = 0; k < n_trainable(&node); k++)
        cells += graph_weight_cells(&b->g->weights[node.weights[k]]);
    int value = add(b, op, i, (struct tensor_shape){1, 1, 1, (int)cells}, n, in);
    if (value < 0)
        return -1;
    size_t from = 0;
    for (int k = 0; k < n_trainable(&node); k++) {
        int w = node.weights[k];
        if (b->ret->weights[w].value >= 0) {
            graph_mistake(b->g, "graph: weight %s of two operators", b->g->weights[w].name);
            return -1;
        }
        if (is_trained(b, w))
            b->ret->weights[w] = (struct graph_gradient){value, from};
        from += graph_weight_cells(&b->g->weights[w]);
    }
    return graph_output(b->g, value);
}

/* The gradient of the only input, from g and what `in` has behind it; and the weights'. */
static void add_unary(struct build *b, enum graph_op op, int i, int n, const int *in)
{
    int x = b->g->nodes[i].in[0];
    if (b->needed[x])
        contribute(b, x, add(b, op, i, graph_shape_of(b->g, x), n, in));
}

static struct tensor_shape widened(struct tensor_shape s, int times)
{
    s.c *= times;
    return s;
}

/* q, k and v: channels of one value. */
static void add_attention(struct build *b, int i, int g)
{
    const struct graph_node node = b->g->nodes[i];
    bool all = node.op == GRAPH_ATTENTION;
    const int n = all ? 3 : 2, c = graph_channels(b->g, node.in[0]);
    const int in[] = {g, node.in[0], node.in[1], all ? node.in[2] : i};
    int joined = add(b, all ? GRAPH_ATTENTION_GRAD : GRAPH_CLS_ATTENTION_GRAD, i,
                     widened(graph_shape_of(b->g, node.in[0]), n), 4, in);
    for (int k = 0; k < n; k++)
        if (b->needed[node.in[k]])
            contribute(b, node.in[k], graph_slice(b->g, joined, k * c, c));
}

/* Shared: the weights' gradients are sums that the input's needs too. */
static void add_batch_norm_shared(struct build *b, int i, int g, int x)
{
    const struct graph_node node = b->g->nodes[i];
    const struct tensor_shape sums = {1, 1, 1, 2 * node.shape.c};
    int in[] = {g, x, node.in[1], -1};
    in[3] = add_weights(b, GRAPH_BATCH_NORM_GRAD_WEIGHTS, i, 3, in);
    if (in[3] < 0)
        in[3] = graph_output(b->g, add(b, GRAPH_BATCH_NORM_GRAD_WEIGHTS, i, sums, 3, in));
    add_unary(b, GRAPH_BATCH_NORM_GRAD, i, 4, in);
}

static void add_batch_norm(struct build *b, int i, int g, int x)
{
    const struct graph_node node = b->g->nodes[i];
    const int in[] = {g, x, b->ret->weights[node.weights[2]].value}, n = node.train ? 3 : 2;
    if (node.ranks > 0) {
        add_batch_norm_shared(b, i, g, x);
        return;
    }
    add_unary(b, GRAPH_BATCH_NORM_GRAD, i, n, in);
    add_weights(b, GRAPH_BATCH_NORM_GRAD_WEIGHTS, i, n, in);
}

/* Node i's part of the backward pass. g: the gradient of its value. */
static void add_node(struct build *b, int i, int g)
{
    const struct graph_node node = b->g->nodes[i];
    const int x = node.in[0], gx[] = {g, x}, gy[] = {g, i}, gxy[] = {g, x, i};
    switch (node.op) {
    case GRAPH_LINEAR:
        add_unary(b, GRAPH_LINEAR_GRAD, i, 1, gx);
        add_weights(b, GRAPH_LINEAR_GRAD_WEIGHTS, i, 2, gx);
        break;
    case GRAPH_CONV:
        add_unary(b, GRAPH_CONV_GRAD, i, 1, gx);
        add_weights(b, GRAPH_CONV_GRAD_WEIGHTS, i, 2, gx);
        break;
    case GRAPH_CONV_TRANSPOSED:
        add_unary(b, GRAPH_CONV_TRANSPOSED_GRAD, i, 1, gx);
        add_weights(b, GRAPH_CONV_TRANSPOSED_GRAD_WEIGHTS, i, 2, gx);
        break;
    case GRAPH_LAYER_NORM:
        add_unary(b, GRAPH_LAYER_NORM_GRAD, i, 2, gx);
        add_weights(b, GRAPH_LAYER_NORM_GRAD_WEIGHTS, i, 2, gx);
        break;
    case GRAPH_GELU:
        add_unary(b, GRAPH_GELU_GRAD, i, 2, gx);
        break;
    case GRAPH_RELU:
        add_unary(b, GRAPH_RELU_GRAD, i, 2, gy);
        break;
    case GRAPH_SIGMOID:
        add_unary(b, GRAPH_SIGMOID_GRAD, i, 2, gy);
        break;
    case GRAPH_FOCAL_CONTEXT:
        add_unary(b, GRAPH_FOCAL_GRAD, i, 2, gx);
        add_weights(b, GRAPH_FOCAL_GRAD_WEIGHTS, i, 2, gx);
        break;
    case GRAPH_SLICE:
        add_unary(b, GRAPH_SLICE_GRAD, i, 1, gx);
        break;
    case GRAPH_MUL:
        if (b->needed[x])
            contribute(b, x, graph_mul(b->g, g, value_again(b, node.in[1])));
        if (b->needed[node.in[1]])
            contribute(b, node.in[1], graph_mul(b->g, g, value_again(b, x)));
        break;
    case GRAPH_ADD:
        contribute(b, x, g);
        contribute(b, node.in[1], g);
        break;
    case GRAPH_CHANNEL_SCALE:
        if (b->needed[x])
            contribute(b, x, graph_channel_scale(b->g, g, node.weights[0]));
        add_weights(b, GRAPH_CHANNEL_SCALE_GRAD_WEIGHTS, i, 2, gx);
        break;
    case GRAPH_SAMPLE_SCALE: /* the scales are drawn */
        if (b->needed[x])
            contribute(b, x, graph_sample_scale(b->g, g, node.in[1]));
        break;
    case GRAPH_MEAN:
        add_unary(b, GRAPH_MEAN_GRAD, i, 1, gx);
        break;
    case GRAPH_CHANNEL_L2:
        add_unary(b, GRAPH_CHANNEL_L2_GRAD, i, 3, gxy);
        break;
    case GRAPH_BATCH_NORM:
        add_batch_norm(b, i, g, x);
        break;
    case GRAPH_COSINE:
        add_unary(b, GRAPH_COSINE_GRAD, i, 2, gx);
        add_weights(b, GRAPH_COSINE_GRAD_WEIGHTS, i, 2, gx);
        break;
    case GRAPH_RESIZE:
        add_unary(b, GRAPH_RESIZE_GRAD, i, 1, gx);
        break;
    case GRAPH_PAD:
        if (b->needed[x])
            contribute(b, x, graph_pad(b->g, g, b->g->nodes[x].shape.h, b->g->nodes[x].shape.w));
        break;
    case GRAPH_TOKENS:
        if (b->needed[x])
            contribute(b, x, graph_grid(b->g, g, b->g->nodes[x].shape.h, b->g->nodes[x].shape.w));
        add_weights(b, GRAPH_TOKENS_GRAD_WEIGHTS, i, 1, gx);
        break;
    case GRAPH_GRID:
        add_unary(b, GRAPH_GRID_GRAD, i, 1, gx);
        break;
    case GRAPH_ATTENTION:
    case GRAPH_CLS_ATTENTION:
        add_attention(b, i, g);
        break;
    case GRAPH_ATTENTION_MAP:
        add_unary(b, GRAPH_ATTENTION_MAP_GRAD, i, 1, gx);
        break;
    case GRAPH_LOOKUP: /* the indices have no gradient */
        add_weights(b, GRAPH_LOOKUP_GRAD_WEIGHTS, i, 2, gx);
        break;
    case GRAPH_STRAIGHT_THROUGH:
        contribute(b, node.in[1], g);
        break;
    default:
        graph_mistake(b->g, "graph: %s has no gradient", graph_op_name(node.op));
    }
}

/* The means and variances that running statistics are updated with. */
static void add_statistics(struct build *b)
{
    for (int i = 0; i < b->ret->n_values; i++) {
        const struct graph_node node = b->g->nodes[i];
        if (node.op != GRAPH_BATCH_NORM || !node.train)
            continue;
        b->again[node.in[0]] = node.in[0]; /* they are taken at the end of the forward pass */
        int value = node.in[1];            /* shared */
        if (node.ranks == 0)
            value = graph_output(b->g,
                                 add(b, GRAPH_BATCH_STATISTICS, i,
                                     (struct tensor_shape){1, 1, 1, 2 * node.shape.c}, 1, node.in));
        for (int k = 0; k < 2 && value >= 0; k++)
            b->ret->weights[node.weights[2 + k]] =
                (struct graph_gradient){value, (size_t)(k * node.shape.c)};
    }
}

static void add_seeds(struct build *b, const int *outputs, int n, int *ret_seeds)
{
    for (int i = 0; i < n; i++) {
        ret_seeds[i] = graph_input(b->g, graph_shape_of(b->g, outputs[i]));
        if (b->g->code == 0)
            contribute(b, outputs[i], ret_seeds[i]);
    }
}

int graph_grad(struct graph *g, const int *outputs, int n, const struct graph_wanted *wanted,
               int *ret_seeds, struct graph_backward *ret, struct error *error)
{
    struct build b = {g, ret, wanted, NULL, NULL};
    int r = graph_check(g, error);
    if (r < 0)
        return r;
    *ret = (struct graph_backward){
        .first = g->n_nodes, .n_values = g->n_nodes, .n_weights = g->n_weights};
    b.needed = memory_zeroed((size_t)g->n_nodes, sizeof *b.needed);
    b.again = memory_zeroed((size_t)g->n_nodes, sizeof *b.again);
    ret->values = calloc((size_t)g->n_nodes, sizeof *ret->values);
    ret->weights = calloc((size_t)g->n_weights + 1, sizeof *ret->weights);
    if (b.needed == NULL || b.again == NULL || ret->values == NULL || ret->weights == NULL) {
        free(b.needed);
        free(b.again);
        graph_backward_finish(ret);
        return error_set(error, ENOMEM, "graph: out of memory");
    }
    for (int i = 0; i < ret->n_values; i++)
        ret->values[i] = -1;
    for (int i = 0; i < g->n_weights; i++)
        ret->weights[i].value = -1;
    find_needed(&b);
    find_kept(&b);
    add_seeds(&b, outputs, n, ret_seeds);
    add_statistics(&b);
    for (int i = ret->n_values - 1; i >= 0; i--) {
        int gradient = ret->values[i];
        if (gradient < 0 || g->code < 0)
            continue;
        if (g->nodes[i].op == GRAPH_INPUT) {
            if (g->nodes[gradient].op == GRAPH_SLICE) /* a view cannot be an output */
                gradient = graph_straight_through(g, gradient, gradient);
            ret->values[i] = graph_output(g, gradient);
        } else {
            add_node(&b, i, gradient);
        }
    }
    free(b.needed);
    free(b.again);
    r = graph_check(g, error);
    if (r < 0)
        graph_backward_finish(ret);
    return r;
}

void graph_backward_finish(struct graph_backward *b)
{
    free(b->values);
    free(b->weights);
    *b = (struct graph_backward){0};
}
