/* SPDX-License-Identifier: Apache-2.0
 * Packed: the product's weights, a bias of zeros [taps], the real bias [out]. Scratch: the
 * contributions of a band and of the rows before it that are still needed,
 * [rows][w][kh][kw][out], then the products' own. */
#include "model/cpu/transposed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/cpu/loops.h"

enum { BAND_POSITIONS = 384 }; /* enough for the product to be efficient */

struct cpu_transposed {
    struct step_memory memory;
    struct loop_gather gather;
    struct onednn_primitive *product, *rest; /* of a band's rows, of the last band's */
    int n, band, rest_rows;                  /* images; input rows of a band, of the last */
    int kept;                                /* rows of the band before that are still needed */
    size_t in_c, out_c, src_stride, cells;   /* cells: of all taps, out included */
    size_t zeros_offset, bias_offset, packed_bytes, contributions_bytes;
};

static size_t aligned(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

static int create_product(struct onednn_primitive **ret, const struct cpu_transposed *t, int rows,
                          struct onednn *onednn, const struct onednn_primitive *like,
                          struct error *error)
{
    struct onednn_linear linear = {.m = (size_t)rows * (size_t)t->gather.in_w,
                                   .n = t->cells,
                                   .k = t->in_c,
                                   .src_stride = t->src_stride};
    return onednn_linear_create(ret, onednn, &linear, like, error);
}

int cpu_transposed_create(struct cpu_transposed **ret, struct onednn *onednn,
                          const struct step_spec *spec, const struct cpu_transposed *like,
                          struct error *error)
{
    struct cpu_transposed *t = calloc(1, sizeof *t);
    if (t == NULL)
        return error_set(error, ENOMEM, "out of memory");
    const struct graph_node *node = spec->node;
    const struct tensor_shape in = spec->in[0];
    t->gather = (struct loop_gather){.in_h = in.h,
                                     .in_w = in.w,
                                     .out_w = spec->out.w,
                                     .out_c = spec->out.c,
                                     .kernel = {node->kernel[0], node->kernel[1]},
                                     .stride = {node->stride[0], node->stride[1]},
                                     .pad = node->pad,
                                     .relu = spec->relu};
    t->gather.out_h = spec->out.h;
    t->n = in.n;
    t->band = (BAND_POSITIONS + in.w - 1) / in.w;
    t->band = t->band < in.h ? t->band : in.h;
    t->rest_rows = in.h % t->band;
    t->kept = (node->kernel[0] - 1) / node->stride[0];
    t->in_c = (size_t)in.c;
    t->out_c = (size_t)spec->out.c;
    t->src_stride = spec->in_stride[0];
    t->cells = t->out_c * (size_t)(node->kernel[0] * node->kernel[1]);
    int r =
        create_product(&t->product, t, t->band, onednn, like != NULL ? like->product : NULL, error);
    if (r == 0 && t->rest_rows > 0)
        r = create_product(&t->rest, t, t->rest_rows, onednn, t->product, error);
    if (r < 0) {
        cpu_transposed_destroy(t);
        return r;
    }
    t->zeros_offset = aligned(onednn_weights_bytes(t->product));
    t->bias_offset = t->zeros_offset + aligned(t->cells * sizeof(float));
    t->packed_bytes = t->bias_offset + aligned(t->out_c * sizeof(float));
    t->contributions_bytes =
        aligned((size_t)(t->band + t->kept) * (size_t)in.w * t->cells * sizeof(float));
    *ret = t;
    return 0;
}

void cpu_transposed_destroy(struct cpu_transposed *t)
{
    if (t == NULL)
        return;
    onednn_primitive_destroy(t->rest);
    onednn_primitive_destroy(t->product);
    free(t);
}

size_t cpu_transposed_packed(const struct cpu_transposed *t)
{
    return t->packed_bytes;
}

size_t cpu_transposed_scratch(const struct cpu_transposed *t)
{
    size_t own = onednn_scratch_bytes(t->product);
    if (t->rest != NULL && onednn_scratch_bytes(t->rest) > own)
        own = onednn_scratch_bytes(t->rest);
    return t->contributions_bytes + own;
}

int cpu_transposed_pack(struct cpu_transposed *t, const float *kernel, const float *bias,
                        void *packed, struct error *error)
{
    size_t taps = t->cells / t->out_c;
    float *by_tap = memory_zeroed(t->in_c * t->cells, sizeof(float)); /* [taps][out][in] */
    if (by_tap == NULL)
        return error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < t->in_c; i++)
        for (size_t o = 0; o < t->out_c; o++)
            for (size_t k = 0; k < taps; k++)
                by_tap[(k * t->out_c + o) * t->in_c + i] = kernel[(i * t->out_c + o) * taps + k];
    int r = onednn_pack(t->product, by_tap, packed, error);
    free(by_tap);
    memset((char *)packed + t->zeros_offset, 0, t->cells * sizeof(float));
    if (bias != NULL)
        memcpy((char *)packed + t->bias_offset, bias, t->out_c * sizeof(float));
    else
        memset((char *)packed + t->bias_offset, 0, t->out_c * sizeof(float));
    return r;
}

