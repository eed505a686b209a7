/* SPDX-License-Identifier: Apache-2.0
 * Text of others - labels, names, problems - made harmless for a terminal, and measured in columns.
 */
#ifndef FOCALD_VIEWERS_TERM_TEXT_H
#define FOCALD_VIEWERS_TERM_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Copies text with everything replaced that could move the cursor, change the terminal's state or
 * reorder what stands beside it: control characters (C0, DEL, C1), bytes that are not UTF-8,
 * invisible and direction-changing characters, those that no font knows, and piles of combining
 * marks. unicode: the terminal shows UTF-8; else all beyond ASCII becomes '?'. Cuts at a whole
 * character. Wants the program's locale (wcwidth). */
void text_clean(const char *text, bool unicode, char *ret, size_t size);

/* Of a clean text: the columns it takes, and how many of its bytes fit into that many columns. */
int text_columns(const char *text);
size_t text_fit(const char *text, int columns);

#endif
