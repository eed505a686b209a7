/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/term/terminal.h"

#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "viewers/term/terminfo.h"
#include "viewers/term/text.h"

static SCREEN *screen;
static unsigned long styles[STYLE_COUNT];

/* What the handler of crashes needs, made ready before. */
static struct termios before;
static char goodbye[128];
static volatile sig_atomic_t taken;

bool terminal_is_unicode(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* Only what may be called in a signal handler. */
static void restore_after_crash(int signal_number)
{
    if (taken) {
        ssize_t written = write(STDOUT_FILENO, goodbye, strlen(goodbye));
        (void)written;
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    }
    raise(signal_number); /* SA_RESETHAND: the usual end, with its core file */
}

static void append(const char *capability)
{
    const char *text = terminfo_string(capability);
    size_t n = strlen(goodbye);
    if (n + strlen(text) < sizeof goodbye)
        strcpy(goodbye + n, text);
}

static void prepare_for_crashes(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT};
    struct sigaction action = {.sa_handler = restore_after_crash,
                               .sa_flags = SA_RESETHAND | SA_NODEFER};
    append("sgr0");
    append("op");
    append("cnorm");
    append("rmkx");
    append("rmcup");
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        sigaction(fatal[i], &action, NULL);
}

static unsigned long coloured(enum palette_kind kind, int rgb, int few, unsigned long attributes)
{
    if (kind == PALETTE_NONE)
        return attributes;
    int colour = kind == PALETTE_TRUE  ? rgb
                 : kind == PALETTE_256 ? palette_nearest_256((uint32_t)rgb)
                                       : few;
    int pair = alloc_pair(colour, -1);
    return pair > 0 && pair < 256 ? attributes | (unsigned long)COLOR_PAIR(pair) : attributes;
}

static void make_styles(enum palette_kind kind)
{
    styles[STYLE_PLAIN] = A_NORMAL;
    styles[STYLE_FAINT] = coloured(kind, 0x8a8a8a, COLOR_CYAN, kind == PALETTE_NONE ? A_DIM : 0);
    styles[STYLE_TITLE] = A_BOLD;
    styles[STYLE_GOOD] = coloured(kind, 0x5fd787, COLOR_GREEN, 0);
    styles[STYLE_BAD] = coloured(kind, 0xff8787, COLOR_RED, A_BOLD);
    styles[STYLE_NEWS] = coloured(kind, 0xffd75f, COLOR_YELLOW, 0);
}

int terminal_open(struct terminal *t, enum palette_kind wanted, bool unicode, char *why,
                  size_t why_size)
{
    const char *term = getenv("TERM");
    enum palette_kind has = terminfo_colours();
    if (tcgetattr(STDIN_FILENO, &before) != 0) {
        snprintf(why, why_size, "standard input: not a terminal; --once is for scripts");
        return -1;
    }
    if (wanted > has)
        wanted = has;
    screen = terminfo_open(wanted);
    if (screen == NULL) {
        snprintf(why, why_size,
                 "TERM=%.60s: no such terminal is known here; install ncurses-term, or try "
                 "TERM=xterm-256color",
                 term != NULL ? term : "");
        return -1;
    }
    if (wanted != PALETTE_NONE && (start_color() != OK || use_default_colors() != OK))
        wanted = PALETTE_NONE;
    cbreak();
    noecho();
    nonl();
    curs_set(0);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(50);
    t->unicode = unicode;
    palette_fill(&t->palette, wanted);
    make_styles(wanted);
    prepare_for_crashes();
    taken = 1;
    return 0;
}

void terminal_close(void)
{
    if (screen == NULL)
        return;
    endwin();
    taken = 0;
    delscreen(screen);
    screen = NULL;
}

void terminal_restore(void)
{
    reset_prog_mode();
    terminal_follow_size();
    curs_set(0);
    clearok(curscr, TRUE);
    refresh();
}

/* By SIGTSTP, which the kernel ignores where no shell could let us go on, as under ssh -t or in a
 * terminal of our own; SIGSTOP it never ignores. ncurses has put a handler of its own there. */
static void stop(void)
{
    struct sigaction usual = {.sa_handler = SIG_DFL}, handler;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    sigaction(SIGTSTP, &usual, &handler);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigaction(SIGTSTP, &handler, NULL);
}

void terminal_suspend(void)
{
    endwin();
    taken = 0;
    stop();
    taken = 1;
    terminal_restore();
}

void terminal_follow_size(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
        return;
    if (size.ws_row != LINES || size.ws_col != COLS)
        resizeterm(size.ws_row, size.ws_col);
    clearok(curscr, TRUE);
}

unsigned long terminal_style(enum style style)
{
    return styles[style];
}

int terminal_text(int y, int x, int columns, enum style style, const char *text)
{
    if (columns <= 0 || y < 0 || y >= LINES || x < 0 || x >= COLS)
        return 0;
    size_t bytes = text_fit(text, columns < COLS - x ? columns : COLS - x);
    char part[512];
    bytes = bytes < sizeof part ? bytes : sizeof part - 1;
    memcpy(part, text, bytes);
    part[bytes] = '\0';
    attrset((attr_t)styles[style]);
    mvaddstr(y, x, part);
    attrset(A_NORMAL);
    return text_columns(part);
}

int terminal_print(int y, int x, int columns, enum style style, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return terminal_text(y, x, columns, style, text);
}
