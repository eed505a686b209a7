/* SPDX-License-Identifier: Apache-2.0
 * Packed: the product's weights, a bias of zeros [taps], the real bias [out]. Scratch:
 * contributions [N * h * w][taps], then the product's own. taps: [out][kh][kw]. */
#include "model/cpu/thin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/cpu/loops.h"

enum { MAX_OUT = 4, MAX_TAPS = 512 };

struct cpu_thin {
    struct onednn_primitive *product;
    struct loop_gather gather;
    size_t taps, in_c, zeros_offset, bias_offset, packed_bytes, contributions_bytes;
    float *contributions, *out; /* once bound */
};

static size_t aligned(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

bool cpu_thin_fits(const struct step_spec *spec)
{
    const struct graph_node *node = spec->node;
    return spec->out.c <= MAX_OUT && spec->out.c * node->kernel[0] * node->kernel[1] <= MAX_TAPS;
}

int cpu_thin_create(struct cpu_thin **ret, struct onednn *onednn, const struct step_spec *spec,
                    const struct cpu_thin *like, struct error *error)
{
    struct cpu_thin *t = calloc(1, sizeof *t);
    if (t == NULL)
        return error_set(error, ENOMEM, "out of memory");
    const struct graph_node *node = spec->node;
    t->gather = (struct loop_gather){.n = spec->out.n,
                                     .in_h = spec->in[0].h,
                                     .in_w = spec->in[0].w,
                                     .out_h = spec->out.h,
                                     .out_w = spec->out.w,
                                     .out_c = spec->out.c,
                                     .kernel = {node->kernel[0], node->kernel[1]},
                                     .stride = {node->stride[0], node->stride[1]},
                                     .pad = node->pad,
                                     .relu = spec->relu};
    t->in_c = (size_t)spec->in[0].c;
    t->taps = (size_t)(spec->out.c * node->kernel[0] * node->kernel[1]);
    struct onednn_linear linear = {
        .m = (size_t)spec->in[0].n * (size_t)spec->in[0].h * (size_t)spec->in[0].w,
        .n = t->taps,
        .k = t->in_c,
        .src_stride = spec->in_stride[0],
    };
    int r = onednn_linear_create(&t->product, onednn, &linear, like != NULL ? like->product : NULL,
                                 error);
    if (r < 0) {
        cpu_thin_destroy(t);
        return r;
    }
    t->zeros_offset = aligned(onednn_weights_bytes(t->product));
    t->bias_offset = t->zeros_offset + aligned(t->taps * sizeof(float));
    t->packed_bytes = t->bias_offset + aligned((size_t)spec->out.c * sizeof(float));
    t->contributions_bytes = aligned(linear.m * t->taps * sizeof(float));
    *ret = t;
    return 0;
}

void cpu_thin_destroy(struct cpu_thin *t)
{
    if (t != NULL)
        onednn_primitive_destroy(t->product);
    free(t);
}

size_t cpu_thin_packed(const struct cpu_thin *t)
{
    return t->packed_bytes;
}

size_t cpu_thin_scratch(const struct cpu_thin *t)
{
    return t->contributions_bytes + onednn_scratch_bytes(t->product);
}

int cpu_thin_pack(struct cpu_thin *t, const float *const *weights, void *packed,
                  struct error *error)
{
    float *by_tap = memory_zeroed(t->in_c * t->taps, sizeof(float)); /* [taps][in] */
    if (by_tap == NULL)
        return error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < t->in_c; i++)
        for (size_t k = 0; k < t->taps; k++)
            by_tap[k * t->in_c + i] = weights[0][i * t->taps + k];
    int r = onednn_pack(t->product, by_tap, packed, error);
    free(by_tap);
    memset((char *)packed + t->zeros_offset, 0, t->taps * sizeof(float));
    memcpy((char *)packed + t->bias_offset, weights[1], (size_t)t->gather.out_c * sizeof(float));
    return r;
}

int cpu_thin_bind(struct cpu_thin *t, const struct step_memory *m, struct error *error)
{
    const char *packed = m->packed;
    t->contributions = m->scratch;
    t->out = m->out;
    t->gather.bias = (const float *)(const void *)(packed + t->bias_offset);
    return onednn_bind(t->product, m->in[0], packed,
                       (const float *)(const void *)(packed + t->zeros_offset), t->contributions,
                       (char *)m->scratch + t->contributions_bytes, error);
}

int cpu_thin_run(struct cpu_thin *t, struct error *error)
{
    int r = onednn_run(t->product, error);
    if (r == 0)
        loop_gather(&t->gather, t->contributions, t->out);
    return r;
}
