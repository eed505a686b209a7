/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/model/cuda_call.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "model/cuda/kernels/grad.h"
#include "model/ref/ref.h"
#include "tests/compare.h"
#include "tests/fake_cuda/fake.h"
#include "tests/model/cuda_cells.h"

static uint64_t state_of_random;

void call_seed(uint64_t seed)
{
    state_of_random = seed;
}

double call_uniform(void)
{
    return cells_uniform(&state_of_random);
}

int call_below(int n)
{
    return (int)((call_uniform() + 1) / 2 * n);
}

struct call_operand call_operand(struct tensor_shape s, size_t stride, enum cell_type type,
                                 const float *values)
{
    const size_t rows = (size_t)s.n * (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    struct call_operand o = {.cells = rows * stride, .there = {NULL, type, s, stride}};
    o.here = cells_host(o.cells);
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < c; i++)
            o.here[row * stride + i] =
                cells_rounded(values != NULL ? values[row * c + i] : (float)call_uniform(), type);
    o.there.data = cells_upload(o.here, o.cells, type);
    return o;
}

void call_release(struct call_operand *o)
{
    free(o->here);
    cells_release(o->there.data);
    *o = (struct call_operand){0};
}

void call_input(struct call *c, int i, struct tensor_shape s, size_t stride, enum cell_type type,
                const float *values)
{
    c->in[i] = call_operand(s, stride, type, values);
    c->spec.in[i] = s;
    c->spec.in_stride[i] = stride;
    c->spec.in_type[i] = type;
    c->node.n_in = i + 1;
}

void call_weight(struct call *c, size_t cells, double from, double to)
{
    float *x = malloc(cells * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < cells; i++)
        x[i] = (float)(from + (to - from) * (call_uniform() + 1) / 2);
    const int k = c->node.n_weights++;
    c->weights[k] =
        call_operand((struct tensor_shape){1, 1, 1, (int)cells}, cells, CELL_FLOAT32, x);
    free(x);
}

void call_output(struct call *c, struct tensor_shape s, enum cell_type type)
{
    const size_t cells = tensor_cells(s);
    float *x = malloc(cells * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < cells; i++)
        x[i] = NAN;
    c->out = call_operand(s, (size_t)s.c, type, x);
    c->spec.out = s;
    c->spec.out_type = type;
    free(x);
}

void call_weights_out(struct call *c, int cells)
{
    const struct call_operand out = c->out;
    const struct step_spec spec = c->spec;
    call_output(c, (struct tensor_shape){1, 1, 1, cells}, CELL_FLOAT32);
    c->weights_out = c->out;
    c->out = out;
    c->spec = spec;
    c->spec.weights_too = true;
}

static void run_reference(const struct call *c, enum graph_op op, const struct call_operand *to)
{
    const float *weights[GRAPH_MAX_NODE_WEIGHTS] = {NULL};
    struct graph_node node = c->node;
    struct step_spec spec = c->spec;
    struct ref_memory m = {.out = to->here};
    node.op = op;
    spec.node = &node;
    spec.out = to->there.shape;
    for (int i = 0; i < node.n_in; i++)
        m.in[i] = c->in[i].here;
    for (int i = 0; i < node.n_weights; i++)
        weights[i] = c->weights[i].here;
    m.scratch = memory_zeroed(ref_scratch(&spec) + 1, sizeof *m.scratch);
    assert_non_null(m.scratch);
    ref_operator(op)(&spec, weights, &m);
    free(m.scratch);
    for (size_t i = 0; i < to->cells && to == &c->out && c->residual.here != NULL; i++)
        to->here[i] += c->residual.here[i];
}

