/* SPDX-License-Identifier: Apache-2.0
 * Convolutions, transposed ones and their gradients: all of them are one of the three directions of
 * correlation.h. A transposed convolution goes from the small image to the large one.
 *
 * Packed: the kernel [small c][kh][kw][large c] of the type that is multiplied, the bias [out c] in
 * float32 and of that type. Scratch: inputs, kernel and result as cuDNN wants them where they are
 * not so, the bias sums' own, cuDNN's own. */
#include <errno.h>
#include <stdlib.h>

#include "model/cuda/correlation.h"
#include "model/cuda/kernels/convolution.h"
#include "model/cuda/matmul.h"
#include "model/cuda/operand.h"

/* An image on its way to or from cuDNN. */
struct image {
    struct tensor_shape shape;
    struct cuda_operand operand; /* an input's */
    bool staged;                 /* cuDNN's is in scratch, beside the operand */
    size_t staged_offset;
    void *place; /* cuDNN's, once bound */
};

struct convolution {
    struct cuda_correlation *correlation;
    enum cuda_direction direction;
    enum cell_type type; /* that is multiplied */
    struct image large, small;
    bool bias;                    /* the operator has one */
    size_t kernels, planes, taps; /* of the weights: small c, large c or what one stands for, k k */
    size_t bias_offset, cast_bias_offset;                /* of packed */
    size_t kernel_offset, sums_offset, workspace_offset; /* of scratch */
    bool kernel_staged;
    char *scratch;
    struct cuda_correlation_places places;
};

static struct convolution *convolution_of(const struct cuda_step *s)
{
    return s->own;
}

static enum cuda_direction direction_of(enum graph_op op)
{
    switch (op) {
    case GRAPH_CONV:
    case GRAPH_CONV_TRANSPOSED_GRAD:
        return CUDA_TO_SMALL;
    case GRAPH_CONV_GRAD:
    case GRAPH_CONV_TRANSPOSED:
        return CUDA_TO_LARGE;
    default:
        return CUDA_TO_KERNEL;
    }
}

/* The image that the step writes; NULL: the kernel. */
static struct image *result_of(struct convolution *c)
{
    return c->direction == CUDA_TO_SMALL   ? &c->small
           : c->direction == CUDA_TO_LARGE ? &c->large
                                           : NULL;
}

static size_t image_bytes(const struct convolution *c, const struct image *image)
{
    return tensor_cells(image->shape) * cell_bytes(c->type);
}

/* Which image each input is, and the scratch of those that have to be copied. */
static void choose_images(struct cuda_step *s, struct convolution *c, size_t *scratch)
{
    const struct step_spec *spec = &s->spec;
    const bool large_second = spec->node->op == GRAPH_CONV_GRAD_WEIGHTS;
    const int n = c->direction == CUDA_TO_KERNEL ? 2 : 1;
    c->type = c->direction == CUDA_TO_KERNEL ? CELL_FLOAT32 : cuda_common_type(spec, 1, true);
    for (int i = 0; i < n; i++) {
        const bool large = n == 2 ? (i == 1) == large_second : c->direction == CUDA_TO_SMALL;
        struct image *image = large ? &c->large : &c->small;
        image->shape = spec->in[i];
        cuda_operand_choose(&image->operand, spec, i, c->type, true, scratch);
    }
    if (result_of(c) != NULL)
        result_of(c)->shape = spec->out;
}

static void measure_weights(const struct cuda_step *s, struct convolution *c)
{
    const struct graph_node *node = s->spec.node;
    c->taps = (size_t)node->kernel[0] * (size_t)node->kernel[1];
    c->kernels = (size_t)c->small.shape.c;
    c->planes = node->sum_inputs ? (size_t)s->spec.weights[node->weights[0]].shape[1]
                                 : (size_t)c->large.shape.c;
}

/* What the backend computes float32 in, but values that were half before lose nothing in TF32. */
static bool is_exact(const struct cuda_step *s, const struct convolution *c)
{
    return c->type == CELL_FLOAT32 &&
           cuda_common_type(&s->spec, c->direction == CUDA_TO_KERNEL ? 2 : 1, false) ==
               CELL_FLOAT32 &&
           cuda_compute_type(s->backend, CELL_FLOAT32) == CUBLAS_COMPUTE_32F;
}

static int create_correlation(struct cuda_step *s, struct convolution *c, struct error *error)
{
    const struct graph_node *node = s->spec.node;
    const struct cuda_correlation_spec spec = {
        .direction = c->direction,
        .large = c->large.shape,
        .small = c->small.shape,
        .kernel = {node->kernel[0], node->kernel[1]},
        .stride = {node->stride[0], node->stride[1]},
        .pad = node->pad,
        .type = c->type,
        .exact = is_exact(s, c),
        .bias = node->op == GRAPH_CONV,
    };
    return cuda_correlation_create(&c->correlation, s->backend, &spec, error);
}

