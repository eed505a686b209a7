/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/term/text.h"

#include <stdint.h>
#include <string.h>
#include <wchar.h>

enum { MARKS_MAX = 2 }; /* combining marks on one letter; languages need no more */

/* The character at *text, which is moved behind it; -1 and one byte on where there is none. */
static int32_t next_character(const unsigned char **text)
{
    static const struct {
        unsigned char mask, lead;
        int32_t least;
    } kinds[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    const unsigned char *s = *text;
    *text = s + 1;
    for (int more = 0; more < 4; more++) {
        if ((s[0] & kinds[more].mask) != kinds[more].lead)
            continue;
        int32_t c = s[0] & (unsigned char)~kinds[more].mask;
        for (int i = 1; i <= more; i++) {
            if ((s[i] & 0xc0) != 0x80)
                return -1;
            c = c << 6 | (s[i] & 0x3f);
        }
        if (c < kinds[more].least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            return -1;
        *text = s + more + 1;
        return c;
    }
    return -1;
}

/* Characters without a shape of their own that change how others are shown: Unicode's formats,
 * separators, fillers, variation selectors and tags. */
static bool is_invisible(int32_t c)
{
    static const struct {
        int32_t first, last;
    } ranges[] = {{0x00ad, 0x00ad},   {0x034f, 0x034f},   {0x061c, 0x061c}, {0x115f, 0x1160},
                  {0x17b4, 0x17b5},   {0x180b, 0x180f},   {0x200b, 0x200f}, {0x2028, 0x202e},
                  {0x2060, 0x206f},   {0x3164, 0x3164},   {0xe000, 0xf8ff}, {0xfe00, 0xfe0f},
                  {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb}, {0x1d173, 0x1d17a},
                  {0xe0000, 0xe0fff}, {0xf0000, 0x10ffff}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

static bool is_harmless(int32_t c)
{
    return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && !is_invisible(c) && wcwidth((wchar_t)c) >= 0;
}

void text_clean(const char *text, bool unicode, char *ret, size_t size)
{
    const char *replacement = unicode ? "\xef\xbf\xbd" : "?"; /* U+FFFD */
    size_t n = 0;
    int marks = MARKS_MAX; /* none may be the first */
    for (const unsigned char *s = (const unsigned char *)text; *s != '\0';) {
        const unsigned char *from = s;
        int32_t c = next_character(&s);
        bool good = unicode ? c >= 0 && is_harmless(c) : c >= 0x20 && c < 0x7f;
        bool mark = good && c >= 0x80 && wcwidth((wchar_t)c) == 0;
        if (mark && marks++ >= MARKS_MAX)
            continue;
        if (!mark)
            marks = 0;
        const char *add = good ? (const char *)from : replacement;
        size_t bytes = good ? (size_t)(s - from) : strlen(replacement);
        if (n + bytes >= size)
            break;
        memcpy(ret + n, add, bytes);
        n += bytes;
    }
    ret[n] = '\0';
}

/* Walks over text up to so many columns; *ret_columns: those walked. Returns the bytes. */
static size_t walk(const char *text, int limit, int *ret_columns)
{
    const unsigned char *s = (const unsigned char *)text;
    int columns = 0;
    while (*s != '\0') {
        const unsigned char *from = s;
        int32_t c = next_character(&s);
        int width = c < 0 ? 1 : wcwidth((wchar_t)c);
        width = width < 0 ? 1 : width;
        if (columns + width > limit) {
            s = from;
            break;
        }
        columns += width;
    }
    *ret_columns = columns;
    return (size_t)(s - (const unsigned char *)text);
}

int text_columns(const char *text)
{
    int columns;
    walk(text, 1 << 20, &columns);
    return columns;
}

size_t text_fit(const char *text, int columns)
{
    int walked;
    return walk(text, columns, &walked);
}
