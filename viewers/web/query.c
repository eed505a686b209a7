/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/query.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1;
}

/* [from, end) decoded; false when it does not fit or is malformed. */
static bool decode(const char *from, const char *end, char *ret, size_t size)
{
    size_t n = 0;
    while (from < end) {
        char c = *from++;
        if (c == '+')
            c = ' ';
        else if (c == '%') {
            if (end - from < 2 || hex(from[0]) < 0 || hex(from[1]) < 0)
                return false;
            c = (char)(hex(from[0]) << 4 | hex(from[1]));
            from += 2;
        }
        if (c == '\0' || n + 1 >= size)
            return false;
        ret[n++] = c;
    }
    ret[n] = '\0';
    return true;
}

bool query_text(const char *query, const char *name, char *ret, size_t size)
{
    size_t n = strlen(name);
    for (const char *at = query; *at != '\0';) {
        const char *end = at + strcspn(at, "&");
        if (strncmp(at, name, n) == 0 && at[n] == '=')
            return decode(at + n + 1, end, ret, size);
        at = *end == '&' ? end + 1 : end;
    }
    return false;
}

bool query_has(const char *query, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = query; at != NULL; at = strchr(at, '&')) {
        at += *at == '&';
        if (strncmp(at, name, n) == 0 && at[n] == '=')
            return true;
    }
    return false;
}

bool query_integer(const char *query, const char *name, int64_t from, int64_t to, int64_t *ret)
{
    char text[32], *end;
    if (!query_has(query, name))
        return true;
    if (!query_text(query, name, text, sizeof text))
        return false;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < from || value > to)
        return false;
    *ret = value;
    return true;
}

bool query_number(const char *query, const char *name, double from, double to, double *ret)
{
    char text[32], *end;
    if (!query_has(query, name))
        return true;
    if (!query_text(query, name, text, sizeof text))
        return false;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(value >= from && value <= to))
        return false;
    *ret = value;
    return true;
}
