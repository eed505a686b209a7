/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/text.h"

#include <stdio.h>

#include "base/utf8.h"

/* Prints the character that text begins with. Returns its bytes. */
static int print_character(const char *text)
{
    const size_t control = utf8_control(text);
    if (control > 0) {
        putchar('?');
        return (int)control;
    }
    int n = 1;
    while ((text[n] & 0xc0) == 0x80)
        n++;
    fwrite(text, 1, (size_t)n, stdout);
    return n;
}

void text_print(const char *text)
{
    while (text != NULL && *text != '\0')
        text += print_character(text);
}

void text_print_column(const char *text, int width)
{
    for (; *text != '\0' && width > 0; width--)
        text += print_character(text);
    printf("%*s", width, "");
}
