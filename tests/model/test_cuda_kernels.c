/* SPDX-License-Identifier: Apache-2.0
 * Each kernel of the CUDA backend's forward pass gives what the reference operator gives, on shapes
 * ordinary and awkward, in each mix of cell types, on slices and in place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cuda/kernels.h"
#include "model/ref/ref.h"
#include "tests/compare.h"
#include "tests/fake_cuda/fake.h"
#include "tests/model/cuda_cells.h"

/* One operator as a graph of its own, and what is special about its inputs. */
struct operator_graph {
    struct graph g;
    int x;            /* its value */
    int indices;      /* the first input is numbers below it; 0: any numbers */
    bool in_place;    /* the plan may do so */
    double tolerance; /* of the largest value, in float32 */
};

static int weight(struct graph *g, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return graph_weight(g, rank, (const int64_t[]){a, b, c, d}, "w%d", g->n_weights);
}

static int vector(struct graph *g, int c)
{
    return weight(g, 1, c, 1, 1, 1);
}

static void start(struct operator_graph *o)
{
    *o = (struct operator_graph){.tolerance = 1e-5};
    graph_init(&o->g);
}

/* What is wanted of an operator beside the shape of its input. */
struct wanted {
    enum graph_op op;
    struct tensor_shape in;
    int a,
        b; /* focal: levels, window; cosine: classes; resize: h, w; heads; nearest: keys, shared */
    bool flag; /* focal: normalize; nearest: use_shared */
};

/* in.c: channels of the context */
static void build_focal(struct operator_graph *o, const struct wanted *w)
{
    struct tensor_shape in = w->in;
    int kernels[GRAPH_MAX_NODE_WEIGHTS];
    in.c = 2 * w->in.c + w->a + 1;
    const int x = graph_input(&o->g, in);
    for (int l = 0; l < w->a; l++)
        kernels[l] = weight(&o->g, 4, w->in.c, 1, w->b + 2 * l, w->b + 2 * l);
    o->x = graph_focal_context(&o->g, x, kernels, w->a, w->b, w->flag);
}

static void build_quantise(struct operator_graph *o, const struct wanted *w)
{
    struct graph *g = &o->g;
    if (w->op == GRAPH_LOOKUP) {
        const int x = graph_input(g, (struct tensor_shape){w->in.n, w->in.h, w->in.w, 1});
        o->x = graph_lookup(g, x, weight(g, 2, w->a, w->in.c, 1, 1));
        o->indices = w->a;
    } else {
        const int x = graph_input(g, w->in);
        const int scores = graph_input(g, (struct tensor_shape){w->in.n, 1, 1, 3});
        o->x = graph_nearest(g, x, scores, weight(g, 2, w->a, w->in.c, 1, 1), w->b, w->flag);
    }
    o->tolerance = 0;
}

static void build_tokens(struct operator_graph *o, const struct wanted *w)
{
    struct graph *g = &o->g;
    struct tensor_shape in = w->in;
    const int cells = in.h * in.w;
    if (w->op == GRAPH_TOKENS) {
        const int x = graph_input(g, in);
        o->x = graph_tokens(g, x, weight(g, 3, 1, 1, in.c, 1), weight(g, 3, 1, 1 + cells, in.c, 1));
    } else if (w->op == GRAPH_GRID) {
        const int x = graph_input(g, (struct tensor_shape){in.n, 1, 1 + cells, in.c});
        o->x = graph_grid(g, x, in.h, in.w);
    } else if (w->op == GRAPH_ATTENTION_MAP) {
        const int x = graph_input(g, (struct tensor_shape){in.n, 1, w->a, 1 + cells});
        o->x = graph_attention_map(g, x, in.h, in.w);
    } else {
        const struct tensor_shape tokens = {in.n, 1, 1 + cells, in.c};
        const int q = graph_input(g, tokens);
        o->x = graph_cls_attention(g, q, graph_input(g, tokens), w->a);
    }
}

static void build_pair(struct operator_graph *o, const struct wanted *w)
{
    struct graph *g = &o->g;
    const int x = graph_input(g, w->in), y = graph_input(g, w->in);
    o->x = w->op == GRAPH_MUL   ? graph_mul(g, x, y)
           : w->op == GRAPH_ADD ? graph_add(g, x, y)
                                : graph_straight_through(g, x, y);
}

