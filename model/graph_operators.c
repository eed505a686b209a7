/* SPDX-License-Identifier: Apache-2.0
 * One builder for each operator: what it takes, the shape it gives. */
#include <math.h>

#include "model/graph_internal.h"

static bool same_shape(struct tensor_shape a, struct tensor_shape b)
{
    return a.n == b.n && a.h == b.h && a.w == b.w && a.c == b.c;
}

/* Dimension i of weight w must be n. */
static void expect_weight(struct graph *graph, enum graph_op op, int w, int rank, int64_t first,
                          int64_t second)
{
    if (graph->code < 0)
        return;
    if (w < 0 || w >= graph->n_weights) {
        graph_mistake(graph, "graph: %s has no weight %d", graph_op_name(op), w);
        return;
    }
    const struct graph_weight *weight = &graph->weights[w];
    if (weight->rank < rank || weight->shape[0] != first ||
        (rank > 1 && weight->shape[1] != second))
        graph_mistake(graph, "graph: %s of [%lld, %lld] does not fit weight %s of [%lld, %lld]",
                      graph_op_name(op), (long long)first, (long long)second, weight->name,
                      (long long)weight->shape[0], (long long)weight->shape[1]);
}

static struct graph_node node_of(enum graph_op op, int a, struct tensor_shape shape)
{
    return (struct graph_node){.op = op, .in = {a, -1}, .n_in = 1, .shape = shape};
}

static int add_same(struct graph *graph, enum graph_op op, int x)
{
    struct graph_node node = node_of(op, x, graph_shape_of(graph, x));
    return graph_add_node(graph, &node);
}

int graph_input(struct graph *graph, struct tensor_shape shape)
{
    if (shape.n < 1 || shape.h < 1 || shape.w < 1 || shape.c < 1)
        return graph_mistake(graph, "graph: an input of [%d, %d, %d, %d]", shape.n, shape.h,
                             shape.w, shape.c);
    return graph_add_node(graph,
                          &(struct graph_node){.op = GRAPH_INPUT, .shape = shape, .output = true});
}

int graph_conv(struct graph *graph, int x, int weight, int bias, int stride, int pad,
               bool sum_inputs)
{
    struct tensor_shape in = graph_shape_of(graph, x);
    if (graph->code < 0)
        return -1;
    const struct graph_weight *w = &graph->weights[weight];
    int kernel = (int)w->shape[2];
    if (w->rank != 4 || w->shape[2] != w->shape[3] || (sum_inputs ? 1 : w->shape[1]) != in.c)
        return graph_mistake(graph, "graph: conv over %d channels does not fit weight %s", in.c,
                             w->name);
    expect_weight(graph, GRAPH_CONV, bias, 1, w->shape[0], 0);
    struct tensor_shape out = {in.n, (in.h + 2 * pad - kernel) / stride + 1,
                               (in.w + 2 * pad - kernel) / stride + 1, (int)w->shape[0]};
    if (in.h + 2 * pad < kernel || in.w + 2 * pad < kernel)
        return graph_mistake(graph, "graph: conv %d x %d over [%d, %d] leaves nothing", kernel,
                             kernel, in.h, in.w);
    struct graph_node node = node_of(GRAPH_CONV, x, out);
    node.weights[0] = weight;
    node.weights[1] = bias;
    node.n_weights = 2;
    node.kernel[0] = node.kernel[1] = kernel;
    node.stride[0] = node.stride[1] = stride;
    node.pad = pad;
    node.sum_inputs = sum_inputs;
    return graph_add_node(graph, &node);
}

int graph_linear(struct graph *graph, int x, int weight, int bias)
{
    struct tensor_shape s = graph_shape_of(graph, x);
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
    return graph_add_node(graph, &node);
}

int graph_layer_norm(struct graph *graph, int x, int scale, int shift, float eps)
{
    struct tensor_shape s = graph_shape_of(graph, x);
    expect_weight(graph, GRAPH_LAYER_NORM, scale, 1, s.c, 0);
    expect_weight(graph, GRAPH_LAYER_NORM, shift, 1, s.c, 0);
    struct graph_node node = node_of(GRAPH_LAYER_NORM, x, s);
    node.weights[0] = scale;
    node.weights[1] = shift;
    node.n_weights = 2;
    node.eps = eps;
    return graph_add_node(graph, &node);
}

int graph_gelu(struct graph *graph, int x)
{
    return add_same(graph, GRAPH_GELU, x);
}

