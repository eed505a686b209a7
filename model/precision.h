/* SPDX-License-Identifier: Apache-2.0
 * What products are computed in; sums and norms are float32 in all of them. */
#ifndef FOCALD_MODEL_PRECISION_H
#define FOCALD_MODEL_PRECISION_H

#include "base/error.h"

enum precision {
    PRECISION_FLOAT32,
    PRECISION_TF32,     /* float32 values, products of their first 10 bits */
    PRECISION_BFLOAT16, /* values and products */
    PRECISION_FLOAT16,  /* values and products */
    PRECISION_AUTO,     /* only asked for, see backends.h: no backend is opened with it */
};
enum { PRECISIONS = 4 };

/* "float32", "tf32", "bfloat16", "float16", "auto". */
const char *precision_name(enum precision precision);
int precision_parse(const char *text, enum precision *ret, struct error *error);

#endif
