/* SPDX-License-Identifier: Apache-2.0
 * N: batch, H: heads, T: tokens, D: channels of a head, C = H D. By head:
 *
 * ATTENTION       P = softmax(q k^T / sqrt(D)), out = P v
 * ATTENTION_GRAD  dv = P^T g, dP = g v^T, dS = P (dP - sum of P dP) / sqrt(D), dq = dS k,
 *                 dk = dS^T q, out [T][dq | dk | dv]
 *
 * Scores and what the softmax makes of their gradients are float32. A product runs over the larger
 * of N and H at once and is repeated for the other. Scratch: inputs of the type that is multiplied
 * where they are not, two or three matrices [N][H][T][T], the products' own. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "model/cuda/matmul.h"
#include "model/cuda/operand.h"

/* A matrix of every head of every sample. Distances are in cells. */
struct heads {
    enum cell_type type;
    size_t stride, by_sample, by_head, align;
};

struct products {
    struct cuda_matmul *matmul;
    size_t a_step, b_step, d_step; /* bytes from one repetition to the next */
};

enum { SCORES, VALUES, MAX_PRODUCTS = 5 };
enum { D_VALUES = 1, D_WEIGHTS, D_QUERIES, D_KEYS }; /* of the gradient, behind SCORES */

struct attention {
    size_t n, h, t, d;
    enum cell_type type; /* that is multiplied */
    struct cuda_operand operands[4];
    int n_operands;
    struct products products[MAX_PRODUCTS];
    size_t scores_offset, gradients_offset, workspace_offset; /* of scratch */
    size_t cast_offset; /* of what is multiplied: one of the others where that is float32 */
    char *scratch;
    struct cuda_matmul_places places[MAX_PRODUCTS]; /* of the first repetition */
};

static struct attention *attention_of(const struct cuda_step *s)
{
    return s->own;
}

static bool is_grad(const struct cuda_step *s)
{
    return s->spec.node->op == GRAPH_ATTENTION_GRAD;
}

static size_t score_cells(const struct attention *a)
{
    return a->n * a->h * a->t * a->t;
}

static struct heads heads_of_input(const struct attention *a, int i)
{
    const struct cuda_operand *o = &a->operands[i];
    size_t align = cuda_matmul_align(o->type, a->d);
    return (struct heads){o->type, o->stride, a->t * o->stride, a->d,
                          align < o->align ? align : o->align};
}

/* out: [T][c] in which these channels are a slice */
static struct heads heads_of_out(const struct cuda_step *s, const struct attention *a)
{
    const size_t c = (size_t)s->spec.out.c;
    return (struct heads){s->spec.out_type, c, a->t * c, a->d,
                          cuda_matmul_align(s->spec.out_type, a->d)};
}

static struct heads heads_of_scores(const struct attention *a, enum cell_type type)
{
    return (struct heads){type, a->t, a->h * a->t * a->t, a->t * a->t,
                          cuda_matmul_align(type, a->t * a->t)};
}

static struct cuda_matrix matrix_of(const struct attention *a, const struct heads *x,
                                    bool transposed)
{
    return (struct cuda_matrix){x->type, transposed, x->stride,
                                a->n > a->h ? x->by_sample : x->by_head, x->align};
}

static size_t step_of(const struct attention *a, const struct heads *x)
{
    return (a->n > a->h ? x->by_head : x->by_sample) * cell_bytes(x->type);
}

/* d [T][cols] = x y of [T][inner] and [inner][cols]; x_back, y_back: as they lie, transposed */
static int create_products(struct cuda_step *s, int i, const size_t sizes[2], struct heads x,
                           bool x_back, struct heads y, bool y_back, struct heads d,
                           struct error *error)
{
    struct attention *a = attention_of(s);
    const struct cuda_matmul_spec spec = {
        .batches = (int)(a->n > a->h ? a->n : a->h),
        .m = a->t,
        .k = sizes[0],
        .n = sizes[1],
        .a = matrix_of(a, &x, x_back),
        .b = matrix_of(a, &y, y_back),
        .d = matrix_of(a, &d, false),
    };
    a->products[i].a_step = step_of(a, &x);
    a->products[i].b_step = step_of(a, &y);
    a->products[i].d_step = step_of(a, &d);
    return cuda_matmul_create(&a->products[i].matmul, s->backend, &spec, error);
}