int graph_focal_context(struct graph *graph, int x, const int *kernels, int levels, int window,
                        bool normalize)
{
    struct tensor_shape s = graph_shape_of(graph, x);
    int c = (s.c - levels - 1) / 2;
    if (graph->code == 0 &&
        (levels < 1 || levels > GRAPH_MAX_NODE_WEIGHTS || c < 1 || 2 * c + levels + 1 != s.c))
        return graph_mistake(graph, "graph: %d channels are not q, ctx and %d gates", s.c,
                             levels + 1);
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
    return graph_add_node(graph, &node);
}

int graph_slice(struct graph *graph, int x, int from, int c)
{
    struct tensor_shape s = graph_shape_of(graph, x);
    if (graph->code == 0 && (from < 0 || c < 1 || from + c > s.c))
        return graph_mistake(graph, "graph: channels %d to %d of %d", from, from + c, s.c);
    s.c = c;
    if (graph->code == 0 && graph->nodes[x].op == GRAPH_SLICE) { /* of a slice: of the whole */
        from += graph->nodes[x].from;
        x = graph->nodes[x].in[0];
    }
    struct graph_node node = node_of(GRAPH_SLICE, x, s);
    node.from = from;
    return graph_add_node(graph, &node);
}

static int add_pair(struct graph *graph, enum graph_op op, int a, int b)
{
    struct tensor_shape sa = graph_shape_of(graph, a), sb = graph_shape_of(graph, b);
    if (graph->code == 0 && !same_shape(sa, sb))
        return graph_mistake(graph, "graph: %s of [%d, %d, %d, %d] and [%d, %d, %d, %d]",
                             graph_op_name(op), sa.n, sa.h, sa.w, sa.c, sb.n, sb.h, sb.w, sb.c);
    struct graph_node node = node_of(op, a, sa);
    node.in[1] = b;
    node.n_in = 2;
    return graph_add_node(graph, &node);
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
    struct tensor_shape s = graph_shape_of(graph, x);
    expect_weight(graph, GRAPH_CHANNEL_SCALE, scale, 1, s.c, 0);
    struct graph_node node = node_of(GRAPH_CHANNEL_SCALE, x, s);
    node.weights[0] = scale;
    node.n_weights = 1;
    return graph_add_node(graph, &node);
}

int graph_sample_scale(struct graph *graph, int x, int scales)
{
    struct tensor_shape s = graph_shape_of(graph, x), by = graph_shape_of(graph, scales);
    if (graph->code == 0 && !same_shape(by, (struct tensor_shape){s.n, 1, 1, 1}))
        return graph_mistake(graph, "graph: sample_scale of %d samples by [%d, %d, %d, %d]", s.n,
                             by.n, by.h, by.w, by.c);
    struct graph_node node = node_of(GRAPH_SAMPLE_SCALE, x, s);
    node.in[1] = scales;
    node.n_in = 2;
    return graph_add_node(graph, &node);
}

int graph_mean(struct graph *graph, int x)
{
    struct tensor_shape s = graph_shape_of(graph, x);
    s.h = s.w = 1;
    struct graph_node node = node_of(GRAPH_MEAN, x, s);
    return graph_add_node(graph, &node);
}

int graph_channel_l2(struct graph *graph, int x)
{
    struct tensor_shape s = graph_shape_of(graph, x);
    s.c = 1;
    struct graph_node node = node_of(GRAPH_CHANNEL_L2, x, s);
    return graph_add_node(graph, &node);
}

int graph_batch_norm(struct graph *graph, int x, const int weights[4], float eps)
{
    struct tensor_shape s = graph_shape_of(graph, x);
    struct graph_node node = node_of(GRAPH_BATCH_NORM, x, s);
    for (int i = 0; i < 4; i++) {
        expect_weight(graph, GRAPH_BATCH_NORM, weights[i], 1, s.c, 0);
        node.weights[i] = weights[i];
    }
    node.n_weights = 4;
    node.eps = eps;
    return graph_add_node(graph, &node);
}

int graph_batch_norm_train(struct graph *graph, int x, const int weights[4], float eps)
{
    int y = graph_batch_norm(graph, x, weights, eps);
    if (y >= 0)
        graph->nodes[y].train = true;
    return y;
}

int graph_batch_norm_shared(struct graph *graph, int x, const int weights[4], float eps, int ranks)
{
    struct tensor_shape s = graph_shape_of(graph, x);
    struct graph_node node =
        node_of(GRAPH_BATCH_STATISTICS, x, (struct tensor_shape){1, 1, 1, 2 * s.c});
    node.ranks = ranks;
    int statistics = graph_output(graph, graph_add_node(graph, &node));
    int y = graph_batch_norm_train(graph, x, weights, eps);
    if (y >= 0) {
        graph->nodes[y].ranks = ranks;
        graph->nodes[y].in[1] = statistics;
        graph->nodes[y].n_in = 2;
    }
    return y;
}

