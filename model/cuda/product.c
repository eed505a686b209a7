/* SPDX-License-Identifier: Apache-2.0
 * Linear layers and their gradients. P: positions, I: channels in, O: channels out.
 *
 * LINEAR              out [P][O] = x [P][I] W^T + bias, W: [O][I]
 * LINEAR_GRAD         out [P][I] = g [P][O] W
 * LINEAR_GRAD_WEIGHTS out [O][I] = g^T x, float32, then the sums of g over P: [O]
 *
 * Packed: W of the type that is multiplied, the bias of the result's. Scratch: an input of that
 * type, the sums' own, the product's own. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "model/cuda/matmul.h"
#include "model/cuda/operand.h"

struct product {
    struct cuda_matmul *matmul;
    struct cuda_matmul_places places;
    struct cuda_operand operands[2];
    int n_operands;
    enum cell_type type;                  /* that is multiplied */
    size_t bias_offset;                   /* of packed */
    size_t sums_offset, workspace_offset; /* of scratch */
    bool gelu_after;                      /* by a kernel */
    char *scratch;
};

static struct product *product_of(const struct cuda_step *s)
{
    return s->own;
}

/* The library's GELU is the approximation by tanh, off by up to 5e-4: less than bfloat16 rounds
 * values near 1 by, more than the other types do. */
static bool approximates(const struct cuda_step *s)
{
    return s->spec.gelu && s->spec.out_type == CELL_BFLOAT16;
}

static struct cuda_matmul_spec forward(const struct cuda_step *s, const struct product *p)
{
    const struct step_spec *spec = &s->spec;
    const size_t in = (size_t)spec->in[0].c, out = (size_t)spec->out.c;
    const bool back = spec->node->op == GRAPH_LINEAR_GRAD;
    const size_t whole = cuda_matmul_align(p->type, 0);
    return (struct cuda_matmul_spec){
        .batches = 1,
        .m = cuda_positions(spec->out),
        .n = out,
        .k = in,
        .a = {p->type, false, p->operands[0].stride, 0, p->operands[0].align},
        .b = {p->type, !back, back ? out : in, 0, whole},
        .d = {spec->out_type, false, out, 0, whole},
        .accumulate = spec->residual,
        .bias = !back,
        .gelu = approximates(s),
    };
}

static struct cuda_matmul_spec of_weights(const struct cuda_step *s, const struct product *p)
{
    const size_t out = (size_t)s->spec.in[0].c, in = (size_t)s->spec.in[1].c;
    return (struct cuda_matmul_spec){
        .batches = 1,
        .m = out,
        .n = in,
        .k = cuda_positions(s->spec.in[0]),
        .a = {p->type, true, p->operands[0].stride, 0, p->operands[0].align},
        .b = {p->type, false, p->operands[1].stride, 0, p->operands[1].align},
        .d = {CELL_FLOAT32, false, in, 0, cuda_matmul_align(CELL_FLOAT32, 0)},
    };
}

static int product_create(struct cuda_step *s, const struct cuda_step *like, struct error *error)
{
    (void)like; /* the packed weights' form is the node's alone */
    const struct step_spec *spec = &s->spec;
    const bool weights = spec->node->op == GRAPH_LINEAR_GRAD_WEIGHTS;
    assert(!(spec->gelu && spec->residual));
    struct product *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(error, ENOMEM, "out of memory");
    s->own = p;
    p->n_operands = weights ? 2 : 1;
    p->type = cuda_common_type(spec, p->n_operands, !weights);
    p->gelu_after = spec->gelu && !approximates(s);
    size_t scratch = 0, packed = 0;
    for (int i = 0; i < p->n_operands; i++)
        cuda_operand_choose(&p->operands[i], spec, i, p->type, false, &scratch);
    const struct cuda_matmul_spec product = weights ? of_weights(s, p) : forward(s, p);
    int r = cuda_matmul_create(&p->matmul, s->backend, &product, error);
    if (r < 0)
        return r;
    if (weights)
        p->sums_offset = cuda_part(&scratch, cuda_column_sums_scratch(product.k, product.m));
    else
        cuda_part(&packed, product.n * product.k * cell_bytes(p->type));
    if (product.bias)
        p->bias_offset = cuda_part(&packed, product.n * cell_bytes(spec->out_type));
    p->workspace_offset = cuda_part(&scratch, cuda_matmul_workspace(p->matmul));
    s->step.packed_bytes = packed;
    s->step.scratch_bytes = scratch > 0 ? scratch + CUDA_SLACK : 0;
    return 0;
}

