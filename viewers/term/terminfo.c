/* SPDX-License-Identifier: Apache-2.0
 * <term.h> names macros "columns" and "lines": what needs it stands here alone. */
#include "viewers/term/terminfo.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ncurses.h>
#include <term.h>

#include "viewers/term/direct.h"

static bool has_true_colour(void)
{
    const char *said = getenv("COLORTERM"), *term = getenv("TERM");
    static const char *const kin[] = {"xterm", "tmux",  "screen",  "alacritty", "foot",
                                      "vte",   "kitty", "konsole", "wezterm",   "st-",
                                      "rxvt",  "iterm", "ghostty", "contour",   "gnome"};
    if (said == NULL || term == NULL ||
        (strcmp(said, "truecolor") != 0 && strcmp(said, "24bit") != 0))
        return false;
    for (size_t i = 0; i < sizeof kin / sizeof *kin; i++)
        if (strncmp(term, kin[i], strlen(kin[i])) == 0)
            return true;
    return false;
}

enum palette_kind terminfo_colours(void)
{
    const char *none = getenv("NO_COLOR");
    int error;
    if (none != NULL && none[0] != '\0')
        return PALETTE_NONE;
    if (setupterm(NULL, STDOUT_FILENO, &error) != OK)
        return PALETTE_NONE; /* newterm will say why */
    int colours = tigetnum("colors");
    del_curterm(cur_term);
    if (has_true_colour() || colours >= 1 << 24)
        return PALETTE_TRUE;
    return colours >= 256 ? PALETTE_256 : colours >= 8 ? PALETTE_8 : PALETTE_NONE;
}

/* The terminal's own entry, with true colour added where terminfo does not know of it. */
static SCREEN *open_direct(void)
{
    const char *term = getenv("TERM"), *terminfo = getenv("TERMINFO");
    bool tmux = strncmp(term, "tmux", 4) == 0 || strncmp(term, "screen", 6) == 0;
    char *kept = terminfo != NULL ? strdup(terminfo) : NULL;
    setenv("TERMINFO", tmux ? terminfo_tmux : terminfo_xterm, 1);
    SCREEN *s = newterm(tmux ? "focal-tmux" : "focal-xterm", stdout, stdin);
    if (kept != NULL)
        setenv("TERMINFO", kept, 1);
    else
        unsetenv("TERMINFO");
    free(kept);
    return s;
}

SCREEN *terminfo_open(enum palette_kind wanted)
{
    return wanted == PALETTE_TRUE && has_true_colour() ? open_direct()
                                                       : newterm(NULL, stdout, stdin);
}

const char *terminfo_string(const char *capability)
{
    const char *text = tigetstr(capability);
    return text != NULL && text != (const char *)-1 ? text : "";
}
