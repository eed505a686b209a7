/* SPDX-License-Identifier: Apache-2.0
 * What stands behind the ? of an address, and in a form: name=value&…, percent-encoded. */
#ifndef FOCAL_WEB_QUERY_H
#define FOCAL_WEB_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool query_has(const char *query, const char *name);
/* The decoded value as text; false: not there, longer than size - 1, or not UTF-8's bytes (a NUL).
 */
bool query_text(const char *query, const char *name, char *ret, size_t size);
/* *ret stays as it is when the name is not there. False: it is there and is no whole number in the
 * range. */
bool query_integer(const char *query, const char *name, int64_t from, int64_t to, int64_t *ret);
bool query_number(const char *query, const char *name, double from, double to, double *ret);

#endif
