/* SPDX-License-Identifier: Apache-2.0
 * Batch norm by cuDNN: by running statistics, by the batch's own, and the gradient by the batch's
 * own. By running ones cuDNN has no gradient, and a kernel gives it (kernels/grad_batch_norm.cu).
 *
 * Its mode is CUDNN_BATCHNORM_SPATIAL: …_PERSISTENT, which may be faster, limits the range of
 * values. Images are [n][h][w][c], all of one type or else float32; what a channel has is float32:
 * [c].
 *
 * A call gives two of the latter beside its image: the batch's mean and variance, or the gradients
 * of scale and shift. They are the step's own result, or a second one, or nobody wants them.
 *
 * Scratch: images as cuDNN wants them where they are not so, the result, the two, and of a gradient
 * the inverse of the batch's deviation. */
#include <errno.h>
#include <stdlib.h>

#include "model/cuda/matmul.h"
#include "model/cuda/operand.h"

enum { ALIGN = 16 }; /* bytes, of what cuDNN is given */

struct batch_norm {
    cudnnTensorDescriptor_t image, channel;
    enum cell_type type;       /* of the images, as cuDNN sees them */
    struct cuda_operand in[2]; /* x; g, x */
    int n_in;
    bool staged; /* cuDNN's result is in scratch */
    size_t result_offset, pair_offset[2], inverse_offset;
    char *scratch;
    void *result;               /* cuDNN's, once bound */
    float *pair[2], *wanted[2]; /* likewise; where they are to be, or NULL */
    float *inverse;             /* [c] */
};

static struct batch_norm *batch_norm_of(const struct cuda_step *s)
{
    return s->own;
}

static int check(const struct cuda_step *s, cudnnStatus_t code, const char *call,
                 struct error *error)
{
    const struct tensor_shape x = s->spec.in[0];
    int r = cuda_check_cudnn(code, call, error);
    return r == 0 ? 0
                  : error_prefix(error, r, "batch norm of [%d][%d][%d][%d]", x.n, x.h, x.w, x.c);
}

/* Planning */

static cudnnDataType_t data_type(enum cell_type type)
{
    return type == CELL_FLOAT32    ? CUDNN_DATA_FLOAT
           : type == CELL_BFLOAT16 ? CUDNN_DATA_BFLOAT16
                                   : CUDNN_DATA_HALF;
}

static int describe(struct cuda_step *s, struct batch_norm *b, struct error *error)
{
    const struct tensor_shape x = s->spec.in[0];
    int r = check(s, cudnnCreateTensorDescriptor(&b->image), "cudnnCreateTensorDescriptor", error);
    if (r == 0)
        r = check(s, cudnnCreateTensorDescriptor(&b->channel), "cudnnCreateTensorDescriptor",
                  error);
    if (r == 0)
        r = check(s,
                  cudnnSetTensor4dDescriptor(b->image, CUDNN_TENSOR_NHWC, data_type(b->type), x.n,
                                             x.c, x.h, x.w),
                  "cudnnSetTensor4dDescriptor", error);
    if (r == 0)
        r = check(s,
                  cudnnSetTensor4dDescriptor(b->channel, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1,
                                             x.c, 1, 1),
                  "cudnnSetTensor4dDescriptor", error);
    return r;
}

/* The gradient of the image, which nobody wants here. */
static bool is_for_weights(const struct cuda_step *s)
{
    return s->spec.node->op == GRAPH_BATCH_NORM_GRAD_WEIGHTS;
}

static bool is_gradient(const struct cuda_step *s)
{
    return s->spec.node->op != GRAPH_BATCH_NORM;
}

static void choose_type(const struct cuda_step *s, struct batch_norm *b)
{
    b->n_in = is_gradient(s) ? 2 : 1;
    b->type = is_for_weights(s) ? s->spec.in_type[0] : s->spec.out_type;
    for (int i = 0; i < b->n_in; i++)
        if (s->spec.in_type[i] != b->type)
            b->type = CELL_FLOAT32;
}

