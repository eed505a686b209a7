/* SPDX-License-Identifier: Apache-2.0
 * Focal contexts and their gradients by cuDNN's depth-wise convolutions (grad_focal.h has the
 * formulas):
 *
 *   forward   each level by cuDNN, GELU in its place; then sums and gates as one of our kernels
 *   backward  some images at a time: levels anew, gates, then of each level from the last one the
 *             kernel's gradient and what goes on to the level before, by cuDNN both
 *
 * Convolutions are of float32 whatever x is, and not shortened to TF32, as our own are: in half
 * precision cuDNN would round kernels and z as well. */
#include "model/cuda/focal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "model/cuda/correlation.h"
#include "model/cuda/kernels/convolution.h"
#include "model/cuda/kernels/focal_parts.h"
#include "model/cuda/matmul.h"

struct level {
    struct cuda_correlation *forward, *backward, *weights; /* NULL where not wanted */
    size_t gradient_offset;                                /* float32, [C][k][k] */
};

struct cuda_focal_library {
    int levels;
    bool gradient, x_too, weights_too; /* which gradients: x's, the kernels' */
    enum cell_type type;               /* x's */
    struct tensor_shape shape;         /* of a level, of the images at a time */
    int passes;
    struct level level[GRAPH_MAX_NODE_WEIGHTS];
    size_t cells, level_bytes; /* of a level; with what aligns the next */
    /* of scratch */
    size_t in_offset, ctx_offset, slope_offset, rest_offset, workspace_offset;
    size_t scratch_bytes;
};

static int size_of(const struct cuda_step *s, int level)
{
    return s->spec.node->window + 2 * level;
}

static bool is_gradient(const struct cuda_step *s)
{
    return s->spec.node->op != GRAPH_FOCAL_CONTEXT;
}

/* As many as the card's cache holds what they keep of, and pass after pass the same number. */
static int images_at_a_time(const struct backend *b, int n, size_t image_bytes)
{
    int images = n;
    while (images > 1 && (n % images != 0 || (size_t)images * image_bytes > (size_t)b->cache_bytes))
        images--;
    return images;
}

static void measure(struct cuda_focal_library *f, const struct cuda_step *s)
{
    const struct step_spec *spec = &s->spec;
    const enum graph_op op = spec->node->op;
    const struct tensor_shape x = spec->in[f->gradient ? 1 : 0];
    f->levels = spec->node->levels;
    f->type = spec->in_type[f->gradient ? 1 : 0];
    f->x_too = op == GRAPH_FOCAL_GRAD;
    f->weights_too = op == GRAPH_FOCAL_GRAD_WEIGHTS || spec->weights_too;
    f->shape = (struct tensor_shape){x.n, x.h, x.w, (x.c - f->levels - 1) / 2};
    const size_t image = (size_t)x.h * (size_t)x.w * (size_t)f->shape.c;
    const size_t image_bytes = image * (size_t)(2 * f->levels + 1) * sizeof(float);
    if (f->gradient)
        f->shape.n = images_at_a_time(s->backend, x.n, image_bytes);
    f->passes = x.n / f->shape.n;
    f->cells = (size_t)f->shape.n * image;
    f->level_bytes = 0;
    cuda_part(&f->level_bytes, f->cells * sizeof(float));
}

/* Kernels of odd sizes over values of one type, and no more cells than cuDNN counts. */
static bool is_possible(const struct cuda_focal_library *f, const struct cuda_step *s)
{
    const struct step_spec *spec = &s->spec;
    return spec->node->window % 2 == 1 && f->cells <= INT_MAX &&
           (!f->gradient || spec->in_type[0] == f->type) &&
           (!f->x_too || spec->out_type == f->type);
}

static int create_correlation(struct cuda_correlation **ret, const struct cuda_focal_library *f,
                              struct cuda_step *s, int level, enum cuda_direction direction,
                              struct error *error)
{
    const int k = size_of(s, level);
    const struct cuda_correlation_spec spec = {
        .direction = direction,
        .large = f->shape,
        .small = f->shape,
        .kernel = {k, k},
        .stride = {1, 1},
        .pad = k / 2,
        .type = CELL_FLOAT32,
        .exact = true,
        .depthwise = true,
    };
    return cuda_correlation_create(ret, s->backend, &spec, error);
}

static int create_level(struct cuda_focal_library *f, struct cuda_step *s, int l,
                        struct error *error)
{
    struct level *level = &f->level[l];
    int r = create_correlation(&level->forward, f, s, l, CUDA_TO_SMALL, error);
    if (r == 0 && f->gradient && (l > 0 || f->x_too))
        r = create_correlation(&level->backward, f, s, l, CUDA_TO_LARGE, error);
    if (r == 0 && f->weights_too)
        r = create_correlation(&level->weights, f, s, l, CUDA_TO_KERNEL, error);
    return r;
}