/* Scratch beside the operands'. */
static void choose_scratch(const struct cuda_step *s, struct convolution *c, size_t *scratch)
{
    const bool planar = cuda_correlation_planar(c->correlation);
    struct image *const images[] = {&c->large, &c->small};
    for (int i = 0; i < 2; i++) {
        struct image *image = images[i];
        image->staged = planar || (image == result_of(c) && s->spec.out_type != c->type);
        if (image->staged)
            image->staged_offset = cuda_part(scratch, image_bytes(c, image));
    }
    const bool gradient = c->direction == CUDA_TO_KERNEL;
    c->kernel_staged = gradient || planar; /* the gradient's place may be aligned to 4 bytes only */
    if (c->kernel_staged)
        c->kernel_offset = cuda_part(scratch, c->kernels * (size_t)c->large.shape.c * c->taps *
                                                  cell_bytes(c->type));
    if (gradient)
        c->sums_offset = cuda_part(scratch, cuda_column_sums_scratch(cuda_positions(s->spec.in[0]),
                                                                     (size_t)s->spec.in[0].c));
    c->workspace_offset = cuda_part(scratch, cuda_correlation_workspace(c->correlation));
}

static int convolution_create(struct cuda_step *s, const struct cuda_step *like,
                              struct error *error)
{
    (void)like; /* the packed weights' form is the node's alone */
    const enum graph_op op = s->spec.node->op;
    struct convolution *c = calloc(1, sizeof *c);
    if (c == NULL)
        return error_set(error, ENOMEM, "out of memory");
    s->own = c;
    c->direction = direction_of(op);
    c->bias = op == GRAPH_CONV || op == GRAPH_CONV_TRANSPOSED;
    size_t scratch = 0, packed = 0;
    choose_images(s, c, &scratch);
    measure_weights(s, c);
    int r = create_correlation(s, c, error);
    if (r < 0)
        return r;
    choose_scratch(s, c, &scratch);
    if (c->direction != CUDA_TO_KERNEL)
        cuda_part(&packed, c->kernels * (size_t)c->large.shape.c * c->taps * cell_bytes(c->type));
    if (c->bias) {
        c->bias_offset = cuda_part(&packed, (size_t)s->spec.out.c * sizeof(float));
        c->cast_bias_offset = cuda_part(&packed, (size_t)s->spec.out.c * cell_bytes(c->type));
    }
    s->step.packed_bytes = packed;
    s->step.scratch_bytes = scratch > 0 ? scratch + CUDA_SLACK : 0;
    return 0;
}

static void convolution_destroy(struct cuda_step *s)
{
    struct convolution *c = convolution_of(s);
    if (c == NULL)
        return;
    cuda_correlation_destroy(c->correlation);
    free(c);
    s->own = NULL;
}

static cudaError_t pack_kernel(const struct cuda_step *s, const struct convolution *c,
                               const float *kernel, void *packed)
{
    cudaStream_t stream = s->backend->stream;
    if (s->spec.node->sum_inputs)
        return cuda_sum_planes(stream, packed, c->type, kernel, c->kernels, c->planes, c->taps);
    return cuda_transpose(stream, packed, c->type, kernel, CELL_FLOAT32, c->kernels, c->planes,
                          c->taps);
}

static int convolution_pack(struct cuda_step *s, const float *const *weights, void *packed,
                            struct error *error)
{
    const struct convolution *c = convolution_of(s);
    const size_t out = (size_t)s->spec.out.c;
    cudaStream_t stream = s->backend->stream;
    if (c->direction == CUDA_TO_KERNEL)
        return 0;
    int r = cuda_check(pack_kernel(s, c, weights[0], packed), "kernel of a convolution", error);
    if (r < 0 || !c->bias)
        return r;
    r = cuda_check(cuda_convert(stream, (char *)packed + c->bias_offset, CELL_FLOAT32, weights[1],
                                CELL_FLOAT32, out),
                   "bias of a convolution", error);
    return r < 0 ? r
                 : cuda_check(cuda_convert(stream, (char *)packed + c->cast_bias_offset, c->type,
                                           weights[1], CELL_FLOAT32, out),
                              "bias of a convolution", error);
}

static void place_image(const struct cuda_step *s, struct convolution *c, struct image *image)
{
    image->place = image->staged ? c->scratch + image->staged_offset
                   : image == result_of(c)
                       ? (void *)s->memory.out
                       : (void *)cuda_operand_place(&image->operand, s, c->scratch);
}

static int convolution_bind(struct cuda_step *s, struct error *error)
{
    (void)error;
    struct convolution *c = convolution_of(s);
    const struct step_memory *m = &s->memory;
    c->scratch = s->step.scratch_bytes > 0 ? cuda_parts(m->scratch) : NULL;
    place_image(s, c, &c->large);
    place_image(s, c, &c->small);
    c->places = (struct cuda_correlation_places){
        .large = c->large.place,
        .small = c->small.place,
        .kernel = c->kernel_staged ? (void *)(c->scratch + c->kernel_offset) : m->packed,
        .bias = c->bias ? (char *)m->packed + c->cast_bias_offset : NULL,
        .workspace = cuda_correlation_workspace(c->correlation) > 0
                         ? c->scratch + c->workspace_offset
                         : NULL,
    };
    return 0;
}

