/* SPDX-License-Identifier: Apache-2.0
 * The terminal: taken over with ncurses, and always given back as it was - on every way out, when
 * the program is suspended, and when it crashes. */
#ifndef FOCALD_VIEWERS_TERM_TERMINAL_H
#define FOCALD_VIEWERS_TERM_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#include "viewers/term/palette.h"

/* Styles of text, each with what the terminal has. */
enum style {
    STYLE_PLAIN,
    STYLE_FAINT,
    STYLE_TITLE,
    STYLE_GOOD,
    STYLE_BAD,
    STYLE_NEWS,
    STYLE_COUNT
};

struct terminal {
    bool unicode;
    struct palette palette;
};

/* True when this process's locale shows UTF-8. */
bool terminal_is_unicode(void);

/* Takes the terminal over. wanted: no more colours than that. Returns 0, or -1 with a line in
 * why. */
int terminal_open(struct terminal *ret, enum palette_kind wanted, bool unicode, char *why,
                  size_t why_size);
void terminal_close(void);

/* Gives the terminal back, stops the process until somebody continues it, takes it over again. */
void terminal_suspend(void);
/* After SIGCONT and where the screen may have been spoilt: everything is drawn anew. */
void terminal_restore(void);
/* Follows a new size, if there is one. */
void terminal_follow_size(void);

/* Of a style, for attrset. */
unsigned long terminal_style(enum style style);

/* Writes at most columns of a clean text at (y, x). Returns the columns taken. */
int terminal_text(int y, int x, int columns, enum style style, const char *text);
int terminal_print(int y, int x, int columns, enum style style, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif
