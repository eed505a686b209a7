/* SPDX-License-Identifier: Apache-2.0
 * The GPU's kernels of the backward pass against the reference, through a CUDA that runs on the
 * CPU: every operator on awkward shapes, strides and mixes of types, which it also gives bit for
 * bit whatever the order of the blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "tests/fake_cuda/fake.h"
#include "tests/model/cuda_call.h"
#include "tests/model/cuda_cells.h"

static const uint64_t SEED = 20261128;

/* Cases */

static const int channels[] = {1, 3, 5, 40, 96, 130};
static const struct tensor_shape planes[] = {
    {3, 1, 1, 0}, {1, 1, 9, 0}, {2, 5, 3, 0}, {2, 9, 11, 0}};

/* Types of up to four operands: all alike, then some mixes. */
static const enum cell_type mixes[][4] = {
    {CELL_FLOAT32, CELL_FLOAT32, CELL_FLOAT32, CELL_FLOAT32},
    {CELL_BFLOAT16, CELL_BFLOAT16, CELL_BFLOAT16, CELL_BFLOAT16},
    {CELL_FLOAT16, CELL_FLOAT16, CELL_FLOAT16, CELL_FLOAT16},
    {CELL_FLOAT32, CELL_BFLOAT16, CELL_BFLOAT16, CELL_FLOAT32},
    {CELL_BFLOAT16, CELL_FLOAT32, CELL_FLOAT32, CELL_FLOAT16},
};

static struct tensor_shape shape_of(size_t plane, int c)
{
    struct tensor_shape s = planes[plane];
    s.c = c;
    return s;
}

/* Dense, a slice of a whole number of vectors, or one of any. */
static size_t stride_of(int c)
{
    static const int more[] = {0, 0, 8, 3};
    return (size_t)(c + more[call_below(4)]);
}

typedef void case_maker(struct call *c, struct tensor_shape s, const enum cell_type *types);

/* Planes from one on with every number of channels; all mixes of types take their turn. */
static void check_from(size_t plane, enum graph_op op, double limit, case_maker *make)
{
    char what[128];
    call_seed(SEED + (uint64_t)op);
    for (size_t p = plane; p < ARRAY_LEN(planes); p++)
        for (size_t i = 0; i < ARRAY_LEN(channels); i++)
            for (size_t turn = 0; turn < 2; turn++) {
                const size_t m = (2 * (p * ARRAY_LEN(channels) + i) + turn) % ARRAY_LEN(mixes);
                const struct tensor_shape s = shape_of(p, channels[i]);
                struct call c = {.node = {.op = op}, .limit = limit, .what = what};
                snprintf(what, sizeof what, "%d x %d x %d x %d, types %zu", s.n, s.h, s.w, s.c, m);
                make(&c, s, mixes[m]);
                call_check(&c);
            }
}

static void check_all(enum graph_op op, double limit, case_maker *make)
{
    check_from(0, op, limit, make);
}

static void make_pair(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    call_input(c, 0, s, stride_of(s.c), types[0], NULL);
    call_input(c, 1, s, stride_of(s.c), types[1], NULL);
    call_output(c, s, types[2]);
}

static void activations(void **state)
{
    (void)state;
    check_all(GRAPH_GELU_GRAD, 1e-6, make_pair);
    check_all(GRAPH_RELU_GRAD, 0, make_pair);
    check_all(GRAPH_SIGMOID_GRAD, 1e-6, make_pair);
}

static void make_slice(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    struct tensor_shape whole = s;
    whole.c += 7;
    c->node.from = 4;
    call_input(c, 0, s, stride_of(s.c), types[0], NULL);
    call_output(c, whole, types[1]);
}

static void make_mean(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    const struct tensor_shape one = {s.n, 1, 1, s.c};
    call_input(c, 0, one, stride_of(s.c), types[0], NULL);
    call_output(c, s, types[1]);
}

static void make_channel_l2(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    const struct tensor_shape one = {s.n, s.h, s.w, 1};
    const size_t rows = (size_t)(s.n * s.h * s.w);
    float *lengths = malloc(rows * sizeof *lengths);
    assert_non_null(lengths);
    for (size_t i = 0; i < rows; i++)
        lengths[i] = i == 0 ? 0 : (float)(2 + call_uniform());
    call_input(c, 0, one, 1, types[0], NULL);
    call_input(c, 1, s, stride_of(s.c), types[1], NULL);
    call_input(c, 2, one, 1, types[2], lengths);
    call_output(c, s, types[3]);
    free(lengths);
}

