/* SPDX-License-Identifier: Apache-2.0
 * Text of others on the standard output: notes, labels and streams come from outside, and no
 * control character of them reaches the terminal. */
#ifndef FOCAL_RECORD_TEXT_H
#define FOCAL_RECORD_TEXT_H

void text_print(const char *text); /* takes NULL */
/* As a table's column of that width: cut at a whole character, or filled with blanks. */
void text_print_column(const char *text, int width);

#endif
