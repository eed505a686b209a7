/* SPDX-License-Identifier: Apache-2.0
 * Cells of each type for tests of kernels: made on the host, moved to the device and back. */
#ifndef FOCALD_TESTS_MODEL_CUDA_CELLS_H
#define FOCALD_TESTS_MODEL_CUDA_CELLS_H

#include <stddef.h>
#include <stdint.h>

#include "model/cuda/kernels.h"

double cells_uniform(uint64_t *state);             /* [-1, 1) */
float cells_rounded(float x, enum cell_type type); /* to the nearest, of equals the even */
double cells_epsilon(enum cell_type type);         /* twice its rounding error; float32: 0 */

/* Below, what fails fails the test. */

float *cells_host(size_t cells);                       /* NaN; freed by free */
void *cells_device(size_t cells, enum cell_type type); /* undefined */
void *cells_upload(const float *from, size_t cells, enum cell_type type);
void cells_download(float *to, const void *from, size_t cells, enum cell_type type);
void cells_release(void *device);

#endif