static void build_single(struct operator_graph *o, const struct wanted *w)
{
    struct graph *g = &o->g;
    const int x = graph_input(g, w->in);
    switch (w->op) {
    case GRAPH_LAYER_NORM:
        o->x = graph_layer_norm(g, x, vector(g, w->in.c), vector(g, w->in.c), 1e-5f);
        o->tolerance = 2e-5;
        break;
    case GRAPH_GELU:
        o->x = graph_gelu(g, x);
        o->in_place = true;
        break;
    case GRAPH_RELU:
        o->x = graph_relu(g, x);
        o->in_place = true;
        break;
    case GRAPH_SIGMOID:
        o->x = graph_sigmoid(g, x);
        o->in_place = true;
        break;
    case GRAPH_SAMPLE_SCALE:
        o->x = graph_sample_scale(g, x, graph_input(g, (struct tensor_shape){w->in.n, 1, 1, 1}));
        o->in_place = true;
        break;
    case GRAPH_CHANNEL_SCALE:
        o->x = graph_channel_scale(g, x, vector(g, w->in.c));
        break;
    case GRAPH_MEAN:
        o->x = graph_mean(g, x);
        break;
    case GRAPH_CHANNEL_L2:
        o->x = graph_channel_l2(g, x);
        break;
    case GRAPH_COSINE:
        o->x = graph_cosine(g, x, weight(g, 2, w->a, w->in.c, 1, 1));
        break;
    case GRAPH_PAD:
        o->x = graph_pad(g, x, w->a, w->b);
        break;
    default:
        o->x = graph_resize(g, x, w->a, w->b);
        break;
    }
}

static void build(struct operator_graph *o, const struct wanted *w)
{
    struct error error;
    start(o);
    switch (w->op) {
    case GRAPH_FOCAL_CONTEXT:
        build_focal(o, w);
        break;
    case GRAPH_NEAREST:
    case GRAPH_LOOKUP:
        build_quantise(o, w);
        break;
    case GRAPH_TOKENS:
    case GRAPH_GRID:
    case GRAPH_ATTENTION_MAP:
    case GRAPH_CLS_ATTENTION:
        build_tokens(o, w);
        break;
    case GRAPH_MUL:
    case GRAPH_ADD:
    case GRAPH_STRAIGHT_THROUGH:
        build_pair(o, w);
        break;
    default:
        build_single(o, w);
    }
    if (graph_check(&o->g, &error) < 0)
        fail_msg("%s", error.text);
}

/* How a run lays out and stores its tensors. */
struct manner {
    enum cell_type in, second, out;
    size_t beside, before; /* cells that each row of the inputs has more, and before them */
    bool in_place;
};

static const struct manner manners[] = {
    {CELL_FLOAT32, CELL_FLOAT32, CELL_FLOAT32, 0, 0, false},
    {CELL_FLOAT32, CELL_FLOAT32, CELL_FLOAT32, 0, 0, true},
    {CELL_FLOAT32, CELL_FLOAT32, CELL_FLOAT32, 16, 8, false}, /* slices that are aligned … */
    {CELL_FLOAT32, CELL_FLOAT32, CELL_FLOAT32, 3, 1, false},  /* … and are not */
    {CELL_BFLOAT16, CELL_BFLOAT16, CELL_BFLOAT16, 0, 0, false},
    {CELL_BFLOAT16, CELL_BFLOAT16, CELL_BFLOAT16, 0, 0, true},
    {CELL_BFLOAT16, CELL_BFLOAT16, CELL_BFLOAT16, 16, 8, false},
    {CELL_BFLOAT16, CELL_BFLOAT16, CELL_BFLOAT16, 5, 3, false},
    {CELL_FLOAT16, CELL_FLOAT16, CELL_FLOAT16, 0, 0, false},
    {CELL_FLOAT16, CELL_FLOAT16, CELL_FLOAT16, 0, 0, true},
    {CELL_FLOAT16, CELL_FLOAT16, CELL_FLOAT16, 5, 3, false},
    {CELL_FLOAT32, CELL_BFLOAT16, CELL_BFLOAT16, 0, 0, false},
    {CELL_BFLOAT16, CELL_BFLOAT16, CELL_FLOAT32, 0, 0, false},
    {CELL_BFLOAT16, CELL_FLOAT32, CELL_BFLOAT16, 0, 0, false},
    {CELL_FLOAT16, CELL_FLOAT32, CELL_FLOAT32, 2, 1, false},
    {CELL_BFLOAT16, CELL_FLOAT16, CELL_FLOAT16, 0, 0, false},
};

