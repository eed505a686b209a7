/* SPDX-License-Identifier: Apache-2.0
 * File names are bytes; JSON and pictures take UTF-8 only. What others wrote is not to steer a
 * terminal. */
#ifndef FOCALD_BASE_UTF8_H
#define FOCALD_BASE_UTF8_H

#include <stddef.h>

/* Copies text with every byte that is not UTF-8 replaced by U+FFFD; cuts at a whole character. */
void utf8_clean(const char *text, char *ret, size_t size);

/* The same for a terminal: control characters become '?'. */
void utf8_printable(const char *text, char *ret, size_t size);

/* Bytes of the control character that text begins with, 0 if it begins with another or ends. Those
 * of two bytes, U+0080 to U+009F, steer some terminals as an escape does. */
size_t utf8_control(const char *text);

#endif