static const float *in_packed(const struct cpu_transposed *t, size_t offset)
{
    return (const float *)(const void *)((const char *)t->memory.packed + offset);
}

void cpu_transposed_bind(struct cpu_transposed *t, const struct step_memory *m)
{
    t->memory = *m;
    t->gather.bias = in_packed(t, t->bias_offset);
}

/* Rows [row, row + rows) of one image into the contributions, behind the kept ones. */
static int multiply(struct cpu_transposed *t, const float *image, int row, int rows,
                    struct error *error)
{
    struct onednn_primitive *p = rows == t->band ? t->product : t->rest;
    size_t w = (size_t)t->gather.in_w;
    float *contributions = (float *)t->memory.scratch + (size_t)t->kept * w * t->cells;
    int r = onednn_bind(p, image + (size_t)row * w * t->src_stride, t->memory.packed,
                        in_packed(t, t->zeros_offset), contributions,
                        (char *)t->memory.scratch + t->contributions_bytes, error);
    return r == 0 ? onednn_run(p, error) : r;
}

/* The first output row that input rows before `row` do not complete. */
static int completed(const struct cpu_transposed *t, int row)
{
    if (row >= t->gather.in_h)
        return t->gather.out_h;
    int rows = row * t->gather.stride[0] - t->gather.pad;
    rows = rows > 0 ? rows : 0;
    return rows < t->gather.out_h ? rows : t->gather.out_h;
}

static int run_image(struct cpu_transposed *t, const float *image, float *out, struct error *error)
{
    const size_t row_cells = (size_t)t->gather.in_w * t->cells;
    float *contributions = t->memory.scratch;
    for (int row = 0; row < t->gather.in_h; row += t->band) {
        int rows = t->gather.in_h - row < t->band ? t->gather.in_h - row : t->band;
        int r = multiply(t, image, row, rows, error);
        if (r < 0)
            return r;
        loop_gather(&t->gather, contributions, row - t->kept, completed(t, row),
                    completed(t, row + rows), out);
        memmove(contributions, contributions + (size_t)rows * row_cells,
                (size_t)t->kept * row_cells * sizeof(float));
    }
    return 0;
}

int cpu_transposed_run(struct cpu_transposed *t, struct error *error)
{
    const struct loop_gather *g = &t->gather;
    size_t in_floats = (size_t)g->in_h * (size_t)g->in_w * t->src_stride;
    size_t out_floats = (size_t)g->out_h * (size_t)g->out_w * t->out_c;
    int r = 0;
    for (int i = 0; i < t->n && r == 0; i++)
        r = run_image(t, t->memory.in[0] + (size_t)i * in_floats,
                      t->memory.out + (size_t)i * out_floats, error);
    return r;
}