static int create_forward(struct cuda_step *s, struct error *error)
{
    const struct attention *a = attention_of(s);
    const size_t to_scores[2] = {a->d, a->t}, to_values[2] = {a->t, a->d};
    int r = create_products(s, SCORES, to_scores, heads_of_input(a, 0), false, heads_of_input(a, 1),
                            true, heads_of_scores(a, CELL_FLOAT32), error);
    if (r < 0)
        return r;
    return create_products(s, VALUES, to_values, heads_of_scores(a, a->type), false,
                           heads_of_input(a, 2), false, heads_of_out(s, a), error);
}

static int create_grad(struct cuda_step *s, struct error *error)
{
    const struct attention *a = attention_of(s);
    const struct heads g = heads_of_input(a, 0), q = heads_of_input(a, 1);
    const struct heads k = heads_of_input(a, 2), v = heads_of_input(a, 3);
    const struct heads scores = heads_of_scores(a, CELL_FLOAT32);
    const struct heads cast = heads_of_scores(a, a->type), out = heads_of_out(s, a);
    const size_t to_scores[2] = {a->d, a->t}, to_values[2] = {a->t, a->d};
    int r = create_products(s, SCORES, to_scores, q, false, k, true, scores, error);
    if (r == 0)
        r = create_products(s, D_VALUES, to_values, cast, true, g, false, out, error);
    if (r == 0)
        r = create_products(s, D_WEIGHTS, to_scores, g, false, v, true, scores, error);
    if (r == 0)
        r = create_products(s, D_QUERIES, to_values, cast, false, k, false, out, error);
    if (r == 0)
        r = create_products(s, D_KEYS, to_values, cast, true, q, false, out, error);
    return r;
}

static int attention_create(struct cuda_step *s, const struct cuda_step *like, struct error *error)
{
    (void)like; /* it has no weights */
    const struct step_spec *spec = &s->spec;
    struct attention *a = calloc(1, sizeof *a);
    if (a == NULL)
        return error_set(error, ENOMEM, "out of memory");
    s->own = a;
    a->n = (size_t)spec->out.n;
    a->h = (size_t)spec->node->heads;
    a->t = (size_t)spec->out.w;
    a->d = (size_t)spec->in[0].c / a->h;
    a->n_operands = is_grad(s) ? 4 : 3;
    a->type = cuda_common_type(spec, a->n_operands, true);
    size_t scratch = 0, workspace = 0;
    for (int i = 0; i < a->n_operands; i++)
        cuda_operand_choose(&a->operands[i], spec, i, a->type, false, &scratch);
    int r = is_grad(s) ? create_grad(s, error) : create_forward(s, error);
    if (r < 0)
        return r;
    for (int i = 0; i < MAX_PRODUCTS; i++)
        if (a->products[i].matmul != NULL &&
            cuda_matmul_workspace(a->products[i].matmul) > workspace)
            workspace = cuda_matmul_workspace(a->products[i].matmul);
    a->cast_offset = a->scores_offset = cuda_part(&scratch, score_cells(a) * sizeof(float));
    if (is_grad(s))
        a->cast_offset = a->gradients_offset = cuda_part(&scratch, score_cells(a) * sizeof(float));
    if (a->type != CELL_FLOAT32)
        a->cast_offset = cuda_part(&scratch, score_cells(a) * cell_bytes(a->type));
    a->workspace_offset = cuda_part(&scratch, workspace);
    s->step.packed_bytes = 0;
    s->step.scratch_bytes = scratch + CUDA_SLACK;
    return 0;
}

static void attention_destroy(struct cuda_step *s)
{
    struct attention *a = attention_of(s);
    if (a == NULL)
        return;
    for (int i = 0; i < MAX_PRODUCTS; i++)
        cuda_matmul_destroy(a->products[i].matmul);
    free(a);
    s->own = NULL;
}

static int attention_pack(struct cuda_step *s, const float *const *weights, void *packed,
                          struct error *error)
{
    (void)s, (void)weights, (void)packed, (void)error; /* there are none */
    return 0;
}

static struct cuda_matmul_places places_of(const struct attention *a, const void *x, const void *y,
                                           void *to)
{
    return (struct cuda_matmul_places){
        .a = x, .b = y, .d = to, .workspace = a->scratch + a->workspace_offset};
}

