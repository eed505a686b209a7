/* SPDX-License-Identifier: Apache-2.0
 * T: tokens, H: heads, D: channels of a head, C = H D. Image by image, whose scores then stay in
 * the cache:
 *
 *   S = q k^T / sqrt(D), P = softmax(S), y = P v
 *   dv = P^T g, dP = g v^T, dS = P (dP - sum over keys of P dP), dq = dS k / sqrt(D),
 *   dk = dS^T q / sqrt(D)
 *
 * Scratch: P [H][T][T], of the gradient dP likewise and a result [T][C], since products are faster
 * where their rows are dense; then the products' own. */
#include "model/cpu/attention.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/cpu/for_rows.h"
#include "model/cpu/loops.h"

enum product { SCORES, VALUES, OF_SCORES, OF_V, OF_Q, OF_K, PRODUCTS };

/* Floats from one head, row, column to the next. */
struct matrix {
    size_t head, row, col;
};

struct cpu_attention {
    struct step_spec spec;
    struct step_memory memory;
    struct onednn_primitive *products[PRODUCTS]; /* those that the pass needs */
    size_t images, tokens, heads, c;
    float scale;
    size_t scores_bytes, result_bytes; /* aligned */
};

static size_t aligned(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

static struct matrix turned(struct matrix m)
{
    return (struct matrix){m.head, m.col, m.row};
}

struct sizes {
    size_t rows, inner, cols;
};

/* Of an image, head, row and column. The only image's says what lies outermost, by which the
 * library chooses how it goes about it. */
static void put_strides(size_t *ret, struct matrix m, size_t heads, size_t rows, size_t cols)
{
    const size_t by_rows = rows * m.row, by_cols = cols * m.col;
    ret[0] = heads * m.head;
    ret[0] = ret[0] > by_rows ? ret[0] : by_rows;
    ret[0] = ret[0] > by_cols ? ret[0] : by_cols;
    ret[1] = m.head;
    ret[2] = m.row;
    ret[3] = m.col;
}

static int create_product(struct cpu_attention *a, enum product which, struct onednn *onednn,
                          struct sizes s, struct matrix src, struct matrix weights,
                          struct matrix dst, struct error *error)
{
    struct onednn_products product = {.n = 1,
                                      .heads = (int)a->heads,
                                      .rows = (int)s.rows,
                                      .inner = (int)s.inner,
                                      .cols = (int)s.cols,
                                      .scale = which == SCORES ? a->scale : 0};
    put_strides(product.src_strides, src, a->heads, s.rows, s.inner);
    put_strides(product.weights_strides, weights, a->heads, s.inner, s.cols);
    put_strides(product.dst_strides, dst, a->heads, s.rows, s.cols);
    return onednn_products_create(&a->products[which], onednn, &product, error);
}

static int create_forward(struct cpu_attention *a, struct onednn *onednn, struct error *error)
{
    const size_t T = a->tokens, D = a->c / a->heads, *stride = a->spec.in_stride;
    const struct matrix q = {D, stride[0], 1}, k = {D, stride[1], 1}, v = {D, stride[2], 1},
                        p = {T * T, T, 1}, y = {D, a->c, 1};
    int r = create_product(a, SCORES, onednn, (struct sizes){T, D, T}, q, turned(k), p, error);
    return r < 0 ? r : create_product(a, VALUES, onednn, (struct sizes){T, T, D}, p, v, y, error);
}

static int create_backward(struct cpu_attention *a, struct onednn *onednn, struct error *error)
{
    const size_t T = a->tokens, D = a->c / a->heads, *stride = a->spec.in_stride;
    const struct matrix g = {D, stride[0], 1}, q = {D, stride[1], 1}, k = {D, stride[2], 1},
                        v = {D, stride[3], 1}, p = {T * T, T, 1}, y = {D, a->c, 1};
    const struct sizes scores = {T, D, T}, values = {T, T, D};
    int r = create_product(a, SCORES, onednn, scores, q, turned(k), p, error);
    if (r == 0)
        r = create_product(a, OF_SCORES, onednn, scores, g, turned(v), p, error);
    if (r == 0)
        r = create_product(a, OF_V, onednn, values, turned(p), g, y, error);
    if (r == 0)
        r = create_product(a, OF_Q, onednn, values, p, k, y, error);
    return r < 0 ? r : create_product(a, OF_K, onednn, values, turned(p), q, y, error);
}

static bool is_back(const struct cpu_attention *a)
{
    return a->spec.node->op == GRAPH_ATTENTION_GRAD;
}

int cpu_attention_create(struct cpu_attention **ret, struct onednn *onednn,
                         const struct step_spec *spec, struct error *error)
{
    struct cpu_attention *a = calloc(1, sizeof *a);
    if (a == NULL)
        return error_set(error, ENOMEM, "out of memory");
    a->spec = *spec;
    a->images = (size_t)spec->out.n;
    a->tokens = (size_t)spec->out.w;
    a->heads = (size_t)spec->node->heads;
    a->c = (size_t)spec->in[0].c;
    a->scale = 1 / sqrtf((float)(a->c / a->heads));
    a->scores_bytes = aligned(a->heads * a->tokens * a->tokens * sizeof(float));
    a->result_bytes = aligned(a->tokens * a->c * sizeof(float));
    int r = is_back(a) ? create_backward(a, onednn, error) : create_forward(a, onednn, error);
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
    for (int i = 0; i < PRODUCTS; i++)
        onednn_primitive_destroy(a->products[i]);
    free(a);
}

/* Before the products' own scratch. */
static size_t our_bytes(const struct cpu_attention *a)
{
    return is_back(a) ? 2 * a->scores_bytes + a->result_bytes : a->scores_bytes;
}

size_t cpu_attention_scratch(const struct cpu_attention *a)
{
    size_t own = 0;
    for (int i = 0; i < PRODUCTS; i++)
        if (a->products[i] != NULL && onednn_scratch_bytes(a->products[i]) > own)
            own = onednn_scratch_bytes(a->products[i]);
    return our_bytes(a) + own;
}

void cpu_attention_bind(struct cpu_attention *a, const struct step_memory *m)
{
    a->memory = *m;
}

static int multiply(struct cpu_attention *a, enum product which, const float *src,
                    const float *weights, float *dst, struct error *error)
{
    void *own = (char *)a->memory.scratch + our_bytes(a);
    int r = onednn_bind(a->products[which], src, weights, NULL, dst, own, error);
    return r < 0 ? r : onednn_run(a->products[which], error);
}

static const float *image(const struct cpu_attention *a, int input, size_t i)
{
    return a->memory.in[input] + i * a->tokens * a->spec.in_stride[input];
}

/* p: of image i */
static int probabilities(struct cpu_attention *a, const float *q, const float *k, float *p,
                         struct error *error)
{
    int r = multiply(a, SCORES, q, k, p, error);
    if (r == 0)
        loop_softmax(p, a->heads * a->tokens, a->tokens);
    return r;
}

static int run_forward(struct cpu_attention *a, size_t i, struct error *error)
{
    float *p = a->memory.scratch, *y = a->memory.out + i * a->tokens * a->c;
    int r = probabilities(a, image(a, 0, i), image(a, 1, i), p, error);
    return r < 0 ? r : multiply(a, VALUES, p, image(a, 2, i), y, error);
}

/* y: [T][3 C] of image i, at the channels of one of the three */
static int multiply_into(struct cpu_attention *a, enum product which, const float *src,
                         const float *weights, float *y, struct error *error)
{
    const size_t c = a->c;
    float *result = (float *)a->memory.scratch + 2 * a->scores_bytes / sizeof *result;
    int r = multiply(a, which, src, weights, result, error);
    if (r == 0)
        FOR_ROWS(t, a->tokens, c, memcpy(y + t * 3 * c, result + t * c, c * sizeof *y));
    return r;
}

static int run_backward(struct cpu_attention *a, size_t i, struct error *error)
{
    const float *g = image(a, 0, i), *q = image(a, 1, i), *k = image(a, 2, i), *v = image(a, 3, i);
    float *p = a->memory.scratch, *dp = p + a->scores_bytes / sizeof *p;
    float *y = a->memory.out + i * a->tokens * 3 * a->c;
    int r = probabilities(a, q, k, p, error);
    if (r == 0)
        r = multiply_into(a, OF_V, p, g, y + 2 * a->c, error);
    if (r == 0)
        r = multiply(a, OF_SCORES, g, v, dp, error);
    if (r < 0)
        return r;
    loop_softmax_grad(p, a->heads * a->tokens, a->tokens, a->scale, dp);
    r = multiply_into(a, OF_Q, dp, k, y, error);
    return r < 0 ? r : multiply_into(a, OF_K, dp, q, y + a->c, error);
}

int cpu_attention_run(struct cpu_attention *a, struct error *error)
{
    int r = 0;
    for (size_t i = 0; i < a->images && r == 0; i++)
        r = is_back(a) ? run_backward(a, i, error) : run_forward(a, i, error);
    return r;
}