int graph_cosine(struct graph *graph, int x, int weight)
{
    struct tensor_shape s = graph_shape_of(graph, x);
    if (graph->code < 0)
        return -1;
    expect_weight(graph, GRAPH_COSINE, weight, 2, graph->weights[weight].shape[0], s.c);
    s.c = (int)graph->weights[weight].shape[0];
    struct graph_node node = node_of(GRAPH_COSINE, x, s);
    node.weights[0] = weight;
    node.n_weights = 1;
    return graph_add_node(graph, &node);
}

int graph_relu(struct graph *graph, int x)
{
    return add_same(graph, GRAPH_RELU, x);
}

int graph_sigmoid(struct graph *graph, int x)
{
    return add_same(graph, GRAPH_SIGMOID, x);
}

int graph_resize(struct graph *graph, int x, int h, int w)
{
    struct tensor_shape s = graph_shape_of(graph, x);
    if (graph->code == 0 && (h < 1 || w < 1))
        return graph_mistake(graph, "graph: resize to [%d, %d]", h, w);
    s.h = h;
    s.w = w;
    struct graph_node node = node_of(GRAPH_RESIZE, x, s);
    return graph_add_node(graph, &node);
}

int graph_pad(struct graph *graph, int x, int h, int w)
{
    struct tensor_shape s = graph_shape_of(graph, x);
    if (graph->code == 0 && (h < 1 || w < 1))
        return graph_mistake(graph, "graph: pad to [%d, %d]", h, w);
    if (s.h == h && s.w == w)
        return x;
    s.h = h;
    s.w = w;
    struct graph_node node = node_of(GRAPH_PAD, x, s);
    return graph_add_node(graph, &node);
}

int graph_conv_transposed(struct graph *graph, int x, int weight, int bias, const int stride[2],
                          int pad)
{
    struct tensor_shape in = graph_shape_of(graph, x);
    if (graph->code < 0)
        return -1;
    const struct graph_weight *w = &graph->weights[weight];
    if (w->rank != 4 || w->shape[0] != in.c)
        return graph_mistake(
            graph, "graph: conv_transposed over %d channels does not fit weight %s", in.c, w->name);
    expect_weight(graph, GRAPH_CONV_TRANSPOSED, bias, 1, w->shape[1], 0);
    struct tensor_shape out = {in.n, (in.h - 1) * stride[0] + (int)w->shape[2] - 2 * pad,
                               (in.w - 1) * stride[1] + (int)w->shape[3] - 2 * pad,
                               (int)w->shape[1]};
    if (out.h < 1 || out.w < 1)
        return graph_mistake(graph, "graph: conv_transposed over [%d, %d] leaves nothing", in.h,
                             in.w);
    struct graph_node node = node_of(GRAPH_CONV_TRANSPOSED, x, out);
    node.weights[0] = weight;
    node.weights[1] = bias;
    node.n_weights = 2;
    for (int i = 0; i < 2; i++) {
        node.kernel[i] = (int)w->shape[2 + i];
        node.stride[i] = stride[i];
    }
    node.pad = pad;
    return graph_add_node(graph, &node);
}

int graph_tokens(struct graph *graph, int x, int cls, int positions)
{
    struct tensor_shape in = graph_shape_of(graph, x);
    struct tensor_shape out = {in.n, 1, 1 + in.h * in.w, in.c};
    expect_weight(graph, GRAPH_TOKENS, cls, 2, 1, 1);
    expect_weight(graph, GRAPH_TOKENS, positions, 2, 1, out.w);
    if (graph->code == 0 &&
        (graph->weights[cls].shape[2] != in.c || graph->weights[positions].shape[2] != in.c))
        return graph_mistake(graph, "graph: tokens of %d channels do not fit weight %s", in.c,
                             graph->weights[positions].name);
    struct graph_node node = node_of(GRAPH_TOKENS, x, out);
    node.weights[0] = cls;
    node.weights[1] = positions;
    node.n_weights = 2;
    return graph_add_node(graph, &node);
}

/* [n][1][rows][1 + h w] or [n][1][1 + h w][c] as a grid */
static int add_grid(struct graph *graph, enum graph_op op, int x, int tokens, int h, int w, int c)
{
    struct tensor_shape in = graph_shape_of(graph, x);
    if (graph->code == 0 && (h < 1 || w < 1 || in.h != 1 || tokens != 1 + h * w))
        return graph_mistake(graph, "graph: %s of %d tokens as [%d, %d]", graph_op_name(op), tokens,
                             h, w);
    struct graph_node node = node_of(op, x, (struct tensor_shape){in.n, h, w, c});
    return graph_add_node(graph, &node);
}