static void find_places(const struct cuda_step *s, struct attention *a)
{
    const void *in[4] = {NULL};
    char *out = (char *)s->memory.out;
    char *scores = a->scratch + a->scores_offset, *cast = a->scratch + a->cast_offset;
    char *gradients = a->scratch + a->gradients_offset;
    for (int i = 0; i < a->n_operands; i++)
        in[i] = cuda_operand_place(&a->operands[i], s, a->scratch);
    if (!is_grad(s)) {
        a->places[SCORES] = places_of(a, in[0], in[1], scores);
        a->places[VALUES] = places_of(a, cast, in[2], out);
        return;
    }
    const size_t c = (size_t)s->spec.in[0].c * cell_bytes(s->spec.out_type);
    const char *weights = a->type == CELL_FLOAT32 ? scores : cast;
    a->places[SCORES] = places_of(a, in[1], in[2], scores);
    a->places[D_VALUES] = places_of(a, weights, in[0], out + 2 * c);
    a->places[D_WEIGHTS] = places_of(a, in[0], in[3], gradients);
    a->places[D_QUERIES] = places_of(a, cast, in[2], out);
    a->places[D_KEYS] = places_of(a, cast, in[1], out + c);
}

static int attention_bind(struct cuda_step *s, struct error *error)
{
    struct attention *a = attention_of(s);
    int r = 0;
    a->scratch = cuda_parts(s->memory.scratch);
    find_places(s, a);
    for (int i = 0; i < MAX_PRODUCTS && r == 0; i++)
        if (a->products[i].matmul != NULL)
            r = cuda_matmul_bind(a->products[i].matmul, &a->places[i], error);
    return r;
}

/* Running */

static int multiply(const struct attention *a, int i, struct error *error)
{
    const struct products *p = &a->products[i];
    const size_t repetitions = a->n > a->h ? a->h : a->n;
    struct cuda_matmul_places at = a->places[i];
    int r = 0;
    for (size_t k = 0; k < repetitions && r == 0; k++) {
        r = cuda_matmul_run(p->matmul, &at, error);
        at.a = (const char *)at.a + p->a_step;
        at.b = (const char *)at.b + p->b_step;
        at.d = (char *)at.d + p->d_step;
    }
    return r;
}

static float scale_of(const struct attention *a)
{
    return 1 / sqrtf((float)a->d);
}

static int run_forward(struct cuda_step *s, struct error *error)
{
    const struct attention *a = attention_of(s);
    int r = multiply(a, SCORES, error);
    if (r == 0)
        r = cuda_check(cuda_softmax(s->backend->stream, a->scratch + a->cast_offset, a->type,
                                    a->scratch + a->scores_offset, CELL_FLOAT32, scale_of(a),
                                    a->n * a->h * a->t, a->t),
                       "softmax of attention", error);
    return r == 0 ? multiply(a, VALUES, error) : r;
}

static int run_grad(struct cuda_step *s, struct error *error)
{
    const struct attention *a = attention_of(s);
    const size_t rows = a->n * a->h * a->t;
    char *scores = a->scratch + a->scores_offset, *cast = a->scratch + a->cast_offset;
    cudaStream_t stream = s->backend->stream;
    int r = multiply(a, SCORES, error);
    if (r == 0)
        r = cuda_check(cuda_softmax(stream, scores, CELL_FLOAT32, scores, CELL_FLOAT32, scale_of(a),
                                    rows, a->t),
                       "softmax of attention", error);
    if (r == 0 && a->type != CELL_FLOAT32)
        r = cuda_check(cuda_convert(stream, cast, a->type, scores, CELL_FLOAT32, score_cells(a)),
                       "weights of attention", error);
    if (r == 0)
        r = multiply(a, D_VALUES, error);
    if (r == 0)
        r = multiply(a, D_WEIGHTS, error);
    if (r == 0)
        r = cuda_check(cuda_softmax_grad(stream, cast, a->type, scores,
                                         a->scratch + a->gradients_offset, CELL_FLOAT32,
                                         scale_of(a), rows, a->t),
                       "the gradient of attention's softmax", error);
    if (r == 0)
        r = multiply(a, D_QUERIES, error);
    return r == 0 ? multiply(a, D_KEYS, error) : r;
}

static int attention_run(struct cuda_step *s, struct error *error)
{
    const struct attention *a = attention_of(s);
    int r = 0;
    for (int i = 0; i < a->n_operands && r == 0; i++)
        r = cuda_operand_copy(&a->operands[i], s, a->scratch, error);
    if (r < 0)
        return r;
    return is_grad(s) ? run_grad(s, error) : run_forward(s, error);
}

const struct cuda_kind cuda_attention_kind = {
    .create = attention_create,
    .destroy = attention_destroy,
    .pack = attention_pack,
    .bind = attention_bind,
    .run = attention_run,
};
