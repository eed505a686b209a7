/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"

/* The length of the UTF-8 character at s, 0 if there is none. */
static size_t utf8_length(const unsigned char *s)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } kinds[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        if ((s[0] & kinds[k].mask) != kinds[k].lead)
            continue;
        uint32_t c = s[0] & (unsigned char)~kinds[k].mask;
        for (size_t i = 1; i <= k; i++) {
            if ((s[i] & 0xc0) != 0x80)
                return 0;
            c = c << 6 | (s[i] & 0x3f);
        }
        bool surrogate = c >= 0xd800 && c < 0xe000;
        return c >= kinds[k].least && c <= 0x10ffff && !surrogate ? k + 1 : 0;
    }
    return 0;
}

void utf8_clean(const char *text, char *ret, size_t size)
{
    size_t n = 0;
    for (const char *s = text; *s != '\0';) {
        size_t length = utf8_length((const unsigned char *)s);
        const char *from = length > 0 ? s : "\xef\xbf\xbd";
        size_t bytes = length > 0 ? length : 3;
        if (n + bytes >= size)
            break;
        memcpy(ret + n, from, bytes);
        n += bytes;
        s += length > 0 ? length : 1;
    }
    ret[n] = '\0';
}

void utf8_printable(const char *text, char *ret, size_t size)
{
    size_t n = 0;
    utf8_clean(text, ret, size);
    for (const char *s = ret; *s != '\0'; n++) {
        const size_t control = utf8_control(s);
        ret[n] = control > 0 ? '?' : *s;
        s += control > 0 ? control : 1;
    }
    ret[n] = '\0';
}

size_t utf8_control(const char *text)
{
    unsigned char c = (unsigned char)text[0];
    if ((c < 0x20 && c != '\0') || c == 0x7f)
        return 1;
    return c == 0xc2 && (text[1] & 0xe0) == 0x80 ? 2 : 0;
}