static cudaError_t enqueue(const struct call *c, void *scratch)
{
    struct cuda_call call = {.node = &c->node,
                             .residual = c->residual.there,
                             .out = c->out.there,
                             .weights_out = c->weights_out.there,
                             .scratch = scratch};
    for (int i = 0; i < c->node.n_in; i++)
        call.in[i] = c->in[i].there;
    for (int i = 0; i < c->node.n_weights; i++)
        call.weights[i] = c->weights[i].there.data;
    return cuda_grad_kernel_of(c->node.op)(&call);
}

/* As the backend asks: before any memory is known. */
static size_t scratch_of(const struct call *c)
{
    struct cuda_call call = {.node = &c->node, .out = c->out.there, .residual = c->out.there};
    for (int i = 0; i < c->node.n_in; i++) {
        call.in[i] = c->in[i].there;
        call.in[i].data = NULL;
    }
    call.out.data = call.residual.data = NULL;
    return cuda_grad_kernel_scratch(&call);
}

static void compare(const struct call *c, const struct call_operand *o, const char *which)
{
    float *ours = cells_host(o->cells);
    cells_download(ours, o->there.data, o->cells, o->there.type);
    const struct distance d = distance_between(ours, o->here, o->cells);
    const double limit = (c->limit + cells_epsilon(o->there.type) / 2 * 1.01) * d.largest;
    if (!(d.off <= limit))
        fail_msg("%s (%s): %s differs by %g, allowed %g (largest %g)", graph_op_name(c->node.op),
                 c->what, which, d.off, limit, d.largest);
    free(ours);
}

/* What both outputs are; all bits of cells of any type are in their float32. */
static void fetch(const struct call *c, float *ret[2])
{
    const struct call_operand *const all[] = {&c->out, &c->weights_out};
    for (int i = 0; i < 2; i++) {
        ret[i] = cells_host(all[i]->cells + 1);
        if (all[i]->there.data != NULL)
            cells_download(ret[i], all[i]->there.data, all[i]->cells, all[i]->there.type);
    }
}

/* Once more with the blocks in another order: not a bit changes. */
static void compare_orders(const struct call *c, void *scratch)
{
    float *first[2], *second[2];
    fetch(c, first);
    fake_set("ORDER", "any:3");
    assert_int_equal(enqueue(c, scratch), cudaSuccess);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    fake_set("ORDER", NULL);
    fetch(c, second);
    for (int i = 0; i < 2; i++) {
        assert_memory_equal(first[i], second[i],
                            (i == 0 ? c->out : c->weights_out).cells * sizeof(float));
        free(first[i]);
        free(second[i]);
    }
}

void call_check(struct call *c)
{
    const size_t bytes = scratch_of(c);
    void *scratch = NULL;
    c->spec.node = &c->node;
    run_reference(c, c->node.op, &c->out);
    if (c->weights_out.here != NULL)
        run_reference(c,
                      c->node.op == GRAPH_FOCAL_GRAD ? GRAPH_FOCAL_GRAD_WEIGHTS
                                                     : GRAPH_LAYER_NORM_GRAD_WEIGHTS,
                      &c->weights_out);
    if (bytes > 0)
        assert_int_equal(cudaMalloc(&scratch, bytes), cudaSuccess);
    cudaError_t code = enqueue(c, scratch);
    if (code == cudaSuccess)
        code = cudaDeviceSynchronize();
    if (code != cudaSuccess)
        fail_msg("%s (%s): %s", graph_op_name(c->node.op), c->what, fake_last_report());
    compare(c, &c->out, "out");
    if (c->weights_out.here != NULL)
        compare(c, &c->weights_out, "weights");
    compare_orders(c, scratch);
    if (scratch != NULL)
        assert_int_equal(cudaFree(scratch), cudaSuccess);
    for (int i = 0; i < GRAPH_MAX_INPUTS; i++)
        call_release(&c->in[i]);
    for (int i = 0; i < GRAPH_MAX_NODE_WEIGHTS; i++)
        call_release(&c->weights[i]);
    call_release(&c->residual);
    call_release(&c->out);
    call_release(&c->weights_out);
}
