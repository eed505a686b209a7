/* SPDX-License-Identifier: Apache-2.0
 * File names are bytes; JSON and pictures take UTF-8 only. */
#ifndef FOCALD_BASE_UTF8_H
#define FOCALD_BASE_UTF8_H

#include <stddef.h>

/* Copies text with every byte that is not UTF-8 replaced by U+FFFD; cuts at a whole character. */
void utf8_clean(const char *text, char *ret, size_t size);

#endif
