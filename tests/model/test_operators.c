/* SPDX-License-Identifier: Apache-2.0
 * One list of cases, each a small graph, run by the reference and by the cpu backend on the same
 * random weights and hostile inputs; the reference's values lie apart, between guards, and begin as
 * NaN.
 * test_operators --bench times the same cases on both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "model/cpu/loops.h"
#include "model/graph_grad.h"
#include "model/plan.h"

enum program {
    P_LINEAR,
    P_LINEAR_GELU,
    P_LINEAR_ADD,   /* residual that nobody needs afterwards */
    P_LINEAR_SELF,  /* residual that the layer itself reads */
    P_LINEAR_VIEW,  /* residual of which a slice is read later */
    P_LINEAR_SCALE, /* layer scale, residual read again later */
    P_CONV,
    P_CONV_PLANE, /* one plane for three input channels */
    P_LAYER_NORM,
    P_GELU,
    P_FOCAL,
    P_FOCAL_NORMALIZED,
    P_MUL,
    P_ADD,
    P_CHANNEL_SCALE,
    P_MEAN,
    P_CHANNEL_L2,
    P_BATCH_NORM,
    P_COSINE,
    P_RELU,
    P_SIGMOID,
    P_BATCH_NORM_INNER, /* of a value that only it reads */
    P_RESIZE,
    P_TRANSPOSED,
    P_TRANSPOSED_RELU,
    P_TOKENS,
    P_GRID,
    P_ATTENTION,
    P_CLS_ATTENTION,
    P_ATTENTION_MAP,
    P_QUANTISE,
    PROGRAMS
};

/* Of max(1, largest reference value). */
static const struct {
    const char *name;
    double
        tolerance; /* sums of k products in float: about sqrt(k) * 2^-24 of the largest, times 4 */
} programs[PROGRAMS] = {
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
    [P_MEAN] = {"mean", 1e-6},
    [P_CHANNEL_L2] = {"channel l2", 1e-6},
    [P_BATCH_NORM] = {"batch norm", 1e-6},
    [P_COSINE] = {"cosine", 1e-6},
    [P_RELU] = {"relu", 0},
    [P_SIGMOID] = {"sigmoid", 4e-7}, /* e^x within 2 ulp */
    [P_BATCH_NORM_INNER] = {"batch norm in place", 1e-6},
    [P_RESIZE] = {"resize", 0}, /* the same code */
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

struct operator_case {
    enum program program;
    struct tensor_shape in;
    int out;                 /* channels; focal: levels */
    int kernel, stride, pad; /* focal: kernel is the window; attention: kernel is the heads; resize:
                                kernel x stride; transposed: one column less than rows of both */
    bool slice;              /* of a wider input */
};

static const struct operator_case cases[] = {
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
    {P_MEAN, {1, 1, 1, 1}, 0, 0, 0, 0, false},
    {P_MEAN, {3, 7, 5, 19}, 0, 0, 0, 0, false},
    {P_CHANNEL_L2, {1, 1, 1, 1}, 0, 0, 0, 0, false},
    {P_CHANNEL_L2, {2, 56, 56, 130}, 0, 0, 0, 0, false},
    {P_BATCH_NORM, {3, 1, 1, 77}, 0, 0, 0, 0, false},
    {P_COSINE, {3, 1, 1, 192}, 50, 0, 0, 0, false},
    {P_COSINE, {1, 1, 1, 1}, 1, 0, 0, 0, false},
    {P_RELU, {2, 3, 5, 7}, 0, 0, 0, 0, true},
    {P_SIGMOID, {1, 1, 1, 1}, 0, 0, 0, 0, false},
    {P_SIGMOID, {2, 43, 51, 1}, 0, 0, 0, 0, false},
    {P_SIGMOID, {2, 3, 5, 19}, 0, 0, 0, 0, true},
    {P_BATCH_NORM_INNER, {2, 53, 66, 33}, 0, 0, 0, 0, false},
    {P_RESIZE, {2, 7, 7, 32}, 0, 14, 14, 0, false},
    {P_RESIZE, {1, 4, 3, 5}, 0, 2, 9, 0, true},
    {P_TRANSPOSED, {1, 1, 1, 1}, 1, 1, 1, 0, false},
    {P_TRANSPOSED, {2, 5, 4, 3}, 5, 2, 2, 0, false},
    {P_TRANSPOSED, {2, 14, 14, 32}, 1, 10, 2, 1, false}, /* one channel: as a product */
    {P_TRANSPOSED, {1, 9, 7, 18}, 2, 4, 1, 1, true},
    {P_TRANSPOSED_RELU, {2, 7, 6, 33}, 17, 4, 3, 1, false},
    {P_TRANSPOSED_RELU, {1, 5, 5, 8}, 3, 3, 4, 1, false},
    {P_TRANSPOSED_RELU, {2, 13, 9, 64}, 64, 4, 2, 1, false},
    {P_TOKENS, {1, 1, 1, 1}, 0, 0, 0, 0, false},
    {P_TOKENS, {3, 4, 5, 48}, 0, 0, 0, 0, true},
    {P_GRID, {2, 4, 5, 48}, 0, 0, 0, 0, false},
    {P_ATTENTION, {1, 1, 1, 1}, 0, 1, 0, 0, false},
    {P_ATTENTION, {2, 1, 17, 48}, 0, 4, 0, 0, false},
    {P_ATTENTION, {2, 1, 197, 128}, 0, 2, 0, 0, false},
    {P_ATTENTION, {1, 1, 33, 35}, 0, 5, 0, 0, true},
    {P_CLS_ATTENTION, {2, 1, 17, 48}, 0, 4, 0, 0, false},
    {P_ATTENTION_MAP, {2, 1, 13, 8}, 0, 4, 0, 0, false},
    {P_QUANTISE, {2, 7, 7, 32}, 64, 0, 0, 0, false},
    {P_QUANTISE, {1, 3, 5, 17}, 23, 0, 0, 0, true},
};

enum { CLASSES = 6, SHARED = 3 };

static uint64_t seed_value = 20240917;

static double uniform(uint64_t *state) /* [-1, 1) */
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-52 - 1;
}

