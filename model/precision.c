/* SPDX-License-Identifier: Apache-2.0 */
#include "model/precision.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"

static const char *const precisions[] = {
    [PRECISION_FLOAT32] = "float32", [PRECISION_TF32] = "tf32", [PRECISION_BFLOAT16] = "bfloat16",
    [PRECISION_FLOAT16] = "float16", [PRECISION_AUTO] = "auto",
};

const char *precision_name(enum precision precision)
{
    return precisions[precision];
}

int precision_parse(const char *text, enum precision *ret, struct error *error)
{
    for (size_t i = 0; i < ARRAY_LEN(precisions); i++)
        if (strcmp(text, precisions[i]) == 0) {
            *ret = (enum precision)i;
            return 0;
        }
    return error_set(error, EINVAL, "precision %s; allowed: auto, float32, tf32, bfloat16, float16",
                     text);
}
