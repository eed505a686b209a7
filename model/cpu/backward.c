/* SPDX-License-Identifier: Apache-2.0
 * P: positions of g. Scratch: patches [P][in * k * k] of a convolution, parts of the bias's sum,
 * the product's own. */
#include "model/cpu/backward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/cpu/loops.h"

struct cpu_weights_grad {
    struct step_spec spec;
    struct step_memory memory;
    struct onednn_primitive *product; /* [out][in * k * k] */
    bool patches;                     /* x is a convolution's: patches are taken of it first */
    size_t rows, out, in;             /* P, rows and columns of the product */
    size_t copies;                    /* kernel channels that one plane stands for */
    size_t patches_bytes, sums_bytes;
};

static size_t aligned(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

int cpu_weights_grad_create(struct cpu_weights_grad **ret, struct onednn *onednn,
                            const struct step_spec *spec, struct error *error)
{
    struct cpu_weights_grad *b = calloc(1, sizeof *b);
    if (b == NULL)
        return error_set(error, ENOMEM, "out of memory");
    const struct graph_node *node = spec->node;
    const struct tensor_shape g = spec->in[0];
    b->spec = *spec;
    b->patches = node->op == GRAPH_CONV_GRAD_WEIGHTS;
    b->rows = (size_t)g.n * (size_t)g.h * (size_t)g.w;
    b->out = (size_t)g.c;
    b->in = (size_t)spec->in[1].c;
    b->copies = 1;
    if (b->patches) {
        b->in *= (size_t)(node->kernel[0] * node->kernel[1]);
        if (node->sum_inputs)
            b->copies = (size_t)spec->weights[node->weights[0]].shape[1];
        b->patches_bytes = aligned(b->rows * b->in * sizeof(float));
    }
    b->sums_bytes = aligned(loop_sums_scratch(b->out));
    size_t x_stride = b->patches ? b->in : spec->in_stride[1];
    const struct onednn_products product = {
        .n = 1,
        .heads = 1,
        .rows = (int)b->out,
        .inner = (int)b->rows,
        .cols = (int)b->in,
        .src_strides = {b->rows * spec->in_stride[0], b->rows * spec->in_stride[0], 1,
                        spec->in_stride[0]},
        .weights_strides = {b->rows * x_stride, b->rows * x_stride, x_stride, 1},
        .dst_strides = {b->out * b->in, b->out * b->in, b->in, 1},
    };
    int r = onednn_products_create(&b->product, onednn, &product, error);
    if (r < 0) {
        cpu_weights_grad_destroy(b);
        return r;
    }
    *ret = b;
    return 0;
}

void cpu_weights_grad_destroy(struct cpu_weights_grad *b)
{
    if (b != NULL)
        onednn_primitive_destroy(b->product);
    free(b);
}

size_t cpu_weights_grad_scratch(const struct cpu_weights_grad *b)
{
    return b->patches_bytes + b->sums_bytes + onednn_scratch_bytes(b->product);
}

int cpu_weights_grad_bind(struct cpu_weights_grad *b, const struct step_memory *m,
                          struct error *error)
{
    b->memory = *m;
    char *scratch = m->scratch;
    const float *x = b->patches ? (const float *)m->scratch : m->in[1];
    return onednn_bind(b->product, m->in[0], x, NULL, m->out,
                       scratch + b->patches_bytes + b->sums_bytes, error);
}

/* One plane stands for all channels of a kernel: [out][k*k] -> [out][copies][k*k], in place. */
static void copy_planes(const struct cpu_weights_grad *b, float *y)
{
    for (size_t o = b->out; o-- > 0;)
        for (size_t c = b->copies; c-- > 0;)
            memmove(y + (o * b->copies + c) * b->in, y + o * b->in, b->in * sizeof(float));
}

int cpu_weights_grad_run(struct cpu_weights_grad *b, struct error *error)
{
    const struct step_memory *m = &b->memory;
    if (b->patches) {
        const struct graph_node *node = b->spec.node;
        const struct loop_patches patches = {.n = b->spec.in[1].n,
                                             .in_h = b->spec.in[1].h,
                                             .in_w = b->spec.in[1].w,
                                             .in_c = b->spec.in[1].c,
                                             .out_h = b->spec.in[0].h,
                                             .out_w = b->spec.in[0].w,
                                             .kernel = {node->kernel[0], node->kernel[1]},
                                             .stride = {node->stride[0], node->stride[1]},
                                             .pad = node->pad,
                                             .x_stride = b->spec.in_stride[1]};
        loop_patches(&patches, m->in[1], m->scratch);
    }
    int r = onednn_run(b->product, error);
    if (r < 0)
        return r;
    if (b->copies > 1)
        copy_planes(b, m->out);
    loop_column_sums(m->in[0], b->spec.in_stride[0], b->rows, b->out,
                     (char *)m->scratch + b->patches_bytes, m->out + b->out * b->in * b->copies);
    return 0;
}