static void fill_weights(const struct operator_graph *o, const struct graph_node *node,
                         float *const *weights, uint64_t *state)
{
    for (int i = 0; i < node->n_weights; i++) {
        const size_t cells = graph_weight_cells(&o->g.weights[node->weights[i]]);
        for (size_t j = 0; j < cells; j++)
            weights[i][j] = (float)cells_uniform(state);
        /* every second key is the one before it again, of which the first is to be found */
        const size_t c = (size_t)o->g.weights[node->weights[i]].shape[1];
        for (size_t j = c; node->op == GRAPH_NEAREST && j < cells; j++)
            if (j / c % 2 == 1)
                weights[i][j] = weights[i][j - c];
    }
}

struct run {
    struct step_spec spec;
    struct ref_memory memory;
    struct cuda_call call;
    float *in[GRAPH_MAX_INPUTS], *expected, *got;
    float *weights[GRAPH_MAX_NODE_WEIGHTS];
    void *device[GRAPH_MAX_INPUTS]; /* where inputs' rows begin, `before` cells earlier */
};

/* Input i: rows of the manner's stride, of which the cells beside it hold NaN. */
static void make_input(struct run *r, const struct operator_graph *o, const struct manner *m, int i,
                       uint64_t *state)
{
    const struct tensor_shape s = r->spec.in[i];
    const size_t rows = tensor_cells(s) / (size_t)s.c, stride = (size_t)s.c + m->beside;
    const enum cell_type type = o->indices > 0 ? CELL_FLOAT32 : r->spec.in_type[i];
    r->spec.in_type[i] = type;
    r->spec.in_stride[i] = stride;
    r->in[i] = cells_host(rows * stride);
    for (size_t row = 0; row < rows; row++)
        for (size_t c = 0; c < stride; c++) {
            double x = 2 * cells_uniform(state);
            if (row % 7 == 3)
                x *= 10;
            if (o->indices > 0)
                x = floor((cells_uniform(state) + 1) / 2 * o->indices);
            const bool inside = c >= m->before && c < m->before + (size_t)s.c;
            r->in[i][row * stride + c] = inside ? cells_rounded((float)x, type) : NAN;
        }
    r->device[i] = cells_upload(r->in[i], rows * stride, type);
    r->memory.in[i] = r->in[i] + m->before;
    r->call.in[i] =
        (struct cuda_tensor){(char *)r->device[i] + m->before * cell_bytes(type), type, s, stride};
}

static void make(struct run *r, const struct operator_graph *o, const struct manner *m,
                 uint64_t *state)
{
    const struct graph_node *node = &o->g.nodes[o->x];
    *r = (struct run){.spec = {.node = node, .weights = o->g.weights, .out = node->shape}};
    r->spec.out_type = m->out;
    for (int i = 0; i < node->n_in; i++) {
        r->spec.in[i] = o->g.nodes[node->in[i]].shape;
        r->spec.in_type[i] = i == 0 ? m->in : m->second;
        make_input(r, o, m, i, state);
    }
    for (int i = 0; i < node->n_weights; i++)
        r->weights[i] = cells_host(graph_weight_cells(&o->g.weights[node->weights[i]]));
    fill_weights(o, node, r->weights, state);
    r->call.node = node;
    r->call.weight_shapes = o->g.weights;
    for (int i = 0; i < node->n_weights; i++)
        r->call.weights[i] = cells_upload(
            r->weights[i], graph_weight_cells(&o->g.weights[node->weights[i]]), CELL_FLOAT32);
    const size_t cells = tensor_cells(node->shape);
    r->expected = cells_host(cells);
    r->got = cells_host(cells);
    r->memory.out = r->expected;
    r->memory.scratch = cells_host(ref_scratch(&r->spec) + 1);
    r->call.out = (struct cuda_tensor){m->in_place ? r->device[0] : cells_device(cells, m->out),
                                       m->out, node->shape, (size_t)node->shape.c};
    const size_t scratch = cuda_kernel_scratch(&r->call);
    r->call.scratch = scratch > 0 ? cells_device(scratch / 4, CELL_FLOAT32) : NULL;
    assert_int_equal(scratch % 4, 0);
}

static void finish(struct run *r, const struct manner *m)
{
    for (int i = 0; i < r->spec.node->n_in; i++) {
        cells_release(r->device[i]);
        free(r->in[i]);
    }
    for (int i = 0; i < r->spec.node->n_weights; i++) {
        cells_release((void *)r->call.weights[i]);
        free(r->weights[i]);
    }
    if (!m->in_place)
        cells_release(r->call.out.data);
    cells_release(r->call.scratch);
    free(r->memory.scratch);
    free(r->expected);
    free(r->got);
}