static void product_destroy(struct cuda_step *s)
{
    struct product *p = product_of(s);
    if (p == NULL)
        return;
    cuda_matmul_destroy(p->matmul);
    free(p);
    s->own = NULL;
}

static int product_pack(struct cuda_step *s, const float *const *weights, void *packed,
                        struct error *error)
{
    const struct product *p = product_of(s);
    const struct step_spec *spec = &s->spec;
    if (spec->node->op == GRAPH_LINEAR_GRAD_WEIGHTS)
        return 0;
    const bool back = spec->node->op == GRAPH_LINEAR_GRAD;
    const size_t rows = (size_t)(back ? spec->in[0].c : spec->out.c);
    const size_t cols = (size_t)(back ? spec->out.c : spec->in[0].c);
    const float *scale = spec->scaled ? weights[spec->node->n_weights] : NULL;
    cudaStream_t stream = s->backend->stream;
    int r = cuda_check(cuda_scale_rows(stream, packed, p->type, weights[0], scale, rows, cols),
                       "weights of a linear layer", error);
    if (r < 0 || back)
        return r;
    return cuda_check(cuda_scale_rows(stream, (char *)packed + p->bias_offset, spec->out_type,
                                      weights[1], scale, rows, 1),
                      "bias of a linear layer", error);
}

static int product_bind(struct cuda_step *s, struct error *error)
{
    struct product *p = product_of(s);
    const struct step_memory *m = &s->memory;
    const bool weights = s->spec.node->op == GRAPH_LINEAR_GRAD_WEIGHTS;
    p->scratch = s->step.scratch_bytes > 0 ? cuda_parts(m->scratch) : NULL;
    p->places = (struct cuda_matmul_places){
        .a = cuda_operand_place(&p->operands[0], s, p->scratch),
        .b = weights ? cuda_operand_place(&p->operands[1], s, p->scratch) : m->packed,
        .c = s->spec.residual ? m->residual : NULL,
        .bias = weights ? NULL : (const char *)m->packed + p->bias_offset,
        .d = m->out,
        .workspace = p->scratch != NULL ? p->scratch + p->workspace_offset : NULL,
    };
    return cuda_matmul_bind(p->matmul, &p->places, error);
}

/* The gradient of the bias lies behind that of the weights. */
static cudaError_t sum_bias(const struct cuda_step *s, const struct product *p)
{
    const struct step_spec *spec = &s->spec;
    const size_t out = (size_t)spec->in[0].c, in = (size_t)spec->in[1].c;
    return cuda_column_sums(s->backend->stream, s->memory.out + out * in, s->memory.in[0],
                            spec->in_type[0], cuda_positions(spec->in[0]), out, spec->in_stride[0],
                            p->scratch + p->sums_offset);
}

static int product_run(struct cuda_step *s, struct error *error)
{
    struct product *p = product_of(s);
    int r = 0;
    for (int i = 0; i < p->n_operands && r == 0; i++)
        r = cuda_operand_copy(&p->operands[i], s, p->scratch, error);
    if (r == 0)
        r = cuda_matmul_run(p->matmul, &p->places, error);
    if (r == 0 && p->gelu_after)
        r = cuda_check(cuda_gelu_in_place(s->backend->stream, s->memory.out, s->spec.out_type,
                                          tensor_cells(s->spec.out)),
                       "GELU behind a linear layer", error);
    if (r == 0 && s->spec.node->op == GRAPH_LINEAR_GRAD_WEIGHTS)
        r = cuda_check(sum_bias(s, p), "the gradient of a linear layer's bias", error);
    return r;
}

const struct cuda_kind cuda_product_kind = {
    .create = product_create,
    .destroy = product_destroy,
    .pack = product_pack,
    .bind = product_bind,
    .run = product_run,
};
