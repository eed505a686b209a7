/* SPDX-License-Identifier: Apache-2.0
 * Small text files, whole. */
#ifndef FOCALD_MODEL_TEXT_FILE_H
#define FOCALD_MODEL_TEXT_FILE_H

#include <stddef.h>

#include "base/error.h"

enum { TEXT_FILE_MAX = 8 << 20 };

/* The file with a zero behind it, to be freed; without the UTF-8 byte order mark that editors on
 * Windows put before a text, which belongs to none of what is read so. Errors name the path;
 * -ENOENT when there is none. A pipe, a directory and a file beyond TEXT_FILE_MAX are refused. */
int text_file_read(const char *path, char **ret, size_t *ret_length, struct error *error);

#endif