/* What types add to the tolerance: a rounding of the output, or, each being u, half of a cell's
 * epsilon, one of every level's L contexts, which are kept in x's type, and one of the output. A
 * level adds its own rounding to those before it: with A[0] = |x|, A[l + 1] = 1.13 |kernel| * A[l]
 * (1.13 is gelu's steepest slope), context l is off by l u A[l] at most, and so the output by L u
 * (sum of |gate| A) + u |y|. The sum is larger than the largest output, as terms of both signs
 * meet, and so the bound; but roundings are of both signs as well. Measured by the largest output
 * they stay below it by a factor of two or more. */
static double rounding(const struct run *r)
{
    const double out = cells_epsilon(r->spec.out_type);
    if (r->spec.node->op != GRAPH_FOCAL_CONTEXT)
        return out;
    return fmax(out, (out + r->spec.node->levels * cells_epsilon(r->spec.in_type[0])) / 2);
}

static void check(const struct operator_graph *o, const struct manner *m, uint64_t *state)
{
    struct run r;
    make(&r, o, m, state);
    const struct graph_node *node = r.spec.node;
    const struct tensor_shape in = r.spec.in[0], out = r.spec.out;
    const size_t cells = tensor_cells(out);
    ref_operator(node->op)(&r.spec, (const float *const *)r.weights, &r.memory);
    cuda_kernel kernel = cuda_kernel_of(node->op);
    assert_non_null(kernel);
    assert_int_equal(kernel(&r.call), cudaSuccess);
    cells_download(r.got, r.call.out.data, cells, m->out);
    const struct distance d = distance_between(r.got, r.expected, cells);
    const double tolerance = d.largest * (o->tolerance + rounding(&r));
    if (!(d.off <= tolerance))
        fail_msg(
            "%s [%d, %d, %d, %d], types %d %d %d, %zu beside, in place %d: %g instead of %g at "
            "%zu (allowed %g)",
            graph_op_name(node->op), in.n, in.h, in.w, in.c, m->in, m->second, m->out, m->beside,
            m->in_place, (double)r.got[d.at], (double)r.expected[d.at], d.at, tolerance);
    finish(&r, m);
}

static void check_all(const struct wanted *wanted, int n)
{
    uint64_t state = 20260917;
    for (int i = 0; i < n; i++) {
        struct operator_graph o;
        build(&o, &wanted[i]);
        for (size_t j = 0; j < sizeof manners / sizeof *manners; j++)
            if (!manners[j].in_place || o.in_place)
                check(&o, &manners[j], &state);
        graph_finish(&o.g);
    }
}

