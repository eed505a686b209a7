/* SPDX-License-Identifier: Apache-2.0
 * Sound as FLAC, mono at 16 kHz. */
#ifndef FOCAL_RECORD_FLAC_H
#define FOCAL_RECORD_FLAC_H

#include <stddef.h>

#include "base/error.h"
#include "viewers/record/blob.h"

/* samples: [n], full scale is 1; what is beyond is cut. bits: 16 or 24. title: of the file's tags.
 */
int flac_encode(struct blob *ret, const float *samples, size_t n, int bits, const char *title,
                struct error *error);
/* Reads a file to its end; it must be mono 16 kHz and hold n samples. */
int flac_check(const char *path, size_t n, struct error *error);

#endif
