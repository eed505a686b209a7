/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/text.h"

#include "base/utf8.h"

/* Prints the character that text begins with. Returns its bytes. */
static int print_character(FILE *out, const char *text)
{
    const size_t control = utf8_control(text);
    if (control > 0) {
        fputc('?', out);
        return (int)control;
    }
    int n = 1;
    while ((text[n] & 0xc0) == 0x80)
        n++;
    fwrite(text, 1, (size_t)n, out);
    return n;
}

void text_print(FILE *out, const char *text)
{
    while (text != NULL && *text != '\0')
        text += print_character(out, text);
}

void text_print_column(FILE *out, const char *text, int width)
{
    for (; *text != '\0' && width > 0; width--)
        text += print_character(out, text);
    fprintf(out, "%*s", width, "");
}