static void make_resize(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    const struct tensor_shape other = {s.n, 1 + call_below(2 * s.h + 3),
                                       1 + call_below(2 * s.w + 3), s.c};
    call_input(c, 0, other, stride_of(s.c), types[0], NULL);
    call_output(c, s, types[1]);
}

static void make_grid(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    const struct tensor_shape tokens = {s.n, 1, 1 + s.h * s.w, s.c};
    call_input(c, 0, s, stride_of(s.c), types[0], NULL);
    call_output(c, tokens, types[1]);
}

static void make_attention_map(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    const struct tensor_shape map = {s.n, s.h, s.w, 1},
                              of_heads = {s.n, 1, s.c > 5 ? 2 : s.c, 1 + s.h * s.w};
    call_input(c, 0, map, stride_of(1), types[0], NULL);
    call_output(c, of_heads, types[1]);
}

static void what_is_spread_or_picked(void **state)
{
    (void)state;
    check_all(GRAPH_SLICE_GRAD, 0, make_slice);
    check_all(GRAPH_MEAN_GRAD, 1e-7, make_mean);
    check_all(GRAPH_CHANNEL_L2_GRAD, 1e-6, make_channel_l2);
    check_all(GRAPH_RESIZE_GRAD, 5e-6, make_resize);
    check_all(GRAPH_GRID_GRAD, 0, make_grid);
    check_all(GRAPH_ATTENTION_MAP_GRAD, 1e-7, make_attention_map);
}

static void make_norm(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    c->node.eps = 1e-5f;
    make_pair(c, s, types);
    call_weight(c, (size_t)s.c, -1, 1);
    call_weight(c, (size_t)s.c, -1, 1);
}

static void make_joined_norm(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    make_norm(c, s, types);
    c->residual = call_operand(s, (size_t)s.c, types[2], NULL);
    c->spec.residual = true;
    call_weights_out(c, 2 * s.c);
}

static void make_weights_of_norm(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    make_norm(c, s, types);
    call_release(&c->out);
    call_output(c, (struct tensor_shape){1, 1, 1, 2 * s.c}, CELL_FLOAT32);
}

/* eps of a layer norm over one channel is all there is of a variance: dx is its rounding noise. */
static void layer_norm(void **state)
{
    (void)state;
    check_all(GRAPH_LAYER_NORM_GRAD, 1e-5, make_joined_norm);
    check_all(GRAPH_LAYER_NORM_GRAD, 1e-5, make_norm);
    check_all(GRAPH_LAYER_NORM_GRAD_WEIGHTS, 1e-5, make_weights_of_norm);
}