/* Rows of different sizes: ordinary, tiny, large, constant, zero. */
static void fill_hostile(float *x, struct tensor_shape s, uint64_t state)
{
    size_t rows = tensor_cells(s) / (size_t)s.c;
    for (size_t r = 0; r < rows; r++) {
        double scale = r % 7 == 3 ? 1e-20 : r % 7 == 5 ? 30 : 1;
        double offset = r % 11 == 4 ? 10 : 0;
        if (r % 13 == 9)
            scale = 0;
        for (size_t c = 0; c < (size_t)s.c; c++)
            x[r * (size_t)s.c + c] = (float)(offset + scale * uniform(&state));
    }
}

/* The graphs */

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

static int batch_norm(struct graph *g, int x, int c)
{
    const int w[4] = {weight(g, "bn.weight", 1, c, 1, 1), weight(g, "bn.bias", 1, c, 1, 1),
                      weight(g, "bn.running_mean", 1, c, 1, 1),
                      weight(g, "bn.running_var", 1, c, 1, 1)};
    return graph_batch_norm(g, x, w, 1e-5f);
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

/* inputs: up to two, -1 where none. Returns the output. */
static int build(struct graph *g, const struct operator_case *c, int inputs[2])
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
    case P_MEAN:
        return graph_mean(g, x);
    case P_CHANNEL_L2:
        return graph_channel_l2(g, x);
    case P_BATCH_NORM:
        return batch_norm(g, x, ch);
    case P_COSINE:
        return graph_cosine(g, x, weight(g, "cosine.weight", 2, c->out, ch, 1));
    case P_RELU:
        return graph_relu(g, x);
    case P_SIGMOID:
        return graph_sigmoid(g, x);
    case P_BATCH_NORM_INNER: /* gelu(x) may be overwritten */
        return batch_norm(g, graph_gelu(g, x), ch);
    case P_RESIZE:
        return graph_resize(g, x, c->kernel, c->stride);
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
        y = inputs[1] = graph_input(g, (struct tensor_shape){c->in.n, 1, 1, CLASSES});
        int codebook = weight(g, "codebook", 2, c->out, ch, 1);
        return graph_lookup(g, graph_nearest(g, x, y, codebook, SHARED, true), codebook);
    }
    default:
        y = inputs[1] = graph_input(g, c->in);
        return (c->program == P_MUL ? graph_mul : graph_add)(g, x, y);
    }
}

