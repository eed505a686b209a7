/* SPDX-License-Identifier: Apache-2.0
 * Every operator's gradient against central differences of its forward pass, both in double
 * precision: small graphs, their nodes run one after the other by the reference compiled in double.
 * The loss is a random weighting of the output. */
#define REF_DOUBLE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/graph_grad.h"
#include "model/ref/ref.h"

enum { MAX_NODES = 64 };

static uint64_t seed = 20241124;

static double uniform(void) /* [-1, 1) */
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) * 0x1p-52 - 1;
}

static int below(int n)
{
    return (int)((uniform() + 1) / 2 * n);
}

/* A graph and its values in double. */
struct machine {
    struct graph g;
    struct graph_backward backward;
    int output, seed;
    double *values[MAX_NODES];
    double *weights[MAX_NODES];
};

static double *room(size_t n)
{
    double *x = calloc(n + 1, sizeof *x);
    assert_non_null(x);
    return x;
}

static bool is_variance(const struct graph_weight *w)
{
    return strstr(w->name, "running_var") != NULL;
}

static void start(struct machine *m, int output)
{
    struct error error;
    const struct graph_wanted wanted = {.inputs = true};
    m->output = graph_output(&m->g, output);
    if (graph_grad(&m->g, &m->output, 1, &wanted, &m->seed, &m->backward, &error) < 0)
        fail_msg("%s", error.text);
    assert_true(m->g.n_nodes <= MAX_NODES && m->g.n_weights <= MAX_NODES);
    for (int i = 0; i < m->g.n_nodes; i++)
        m->values[i] =
            m->g.nodes[i].op == GRAPH_SLICE ? NULL : room(tensor_cells(m->g.nodes[i].shape));
    for (int i = 0; i < m->g.n_weights; i++) {
        size_t cells = graph_weight_cells(&m->g.weights[i]);
        m->weights[i] = room(cells);
        for (size_t k = 0; k < cells; k++)
            m->weights[i][k] = is_variance(&m->g.weights[i]) ? 1 + 0.5 * uniform() : uniform();
    }
    for (int i = 0; i < m->g.n_nodes; i++)
        for (size_t k = 0; m->g.nodes[i].op == GRAPH_INPUT && k < tensor_cells(m->g.nodes[i].shape);
             k++)
            m->values[i][k] = uniform();
}

static void finish(struct machine *m)
{
    for (int i = 0; i < m->g.n_nodes; i++)
        free(m->values[i]);
    for (int i = 0; i < m->g.n_weights; i++)
        free(m->weights[i]);
    graph_backward_finish(&m->backward);
    graph_finish(&m->g);
}

/* Nodes [from, to). */
static void run(struct machine *m, int from, int to)
{
    for (int i = from; i < to; i++) {
        const struct graph_node *node = &m->g.nodes[i];
        if (node->op == GRAPH_INPUT || node->op == GRAPH_SLICE)
            continue;
        struct step_spec spec = {.node = node, .weights = m->g.weights, .out = node->shape};
        struct ref_memory memory = {.out = m->values[i]};
        const double *weights[GRAPH_MAX_NODE_WEIGHTS];
        for (int k = 0; k < node->n_in; k++) {
            const struct graph_node *in = &m->g.nodes[node->in[k]];
            bool view = in->op == GRAPH_SLICE;
            spec.in[k] = in->shape;
            spec.in_stride[k] = (size_t)(view ? m->g.nodes[in->in[0]].shape.c : in->shape.c);
            memory.in[k] = view ? m->values[in->in[0]] + in->from : m->values[node->in[k]];
        }
        for (int k = 0; k < node->n_weights; k++)
            weights[k] = m->weights[node->weights[k]];
        memory.scratch = room(ref_scratch(&spec));
        for (size_t k = 0; k < tensor_cells(node->shape); k++)
            m->values[i][k] = NAN;
        ref_operator(node->op)(&spec, weights, &memory);
        free(memory.scratch);
    }
}

static double loss(struct machine *m)
{
    double sum = 0;
    run(m, 0, m->backward.first);
    for (size_t k = 0; k < tensor_cells(m->g.nodes[m->output].shape); k++)
        sum += m->values[m->output][k] * m->values[m->seed][k];
    return sum;
}

/* Some cells of one array against (loss(x + e) - loss(x - e)) / 2e. With e = 1e-5 its error is
 * about e^2 of the third derivative and 1e-16 / e of the loss. */
