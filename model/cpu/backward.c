/* SPDX-License-Identifier: Apache-2.0
 * The small image of a convolution has a cell for each window over the large one. Rows of small
 * cells go by bands, across images. Scratch: patches of a band [cells][k * k][large channels],
 * parts of the bias's sum, gradients in the patches' order, the products' own. */
#include "model/cpu/backward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/cpu/loops.h"

enum { BAND_BYTES = 1 << 20 }; /* of patches */

static size_t aligned(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

static size_t positions(struct tensor_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

/* Patches of the large image for `cells` small cells at a time. */
struct bands {
    struct loop_patches patches;
    size_t all, cells, last; /* small cells: all, of a band, of the last band (0: as the others) */
    size_t taps;             /* floats of a patch */
};

static struct bands bands_of(const struct graph_node *node, struct tensor_shape large,
                             size_t large_stride, struct tensor_shape small)
{
    struct bands b = {.patches = {.in_h = large.h,
                                  .in_w = large.w,
                                  .in_c = large.c,
                                  .out_h = small.h,
                                  .out_w = small.w,
                                  .kernel = {node->kernel[0], node->kernel[1]},
                                  .stride = {node->stride[0], node->stride[1]},
                                  .pad = node->pad,
                                  .x_stride = large_stride},
                      .all = positions(small)};
    b.taps = (size_t)(large.c * node->kernel[0] * node->kernel[1]);
    size_t fitting = BAND_BYTES / (b.taps * sizeof(float));
    b.cells = fitting < 64 ? 64 : fitting;
    b.cells = b.cells < b.all ? b.cells : b.all;
    b.last = b.all % b.cells;
    return b;
}

static size_t band_bytes(const struct bands *b)
{
    return aligned(b->cells * b->taps * sizeof(float));
}

/* Gradients of weights */

struct cpu_weights_grad {
    struct step_spec spec;
    struct step_memory memory;
    struct bands bands;
    struct onednn_primitive *product, *rest; /* rest: of the last band */
    bool patches, transposed;
    size_t rows, cols; /* of the weights as a matrix */
    size_t row_stride; /* floats from one small cell to the next */
    size_t copies;     /* kernel channels that one plane stands for */
    size_t patches_bytes, sums_bytes, ordered_bytes;
};

/* [rows][cols] (+)= small^T: [rows][cells] * (patches or x): [cells][cols] */
static int create_product(struct onednn_primitive **ret, const struct cpu_weights_grad *b,
                          size_t cells, struct onednn *onednn, struct error *error)
{
    size_t x_stride = b->patches ? b->cols : b->spec.in_stride[1];
    const struct onednn_products product = {
        .n = 1,
        .heads = 1,
        .rows = (int)b->rows,
        .inner = (int)cells,
        .cols = (int)b->cols,
        .src_strides = {cells * b->row_stride, cells * b->row_stride, 1, b->row_stride},
        .weights_strides = {cells * x_stride, cells * x_stride, x_stride, 1},
        .dst_strides = {b->rows * b->cols, b->rows * b->cols, b->cols, 1},
        .accumulate = b->patches,
    };
    return onednn_products_create(ret, onednn, &product, error);
}

int cpu_weights_grad_create(struct cpu_weights_grad **ret, struct onednn *onednn,
                            const struct step_spec *spec, struct error *error)
{
    struct cpu_weights_grad *b = calloc(1, sizeof *b);
    if (b == NULL)
        return error_set(error, ENOMEM, "out of memory");
    const struct graph_node *node = spec->node;
    b->spec = *spec;
    b->patches = node->op != GRAPH_LINEAR_GRAD_WEIGHTS;
    b->transposed = node->op == GRAPH_CONV_TRANSPOSED_GRAD_WEIGHTS;
    const int small = b->transposed ? 1 : 0; /* x, or g */
    b->rows = (size_t)spec->in[small].c;
    b->row_stride = spec->in_stride[small];
    b->cols = (size_t)spec->in[1].c;
    b->copies = 1;
    size_t cells = positions(spec->in[0]);
    int r = 0;
    if (b->patches) {
        b->bands = bands_of(node, spec->in[1 - small], spec->in_stride[1 - small], spec->in[small]);
        b->patches_bytes = band_bytes(&b->bands);
        b->ordered_bytes = aligned(b->rows * b->bands.taps * sizeof(float));
        b->cols = b->bands.taps;
        cells = b->bands.cells;
        if (node->sum_inputs)
            b->copies = (size_t)spec->weights[node->weights[0]].shape[1];
        if (b->bands.last > 0)
            r = create_product(&b->rest, b, b->bands.last, onednn, error);
    }
    b->sums_bytes = aligned(loop_sums_scratch((size_t)spec->in[0].c));
    if (r == 0)
        r = create_product(&b->product, b, cells, onednn, error);
    if (r < 0) {
        cpu_weights_grad_destroy(b);
        return r;
    }
    *ret = b;
    return 0;
}

void cpu_weights_grad_destroy(struct cpu_weights_grad *b)
{
    if (b == NULL)
        return;
    onednn_primitive_destroy(b->product);
    onednn_primitive_destroy(b->rest);
    free(b);
}

static size_t larger_scratch(const struct onednn_primitive *a, const struct onednn_primitive *b)
{
    size_t x = onednn_scratch_bytes(a), y = b != NULL ? onednn_scratch_bytes(b) : 0;
    return x > y ? x : y;
}

size_t cpu_weights_grad_scratch(const struct cpu_weights_grad *b)
{
    return b->patches_bytes + b->sums_bytes + b->ordered_bytes +
           larger_scratch(b->product, b->rest);
}

void cpu_weights_grad_bind(struct cpu_weights_grad *b, const struct step_memory *m)
{
    b->memory = *m;
}

static int multiply(const struct cpu_weights_grad *b, struct onednn_primitive *product,
                    const float *small, const float *x, float *y, struct error *error)
{
    char *own = (char *)b->memory.scratch + b->patches_bytes + b->sums_bytes + b->ordered_bytes;
    int r = onednn_bind(product, small, x, NULL, y, own, error);
    return r == 0 ? onednn_run(product, error) : r;
}

/* [taps][c] to [c][taps], or back */
static void transpose(const float *from, size_t rows, size_t cols, float *to)
{
    for (size_t c = 0; c < cols; c++)
        for (size_t r = 0; r < rows; r++)
            *to++ = from[r * cols + c];
}

/* Kernels from the patches' order into the published one; one plane stands for `copies` channels.
 */
static void put_kernels(const struct cpu_weights_grad *b, const float *ordered, float *y)
{
    const size_t c = (size_t)b->bands.patches.in_c, taps = b->cols / c;
#pragma omp parallel for
    for (size_t o = 0; o < b->rows; o++)
        for (size_t i = 0; i < b->copies; i++)
            transpose(ordered + o * b->cols, taps, c, y + (o * b->copies + i) * b->cols);
}

static int run_bands(const struct cpu_weights_grad *b, struct error *error)
{
    const float *small = b->memory.in[b->transposed ? 1 : 0];
    const float *large = b->memory.in[b->transposed ? 0 : 1];
    float *ordered =
        (float *)(void *)((char *)b->memory.scratch + b->patches_bytes + b->sums_bytes);
    int r = 0;
    memset(ordered, 0, b->rows * b->cols * sizeof(float));
    for (size_t at = 0; at < b->bands.all && r == 0; at += b->bands.cells) {
        bool whole = b->bands.all - at >= b->bands.cells;
        loop_patches(&b->bands.patches, large, at, whole ? b->bands.cells : b->bands.last,
                     b->memory.scratch);
        r = multiply(b, whole ? b->product : b->rest, small + at * b->row_stride, b->memory.scratch,
                     ordered, error);
    }
    put_kernels(b, ordered, b->memory.out);
    return r;
}

int cpu_weights_grad_run(struct cpu_weights_grad *b, struct error *error)
{
    const struct step_memory *m = &b->memory;
    int r = b->patches ? run_bands(b, error)
                       : multiply(b, b->product, m->in[0], m->in[1], m->out, error);
    if (r < 0)
        return r;
    loop_column_sums(m->in[0], b->spec.in_stride[0], positions(b->spec.in[0]),
                     (size_t)b->spec.in[0].c, (char *)m->scratch + b->patches_bytes,
                     m->out + b->rows * b->cols * b->copies);
    return 0;
}

/* Back through a transposed convolution. Packed: weights, a bias of zeros [in]. */

struct cpu_patches_product {
    struct step_memory memory;
    struct bands bands;
    struct onednn_primitive *product, *rest;
    size_t in_c, zeros_offset;
};

static int create_linear(struct onednn_primitive **ret, const struct cpu_patches_product *t,
                         size_t cells, struct onednn *onednn, const struct onednn_primitive *like,
                         struct error *error)
{
    const struct onednn_linear linear = {
        .m = cells, .n = t->in_c, .k = t->bands.taps, .src_stride = t->bands.taps};
    return onednn_linear_create(ret, onednn, &linear, like, error);
}

int cpu_patches_product_create(struct cpu_patches_product **ret, struct onednn *onednn,
                               const struct step_spec *spec, struct error *error)
{
    struct cpu_patches_product *t = calloc(1, sizeof *t);
    if (t == NULL)
        return error_set(error, ENOMEM, "out of memory");
    t->bands = bands_of(spec->node, spec->in[0], spec->in_stride[0], spec->out);
    t->in_c = (size_t)spec->out.c;
    int r = create_linear(&t->product, t, t->bands.cells, onednn, NULL, error);
    if (r == 0 && t->bands.last > 0)
        r = create_linear(&t->rest, t, t->bands.last, onednn, t->product, error);
    if (r < 0) {
        cpu_patches_product_destroy(t);
        return r;
    }
    t->zeros_offset = aligned(onednn_weights_bytes(t->product));
    *ret = t;
    return 0;
}

void cpu_patches_product_destroy(struct cpu_patches_product *t)
{
    if (t == NULL)
        return;
    onednn_primitive_destroy(t->rest);
    onednn_primitive_destroy(t->product);
    free(t);
}

size_t cpu_patches_product_packed(const struct cpu_patches_product *t)
{
    return t->zeros_offset + aligned(t->in_c * sizeof(float));
}

size_t cpu_patches_product_scratch(const struct cpu_patches_product *t)
{
    return band_bytes(&t->bands) + larger_scratch(t->product, t->rest);
}

int cpu_patches_product_pack(struct cpu_patches_product *t, const float *kernel, void *packed,
                             struct error *error)
{
    const size_t c = (size_t)t->bands.patches.in_c, taps = t->bands.taps / c;
    float *ordered = memory_zeroed(t->in_c * t->bands.taps, sizeof(float)); /* [in][k * k][out] */
    if (ordered == NULL)
        return error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < t->in_c; i++)
        transpose(kernel + i * t->bands.taps, c, taps, ordered + i * t->bands.taps);
    memset((char *)packed + t->zeros_offset, 0, t->in_c * sizeof(float));
    int r = onednn_pack(t->product, ordered, packed, error);
    free(ordered);
    return r;
}

void cpu_patches_product_bind(struct cpu_patches_product *t, const struct step_memory *m)
{
    t->memory = *m;
}

int cpu_patches_product_run(struct cpu_patches_product *t, struct error *error)
{
    const struct step_memory *m = &t->memory;
    const char *packed = m->packed;
    const float *zeros = (const float *)(const void *)(packed + t->zeros_offset);
    int r = 0;
    for (size_t at = 0; at < t->bands.all && r == 0; at += t->bands.cells) {
        bool whole = t->bands.all - at >= t->bands.cells;
        struct onednn_primitive *p = whole ? t->product : t->rest;
        loop_patches(&t->bands.patches, m->in[0], at, whole ? t->bands.cells : t->bands.last,
                     m->scratch);
        r = onednn_bind(p, m->scratch, packed, zeros, m->out + at * t->in_c,
                        (char *)m->scratch + band_bytes(&t->bands), error);
        if (r == 0)
            r = onednn_run(p, error);
    }
    return r;
}
