/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *e, int errnum, const char *format, ...)
{
    if (e != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(e->text, sizeof e->text, format, args);
        va_end(args);
    }
    return -errnum;
}

int error_prefix(struct error *e, int code, const char *format, ...)
{
    if (e != NULL) {
        char rest[sizeof e->text];
        memcpy(rest, e->text, sizeof rest);
        va_list args;
        va_start(args, format);
        int n = vsnprintf(e->text, sizeof e->text, format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < sizeof e->text)
            snprintf(e->text + n, sizeof e->text - (size_t)n, ": %.*s",
                     (int)(sizeof e->text - 3) - n, rest);
    }
    return code;
}