/* Running */

/* Inputs as cuDNN wants them. */
static int prepare(struct cuda_step *s, struct convolution *c, struct error *error)
{
    struct image *const images[] = {&c->large, &c->small};
    cudaStream_t stream = s->backend->stream;
    int r = 0;
    for (int i = 0; i < 2 && r == 0; i++) {
        const struct image *image = images[i];
        if (image == result_of(c))
            continue;
        r = cuda_operand_copy(&image->operand, s, c->scratch, error);
        if (r == 0 && image->staged)
            r = cuda_check(cuda_transpose(stream, image->place, c->type,
                                          cuda_operand_place(&image->operand, s, c->scratch),
                                          c->type, (size_t)image->shape.n,
                                          (size_t)image->shape.h * (size_t)image->shape.w,
                                          (size_t)image->shape.c),
                           "an image by planes", error);
    }
    if (r == 0 && c->kernel_staged && c->direction != CUDA_TO_KERNEL)
        r = cuda_check(cuda_transpose(stream, c->places.kernel, c->type, s->memory.packed, c->type,
                                      c->kernels, c->taps, (size_t)c->large.shape.c),
                       "a kernel by planes", error);
    return r;
}

/* cuDNN's image into the step's result, with bias and ReLU. */
static int finish_image(struct cuda_step *s, struct convolution *c, bool biased,
                        struct error *error)
{
    const struct image *image = result_of(c);
    const struct step_spec *spec = &s->spec;
    cudaStream_t stream = s->backend->stream;
    const void *from = image->place;
    enum cell_type from_type = c->type;
    if (cuda_correlation_planar(c->correlation)) {
        int r = cuda_check(cuda_transpose(stream, s->memory.out, spec->out_type, from, c->type,
                                          (size_t)spec->out.n, (size_t)spec->out.c,
                                          (size_t)spec->out.h * (size_t)spec->out.w),
                           "an image by channels", error);
        if (r < 0)
            return r;
        from = s->memory.out;
        from_type = spec->out_type;
    }
    const float *bias =
        c->bias && !biased
            ? (const float *)(const void *)((const char *)s->memory.packed + c->bias_offset)
            : NULL;
    if (bias == NULL && !spec->relu && from == s->memory.out)
        return 0;
    return cuda_check(cuda_add_bias(stream, s->memory.out, spec->out_type, from, from_type, bias,
                                    spec->relu, cuda_positions(spec->out), (size_t)spec->out.c),
                      "bias of a convolution", error);
}

/* cuDNN's kernel into the published order, and the gradient of the bias behind it. */
static int finish_kernel(struct cuda_step *s, struct convolution *c, struct error *error)
{
    const struct step_spec *spec = &s->spec;
    cudaStream_t stream = s->backend->stream;
    float *out = s->memory.out;
    cudaError_t code;
    if (spec->node->sum_inputs)
        code = cuda_repeat_planes(stream, out, c->places.kernel, c->kernels, c->planes, c->taps);
    else if (cuda_correlation_planar(c->correlation)) /* the published order */
        code =
            cudaMemcpyAsync(out, c->places.kernel, c->kernels * c->planes * c->taps * sizeof *out,
                            cudaMemcpyDeviceToDevice, stream);
    else
        code = cuda_transpose(stream, out, CELL_FLOAT32, c->places.kernel, CELL_FLOAT32, c->kernels,
                              c->taps, c->planes);
    int r = cuda_check(code, "the gradient of a convolution's kernel", error);
    if (r < 0)
        return r;
    return cuda_check(cuda_column_sums(stream, out + c->kernels * c->planes * c->taps,
                                       s->memory.in[0], spec->in_type[0],
                                       cuda_positions(spec->in[0]), (size_t)spec->in[0].c,
                                       spec->in_stride[0], c->scratch + c->sums_offset),
                      "the gradient of a convolution's bias", error);
}

static int convolution_run(struct cuda_step *s, struct error *error)
{
    struct convolution *c = convolution_of(s);
    bool biased = false;
    int r = prepare(s, c, error);
    if (r == 0)
        r = cuda_correlation_run(c->correlation, &c->places, &biased, error);
    if (r < 0)
        return r;
    return c->direction == CUDA_TO_KERNEL ? finish_kernel(s, c, error)
                                          : finish_image(s, c, biased, error);
}

const struct cuda_kind cuda_convolution_kind = {
    .create = convolution_create,
    .destroy = convolution_destroy,
    .pack = convolution_pack,
    .bind = convolution_bind,
    .run = convolution_run,
};