static size_t measure_scratch(const struct cuda_step *s, struct batch_norm *b)
{
    const struct step_spec *spec = &s->spec;
    const size_t c = (size_t)spec->in[0].c;
    size_t scratch = 0;
    for (int i = 0; i < b->n_in; i++)
        cuda_operand_choose(&b->in[i], spec, i, b->type, true, &scratch);
    b->staged = is_for_weights(s) || spec->out_type != b->type;
    if (b->staged)
        b->result_offset = cuda_part(&scratch, tensor_cells(spec->in[0]) * cell_bytes(b->type));
    for (int i = 0; i < 2 && (is_gradient(s) || spec->weights_too); i++)
        b->pair_offset[i] = cuda_part(&scratch, c * sizeof(float));
    if (is_gradient(s))
        b->inverse_offset = cuda_part(&scratch, c * sizeof(float));
    return scratch > 0 ? scratch + CUDA_SLACK : 0;
}

/* Several processes share batch norms on the CPU alone: what they share is made there. */
static int batch_norm_create(struct cuda_step *s, const struct cuda_step *like, struct error *error)
{
    (void)like; /* weights are packed as published */
    const struct graph_node *node = s->spec.node;
    if (node->op == GRAPH_BATCH_STATISTICS || node->ranks > 0)
        return error_set(error, ENOTSUP, "the GPU's backend does not share batch norms");
    struct batch_norm *b = calloc(1, sizeof *b);
    if (b == NULL)
        return error_set(error, ENOMEM, "out of memory");
    s->own = b;
    choose_type(s, b);
    s->step.scratch_bytes = measure_scratch(s, b);
    s->step.apart = true; /* cuDNN promises nothing for a result in the place of x */
    return describe(s, b, error);
}

static void batch_norm_destroy(struct cuda_step *s)
{
    struct batch_norm *b = batch_norm_of(s);
    if (b == NULL)
        return;
    if (b->channel != NULL)
        cudnnDestroyTensorDescriptor(b->channel);
    if (b->image != NULL)
        cudnnDestroyTensorDescriptor(b->image);
    free(b);
    s->own = NULL;
}

/* In scratch where it is not wanted, or wanted where it is not aligned. */
static void place_pair(const struct cuda_step *s, struct batch_norm *b, float *to)
{
    for (int i = 0; i < 2; i++) {
        b->wanted[i] = to != NULL ? to + (size_t)i * (size_t)s->spec.in[0].c : NULL;
        b->pair[i] = b->wanted[i] != NULL && (uintptr_t)b->wanted[i] % ALIGN == 0
                         ? b->wanted[i]
                         : (float *)(void *)(b->scratch + b->pair_offset[i]);
    }
}

static int batch_norm_bind(struct cuda_step *s, struct error *error)
{
    (void)error;
    struct batch_norm *b = batch_norm_of(s);
    const struct step_memory *m = &s->memory;
    b->scratch = s->step.scratch_bytes > 0 ? cuda_parts(m->scratch) : NULL;
    b->result = b->staged ? (void *)(b->scratch + b->result_offset) : (void *)m->out;
    if (is_gradient(s) || s->spec.weights_too)
        place_pair(s, b, is_for_weights(s) ? m->out : s->spec.weights_too ? m->weights_out : NULL);
    if (is_gradient(s))
        b->inverse = (float *)(void *)(b->scratch + b->inverse_offset);
    return 0;
}

/* Running */

static const void *image(const struct cuda_step *s, const struct batch_norm *b, int i)
{
    return cuda_operand_place(&b->in[i], s, b->scratch);
}

/* pair: [2][c], times `second` in the second. */
static int deliver(struct cuda_step *s, const struct batch_norm *b, float second,
                   struct error *error)
{
    int r = 0;
    for (int i = 0; i < 2 && r == 0; i++) {
        const float factor = i == 0 ? 1 : second;
        if (b->wanted[i] != NULL && (b->wanted[i] != b->pair[i] || factor != 1))
            r = cuda_check(cuda_mix(s->backend->stream, b->wanted[i], b->pair[i],
                                    (size_t)s->spec.in[0].c, 0, factor),
                           "statistics of a batch norm", error);
    }
    return r;
}

static int run_running(struct cuda_step *s, const struct batch_norm *b, struct error *error)
{
    const float one = 1, zero = 0, *const *w = s->call.weights;
    return check(s,
                 cudnnBatchNormalizationForwardInference(
                     s->backend->cudnn, CUDNN_BATCHNORM_SPATIAL, &one, &zero, b->image,
                     image(s, b, 0), b->image, b->result, b->channel, w[0], w[1], w[2], w[3],
                     (double)s->spec.node->eps),
                 "cudnnBatchNormalizationForwardInference", error);
}

