/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/text.h"

#include <stdio.h>

/* Prints the character that text begins with. Returns its bytes. */
static int print_character(const char *text)
{
    unsigned char c = (unsigned char)text[0];
    if (c < 0x20 || c == 0x7f) {
        putchar('?');
        return 1;
    }
    if (c == 0xc2 && (text[1] & 0xe0) == 0x80) { /* U+0080 to U+009F steer some terminals too */
        putchar('?');
        return 2;
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