static size_t workspace_of(const struct level *level)
{
    const struct cuda_correlation *const all[] = {level->forward, level->backward, level->weights};
    size_t most = 0;
    for (int i = 0; i < 3; i++)
        if (all[i] != NULL && cuda_correlation_workspace(all[i]) > most)
            most = cuda_correlation_workspace(all[i]);
    return most;
}

static size_t kernel_cells(const struct cuda_step *s, int level)
{
    return graph_weight_cells(&s->spec.weights[s->spec.node->weights[level]]);
}

static void choose_scratch(struct cuda_focal_library *f, const struct cuda_step *s)
{
    const size_t all = (size_t)f->levels * f->level_bytes;
    size_t bytes = 0, workspace = 0;
    f->in_offset = cuda_part(&bytes, f->level_bytes);
    f->ctx_offset = cuda_part(&bytes, all);
    f->slope_offset = cuda_part(&bytes, f->gradient ? all : 0);
    f->rest_offset =
        cuda_part(&bytes, f->gradient ? 2 * (size_t)f->shape.n * (size_t)f->shape.c * sizeof(float)
                                      : cuda_focal_finish_scratch(&s->call));
    for (int l = 0; l < f->levels; l++) {
        f->level[l].gradient_offset =
            cuda_part(&bytes, f->weights_too ? kernel_cells(s, l) * sizeof(float) : 0);
        if (workspace_of(&f->level[l]) > workspace)
            workspace = workspace_of(&f->level[l]);
    }
    f->workspace_offset = cuda_part(&bytes, workspace);
    f->scratch_bytes = bytes + CUDA_SLACK;
}

int cuda_focal_library_create(struct cuda_focal_library **ret, struct cuda_step *s,
                              struct error *error)
{
    struct cuda_focal_library *f = calloc(1, sizeof *f);
    if (f == NULL)
        return error_set(error, ENOMEM, "out of memory");
    f->gradient = is_gradient(s);
    measure(f, s);
    int r = is_possible(f, s) ? 0 : 1;
    for (int l = 0; l < f->levels && r == 0; l++)
        r = create_level(f, s, l, error);
    if (r != 0) {
        cuda_focal_library_destroy(f);
        return r;
    }
    choose_scratch(f, s);
    *ret = f;
    return 0;
}

void cuda_focal_library_destroy(struct cuda_focal_library *f)
{
    if (f == NULL)
        return;
    for (int l = 0; l < f->levels; l++) {
        cuda_correlation_destroy(f->level[l].forward);
        cuda_correlation_destroy(f->level[l].backward);
        cuda_correlation_destroy(f->level[l].weights);
    }
    free(f);
}

size_t cuda_focal_library_scratch(const struct cuda_focal_library *f)
{
    return f->scratch_bytes;
}

/* Running */

static float *ctx_of(const struct cuda_focal_library *f, char *scratch, int level)
{
    return (float *)(void *)(scratch + (level < 0
                                            ? f->in_offset
                                            : f->ctx_offset + (size_t)level * f->level_bytes));
}

static float *slope_of(const struct cuda_focal_library *f, char *scratch, int level)
{
    return (float *)(void *)(scratch + f->slope_offset + (size_t)level * f->level_bytes);
}

static void *kernel_of(const struct cuda_step *s, int level)
{
    return (void *)(size_t)s->call.weights[level];
}

static int correlate(struct cuda_correlation *c, struct cuda_correlation_places places,
                     const struct cuda_focal_library *f, char *scratch, struct error *error)
{
    bool biased;
    places.workspace = cuda_correlation_workspace(c) > 0 ? scratch + f->workspace_offset : NULL;
    return cuda_correlation_run(c, &places, &biased, error);
}

/* The first level's input, which is a slice of x, dense: `first` images behind. */
static int take_input(const struct cuda_focal_library *f, const struct cuda_step *s, char *scratch,
                      size_t first, struct error *error)
{
    const struct cuda_tensor *x = &s->call.in[f->gradient ? 1 : 0];
    const size_t area = (size_t)f->shape.h * (size_t)f->shape.w, c = (size_t)f->shape.c;
    const char *from = (const char *)x->data + (first * area * x->stride + c) * cell_bytes(f->type);
    return cuda_check(cuda_dense_rows(s->backend->stream, ctx_of(f, scratch, -1), CELL_FLOAT32,
                                      from, f->type, (size_t)f->shape.n * area, c, x->stride),
                      "a focal context's input", error);
}

