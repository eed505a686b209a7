/* SPDX-License-Identifier: Apache-2.0 */
#include "model/depthwise.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"

static const char *const names[] = {
    [DEPTHWISE_KERNELS] = "kernels", [DEPTHWISE_CUDNN] = "cudnn", [DEPTHWISE_AUTO] = "auto"};

const char *depthwise_name(enum depthwise depthwise)
{
    return names[depthwise];
}

int depthwise_parse(const char *text, enum depthwise *ret, struct error *error)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum depthwise)i;
            return 0;
        }
    return error_set(error, EINVAL, "depthwise %s; allowed: auto, cudnn, kernels", text);
}