/* Channels that fill no access, one, a warp, and more; planes of one cell, of one row, of many. */
static const struct tensor_shape shapes[] = {
    {1, 1, 1, 1},  {3, 1, 1, 130}, {2, 3, 5, 3},   {1, 7, 7, 40},   {2, 14, 9, 96},
    {2, 1, 50, 5}, {1, 9, 4, 256}, {1, 2, 3, 388}, {1, 1, 3, 1028}, {1, 40, 31, 8}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void check_shapes(enum graph_op op, int a, int b, bool flag)
{
    struct wanted all[SHAPES];
    for (int i = 0; i < SHAPES; i++)
        all[i] = (struct wanted){op, shapes[i], a, b, flag};
    check_all(all, SHAPES);
}

static void operators_cell_by_cell_give_what_the_reference_gives(void **state)
{
    (void)state;
    const enum graph_op ops[] = {GRAPH_GELU,         GRAPH_RELU,         GRAPH_SIGMOID,
                                 GRAPH_MUL,          GRAPH_ADD,          GRAPH_STRAIGHT_THROUGH,
                                 GRAPH_SAMPLE_SCALE, GRAPH_CHANNEL_SCALE};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        check_shapes(ops[i], 0, 0, false);
}

static void layer_norms_give_what_the_reference_gives(void **state)
{
    (void)state;
    check_shapes(GRAPH_LAYER_NORM, 0, 0, false);
}

static void sums_give_what_the_reference_gives(void **state)
{
    (void)state;
    check_shapes(GRAPH_MEAN, 0, 0, false);
    check_shapes(GRAPH_CHANNEL_L2, 0, 0, false);
    check_shapes(GRAPH_COSINE, 7, 0, false);
}

static void focal_contexts_are_what_the_reference_gives(void **state)
{
    (void)state;
    const struct wanted all[] = {{GRAPH_FOCAL_CONTEXT, {1, 1, 1, 1}, 1, 3, false},
                                 {GRAPH_FOCAL_CONTEXT, {2, 7, 7, 40}, 2, 3, false},
                                 {GRAPH_FOCAL_CONTEXT, {1, 3, 3, 130}, 4, 3, true},
                                 {GRAPH_FOCAL_CONTEXT, {2, 5, 10, 5}, 3, 7, false},
                                 {GRAPH_FOCAL_CONTEXT, {1, 14, 15, 96}, 2, 5, true},
                                 {GRAPH_FOCAL_CONTEXT, {1, 9, 16, 3}, 2, 1, true},
                                 {GRAPH_FOCAL_CONTEXT, {1, 1, 20, 8}, 3, 11, false}};
    check_all(all, sizeof all / sizeof *all);
}

static void resizing_and_padding_give_what_the_reference_gives(void **state)
{
    (void)state;
    const struct wanted all[] = {
        {GRAPH_RESIZE, {1, 1, 1, 1}, 4, 3, false},   {GRAPH_RESIZE, {2, 7, 5, 3}, 28, 31, false},
        {GRAPH_RESIZE, {1, 16, 9, 40}, 5, 4, false}, {GRAPH_RESIZE, {1, 3, 200, 1}, 3, 777, false},
        {GRAPH_PAD, {2, 7, 5, 3}, 8, 6, false},      {GRAPH_PAD, {1, 1, 9, 40}, 2, 10, false},
        {GRAPH_PAD, {3, 4, 6, 5}, 3, 4, false}};
    check_all(all, sizeof all / sizeof *all);
}

static void operators_of_tokens_give_what_the_reference_gives(void **state)
{
    (void)state;
    const struct wanted all[] = {{GRAPH_TOKENS, {1, 1, 1, 1}, 0, 0, false},
                                 {GRAPH_TOKENS, {2, 7, 5, 40}, 0, 0, false},
                                 {GRAPH_GRID, {1, 1, 1, 3}, 0, 0, false},
                                 {GRAPH_GRID, {2, 7, 5, 40}, 0, 0, false},
                                 {GRAPH_ATTENTION_MAP, {1, 1, 1, 1}, 1, 0, false},
                                 {GRAPH_ATTENTION_MAP, {3, 7, 5, 1}, 6, 0, false},
                                 {GRAPH_CLS_ATTENTION, {1, 1, 1, 1}, 1, 0, false},
                                 {GRAPH_CLS_ATTENTION, {2, 14, 14, 48}, 3, 0, false},
                                 {GRAPH_CLS_ATTENTION, {1, 33, 32, 130}, 2, 0, false}};
    check_all(all, sizeof all / sizeof *all);
}

static void quantisation_finds_the_keys_that_the_reference_finds(void **state)
{
    (void)state;
    const struct wanted all[] = {{GRAPH_NEAREST, {1, 1, 1, 1}, 3, 0, false},
                                 {GRAPH_NEAREST, {2, 3, 5, 40}, 60, 6, true},
                                 {GRAPH_NEAREST, {2, 3, 5, 300}, 61, 6, false},
                                 {GRAPH_LOOKUP, {1, 1, 1, 1}, 3, 0, false},
                                 {GRAPH_LOOKUP, {2, 7, 5, 130}, 60, 0, false}};
    check_all(all, sizeof all / sizeof *all);
}

/* So many cells that threads take tall tiles of them. */
static void large_focal_contexts_are_what_the_reference_gives(void **state)
{
    (void)state;
    const struct wanted wanted = {GRAPH_FOCAL_CONTEXT, {3, 122, 121, 100}, 2, 3, true};
    uint64_t random = 20260918;
    struct operator_graph o;
    build(&o, &wanted);
    check(&o, &manners[0], &random);
    check(&o, &manners[7], &random);
    graph_finish(&o.g);
}

static int nothing_is_left(void **state)
{
    (void)state;
    return fake_leaks(true) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_cell_by_cell_give_what_the_reference_gives),
        cmocka_unit_test(layer_norms_give_what_the_reference_gives),
        cmocka_unit_test(sums_give_what_the_reference_gives),
        cmocka_unit_test(focal_contexts_are_what_the_reference_gives),
        cmocka_unit_test(large_focal_contexts_are_what_the_reference_gives),
        cmocka_unit_test(resizing_and_padding_give_what_the_reference_gives),
        cmocka_unit_test(operators_of_tokens_give_what_the_reference_gives),
        cmocka_unit_test(quantisation_finds_the_keys_that_the_reference_finds),
    };
    return cmocka_run_group_tests(tests, NULL, nothing_is_left);
}