static void check_array(struct machine *m, const char *name, const char *what, double *x,
                        const double *gradient, size_t n)
{
    const double e = 1e-5;
    double largest = 0;
    for (size_t k = 0; k < n; k++)
        largest = fmax(largest, fabs(gradient[k]));
    size_t step = n > 24 ? n / 24 : 1;
    for (size_t k = 0; k < n; k += step) {
        double kept = x[k];
        x[k] = kept + e;
        double above = loss(m);
        x[k] = kept - e;
        double difference = (above - loss(m)) / (2 * e);
        x[k] = kept;
        if (!(fabs(difference - gradient[k]) <= 1e-7 * (1 + largest)))
            fail_msg("%s: the gradient of %s at %zu is %.12g, differences say %.12g", name, what, k,
                     gradient[k], difference);
    }
}

static void check(struct machine *m, const char *name)
{
    int checked = 0;
    loss(m);
    run(m, m->backward.first, m->g.n_nodes);
    for (int i = 0; i < m->backward.n_values; i++) {
        size_t n = tensor_cells(m->g.nodes[i].shape);
        if (m->g.nodes[i].op != GRAPH_INPUT || m->backward.values[i] < 0)
            continue;
        double *copy = room(n);
        memcpy(copy, m->values[m->backward.values[i]], n * sizeof *copy);
        check_array(m, name, "an input", m->values[i], copy, n);
        free(copy);
        checked++;
    }
    for (int i = 0; i < m->g.n_weights; i++) {
        struct graph_gradient at = m->backward.weights[i];
        if (at.value < 0 || strstr(m->g.weights[i].name, "running") != NULL)
            continue;
        size_t n = graph_weight_cells(&m->g.weights[i]);
        double *copy = room(n);
        memcpy(copy, m->values[at.value] + at.from, n * sizeof *copy);
        check_array(m, name, m->g.weights[i].name, m->weights[i], copy, n);
        free(copy);
        checked++;
    }
    assert_true(checked > 0);
}

/* The cases */

static int weight(struct graph *g, const char *name, int rank, int64_t a, int64_t b, int64_t c,
                  int64_t d)
{
    return graph_weight(g, rank, (const int64_t[]){a, b, c, d}, "%s", name);
}

static int norm_weights(struct graph *g, int c, int *ret)
{
    static const char *const names[] = {"weight", "bias", "running_mean", "running_var"};
    for (int i = 0; i < 4; i++)
        ret[i] = weight(g, names[i], 1, c, 0, 0, 0);
    return ret[0];
}

typedef int build_case(struct graph *g, int x, struct tensor_shape s);

static int linear(struct graph *g, int x, struct tensor_shape s)
{
    int out = 1 + below(6);
    return graph_linear(g, x, weight(g, "w", 2, out, s.c, 0, 0), weight(g, "b", 1, out, 0, 0, 0));
}

static int conv(struct graph *g, int x, struct tensor_shape s)
{
    int k = 1 + below(3), out = 1 + below(4);
    return graph_conv(g, x, weight(g, "w", 4, out, s.c, k, k), weight(g, "b", 1, out, 0, 0, 0),
                      1 + below(2), below(2), false);
}

static int conv_plane(struct graph *g, int x, struct tensor_shape s)
{
    int plane = graph_slice(g, x, s.c - 1, 1);
    return graph_conv(g, plane, weight(g, "w", 4, 3, 3, 2, 2), weight(g, "b", 1, 3, 0, 0, 0), 2, 1,
                      true);
}

static int conv_transposed(struct graph *g, int x, struct tensor_shape s)
{
    int kh = 2 + below(3), kw = 1 + below(3), out = 1 + below(4);
    const int stride[2] = {1 + below(3), 1 + below(3)};
    return graph_conv_transposed(g, x, weight(g, "w", 4, s.c, out, kh, kw),
                                 weight(g, "b", 1, out, 0, 0, 0), stride, kw > 2);
}

static int layer_norm(struct graph *g, int x, struct tensor_shape s)
{
    return graph_layer_norm(g, x, weight(g, "scale", 1, s.c, 0, 0, 0),
                            weight(g, "shift", 1, s.c, 0, 0, 0), 1e-3f);
}

static int gelu(struct graph *g, int x, struct tensor_shape s)
{
    (void)s;
    return graph_gelu(g, x);
}

static int relu(struct graph *g, int x, struct tensor_shape s)
{
    (void)s;
    return graph_relu(g, x);
}

static int sigmoid(struct graph *g, int x, struct tensor_shape s)
{
    (void)s;
    return graph_sigmoid(g, x);
}