/* Running */

struct run {
    struct graph_backward backward; /* empty where not asked for */
    int seed, inputs[2];
    struct backend *backend;
    struct weights *weights;
    struct plan *plan;
    void *arena;
    int output;
};

static void start(struct run *r, const struct operator_case *c, const struct backend_ops *ops,
                  bool isolate, bool backward)
{
    struct error error;
    struct graph g;
    int inputs[2];
    graph_init(&g);
    r->output = graph_output(&g, build(&g, c, inputs));
    r->backward = (struct graph_backward){0};
    r->inputs[0] = inputs[0];
    r->inputs[1] = inputs[1];
    const struct graph_wanted wanted = {.inputs = true};
    if (backward && graph_grad(&g, &r->output, 1, &wanted, &r->seed, &r->backward, &error) < 0)
        fail_msg("%s", error.text);
    if (ops->open(&r->backend, 2, &error) < 0 || weights_hashed(&r->weights, &error) < 0)
        fail_msg("%s", error.text);
    struct plan_config config = {
        .ops = ops, .backend = r->backend, .weights = r->weights, .isolate = isolate};
    if (plan_create(&r->plan, &g, &config, &error) < 0)
        fail_msg("%s: %s", programs[c->program].name, error.text);
    r->arena = memory_zeroed(plan_arena_bytes(r->plan), 1);
    assert_non_null(r->arena);
    if (plan_bind(r->plan, r->arena, &error) < 0)
        fail_msg("%s", error.text);
    for (int i = 0; i < 2 && inputs[i] >= 0; i++) {
        struct tensor_shape s;
        float *x = plan_value(r->plan, inputs[i], &s);
        fill_hostile(x, s, seed_value + (uint64_t)i);
    }
    if (backward) {
        struct tensor_shape s;
        float *x = plan_value(r->plan, r->seed, &s);
        uint64_t state = seed_value + 7;
        for (size_t i = 0; i < tensor_cells(s); i++)
            x[i] = (float)uniform(&state);
    }
}

static void finish(struct run *r, const struct backend_ops *ops)
{
    graph_backward_finish(&r->backward);
    plan_destroy(r->plan);
    ops->close(r->backend);
    weights_destroy(r->weights);
    free(r->arena);
}

static void run_once(struct run *r)
{
    struct error error;
    if (plan_run(r->plan, &error) < 0)
        fail_msg("%s", error.text);
}

static void check_placed(const struct operator_case *c, bool isolate)
{
    struct run ref, cpu;
    struct tensor_shape shape;
    start(&ref, c, &backend_ref, true, false);
    start(&cpu, c, &backend_cpu, isolate, false);
    run_once(&ref);
    run_once(&cpu);
    const float *a = plan_value(ref.plan, ref.output, &shape);
    const float *b = plan_value(cpu.plan, cpu.output, NULL);
    double largest = 1, error = 0;
    for (size_t i = 0; i < tensor_cells(shape); i++)
        largest = fmax(largest, fabs((double)a[i]));
    for (size_t i = 0; i < tensor_cells(shape); i++) {
        double e = fabs((double)a[i] - (double)b[i]) / largest;
        if (!(e <= error)) /* NaN stays */
            error = e;
        if (isnan(e))
            break;
    }
    double limit = programs[c->program].tolerance;
    if (!(error <= limit))
        fail_msg("%s of [%d, %d, %d, %d] -> %d: error %g, limit %g", programs[c->program].name,
                 c->in.n, c->in.h, c->in.w, c->in.c, c->out, error, limit);
    if (!plan_guards_intact(ref.plan) || (isolate && !plan_guards_intact(cpu.plan)))
        fail_msg("%s of [%d, %d, %d, %d] writes outside its value", programs[c->program].name,
                 c->in.n, c->in.h, c->in.w, c->in.c);
    finish(&ref, &backend_ref);
    finish(&cpu, &backend_cpu);
}

