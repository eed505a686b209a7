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

/* in: [in_rows][in_cols] -> out: [out_rows][out_cols]. One thread at a time. */
void resize_run(struct resize *resize, const float *in, float *out);

#endif
