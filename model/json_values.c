/* SPDX-License-Identifier: Apache-2.0 */
#include "model/json_values.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* For what quotes a file in an error's one line. */
static void make_printable(char *text)
{
    for (char *c = text; *c != '\0'; c++)
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
}

int json_parse_object(json_t **ret, const char *text, size_t length, const char *where,
                      struct error *error)
{
    json_error_t json_error;
    *ret = json_loadb(text, length, JSON_REJECT_DUPLICATES, &json_error);
    if (*ret == NULL) {
        make_printable(json_error.text);
        return error_set(error, EINVAL, "%s:%d: not JSON: %s", where, json_error.line,
                         json_error.text);
    }
    if (json_is_object(*ret))
        return 0;
    json_decref(*ret);
    *ret = NULL;
    return error_set(error, EINVAL, "%s: not a JSON object", where);
}

/* The error for a key's value of the wrong kind. */
int json_wrong(const char *where, const char *key, const json_t *value, const char *allowed,
               struct error *error)
{
    char *found = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    if (found != NULL)
        make_printable(found);
    int r = error_set(error, EINVAL, "%s: \"%s\" is %.60s; allowed: %s", where, key,
                      found != NULL ? found : "(too long to show)", allowed);
    free(found);
    return r;
}

static bool is_int(const json_t *v)
{
    return json_is_integer(v) && json_integer_value(v) >= -INT_MAX &&
           json_integer_value(v) <= INT_MAX;
}

/* An absent key leaves *ret as it is. */
int json_get_int(const json_t *o, const char *key, int *ret, const char *where, struct error *error)
{
    const json_t *v = json_object_get(o, key);
    if (v == NULL)
        return 0;
    if (!is_int(v))
        return json_wrong(where, key, v, "an integer", error);
    *ret = (int)json_integer_value(v);
    return 0;
}

int json_get_number(const json_t *o, const char *key, double *ret, const char *where,
                    struct error *error)
{
    const json_t *v = json_object_get(o, key);
    if (v == NULL)
        return 0;
    if (!json_is_number(v) || !isfinite(json_number_value(v)))
        return json_wrong(where, key, v, "a number", error);
    *ret = json_number_value(v);
    return 0;
}

int json_get_float(const json_t *o, const char *key, float *ret, const char *where,
                   struct error *error)
{
    double v = (double)*ret;
    int r = json_get_number(o, key, &v, where, error);
    *ret = (float)v;
    return r;
}

int json_get_bool(const json_t *o, const char *key, bool *ret, const char *where,
                  struct error *error)
{
    const json_t *v = json_object_get(o, key);
    if (v == NULL)
        return 0;
    if (!json_is_boolean(v))
        return json_wrong(where, key, v, "true or false", error);
    *ret = json_is_true(v);
    return 0;
}

/* n integers; with n = 0 the array's length, up to max, is taken. Returns the number, 0 when
 * absent, or a negative errno. */
int json_get_ints(const json_t *o, const char *key, int *ret, int n, int max, const char *where,
                  struct error *error)
{
    const json_t *v = json_object_get(o, key);
    if (v == NULL)
        return 0;
    size_t size = json_array_size(v);
    if (!json_is_array(v) || size < 1 || size > (size_t)max || (n > 0 && size != (size_t)n))
        return json_wrong(where, key, v,
                          n > 0 ? "an array of as many integers as \"depths\" has"
                                : "an array of 1 to 8 integers",
                          error);
    for (size_t i = 0; i < size; i++) {
        const json_t *item = json_array_get(v, i);
        if (!is_int(item))
            return json_wrong(where, key, v, "an array of integers", error);
        ret[i] = (int)json_integer_value(item);
    }
    return (int)size;
}

/* One size, or [rows, columns]. */
int json_get_size(const json_t *o, const char *key, int *rows, int *cols, const char *where,
                  struct error *error)
{
    const json_t *v = json_object_get(o, key);
    const json_t *row = json_is_array(v) ? json_array_get(v, 0) : v;
    const json_t *col = json_is_array(v) ? json_array_get(v, 1) : v;
    if (v == NULL)
        return 0;
    if (!is_int(row) || !is_int(col) || (json_is_array(v) && json_array_size(v) != 2))
        return json_wrong(where, key, v, "an integer or [rows, columns]", error);
    *rows = (int)json_integer_value(row);
    *cols = (int)json_integer_value(col);
    return 0;
}
