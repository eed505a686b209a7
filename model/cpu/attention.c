/* SPDX-License-Identifier: Apache-2.0
 * T: tokens, D: channels of a head. Scratch: scores [N][heads][T][T], then the products' own. */
#include "model/cpu/attention.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "model/cpu/loops.h"

struct cpu_attention {
    struct onednn_primitive *scores, *values;
    size_t rows, tokens; /* of the softmax: N * heads * T rows of T */
    size_t scores_bytes; /* aligned */
    float *placed;       /* scores, once bound */
};

static size_t largest(size_t a, size_t b)
{
    return a > b ? a : b;
}

int cpu_attention_create(struct cpu_attention **ret, struct onednn *onednn,
                         const struct step_spec *spec, struct error *error)
{
    struct cpu_attention *a = calloc(1, sizeof *a);
    if (a == NULL)
        return error_set(error, ENOMEM, "out of memory");
    const int n = spec->out.n, heads = spec->node->heads, t = spec->out.w, d = spec->out.c / heads;
    const size_t T = (size_t)t, D = (size_t)d, H = (size_t)heads;
    const size_t q = spec->in_stride[0], k = spec->in_stride[1], v = spec->in_stride[2];
    const struct onednn_products scores = {.n = n,
                                           .heads = heads,
                                           .rows = t,
                                           .inner = d,
                                           .cols = t,
                                           .src_strides = {T * q, D, q, 1},
                                           .weights_strides = {T * k, D, 1, k},
                                           .dst_strides = {H * T * T, T * T, T, 1},
                                           .scale = 1 / sqrtf((float)d)};
    const struct onednn_products values = {.n = n,
                                           .heads = heads,
                                           .rows = t,
                                           .inner = t,
                                           .cols = d,
                                           .src_strides = {H * T * T, T * T, T, 1},
                                           .weights_strides = {T * v, D, v, 1},
                                           .dst_strides = {T * H * D, D, H * D, 1},
                                           .scale = 0};
    a->rows = (size_t)n * H * T;
    a->tokens = T;
    a->scores_bytes =
        (a->rows * T * sizeof(float) + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    int r = onednn_products_create(&a->scores, onednn, &scores, error);
    if (r == 0)
        r = onednn_products_create(&a->values, onednn, &values, error);
    if (r < 0) {
        cpu_attention_destroy(a);
        return r;
    }
    *ret = a;
    return 0;
}

void cpu_attention_destroy(struct cpu_attention *a)
{
    if (a == NULL)
        return;
    if (a->scores != NULL)
        onednn_primitive_destroy(a->scores);
    if (a->values != NULL)
        onednn_primitive_destroy(a->values);
    free(a);
}

size_t cpu_attention_scratch(const struct cpu_attention *a)
{
    return a->scores_bytes +
           largest(onednn_scratch_bytes(a->scores), onednn_scratch_bytes(a->values));
}

int cpu_attention_bind(struct cpu_attention *a, const struct step_memory *m, struct error *error)
{
    void *scratch = (char *)m->scratch + a->scores_bytes;
    a->placed = m->scratch;
    int r = onednn_bind(a->scores, m->in[0], m->in[1], NULL, a->placed, scratch, error);
    return r < 0 ? r : onednn_bind(a->values, a->placed, m->in[2], NULL, m->out, scratch, error);
}

int cpu_attention_run(struct cpu_attention *a, struct error *error)
{
    int r = onednn_run(a->scores, error);
    if (r < 0)
        return r;
    loop_softmax(a->placed, a->rows, a->tokens);
    return onednn_run(a->values, error);
}