static int focal(struct graph *g, int x, struct tensor_shape s)
{
    int levels = 1 + below(3), kernels[3];
    int projected = graph_linear(g, x, weight(g, "in.w", 2, 2 * s.c + levels + 1, s.c, 0, 0),
                                 weight(g, "in.b", 1, 2 * s.c + levels + 1, 0, 0, 0));
    for (int l = 0; l < levels; l++) {
        char name[16];
        snprintf(name, sizeof name, "focal.%d", l);
        kernels[l] = weight(g, name, 4, s.c, 1, 3 + 2 * l, 3 + 2 * l);
    }
    int context = graph_focal_context(g, projected, kernels, levels, 3, below(2) != 0);
    return graph_mul(g, graph_slice(g, projected, 0, s.c), context);
}

static int mul_and_add(struct graph *g, int x, struct tensor_shape s)
{
    int y = graph_input(g, s);
    return graph_add(g, graph_mul(g, x, y), graph_mul(g, y, y));
}

static int slices(struct graph *g, int x, struct tensor_shape s)
{
    int half = (s.c + 1) / 2;
    return graph_mul(g, graph_slice(g, x, 0, half), graph_slice(g, x, s.c - half, half));
}

static int channel_scale(struct graph *g, int x, struct tensor_shape s)
{
    return graph_channel_scale(g, x, weight(g, "gamma", 1, s.c, 0, 0, 0));
}

static int sample_scale(struct graph *g, int x, struct tensor_shape s)
{
    int scales = graph_input(g, (struct tensor_shape){s.n, 1, 1, 2});
    return graph_mul(g, x, graph_sample_scale(g, x, graph_slice(g, scales, 1, 1)));
}

static int mean(struct graph *g, int x, struct tensor_shape s)
{
    (void)s;
    return graph_mean(g, x);
}

static int channel_l2(struct graph *g, int x, struct tensor_shape s)
{
    (void)s;
    return graph_channel_l2(g, x);
}

static int batch_norm(struct graph *g, int x, struct tensor_shape s)
{
    int w[4];
    norm_weights(g, s.c, w);
    return graph_batch_norm(g, x, w, 1e-3f);
}

static int batch_norm_train(struct graph *g, int x, struct tensor_shape s)
{
    int w[4];
    norm_weights(g, s.c, w);
    return graph_batch_norm_train(g, x, w, 1e-3f);
}

/* One process has the whole batch. */
static int batch_norm_shared(struct graph *g, int x, struct tensor_shape s)
{
    int w[4];
    norm_weights(g, s.c, w);
    return graph_batch_norm_shared(g, x, w, 1e-3f, 1);
}

static int cosine(struct graph *g, int x, struct tensor_shape s)
{
    return graph_cosine(g, x, weight(g, "classes", 2, 1 + below(5), s.c, 0, 0));
}

static int resize(struct graph *g, int x, struct tensor_shape s)
{
    (void)s;
    return graph_resize(g, x, 1 + below(9), 1 + below(9));
}

static int pad(struct graph *g, int x, struct tensor_shape s)
{
    int y = graph_pad(g, x, s.h + below(3), 1 + below(s.w));
    return graph_mul(g, y, y);
}

static int tokens(struct graph *g, int x, struct tensor_shape s)
{
    int t = graph_tokens(g, x, weight(g, "cls", 3, 1, 1, s.c, 0),
                         weight(g, "positions", 3, 1, 1 + s.h * s.w, s.c, 0));
    return graph_mul(g, t, t);
}

static int grid(struct graph *g, int x, struct tensor_shape s)
{
    int t = tokens(g, x, s);
    return graph_grid(g, t, s.h, s.w);
}

/* Sequences of 7, 2 heads. */
static int sequence(struct graph *g, int n, int c)
{
    return graph_input(g, (struct tensor_shape){n, 1, 7, c});
}

static int attention(struct graph *g, int x, struct tensor_shape s)
{
    (void)x;
    int c = 2 * s.c, q = sequence(g, s.n, c), k = sequence(g, s.n, c);
    return graph_attention(g, q, k, sequence(g, s.n, c), 2);
}

static int self_attention(struct graph *g, int x, struct tensor_shape s)
{
    (void)x;
    int q = sequence(g, s.n, 2 * s.c);
    return graph_attention(g, q, q, q, 2);
}

static int attention_map(struct graph *g, int x, struct tensor_shape s)
{
    (void)x;
    int q = sequence(g, s.n, 2 * s.c), k = sequence(g, s.n, 2 * s.c);
    return graph_attention_map(g, graph_cls_attention(g, q, k, 2), 2, 3);
}

