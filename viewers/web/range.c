/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/range.h"

#include <stdbool.h>
#include <string.h>

/* Digits as a number; false without any, or beyond 18 of them. */
static bool take_number(const char **text, int64_t *ret)
{
    const char *at = *text;
    int64_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (at - *text >= 18)
            return false;
        value = value * 10 + (*at - '0');
    }
    if (at == *text)
        return false;
    *text = at;
    *ret = value;
    return true;
}

enum range_verdict range_parse(const char *header, int64_t size, int64_t *ret_from,
                               int64_t *ret_bytes)
{
    int64_t first, last;
    if (header == NULL || strncmp(header, "bytes=", 6) != 0)
        return RANGE_WHOLE;
    const char *at = header + 6;
    if (*at == '-') { /* the last so many */
        at++;
        if (!take_number(&at, &last) || *at != '\0')
            return RANGE_WHOLE;
        if (last == 0 || size == 0)
            return RANGE_UNSATISFIABLE;
        first = last < size ? size - last : 0;
        last = size - 1;
    } else {
        if (!take_number(&at, &first) || *at++ != '-')
            return RANGE_WHOLE;
        if (*at == '\0')
            last = size - 1;
        else if (!take_number(&at, &last) || *at != '\0' || last < first)
            return RANGE_WHOLE;
        if (first >= size)
            return RANGE_UNSATISFIABLE;
        if (last > size - 1)
            last = size - 1;
    }
    *ret_from = first;
    *ret_bytes = last - first + 1;
    return RANGE_PART;
}
