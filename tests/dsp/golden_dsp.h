/* SPDX-License-Identifier: Apache-2.0
 * Compares dsp/ with the reference tensors of golden/dsp.safetensors. */
#ifndef FOCALD_TESTS_DSP_GOLDEN_DSP_H
#define FOCALD_TESTS_DSP_GOLDEN_DSP_H

#include <stddef.h>

/* Finds a tensor's bytes by name, or NULL; need not be aligned. */
typedef const void *(*golden_tensor)(void *user, const char *name, size_t *ret_bytes);
/* Told of every comparison; the error is NaN for what is missing or could not be computed. */
typedef void (*golden_report)(void *user, const char *name, double error, double limit);

/* Each step is checked from the stored input of that step; with clips_dir (the folder clips/ beside
 * the file; NULL: not there) the resampling too, and all of them once more in a chain from the
 * clip. Returns how many comparisons are beyond their limit; what is missing counts. */
int golden_dsp_check(golden_tensor tensor, void *user, const char *clips_dir, golden_report report);

#endif