static const struct {
    const char *name;
    build_case *build;
} cases[] = {
    {"linear", linear},
    {"conv", conv},
    {"conv of one plane", conv_plane},
    {"conv_transposed", conv_transposed},
    {"layer_norm", layer_norm},
    {"gelu", gelu},
    {"relu", relu},
    {"sigmoid", sigmoid},
    {"focal_context", focal},
    {"mul and add", mul_and_add},
    {"slices", slices},
    {"channel_scale", channel_scale},
    {"sample_scale", sample_scale},
    {"mean", mean},
    {"channel_l2", channel_l2},
    {"batch_norm", batch_norm},
    {"batch_norm in training", batch_norm_train},
    {"batch_norm shared", batch_norm_shared},
    {"cosine", cosine},
    {"resize", resize},
    {"pad", pad},
    {"tokens", tokens},
    {"grid", grid},
    {"attention", attention},
    {"attention of one value", self_attention},
    {"cls_attention and attention_map", attention_map},
};

static void every_operators_gradient_is_that_of_differences(void **state)
{
    (void)state;
    print_message("seed %llu (FOCALD_SEED)\n", (unsigned long long)seed);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int round = 0; round < 6; round++) {
            struct machine m = {0};
            graph_init(&m.g);
            struct tensor_shape s = {1 + below(3), 3 + below(4), 3 + below(4), 1 + below(5)};
            int x = graph_input(&m.g, s);
            start(&m, cases[i].build(&m.g, x, s));
            check(&m, cases[i].name);
            finish(&m);
        }
}

/* Keys are chosen, not differentiated: the codebook's gradient is checked with the choice held, and
 * the estimator gives what follows to what was quantised, unchanged. */
static void quantisation_passes_its_gradient_straight_through(void **state)
{
    (void)state;
    struct machine m = {0};
    graph_init(&m.g);
    const struct tensor_shape s = {2, 3, 3, 4};
    int x = graph_input(&m.g, s), scores = graph_input(&m.g, (struct tensor_shape){2, 1, 1, 3});
    int codebook = weight(&m.g, "codebook", 2, 9, 4, 0, 0);
    int keys = graph_nearest(&m.g, x, scores, codebook, 0, true);
    int z = graph_lookup(&m.g, keys, codebook);
    start(&m, graph_straight_through(&m.g, z, x));
    loss(&m);
    run(&m, m.backward.first, m.g.n_nodes);
    assert_int_equal(m.backward.values[x], m.seed);
    assert_int_equal(m.backward.weights[codebook].value, -1);
    finish(&m);

    m = (struct machine){0};
    graph_init(&m.g);
    x = graph_input(&m.g, s);
    scores = graph_input(&m.g, (struct tensor_shape){2, 1, 1, 3});
    codebook = weight(&m.g, "codebook", 2, 9, 4, 0, 0);
    z = graph_lookup(&m.g, graph_nearest(&m.g, x, scores, codebook, 0, true), codebook);
    start(&m, graph_mul(&m.g, z, z)); /* a shift of 1e-5 changes no choice */
    check(&m, "lookup");
    finish(&m);
}

/* What is frozen, and what only leads to it, costs nothing. */
static void frozen_weights_have_no_backward_pass(void **state)
{
    (void)state;
    struct graph g;
    struct graph_backward backward;
    struct error error;
    const struct tensor_shape s = {1, 2, 2, 3};
    graph_init(&g);
    int x = graph_input(&g, s), hidden = linear(&g, x, s);
    int out =
        graph_cosine(&g, hidden, weight(&g, "classes", 2, 2, graph_channels(&g, hidden), 0, 0));
    const bool frozen[] = {true, true, false};
    const struct graph_wanted wanted = {.frozen = frozen};
    int first, n = g.n_nodes;
    assert_int_equal(graph_grad(&g, &out, 1, &wanted, &first, &backward, &error), 0);
    assert_int_equal(g.n_nodes, n + 2); /* the seed and the class vectors' gradient */
    assert_int_equal(backward.weights[0].value, -1);
    assert_true(backward.weights[2].value >= 0);
    assert_int_equal(backward.values[x], -1);
    graph_backward_finish(&backward);
    graph_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operators_gradient_is_that_of_differences),
        cmocka_unit_test(quantisation_passes_its_gradient_straight_through),
        cmocka_unit_test(frozen_weights_have_no_backward_pass),
    };
    if (getenv("FOCALD_SEED") != NULL)
        seed = strtoull(getenv("FOCALD_SEED"), NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
