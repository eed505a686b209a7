/* SPDX-License-Identifier: Apache-2.0
 * All calls of oneDNN (2.x, C API), so that another version touches one file: linear layers and
 * convolutions as primitives made once, with weights in the layout the library prefers. */
#ifndef FOCALD_MODEL_CPU_ONEDNN_H
#define FOCALD_MODEL_CPU_ONEDNN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct onednn; /* engine and stream */

int onednn_open(struct onednn **ret, struct error *error);
void onednn_close(struct onednn *onednn); /* takes NULL; after the last primitive */

struct onednn_primitive;

/* dst: [m][n] = gelu?(src: [m][k] * weights: [n][k]^T + bias: [n]), or added to what dst holds.
 * like: shares its weights' layout (another m), or NULL. */
struct onednn_linear {
    size_t m, n, k, src_stride;
    bool gelu, accumulate;
    bool back; /* weights: [k][n], no bias: what goes back through a layer */
};
int onednn_linear_create(struct onednn_primitive **ret, struct onednn *onednn,
                         const struct onednn_linear *spec, const struct onednn_primitive *like,
                         struct error *error);

/* NHWC, src_stride floats from one position to the next; weights: [out][in][kernel][kernel], bias:
 * [out]. */
struct onednn_conv {
    int n, in_h, in_w, in_c, out_h, out_w, out_c, kernel, stride, pad;
    size_t src_stride;
};
int onednn_conv_create(struct onednn_primitive **ret, struct onednn *onednn,
                       const struct onednn_conv *spec, const struct onednn_primitive *like,
                       struct error *error);

/* A product for each of n x heads, nothing packed: dst: [n][heads][rows][cols] = src: [rows][inner]
 * * weights: [inner][cols] * scale. Strides in floats, of n, head, row and column. */
struct onednn_products {
    int n, heads, rows, inner, cols;
    size_t src_strides[4], weights_strides[4], dst_strides[4];
    float scale;     /* 0: none */
    bool accumulate; /* added to what dst holds */
};
int onednn_products_create(struct onednn_primitive **ret, struct onednn *onednn,
                           const struct onednn_products *spec, struct error *error);

void onednn_primitive_destroy(struct onednn_primitive *primitive); /* takes NULL */
size_t onednn_weights_bytes(const struct onednn_primitive *primitive);
size_t onednn_scratch_bytes(const struct onednn_primitive *primitive);

/* Puts plain weights into the primitive's layout. */
int onednn_pack(struct onednn_primitive *primitive, const float *weights, void *packed,
                struct error *error);
/* packed: of products the weights as they are; bias: NULL of products. */
int onednn_bind(struct onednn_primitive *primitive, const float *src, const void *packed,
                const float *bias, float *dst, void *scratch, struct error *error);
int onednn_run(struct onednn_primitive *primitive, struct error *error);

/* c: [n][n] = a * b by the library's sgemm, n x n all three: what the machine can do. Returns 0 or
 * a negative errno. */
int onednn_sgemm(int n, const float *a, const float *b, float *c);

#endif