/* The inputs' gradients are outputs; others' places may have been used again. */
static bool is_input(const struct run *r, int value)
{
    return value == r->inputs[0] || value == r->inputs[1];
}

/* Values that are gradients of inputs or weights; -1 behind the last. */
static int gradient_at(const struct run *r, int i)
{
    for (int value = 0; value < r->backward.n_values; value++)
        if (is_input(r, value) && r->backward.values[value] >= 0 && i-- == 0)
            return r->backward.values[value];
    for (int w = 0; w < r->backward.n_weights; w++)
        if (r->backward.weights[w].value >= 0 && i-- == 0)
            return r->backward.weights[w].value;
    return -1;
}

/* Gradients are sums of up to some hundred products of factors up to 300 (1 / sqrt(eps) of a norm),
 * compared by max(1, the largest). */
static void check_gradients(const struct operator_case *c, bool isolate)
{
    struct run ref, cpu;
    struct tensor_shape shape;
    start(&ref, c, &backend_ref, true, true);
    start(&cpu, c, &backend_cpu, isolate, true);
    run_once(&ref);
    run_once(&cpu);
    int value, n = 0;
    for (; (value = gradient_at(&ref, n)) >= 0; n++) {
        const float *a = plan_value(ref.plan, value, &shape);
        const float *b = plan_value(cpu.plan, value, NULL);
        double largest = 1, error = 0;
        for (size_t i = 0; i < tensor_cells(shape); i++)
            largest = fmax(largest, fabs((double)a[i]));
        for (size_t i = 0; i < tensor_cells(shape); i++) {
            double e = fabs((double)a[i] - (double)b[i]) / largest;
            error = e <= error ? error : e; /* NaN stays */
        }
        if (!(error <= 2e-5))
            fail_msg("gradient %d of %s of [%d, %d, %d, %d] -> %d: error %g", n,
                     programs[c->program].name, c->in.n, c->in.h, c->in.w, c->in.c, c->out, error);
    }
    assert_true(n > 0);
    assert_true(plan_guards_intact(ref.plan) && (!isolate || plan_guards_intact(cpu.plan)));
    finish(&ref, &backend_ref);
    finish(&cpu, &backend_cpu);
}

/* Values of the cpu apart, between guards; then as they share memory in earnest. */
static void check_case(const struct operator_case *c)
{
    check_placed(c, true);
    check_placed(c, false);
}

/* state: the vector extension of our own loops. */
static void the_cpu_agrees_with_the_reference_on_every_case(void **state)
{
    print_message("%s, seed %llu (FOCALD_SEED)\n", (const char *)*state,
                  (unsigned long long)seed_value);
    if (!loop_force(*state)) {
        print_message("skipped: this processor has no %s\n", (const char *)*state);
        skip();
    }
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_case(&cases[i]);
    loop_force(NULL);
}

static void gradients_agree_as_well(void **state)
{
    if (!loop_force(*state)) {
        print_message("skipped: this processor has no %s\n", (const char *)*state);
        skip();
    }
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        /* what chooses a key has no gradient; of a long row of zeros the length has none */
        if (cases[i].program == P_QUANTISE || cases[i].program == P_CHANNEL_L2)
            continue;
        check_gradients(&cases[i], true);
        check_gradients(&cases[i], false);
    }
    loop_force(NULL);
}