static int run_forward(struct cuda_focal_library *f, struct cuda_step *s, char *scratch,
                       struct error *error)
{
    int r = take_input(f, s, scratch, 0, error);
    for (int l = 0; l < f->levels && r == 0; l++) {
        const struct cuda_correlation_places places = {.large = ctx_of(f, scratch, l - 1),
                                                       .small = ctx_of(f, scratch, l),
                                                       .kernel = kernel_of(s, l)};
        r = correlate(f->level[l].forward, places, f, scratch, error);
        if (r == 0)
            r = cuda_check(cuda_focal_activate(s->backend->stream, ctx_of(f, scratch, l), NULL,
                                               f->type, f->cells),
                           "a focal level", error);
    }
    if (r != 0)
        return r;
    return cuda_check(cuda_focal_finish(&s->call, ctx_of(f, scratch, 0),
                                        f->level_bytes / sizeof(float), scratch + f->rest_offset),
                      "a focal context", error);
}

static int levels_anew(struct cuda_focal_library *f, struct cuda_step *s, char *scratch,
                       struct error *error)
{
    int r = 0;
    for (int l = 0; l < f->levels && r == 0; l++) {
        const struct cuda_correlation_places places = {.large = ctx_of(f, scratch, l - 1),
                                                       .small = slope_of(f, scratch, l),
                                                       .kernel = kernel_of(s, l)};
        r = correlate(f->level[l].forward, places, f, scratch, error);
        if (r == 0)
            r = cuda_check(cuda_focal_activate(s->backend->stream, ctx_of(f, scratch, l),
                                               slope_of(f, scratch, l), f->type, f->cells),
                           "a focal level", error);
    }
    return r;
}

static int add_weights(struct cuda_focal_library *f, char *scratch, int l, bool first,
                       struct error *error)
{
    const struct cuda_correlation_places places = {.large = ctx_of(f, scratch, l - 1),
                                                   .small = slope_of(f, scratch, l),
                                                   .kernel = scratch + f->level[l].gradient_offset,
                                                   .add = !first};
    return correlate(f->level[l].weights, places, f, scratch, error);
}

/* dctx takes the place of the level's own context, which nothing reads any more. */
static int go_back(struct cuda_focal_library *f, struct cuda_step *s, char *scratch, int l,
                   const struct cuda_focal_images *images, struct error *error)
{
    const struct cuda_correlation_places places = {.large = ctx_of(f, scratch, l),
                                                   .small = slope_of(f, scratch, l),
                                                   .kernel = kernel_of(s, l)};
    if (f->level[l].backward == NULL)
        return 0;
    int r = correlate(f->level[l].backward, places, f, scratch, error);
    if (r != 0)
        return r;
    return cuda_check(cuda_focal_before(&s->call, images, (unsigned)l, places.large),
                      "the gradient of a focal level", error);
}

static int run_images(struct cuda_focal_library *f, struct cuda_step *s, char *scratch, int pass,
                      struct error *error)
{
    const struct cuda_focal_images images = {
        .first = (size_t)pass * (size_t)f->shape.n,
        .n = (unsigned)f->shape.n,
        .to = f->x_too ? s->call.out : (struct cuda_tensor){.type = f->type},
        .ctx = ctx_of(f, scratch, 0),
        .slope = slope_of(f, scratch, 0),
        .level_cells = f->level_bytes / sizeof(float),
        .means = (float *)(void *)(scratch + f->rest_offset),
    };
    int r = take_input(f, s, scratch, images.first, error);
    if (r == 0)
        r = levels_anew(f, s, scratch, error);
    if (r == 0)
        r = cuda_check(cuda_focal_gates(&s->call, &images), "the gradient of focal gates", error);
    for (int l = f->levels - 1; l >= 0 && r == 0; l--) {
        if (f->weights_too)
            r = add_weights(f, scratch, l, pass == 0, error);
        if (r == 0)
            r = go_back(f, s, scratch, l, &images, error);
    }
    return r;
}

/* The levels' kernels lie one behind the other, as cuDNN may not write them. */
static int give_weights(struct cuda_focal_library *f, struct cuda_step *s, const char *scratch,
                        struct error *error)
{
    float *to = f->x_too ? s->call.weights_out.data : s->call.out.data;
    int r = 0;
    for (int l = 0; l < f->levels && r == 0; l++) {
        const size_t cells = kernel_cells(s, l);
        r = cuda_check(cuda_convert(s->backend->stream, to, CELL_FLOAT32,
                                    scratch + f->level[l].gradient_offset, CELL_FLOAT32, cells),
                       "the gradient of a depth-wise kernel", error);
        to += cells;
    }
    return r;
}

int cuda_focal_library_run(struct cuda_focal_library *f, struct cuda_step *s, struct error *error)
{
    char *scratch = cuda_parts(s->memory.scratch);
    if (!f->gradient)
        return run_forward(f, s, scratch, error);
    int r = 0;
    for (int pass = 0; pass < f->passes && r == 0; pass++)
        r = run_images(f, s, scratch, pass, error);
    return r == 0 && f->weights_too ? give_weights(f, s, scratch, error) : r;
}
