/* SPDX-License-Identifier: Apache-2.0
 * Text of others for a terminal: notes, labels and streams come from outside, and no
 * control character of them reaches the terminal. */
#ifndef FOCAL_RECORD_TEXT_H
#define FOCAL_RECORD_TEXT_H

#include <stdio.h>

void text_print(FILE *out, const char *text); /* takes NULL */
/* As a table's column of that width: cut at a whole character, or filled with blanks. */
void text_print_column(FILE *out, const char *text, int width);

#endif
