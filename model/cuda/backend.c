/* SPDX-License-Identifier: Apache-2.0
 * The GPU's backend as the plan sees it: a step for every operator, each of one of the kinds of
 * cuda.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/cuda/context.h"

enum { LINE = 256 };

static const struct cuda_kind *kind_of(const struct graph_node *node)
{
    switch (node->op) {
    case GRAPH_LINEAR:
    case GRAPH_LINEAR_GRAD:
    case GRAPH_LINEAR_GRAD_WEIGHTS:
        return &cuda_product_kind;
    case GRAPH_CONV:
    case GRAPH_CONV_GRAD:
    case GRAPH_CONV_GRAD_WEIGHTS:
    case GRAPH_CONV_TRANSPOSED:
    case GRAPH_CONV_TRANSPOSED_GRAD:
    case GRAPH_CONV_TRANSPOSED_GRAD_WEIGHTS:
        return &cuda_convolution_kind;
    case GRAPH_ATTENTION:
    case GRAPH_ATTENTION_GRAD:
        return &cuda_attention_kind;
    case GRAPH_BATCH_NORM:
    case GRAPH_BATCH_STATISTICS:
        return &cuda_batch_norm_kind;
    case GRAPH_BATCH_NORM_GRAD:
    case GRAPH_BATCH_NORM_GRAD_WEIGHTS:
        return node->train ? &cuda_batch_norm_kind : &cuda_kernel_kind;
    case GRAPH_FOCAL_CONTEXT:
    case GRAPH_FOCAL_GRAD:
    case GRAPH_FOCAL_GRAD_WEIGHTS:
        return &cuda_focal_kind;
    default:
        return &cuda_kernel_kind;
    }
}

/* Weights as published */

static size_t weight_bytes(const struct step_spec *spec, int i)
{
    size_t bytes = graph_weight_cells(&spec->weights[spec->node->weights[i]]) * sizeof(float);
    return (bytes + LINE - 1) / LINE * LINE;
}

size_t cuda_published_bytes(const struct step_spec *spec)
{
    size_t bytes = 0;
    for (int i = 0; i < spec->node->n_weights; i++)
        bytes += weight_bytes(spec, i);
    return bytes;
}

void cuda_published_find(const struct step_spec *spec, const void *packed, const float **ret)
{
    const char *at = packed;
    for (int i = 0; i < spec->node->n_weights; i++) {
        ret[i] = (const float *)(const void *)at;
        at += weight_bytes(spec, i);
    }
}

static int pack_published(struct cuda_step *s, const float *const *weights, void *packed,
                          struct error *error)
{
    const float *to[GRAPH_MAX_NODE_WEIGHTS];
    int r = 0;
    cuda_published_find(&s->spec, packed, to);
    for (int i = 0; i < s->spec.node->n_weights && r == 0; i++) {
        const struct graph_weight *w = &s->spec.weights[s->spec.node->weights[i]];
        r = cuda_check(cudaMemcpyAsync((void *)(size_t)to[i], weights[i],
                                       graph_weight_cells(w) * sizeof(float),
                                       cudaMemcpyDeviceToDevice, s->backend->stream),
                       "copying weights", error);
    }
    return r;
}

/* A kernel of our own */

static int kernel_create(struct cuda_step *s, const struct cuda_step *like, struct error *error)
{
    (void)like;
    if (cuda_kernel_of(s->spec.node->op) == NULL)
        return error_set(error, ENOSYS, "the GPU's backend has no such operator");
    s->step.scratch_bytes = cuda_kernel_scratch(&s->call);
    return 0;
}

static int kernel_run(struct cuda_step *s, struct error *error)
{
    return cuda_check(cuda_kernel_of(s->spec.node->op)(&s->call), graph_op_name(s->spec.node->op),
                      error);
}

const struct cuda_kind cuda_kernel_kind = {.create = kernel_create, .run = kernel_run};

/* Steps */

/* Everything of the call but where its operands lie. */
static void describe_call(struct cuda_step *s)
{
    const struct step_spec *spec = &s->spec;
    struct cuda_call *call = &s->call;
    call->stream = s->backend->stream;
    call->node = spec->node;
    call->weight_shapes = spec->weights;
    for (int i = 0; i < spec->node->n_in; i++)
        call->in[i] = (struct cuda_tensor){NULL, spec->in_type[i], spec->in[i], spec->in_stride[i]};
    call->out = (struct cuda_tensor){NULL, spec->out_type, spec->out, (size_t)spec->out.c};
    call->residual = call->out;
    call->weights_out = (struct cuda_tensor){.type = CELL_FLOAT32};
}

static int step_create(struct backend *b, const struct step_spec *spec, const struct step *like,
                       struct step **ret, struct error *error)
{
    struct cuda_step *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ENOMEM, "out of memory");
    s->backend = b;
    s->kind = kind_of(spec->node);
    s->spec = *spec;
    s->step.packed_bytes = cuda_published_bytes(spec);
    describe_call(s);
    cuda_enter(b);
    int r = s->kind->create(s, (const struct cuda_step *)like, error);
    if (r < 0) {
        if (s->kind->destroy != NULL)
            s->kind->destroy(s);
        free(s);
        return r;
    }
    *ret = &s->step;
    return 0;
}

static void step_destroy(struct step *step)
{
    struct cuda_step *s = (struct cuda_step *)step;
    if (s == NULL)
        return;
    if (s->kind->destroy != NULL)
        s->kind->destroy(s);
    free(s);
}

static int step_pack(struct step *step, const float *const *weights, void *packed,
                     struct error *error)
{
    struct cuda_step *s = (struct cuda_step *)step;
    cuda_enter(s->backend);
    return s->kind->pack != NULL ? s->kind->pack(s, weights, packed, error)
                                 : pack_published(s, weights, packed, error);
}

void cuda_place(struct cuda_step *s, const struct step_memory *memory)
{
    s->memory = *memory;
    for (int i = 0; i < s->spec.node->n_in; i++)
        s->call.in[i].data = (void *)(size_t)memory->in[i];
    s->call.residual.data = s->spec.residual ? (void *)(size_t)memory->residual : NULL;
    s->call.out.data = memory->out;
    s->call.weights_out.data = s->spec.weights_too ? memory->weights_out : NULL;
    s->call.scratch = memory->scratch;
    cuda_published_find(&s->spec, memory->packed, s->call.weights);
}

static int step_bind(struct step *step, const struct step_memory *memory, struct error *error)
{
    struct cuda_step *s = (struct cuda_step *)step;
    cuda_place(s, memory);
    return s->kind->bind != NULL ? s->kind->bind(s, error) : 0;
}

static int step_run(struct step *step, struct error *error)
{
    struct cuda_step *s = (struct cuda_step *)step;
    int r = cuda_join_uploads(s->backend, error);
    return r < 0 ? r : s->kind->run(s, error);
}

static const struct backend_ops backend_cuda = {
    .name = "cuda",
    .joins_backward = true,
    .joins_batch_norm = true,
    .device = &cuda_device,
    .open = cuda_open,
    .close = cuda_close,
    .step_create = step_create,
    .step_destroy = step_destroy,
    .step_pack = step_pack,
    .step_bind = step_bind,
    .step_run = step_run,
    .enter = cuda_enter,
};

/* all that the module shows */
__attribute__((visibility("default"))) backend_module focald_cuda_backend;

const struct backend_ops *focald_cuda_backend(int abi)
{
    return abi == BACKEND_ABI ? &backend_cuda : NULL;
}