/* Shapes nobody thought of. */
static void the_cpu_agrees_with_the_reference_on_random_shapes(void **state)
{
    (void)state;
    uint64_t s = seed_value;
    print_message("seed %llu (FOCALD_SEED)\n", (unsigned long long)seed_value);
    for (int i = 0; i < 310; i++) {
        struct operator_case c = {.program = (enum program)(i % PROGRAMS)};
        c.in.n = 1 + (int)(1.5 + 1.5 * uniform(&s));
        c.in.h = 1 + (int)(6 + 6 * uniform(&s));
        c.in.w = 1 + (int)(6 + 6 * uniform(&s));
        c.in.c = 3 + (int)(40 + 40 * uniform(&s));
        c.out = 1 + (int)(30 + 30 * uniform(&s));
        c.kernel = 1 + (int)(2.5 + 2.5 * uniform(&s));
        c.stride = 1 + (int)(1.5 + 1.5 * uniform(&s));
        c.pad = c.kernel / 2;
        c.slice = i % 3 == 2;
        if (c.program == P_CONV_PLANE)
            c.in.c = 1;
        if (c.program == P_FOCAL || c.program == P_FOCAL_NORMALIZED) {
            c.out = 1 + c.out % 4;
            c.kernel |= 1;
        }
        bool attends = c.program == P_ATTENTION || c.program == P_CLS_ATTENTION;
        if (attends || c.program == P_ATTENTION_MAP) {
            c.in.h = 1;
            c.in.w++;
            c.in.c *= c.kernel;
        }
        if (c.program == P_QUANTISE)
            c.out += CLASSES + SHARED;
        if (c.program == P_TRANSPOSED || c.program == P_TRANSPOSED_RELU)
            c.pad = c.kernel > 3; /* something is left of a single cell */
        if (c.program == P_MEAN || c.program == P_COSINE || c.program == P_BATCH_NORM)
            c.in.h = c.in.w = 1;
        if (c.in.h + 2 * c.pad >= c.kernel && c.in.w + 2 * c.pad >= c.kernel)
            check_case(&c);
    }
}

/* Timing */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The fastest of the runs of about 50 ms. */
static double time_us(const struct operator_case *c, const struct backend_ops *ops)
{
    struct run r;
    double best = INFINITY, end = now_s() + 0.05;
    start(&r, c, ops, false, false);
    do {
        double begin = now_s();
        run_once(&r);
        best = fmin(best, now_s() - begin);
    } while (now_s() < end);
    finish(&r, ops);
    return 1e6 * best;
}

static int bench(void)
{
    printf("%-34s %-22s %5s %12s %12s %8s\n", "operator", "input", "out", "ref us", "cpu us",
           "ratio");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct operator_case *c = &cases[i];
        char shape[64];
        double ref = time_us(c, &backend_ref), cpu = time_us(c, &backend_cpu);
        snprintf(shape, sizeof shape, "[%d, %d, %d, %d]", c->in.n, c->in.h, c->in.w, c->in.c);
        printf("%-34s %-22s %5d %12.1f %12.1f %8.1f\n", programs[c->program].name, shape, c->out,
               ref, cpu, ref / cpu);
    }
    return 0;
}

static char simd_avx512[] = "avx512", simd_avx2[] = "avx2", simd_generic[] = "generic";

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(the_cpu_agrees_with_the_reference_on_every_case, simd_avx512),
        cmocka_unit_test_prestate(the_cpu_agrees_with_the_reference_on_every_case, simd_avx2),
        cmocka_unit_test_prestate(the_cpu_agrees_with_the_reference_on_every_case, simd_generic),
        cmocka_unit_test(the_cpu_agrees_with_the_reference_on_random_shapes),
        cmocka_unit_test_prestate(gradients_agree_as_well, simd_avx512),
        cmocka_unit_test_prestate(gradients_agree_as_well, simd_avx2),
        cmocka_unit_test_prestate(gradients_agree_as_well, simd_generic),
    };
    if (getenv("FOCALD_SEED") != NULL)
        seed_value = strtoull(getenv("FOCALD_SEED"), NULL, 0);
    if (argc > 1 && strcmp(argv[1], "--bench") == 0)
        return bench();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
