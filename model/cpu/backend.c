/* SPDX-License-Identifier: Apache-2.0
 * The processor's backend: oneDNN for what is matrix multiplication at heart, vector loops for the
 * rest, the reference where a few hundred values are all there is. */
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/cpu/attention.h"
#include "model/cpu/backward.h"
#include "model/cpu/batch.h"
#include "model/cpu/loops.h"
#include "model/cpu/onednn.h"
#include "model/cpu/operators.h"
#include "model/cpu/transposed.h"

struct backend {
    struct onednn *onednn;
    int threads;
};

struct cpu_step {
    struct step step;
    struct step_spec spec;
    struct step_memory memory;
    struct onednn_primitive *primitive; /* CONV, LINEAR */
    size_t bias_offset;                 /* of packed */
    struct cpu_transposed *transposed;
    struct cpu_attention *attention;
    struct cpu_weights_grad *weights_grad;
    struct cpu_patches_product *patches_product;
    const float *weights[GRAPH_MAX_NODE_WEIGHTS];
    struct loop_focal focal;
    ref_forward run;       /* an operator by its spec, of ours or else the reference's … */
    struct ref_memory ref; /* … and its operands */
};

static void cpu_enter(struct backend *backend)
{
    omp_set_num_threads(backend->threads);
}

static int cpu_open(struct backend **ret, const struct backend_config *config, struct error *error)
{
    struct backend *b = calloc(1, sizeof *b);
    if (b == NULL)
        return error_set(error, ENOMEM, "out of memory");
    b->threads = config->threads;
    int r = onednn_open(&b->onednn, error);
    if (r < 0) {
        free(b);
        return r;
    }
    cpu_enter(b);
    *ret = b;
    return 0;
}

static void cpu_close(struct backend *b)
{
    if (b == NULL)
        return;
    onednn_close(b->onednn);
    free(b);
}

