/* SPDX-License-Identifier: Apache-2.0
 * Values of a JSON file that came from outside: an absent key leaves *ret as it is, one of the
 * wrong kind is an error that names the file, the key, what it is and what is allowed. */
#ifndef FOCALD_MODEL_JSON_VALUES_H
#define FOCALD_MODEL_JSON_VALUES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* where: the file's path, for errors. *ret is the caller's to json_decref. */
int json_parse_object(json_t **ret, const char *text, size_t length, const char *where,
                      struct error *error);

/* The error for a key's value of the wrong kind. */
int json_wrong(const char *where, const char *key, const json_t *value, const char *allowed,
               struct error *error);

int json_get_int(const json_t *o, const char *key, int *ret, const char *where,
                 struct error *error);
int json_get_number(const json_t *o, const char *key, double *ret, const char *where,
                    struct error *error);
int json_get_float(const json_t *o, const char *key, float *ret, const char *where,
                   struct error *error);
int json_get_bool(const json_t *o, const char *key, bool *ret, const char *where,
                  struct error *error);
/* n integers; with n = 0 the array's length, up to max, is taken. Returns the number, 0 when
 * absent, or a negative errno. */
int json_get_ints(const json_t *o, const char *key, int *ret, int n, int max, const char *where,
                  struct error *error);
/* One size, or [rows, columns]. */
int json_get_size(const json_t *o, const char *key, int *rows, int *cols, const char *where,
                  struct error *error);

#endif