/* mean, variance: running ones, which the call makes the batch's; or both NULL. */
static int run_training(struct cuda_step *s, const struct batch_norm *b, float *mean,
                        float *variance, struct error *error)
{
    const float one = 1, zero = 0, *const *w = s->call.weights;
    return check(s,
                 cudnnBatchNormalizationForwardTraining(
                     s->backend->cudnn, CUDNN_BATCHNORM_SPATIAL, &one, &zero, b->image,
                     image(s, b, 0), b->image, b->result, b->channel, w[0], w[1], 1, mean, variance,
                     (double)s->spec.node->eps, NULL, NULL),
                 "cudnnBatchNormalizationForwardTraining", error);
}

/* Of one position cuDNN's variance, which is that of a sample, is 0 / 0. */
static int run_single(struct cuda_step *s, const struct batch_norm *b, struct error *error)
{
    const size_t c = (size_t)s->spec.in[0].c;
    cudaStream_t stream = s->backend->stream;
    int r = run_training(s, b, NULL, NULL, error);
    if (r == 0)
        r = cuda_check(cuda_convert(stream, b->wanted[0], CELL_FLOAT32, image(s, b, 0), b->type, c),
                       "statistics of a batch norm", error);
    return r < 0 ? r
                 : cuda_check(cudaMemsetAsync(b->wanted[1], 0, c * sizeof(float), stream),
                              "statistics of a batch norm", error);
}

/* With factor 1 the running statistics become the batch's, but what they were is multiplied by 0,
 * which must not be NaN. The variance is a sample's: of N positions, N / (N - 1) of the batch's. */
static int run_with_statistics(struct cuda_step *s, const struct batch_norm *b, struct error *error)
{
    const size_t c = (size_t)s->spec.in[0].c, count = cuda_positions(s->spec.in[0]);
    int r = 0;
    if (count == 1)
        return run_single(s, b, error);
    for (int i = 0; i < 2 && r == 0; i++)
        r = cuda_check(cudaMemsetAsync(b->pair[i], 0, c * sizeof(float), s->backend->stream),
                       "statistics of a batch norm", error);
    if (r == 0)
        r = run_training(s, b, b->pair[0], b->pair[1], error);
    return r < 0 ? r : deliver(s, b, (float)(count - 1) / (float)count, error);
}

/* The third input: the mean and the variance of the forward pass. */
static int run_gradient(struct cuda_step *s, const struct batch_norm *b, struct error *error)
{
    const float one = 1, zero = 0, eps = s->spec.node->eps, *mean = s->memory.in[2];
    const size_t c = (size_t)s->spec.in[0].c;
    int r = cuda_check(cuda_inverse_deviations(s->backend->stream, b->inverse, mean + c, eps, c),
                       "statistics of a batch norm", error);
    if (r == 0)
        r = check(s,
                  cudnnBatchNormalizationBackward(s->backend->cudnn, CUDNN_BATCHNORM_SPATIAL, &one,
                                                  &zero, &one, &zero, b->image, image(s, b, 1),
                                                  b->image, image(s, b, 0), b->image, b->result,
                                                  b->channel, s->call.weights[0], b->pair[0],
                                                  b->pair[1], (double)eps, mean, b->inverse),
                  "cudnnBatchNormalizationBackward", error);
    return r < 0 ? r : deliver(s, b, 1, error);
}

static int batch_norm_run(struct cuda_step *s, struct error *error)
{
    const struct batch_norm *b = batch_norm_of(s);
    int r = 0;
    for (int i = 0; i < b->n_in && r == 0; i++)
        r = cuda_operand_copy(&b->in[i], s, b->scratch, error);
    if (r < 0)
        return r;
    r = is_gradient(s)         ? run_gradient(s, b, error)
        : !s->spec.node->train ? run_running(s, b, error)
        : s->spec.weights_too  ? run_with_statistics(s, b, error)
                               : run_training(s, b, NULL, NULL, error);
    if (r < 0 || !b->staged || is_for_weights(s))
        return r;
    return cuda_check(cuda_convert(s->backend->stream, s->memory.out, s->spec.out_type, b->result,
                                   b->type, tensor_cells(s->spec.out)),
                      "the result of a batch norm", error);
}

const struct cuda_kind cuda_batch_norm_kind = {
    .create = batch_norm_create,
    .destroy = batch_norm_destroy,
    .bind = batch_norm_bind,
    .run = batch_norm_run,
};