int graph_grid(struct graph *graph, int x, int h, int w)
{
    struct tensor_shape in = graph_shape_of(graph, x);
    return add_grid(graph, GRAPH_GRID, x, in.w, h, w, in.c);
}

int graph_attention_map(struct graph *graph, int x, int h, int w)
{
    return add_grid(graph, GRAPH_ATTENTION_MAP, x, graph_shape_of(graph, x).c, h, w, 1);
}

/* What attention over q and the others asks for. */
static bool check_attention(struct graph *graph, enum graph_op op, int q, int other, int heads)
{
    struct tensor_shape s = graph_shape_of(graph, q), o = graph_shape_of(graph, other);
    if (graph->code == 0 && (!same_shape(s, o) || s.h != 1 || heads < 1 || s.c % heads != 0))
        graph_mistake(graph, "graph: %s with %d heads over [%d, %d, %d, %d]", graph_op_name(op),
                      heads, s.n, s.h, s.w, s.c);
    return graph->code == 0;
}

int graph_attention(struct graph *graph, int q, int k, int v, int heads)
{
    if (!check_attention(graph, GRAPH_ATTENTION, q, k, heads) ||
        !check_attention(graph, GRAPH_ATTENTION, q, v, heads))
        return -1;
    struct graph_node node = node_of(GRAPH_ATTENTION, q, graph_shape_of(graph, q));
    node.in[1] = k;
    node.in[2] = v;
    node.n_in = 3;
    node.heads = heads;
    return graph_add_node(graph, &node);
}

int graph_cls_attention(struct graph *graph, int q, int k, int heads)
{
    if (!check_attention(graph, GRAPH_CLS_ATTENTION, q, k, heads))
        return -1;
    struct tensor_shape s = graph_shape_of(graph, q);
    struct graph_node node =
        node_of(GRAPH_CLS_ATTENTION, q, (struct tensor_shape){s.n, 1, heads, s.w});
    node.in[1] = k;
    node.n_in = 2;
    node.heads = heads;
    return graph_add_node(graph, &node);
}

/* The codebook of a quantisation over c channels. */
static void set_codebook(struct graph *graph, struct graph_node *node, int codebook, int c)
{
    if (graph->code < 0)
        return;
    expect_weight(graph, node->op, codebook, 2, graph->weights[codebook].shape[0], c);
    node->weights[0] = codebook;
    node->n_weights = 1;
}

int graph_nearest(struct graph *graph, int x, int scores, int codebook, int shared, bool use_shared)
{
    struct tensor_shape s = graph_shape_of(graph, x), of_scores = graph_shape_of(graph, scores);
    if (graph->code < 0)
        return -1;
    int keys = (int)graph->weights[codebook].shape[0];
    if (of_scores.n != s.n || of_scores.h * of_scores.w != 1 || shared < 0 ||
        keys - shared < of_scores.c)
        return graph_mistake(graph, "graph: %d keys, %d of them shared, for %d classes", keys,
                             shared, of_scores.c);
    struct graph_node node = node_of(GRAPH_NEAREST, x, (struct tensor_shape){s.n, s.h, s.w, 1});
    node.in[1] = scores;
    node.n_in = 2;
    node.shared = shared;
    node.use_shared = use_shared;
    set_codebook(graph, &node, codebook, s.c);
    return graph_add_node(graph, &node);
}

int graph_lookup(struct graph *graph, int x, int codebook)
{
    struct tensor_shape s = graph_shape_of(graph, x);
    if (graph->code < 0)
        return -1;
    s.c = (int)graph->weights[codebook].shape[1];
    struct graph_node node = node_of(GRAPH_LOOKUP, x, s);
    set_codebook(graph, &node, codebook, s.c);
    return graph_add_node(graph, &node);
}

int graph_straight_through(struct graph *graph, int x, int through)
{
    return add_pair(graph, GRAPH_STRAIGHT_THROUGH, x, through);
}

/* torch.linspace in float32 goes from both ends. */
int graph_key_class(int i, int n, int classes)
{
    float start = -0.5f, end = (float)((double)classes - 0.51);
    float step = n > 1 ? (end - start) / (float)(n - 1) : 0;
    float at = i < n / 2 ? start + step * (float)i : end - step * (float)(n - i - 1);
    return (int)nearbyintf(at);
}
