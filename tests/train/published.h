/* SPDX-License-Identifier: Apache-2.0
 * For tests of model/train/: tensors of a golden file, and comparisons that NaN fails. */
#ifndef FOCALD_TESTS_TRAIN_PUBLISHED_H
#define FOCALD_TESTS_TRAIN_PUBLISHED_H

#include "tests/model/places.h"

#include <math.h>

#include "model/weights/safetensors.h"

/* Skips the test where the file is not. */
static inline struct safetensors *published_open(const char *name)
{
    struct error error = {""};
    struct safetensors *file = NULL;
    if (safetensors_open(&file, golden(name).path, &error) < 0)
        fail_msg("%s", error.text);
    return file;
}

static inline void published_floats(const struct safetensors *file, const char *name, float *ret,
                                    size_t cells)
{
    const struct safetensors_tensor *t = safetensors_find(file, name);
    if (t == NULL || t->cells != cells)
        fail_msg("%s: no %s with %zu cells", safetensors_path(file), name, cells);
    safetensors_float(t, ret);
}

static inline void assert_near(const char *what, double found, double expected, double limit)
{
    if (!(fabs(found - expected) <= limit))
        fail_msg("%s: %.9g, expected %.9g within %g", what, found, expected, limit);
}

static inline double assert_all_near(const char *what, const float *found, const float *expected,
                                     size_t n, double limit)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double off = fabs((double)found[i] - (double)expected[i]);
        if (!(off <= limit))
            fail_msg("%s [%zu]: %.9g, expected %.9g within %g", what, i, (double)found[i],
                     (double)expected[i], limit);
        worst = fmax(worst, off);
    }
    return worst;
}

#endif