static size_t positions(struct tensor_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

static size_t aligned(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

/* Bytes of the packed kernels before level `level`. */
static size_t focal_offset(const struct loop_focal *focal, int level)
{
    size_t bytes = 0;
    for (int l = 0; l < level; l++)
        bytes += aligned(loop_focal_kernel(focal, l) * sizeof(float));
    return bytes;
}

static int create_primitive(struct backend *b, struct cpu_step *s, const struct cpu_step *like,
                            struct error *error)
{
    const struct step_spec *spec = &s->spec;
    const struct graph_node *node = spec->node;
    const struct onednn_primitive *like_primitive = like != NULL ? like->primitive : NULL;
    int r;
    if (node->op == GRAPH_LINEAR || node->op == GRAPH_LINEAR_GRAD) {
        struct onednn_linear linear = {
            .back = node->op == GRAPH_LINEAR_GRAD,
            .m = positions(spec->out),
            .n = (size_t)spec->out.c,
            .k = (size_t)spec->in[0].c,
            .src_stride = spec->in_stride[0],
            .gelu = spec->gelu,
            .accumulate = spec->residual,
        };
        r = onednn_linear_create(&s->primitive, b->onednn, &linear, like_primitive, error);
    } else {
        struct onednn_conv conv = {.n = spec->in[0].n,
                                   .in_h = spec->in[0].h,
                                   .in_w = spec->in[0].w,
                                   .in_c = spec->in[0].c,
                                   .src_stride = spec->in_stride[0],
                                   .out_h = spec->out.h,
                                   .out_w = spec->out.w,
                                   .out_c = spec->out.c,
                                   .kernel = node->kernel[0],
                                   .stride = node->stride[0],
                                   .pad = node->pad};
        r = onednn_conv_create(&s->primitive, b->onednn, &conv, like_primitive, error);
    }
    if (r < 0)
        return r;
    s->bias_offset = aligned(onednn_weights_bytes(s->primitive));
    s->step.packed_bytes = s->bias_offset + aligned((size_t)spec->out.c * sizeof(float));
    s->step.scratch_bytes = onednn_scratch_bytes(s->primitive);
    return 0;
}

static bool is_focal(enum graph_op op)
{
    return op == GRAPH_FOCAL_CONTEXT || op == GRAPH_FOCAL_GRAD || op == GRAPH_FOCAL_GRAD_WEIGHTS;
}

/* Those of batch norms that batch.h has. */
static bool is_batch(const struct graph_node *node)
{
    return node->op == GRAPH_BATCH_STATISTICS || node->op == GRAPH_BATCH_NORM_GRAD ||
           node->op == GRAPH_BATCH_NORM_GRAD_WEIGHTS ||
           (node->op == GRAPH_BATCH_NORM && node->train);
}

static void create_focal(struct backend *b, struct cpu_step *s)
{
    const struct step_spec *spec = &s->spec;
    const bool back = spec->node->op != GRAPH_FOCAL_CONTEXT; /* in: g, x */
    const struct tensor_shape acc = back ? spec->in[0] : spec->out;
    s->focal = (struct loop_focal){.n = acc.n,
                                   .h = acc.h,
                                   .w = acc.w,
                                   .c = acc.c,
                                   .levels = spec->node->levels,
                                   .window = spec->node->window,
                                   .stride = spec->in_stride[back ? 1 : 0],
                                   .normalize = spec->node->normalize};
    s->step.packed_bytes = focal_offset(&s->focal, spec->node->levels);
    s->step.scratch_bytes = back ? loop_focal_grad_scratch(&s->focal, b->threads)
                                 : loop_focal_scratch(&s->focal, b->threads);
}

static void cpu_step_destroy(struct step *step)
{
    struct cpu_step *s = (struct cpu_step *)step;
    if (s == NULL)
        return;
    onednn_primitive_destroy(s->primitive);
    cpu_transposed_destroy(s->transposed);
    cpu_attention_destroy(s->attention);
    cpu_weights_grad_destroy(s->weights_grad);
    cpu_patches_product_destroy(s->patches_product);
    free(s);
}

static int cpu_step_create(struct backend *b, const struct step_spec *spec, const struct step *like,
                           struct step **ret, struct error *error)
{
    struct cpu_step *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ENOMEM, "out of memory");
    s->spec = *spec;
    const struct graph_node *node = spec->node;
    const struct cpu_step *like_step = (const struct cpu_step *)like;
    int r = 0;
    if (node->op == GRAPH_CONV_TRANSPOSED || node->op == GRAPH_CONV_GRAD) { /* which is one */
        r = cpu_transposed_create(&s->transposed, b->onednn, spec,
                                  like_step != NULL ? like_step->transposed : NULL, error);
        s->step.packed_bytes = r == 0 ? cpu_transposed_packed(s->transposed) : 0;
        s->step.scratch_bytes = r == 0 ? cpu_transposed_scratch(s->transposed) : 0;
    } else if (node->op == GRAPH_LINEAR || node->op == GRAPH_CONV ||
               node->op == GRAPH_LINEAR_GRAD) {
        r = create_primitive(b, s, like_step, error);
    } else if (node->op == GRAPH_ATTENTION || node->op == GRAPH_ATTENTION_GRAD) {
        r = cpu_attention_create(&s->attention, b->onednn, spec, error);
        s->step.scratch_bytes = r == 0 ? cpu_attention_scratch(s->attention) : 0;
    } else if (node->op == GRAPH_CONV_TRANSPOSED_GRAD) {
        r = cpu_patches_product_create(&s->patches_product, b->onednn, spec, error);
        s->step.packed_bytes = r == 0 ? cpu_patches_product_packed(s->patches_product) : 0;
        s->step.scratch_bytes = r == 0 ? cpu_patches_product_scratch(s->patches_product) : 0;
    } else if (node->op == GRAPH_LINEAR_GRAD_WEIGHTS || node->op == GRAPH_CONV_GRAD_WEIGHTS ||
               node->op == GRAPH_CONV_TRANSPOSED_GRAD_WEIGHTS) {
        r = cpu_weights_grad_create(&s->weights_grad, b->onednn, spec, error);
        s->step.scratch_bytes = r == 0 ? cpu_weights_grad_scratch(s->weights_grad) : 0;
    } else if (is_focal(node->op)) {
        create_focal(b, s);
    } else if (node->op == GRAPH_LAYER_NORM_GRAD_WEIGHTS) {
        s->step.scratch_bytes = loop_sums_scratch(2 * (size_t)spec->in[0].c);
    } else {
        s->step.packed_bytes = ref_weights_bytes(spec);
        s->run = cpu_operator(node);
        if (is_batch(node))
            s->step.scratch_bytes = loop_batch_scratch((size_t)spec->in[0].c);
        else if (node->op == GRAPH_LAYER_NORM_GRAD)
            s->step.scratch_bytes = loop_sums_scratch(2 * (size_t)spec->in[0].c);
        else if (s->run != NULL)
            s->step.scratch_bytes = cpu_operator_scratch(spec);
        else
            s->step.scratch_bytes = ref_scratch(spec) * sizeof(float);
        if (s->run == NULL)
            s->run = ref_operator(node->op);
    }
    if (r < 0) {
        cpu_step_destroy(&s->step);
        return r;
    }
    *ret = &s->step;
    return 0;
}

/* The kernel for one plane that stands for all input channels: their kernels' sum. */
static float *summed_kernel(const struct step_spec *spec, const float *w)
{
    const struct graph_weight *weight = &spec->weights[spec->node->weights[0]];
    size_t out = (size_t)weight->shape[0], in = (size_t)weight->shape[1];
    size_t taps = (size_t)(weight->shape[2] * weight->shape[3]);
    float *sum = memory_zeroed(out * taps, sizeof(float));
    for (size_t o = 0; sum != NULL && o < out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t t = 0; t < taps; t++)
                sum[o * taps + t] += w[(o * in + i) * taps + t];
    return sum;
}

/* kernel: as published, or summed */
static int pack_primitive(struct cpu_step *s, const float *kernel, const float *const *weights,
                          void *packed, struct error *error)
{
    int r = onednn_pack(s->primitive, kernel, packed, error);
    if (s->spec.node->op != GRAPH_LINEAR_GRAD)
        memcpy((char *)packed + s->bias_offset, weights[1], (size_t)s->spec.out.c * sizeof(float));
    return r;
}

/* Of convolutions and linear layers. */
static int pack_kernel(struct cpu_step *s, const float *const *weights, void *packed,
                       struct error *error)
{
    const enum graph_op op = s->spec.node->op;
    float *sum = NULL;
    if (s->spec.node->sum_inputs) {
        sum = summed_kernel(&s->spec, weights[0]);
        if (sum == NULL)
            return error_set(error, ENOMEM, "out of memory");
    }
    const float *kernel = sum != NULL ? sum : weights[0];
    int r =
        s->primitive != NULL
            ? pack_primitive(s, kernel, weights, packed, error)
            : cpu_transposed_pack(s->transposed, kernel,
                                  op == GRAPH_CONV_TRANSPOSED ? weights[1] : NULL, packed, error);
    free(sum);
    return r;
}

/* weight and running variance become one factor, in place of the weight. */
static void pack_batch_norm(const struct step_spec *spec, const float *const *weights, void *packed)
{
    ref_weights_pack(spec, weights, packed); /* the weight comes first */
    float *scale = packed;
    for (size_t i = 0; i < (size_t)spec->out.c; i++)
        scale[i] =
            (float)((double)weights[0][i] / sqrt((double)weights[3][i] + (double)spec->node->eps));
}

static int cpu_step_pack(struct step *step, const float *const *weights, void *packed,
                         struct error *error)
{
    struct cpu_step *s = (struct cpu_step *)step;
    if (s->step.packed_bytes == 0) /* it gives the gradients of its weights, and needs none */
        return 0;
    if (s->primitive != NULL || s->transposed != NULL)
        return pack_kernel(s, weights, packed, error);
    if (s->patches_product != NULL)
        return cpu_patches_product_pack(s->patches_product, weights[0], packed, error);
    if (s->spec.node->op == GRAPH_BATCH_NORM && !s->spec.node->train)
        pack_batch_norm(&s->spec, weights, packed);
    else if (!is_focal(s->spec.node->op))
        ref_weights_pack(&s->spec, weights, packed);
    for (int l = 0; l < s->focal.levels; l++)
        loop_focal_pack(&s->focal, l, weights[l],
                        (float *)(void *)((char *)packed + focal_offset(&s->focal, l)));
    return 0;
}

static int cpu_step_bind(struct step *step, const struct step_memory *m, struct error *error)
{
    struct cpu_step *s = (struct cpu_step *)step;
    s->memory = *m;
    s->ref = ref_memory_of(m);
    if (s->transposed != NULL) {
        cpu_transposed_bind(s->transposed, m);
        return 0;
    }
    if (s->attention != NULL) {
        cpu_attention_bind(s->attention, m);
        return 0;
    }
    if (s->weights_grad != NULL) {
        cpu_weights_grad_bind(s->weights_grad, m);
        return 0;
    }
    if (s->patches_product != NULL) {
        cpu_patches_product_bind(s->patches_product, m);
        return 0;
    }
    if (s->primitive != NULL)
        return onednn_bind(s->primitive, m->in[0], m->packed,
                           (const float *)(const void *)((const char *)m->packed + s->bias_offset),
                           m->out, m->scratch, error);
    if (!is_focal(s->spec.node->op))
        ref_weights_find(&s->spec, m->packed, s->weights);
    for (int l = 0; l < s->focal.levels; l++)
        s->focal.kernels[l] =
            (const float *)(const void *)((const char *)m->packed + focal_offset(&s->focal, l));
    return 0;
}

static int run_primitive(struct cpu_step *s, struct error *error)
{
    const struct step_memory *m = &s->memory;
    if (s->spec.residual && m->residual != m->out)
        memcpy(m->out, m->residual, tensor_cells(s->spec.out) * sizeof(float));
    return onednn_run(s->primitive, error);
}

static void run_norm_grad(const struct cpu_step *s, float *y, float *d_weights)
{
    const struct step_spec *spec = &s->spec;
    const struct step_memory *m = &s->memory;
    const struct loop_norm_grad norm = {.g_stride = spec->in_stride[0],
                                        .x_stride = spec->in_stride[1],
                                        .rows = positions(spec->in[0]),
                                        .c = (size_t)spec->in[0].c,
                                        .scale = s->weights[0],
                                        .eps = spec->node->eps};
    loop_layer_norm_grad(&norm, m->in[0], m->in[1], spec->residual ? m->residual : NULL, m->scratch,
                         y, d_weights);
}

static void run_batch(const struct cpu_step *s)
{
    const struct step_memory *m = &s->memory;
    const struct step_spec *spec = &s->spec;
    const bool back = spec->node->op == GRAPH_BATCH_NORM_GRAD ||
                      spec->node->op == GRAPH_BATCH_NORM_GRAD_WEIGHTS; /* in: g, x */
    const size_t c = (size_t)spec->in[0].c;
    const float *mean = NULL, *variance = NULL;
    if (back && !spec->node->train) {
        mean = s->weights[2];
        variance = s->weights[3];
    } else if (spec->node->ranks > 0 && spec->node->op != GRAPH_BATCH_STATISTICS) {
        mean = m->in[back ? 2 : 1];
        variance = mean + c;
    }
    const struct loop_batch batch = {.x = m->in[back ? 1 : 0],
                                     .x_stride = spec->in_stride[back ? 1 : 0],
                                     .g = m->in[0],
                                     .g_stride = spec->in_stride[0],
                                     .rows = positions(spec->in[0]),
                                     .c = c,
                                     .eps = spec->node->eps,
                                     .mean = mean,
                                     .variance = variance,
                                     .sums = m->in[3],
                                     .ranks = spec->node->ranks,
                                     .scratch = m->scratch};
    if (spec->node->op == GRAPH_BATCH_NORM)
        loop_batch_norm_train(&batch, s->weights[0], s->weights[1], m->out);
    else if (spec->node->op == GRAPH_BATCH_NORM_GRAD)
        loop_batch_norm_grad(&batch, s->weights[0], m->out);
    else if (spec->node->op == GRAPH_BATCH_NORM_GRAD_WEIGHTS)
        loop_batch_norm_grad_weights(&batch, m->out);
    else
        loop_batch_statistics(&batch, m->out);
}

/* The operators of batch.h; false for any other. */
static bool run_in_batch(const struct cpu_step *s)
{
    const struct step_memory *m = &s->memory;
    const struct step_spec *spec = &s->spec;
    const size_t rows = positions(spec->out), c = (size_t)spec->out.c;
    if (is_batch(spec->node)) {
        run_batch(s);
        return true;
    }
    switch (spec->node->op) {
    case GRAPH_RELU:
        loop_relu(m->in[0], spec->in_stride[0], rows, c, m->out);
        return true;
    case GRAPH_RELU_GRAD:
        loop_relu_grad(m->in[0], spec->in_stride[0], m->in[1], spec->in_stride[1], rows, c, m->out);
        return true;
    case GRAPH_SIGMOID_GRAD:
        loop_sigmoid_grad(m->in[0], spec->in_stride[0], m->in[1], spec->in_stride[1], rows, c,
                          m->out);
        return true;
    default:
        return false;
    }
}

static int cpu_step_run(struct step *step, struct error *error)
{
    struct cpu_step *s = (struct cpu_step *)step;
    const struct step_spec *spec = &s->spec;
    const struct step_memory *m = &s->memory;
    size_t rows = positions(spec->out), c = (size_t)spec->out.c;
    if (run_in_batch(s))
        return 0;
    switch (spec->node->op) {
    case GRAPH_CONV_GRAD:
    case GRAPH_CONV_TRANSPOSED:
        return cpu_transposed_run(s->transposed, error);
    case GRAPH_CONV:
    case GRAPH_LINEAR:
    case GRAPH_LINEAR_GRAD:
        return run_primitive(s, error);
    case GRAPH_ATTENTION:
    case GRAPH_ATTENTION_GRAD:
        return cpu_attention_run(s->attention, error);
    case GRAPH_BATCH_NORM:
        loop_batch_norm(m->in[0], spec->in_stride[0], rows, c, s->weights[2], s->weights[0],
                        s->weights[1], m->out);
        return 0;
    case GRAPH_LINEAR_GRAD_WEIGHTS:
    case GRAPH_CONV_GRAD_WEIGHTS:
    case GRAPH_CONV_TRANSPOSED_GRAD_WEIGHTS:
        return cpu_weights_grad_run(s->weights_grad, error);
    case GRAPH_CONV_TRANSPOSED_GRAD:
        return cpu_patches_product_run(s->patches_product, error);
    case GRAPH_LAYER_NORM_GRAD:
        run_norm_grad(s, m->out, m->weights_out);
        return 0;
    case GRAPH_LAYER_NORM_GRAD_WEIGHTS:
        run_norm_grad(s, NULL, m->out);
        return 0;
    case GRAPH_GELU_GRAD:
        loop_gelu_grad(m->in[0], spec->in_stride[0], m->in[1], spec->in_stride[1], rows, c, m->out);
        return 0;
    case GRAPH_FOCAL_GRAD:
        loop_focal_grad(&s->focal, m->in[1], m->in[0], spec->in_stride[0], m->scratch, m->out,
                        m->weights_out);
        return 0;
    case GRAPH_FOCAL_GRAD_WEIGHTS:
        loop_focal_grad(&s->focal, m->in[1], m->in[0], spec->in_stride[0], m->scratch, NULL,
                        m->out);
        return 0;
    case GRAPH_SIGMOID:
        loop_sigmoid(m->in[0], spec->in_stride[0], rows, c, m->out);
        return 0;
    case GRAPH_LAYER_NORM:
        loop_layer_norm(m->in[0], spec->in_stride[0], rows, c, s->weights[0], s->weights[1],
                        spec->node->eps, m->out);
        return 0;
    case GRAPH_GELU:
        loop_gelu(m->in[0], spec->in_stride[0], rows, c, m->out);
        return 0;
    case GRAPH_FOCAL_CONTEXT:
        loop_focal(&s->focal, m->in[0], m->scratch, m->out);
        return 0;
    case GRAPH_MUL:
        loop_mul(m->in[0], spec->in_stride[0], m->in[1], spec->in_stride[1], rows, c, m->out);
        return 0;
    case GRAPH_ADD:
        loop_add(m->in[0], spec->in_stride[0], m->in[1], spec->in_stride[1], rows, c, m->out);
        return 0;
    case GRAPH_SAMPLE_SCALE:
        loop_sample_scale(m->in[0], spec->in_stride[0], m->in[1], spec->in_stride[1],
                          (size_t)spec->out.n, rows / (size_t)spec->out.n, c, m->out);
        return 0;
    case GRAPH_CHANNEL_L2:
        loop_channel_l2(m->in[0], spec->in_stride[0], rows, (size_t)spec->in[0].c, m->out);
        return 0;
    default:
        break;
    }
    s->run(spec, s->weights, &s->ref);
    return 0;
}

const struct backend_ops backend_cpu = {
    .name = "cpu",
    .joins_backward = true,
    .open = cpu_open,
    .close = cpu_close,
    .step_create = cpu_step_create,
    .step_destroy = cpu_step_destroy,
    .step_pack = cpu_step_pack,
    .step_bind = cpu_step_bind,
    .step_run = cpu_step_run,
    .enter = cpu_enter,
};
