/* SPDX-License-Identifier: Apache-2.0
 * Bilinear resizing of a plane, half-pixel centres, as torch and torchvision do it: without
 * antialiasing (torch.nn.functional.interpolate) and with (antialias=True). */
#ifndef FOCALD_DSP_RESIZE_H
#define FOCALD_DSP_RESIZE_H

#include <stdbool.h>

#include "base/error.h"

struct resize;

/* Tables and scratch are made here. Sizes 1 ... 8192. */
int resize_create(struct resize **ret, int in_rows, int in_cols, int out_rows, int out_cols,
                  bool antialias, struct error *error);
void resize_destroy(struct resize *resize); /* takes NULL */

/* A part of the input, in its cells: from + share i of its length is where output cell i begins.
 * It may reach beyond the input, where all is 0. */
struct resize_box {
    float top, bottom, left, right;
};

/* As resize_create with antialiasing, for boxes of up to `widest` times the input's size. */
int resize_create_aimed(struct resize **ret, int in_rows, int in_cols, int out_rows, int out_cols,
                        float widest, struct error *error);
/* From now on resize_run takes this part (as PIL's resize(box) does, but for what lies outside):
 * the whole input gives what resize_create with antialiasing gives. Of resize_create_aimed only;
 * 0 < bottom - top <= widest in_rows, likewise right - left. Allocates nothing. */
void resize_aim(struct resize *resize, const struct resize_box *box);

/* in: [in_rows][in_cols] -> out: [out_rows][out_cols]. One thread at a time. */
void resize_run(struct resize *resize, const float *in, float *out);

#endif