/* Every number of registers, none, and more positions than blocks have turns. */
static void layer_norm_over_many(void **state)
{
    static const struct tensor_shape shapes[] = {{1, 3, 3, 256},  {1, 3, 3, 384},  {1, 3, 3, 500},
                                                 {1, 3, 3, 768},  {1, 3, 3, 1024}, {1, 2, 2, 1028},
                                                 {1, 2, 2, 1031}, {3, 80, 80, 4}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        for (size_t m = 0; m < 4; m++) {
            struct call c = {.node = {.op = GRAPH_LAYER_NORM_GRAD}, .limit = 1e-5, .what = "many"};
            call_seed(SEED + i);
            make_joined_norm(&c, shapes[i], mixes[m]);
            call_check(&c);
        }
}

static void make_batch_norm(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    c->node.eps = 1e-3f;
    make_pair(c, s, types);
    for (int i = 0; i < 3; i++)
        call_weight(c, (size_t)s.c, -1, 1);
    call_weight(c, (size_t)s.c, 0.5, 1.5);
}

static void make_weights_of_batch_norm(struct call *c, struct tensor_shape s,
                                       const enum cell_type *types)
{
    make_batch_norm(c, s, types);
    call_release(&c->out);
    call_output(c, (struct tensor_shape){1, 1, 1, 2 * s.c}, CELL_FLOAT32);
}

static void batch_norm_by_running_statistics(void **state)
{
    (void)state;
    check_all(GRAPH_BATCH_NORM_GRAD, 1e-6, make_batch_norm);
    check_all(GRAPH_BATCH_NORM_GRAD_WEIGHTS, 1e-5, make_weights_of_batch_norm);
}

static void make_channel_scale(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    make_pair(c, s, types);
    call_weight(c, (size_t)s.c, -1, 1);
    call_release(&c->out);
    call_output(c, (struct tensor_shape){1, 1, 1, s.c}, CELL_FLOAT32);
}

static void channel_scale(void **state)
{
    (void)state;
    check_all(GRAPH_CHANNEL_SCALE_GRAD_WEIGHTS, 1e-5, make_channel_scale);
}

static void make_cosine(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    const struct tensor_shape of_classes = {s.n, s.h, s.w, 1 + call_below(60)};
    call_input(c, 0, of_classes, stride_of(of_classes.c), types[0], NULL);
    call_input(c, 1, s, stride_of(s.c), types[1], NULL);
    call_weight(c, (size_t)of_classes.c * (size_t)s.c, -1, 1);
    call_output(c, s, types[2]);
}

static void make_weights_of_cosine(struct call *c, struct tensor_shape s,
                                   const enum cell_type *types)
{
    make_cosine(c, s, types);
    call_release(&c->out);
    call_output(c, (struct tensor_shape){1, 1, 1, c->spec.in[0].c * s.c}, CELL_FLOAT32);
}

/* Of one channel the cosine is a sign, and its gradient rounding noise. */
static void make_cosine_of_some(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    s.c += s.c == 1;
    (c->node.op == GRAPH_COSINE_GRAD ? make_cosine : make_weights_of_cosine)(c, s, types);
}

static void cosine(void **state)
{
    (void)state;
    check_all(GRAPH_COSINE_GRAD, 1e-5, make_cosine_of_some);
    check_all(GRAPH_COSINE_GRAD_WEIGHTS, 1e-5, make_cosine_of_some);
}

/* A row of nothing has no direction. */
static void cosine_of_nothing(void **state)
{
    const struct tensor_shape s = {2, 1, 1, 8}, of_classes = {2, 1, 1, 5};
    float x[16] = {0};
    (void)state;
    call_seed(SEED);
    for (int i = 8; i < 16; i++)
        x[i] = (float)call_uniform();
    for (int weights = 0; weights < 2; weights++) {
        struct call c = {.node = {.op = weights ? GRAPH_COSINE_GRAD_WEIGHTS : GRAPH_COSINE_GRAD},
                         .limit = 1e-5,
                         .what = "a row of zeros"};
        call_input(&c, 0, of_classes, 5, CELL_FLOAT32, NULL);
        call_input(&c, 1, s, 8, CELL_FLOAT32, x);
        call_weight(&c, 40, -1, 1);
        call_output(&c, weights ? (struct tensor_shape){1, 1, 1, 40} : s, CELL_FLOAT32);
        call_check(&c);
    }
}

static void make_tokens(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    const struct tensor_shape tokens = {s.n, 1, 1 + s.h * s.w, s.c};
    call_input(c, 0, tokens, stride_of(s.c), types[0], NULL);
    call_output(c, (struct tensor_shape){1, 1, 1, (tokens.w + 1) * s.c}, CELL_FLOAT32);
}

static void make_lookup(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    const struct tensor_shape one = {s.n, s.h, s.w, 1};
    const size_t rows = (size_t)(s.n * s.h * s.w);
    const int keys = 2 + call_below(9);
    float *indices = malloc(rows * sizeof *indices);
    assert_non_null(indices);
    for (size_t i = 0; i < rows; i++)
        indices[i] = (float)call_below(keys);
    call_input(c, 0, s, stride_of(s.c), types[0], NULL);
    call_input(c, 1, one, 1, CELL_FLOAT32, indices);
    call_weight(c, (size_t)(keys * s.c), -1, 1);
    call_output(c, (struct tensor_shape){1, 1, 1, keys * s.c}, CELL_FLOAT32);
    free(indices);
}

static void make_cls_attention(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    const int heads = s.c % 5 == 0 ? 5 : s.c % 3 == 0 ? 3 : 1, t = 1 + s.h * s.w;
    const struct tensor_shape tokens = {s.n, 1, t, s.c}, of_heads = {s.n, 1, heads, t},
                              both = {s.n, 1, t, 2 * s.c};
    float *y = malloc(tensor_cells(of_heads) * sizeof *y);
    assert_non_null(y);
    for (size_t i = 0; i < tensor_cells(of_heads); i++)
        y[i] = (float)((call_uniform() + 1) / t); /* they sum to 1 or so */
    c->node.heads = heads;
    call_input(c, 0, of_heads, (size_t)t, types[0], NULL);
    call_input(c, 1, tokens, stride_of(s.c), types[1], NULL);
    call_input(c, 2, tokens, stride_of(s.c), types[2], NULL);
    call_input(c, 3, of_heads, (size_t)t, types[3], y);
    call_output(c, both, types[1]);
    free(y);
}

static void tokens_and_keys(void **state)
{
    (void)state;
    check_all(GRAPH_TOKENS_GRAD_WEIGHTS, 1e-6, make_tokens);
    check_all(GRAPH_LOOKUP_GRAD_WEIGHTS, 1e-6, make_lookup);
    check_all(GRAPH_CLS_ATTENTION_GRAD, 1e-5, make_cls_attention);
}

/* Half types keep of every level gelu's slope and the gradient that is multiplied by it: two more
 * roundings a level, of u = half a cell's epsilon, on top of the output's. As in the forward pass
 * (test_cuda_kernels.c) they add up to 2 L u at most of sums of absolute values, and come to less,
 * being of both signs: three are allowed for any number of levels. */
static double focal_limit(const enum cell_type *types, int levels)
{
    const bool alike = types[0] == types[1] && types[1] == types[2];
    return !alike || types[0] == CELL_FLOAT32 ? 1e-5
                                              : fmin(2 * levels, 3) * cells_epsilon(types[0]) / 2;
}

static void make_focal(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    const int levels = 1 + call_below(3);
    struct tensor_shape wide = s;
    wide.c = 2 * s.c + levels + 1;
    c->node.levels = levels;
    c->node.window = 3 + 2 * call_below(2);
    c->node.normalize = call_below(2) == 1;
    c->limit = focal_limit(types, levels);
    call_input(c, 0, s, stride_of(s.c), types[0], NULL);
    call_input(c, 1, wide, stride_of(wide.c), types[1], NULL);
    for (int l = 0; l < levels; l++) {
        const int k = c->node.window + 2 * l;
        call_weight(c, (size_t)(s.c * k * k), -2.0 / k, 2.0 / k);
    }
    call_output(c, wide, types[2]);
}

static int taps_of(const struct call *c)
{
    int taps = 0;
    for (int l = 0; l < c->node.levels; l++)
        taps += (c->node.window + 2 * l) * (c->node.window + 2 * l);
    return taps;
}

static void make_joined_focal(struct call *c, struct tensor_shape s, const enum cell_type *types)
{
    make_focal(c, s, types);
    call_weights_out(c, taps_of(c) * s.c);
}

static void make_weights_of_focal(struct call *c, struct tensor_shape s,
                                  const enum cell_type *types)
{
    make_focal(c, s, types);
    call_release(&c->out);
    call_output(c, (struct tensor_shape){1, 1, 1, taps_of(c) * s.c}, CELL_FLOAT32);
}

static void focal_context(void **state)
{
    (void)state;
    check_all(GRAPH_FOCAL_GRAD, 0, make_joined_focal);
    check_from(2, GRAPH_FOCAL_GRAD, 0, make_focal);
    check_from(2, GRAPH_FOCAL_GRAD_WEIGHTS, 0, make_weights_of_focal);
}

/* Windows that no kernel is made for, and images that go through in several groups. */
static void focal_context_of_any_size(void **state)
{
    static const struct {
        struct tensor_shape shape;
        int window, levels;
    } cases[] = {{{2, 6, 9, 5}, 11, 2},
                 {{1, 4, 4, 33}, 7, 3},
                 {{1, 3, 20, 3}, 1, 4},
                 {{3, 96, 100, 300}, 3, 1}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t m = 0; m < (i == 3 ? 1 : 4); m++) {
            struct call c = {.node = {.op = GRAPH_FOCAL_GRAD,
                                      .levels = cases[i].levels,
                                      .window = cases[i].window},
                             .limit = focal_limit(mixes[m], cases[i].levels),
                             .what = "any size"};
            const struct tensor_shape s = cases[i].shape;
            struct tensor_shape wide = s;
            call_seed(SEED + i);
            wide.c = 2 * s.c + c.node.levels + 1;
            call_input(&c, 0, s, (size_t)s.c, mixes[m][0], NULL);
            call_input(&c, 1, wide, (size_t)wide.c, mixes[m][1], NULL);
            for (int l = 0; l < c.node.levels; l++) {
                const int k = c.node.window + 2 * l;
                call_weight(&c, (size_t)(s.c * k * k), -2.0 / k, 2.0 / k);
            }
            call_output(&c, wide, mixes[m][2]);
            call_weights_out(&c, taps_of(&c) * s.c);
            call_check(&c);
        }
}

static void nothing_is_left(void **state)
{
    (void)state;
    assert_int_equal(fake_leaks(true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations),
        cmocka_unit_test(what_is_spread_or_picked),
        cmocka_unit_test(layer_norm),
        cmocka_unit_test(layer_norm_over_many),
        cmocka_unit_test(batch_norm_by_running_statistics),
        cmocka_unit_test(channel_scale),
        cmocka_unit_test(cosine),
        cmocka_unit_test(cosine_of_nothing),
        cmocka_unit_test(tokens_and_keys),
        cmocka_unit_test(focal_context),
        cmocka_unit_test(focal_context_of_any_size),
        cmocka_unit_test(nothing_is_left),
    };
    print_message("seed %llu\n", (unsigned long long)SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
