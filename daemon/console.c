/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/console.h"

#include <math.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static bool line_open;

bool console_wanted(void)
{
    return isatty(STDOUT_FILENO);
}

static int columns(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return size.ws_col;
    return 80;
}

/* A bar of width cells, in eighths. */
static void append_bar(char *text, size_t size, float p, int width)
{
    static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int filled = (int)lrintf(p * (float)(8 * width));
    size_t at = 0;
    for (int i = 0; i < width && at + 4 < size; i++, filled -= 8)
        at += (size_t)snprintf(text + at, size - at, "%s",
                               filled >= 8  ? "█"
                               : filled > 0 ? eighths[filled]
                                            : " ");
}

void console_label(const char *name, const struct pipeline_report *report,
                   const char *const *labels, int n_streams)
{
    const struct label_message *l = &report->label;
    time_t t = (time_t)(report->t_wall_ns / 1000000000);
    struct tm tm;
    char clock[16], bar[64], line[512];
    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&t, &tm));
    int width = columns();
    if (l->silence || l->n_top == 0) {
        snprintf(line, sizeof line, "%s  %-10.10s  silence  (%.0f dBFS)", clock, name,
                 isfinite(l->peak_dbfs) ? (double)l->peak_dbfs : -120.0);
        bar[0] = '\0';
    } else {
        const bool unknown = l->unknown; /* the rest are candidates */
        append_bar(bar, sizeof bar, l->top[0].p, 12);
        int n = snprintf(line, sizeof line, "%s  %-10.10s %3.0f %%  %s%s%s", clock, name,
                         (double)l->top[0].p * 100, unknown ? "unknown, " : "",
                         labels[l->top[0].index], unknown ? "?" : "");
        for (int i = 1; i < l->n_top && i < 4 && n > 0 && n < (int)sizeof line; i++)
            n += snprintf(line + n, sizeof line - (size_t)n, "%s%s %.0f %%", i == 1 ? "   (" : ", ",
                          labels[l->top[i].index], (double)l->top[i].p * 100);
        if (l->n_top > 1 && n > 0 && n + 1 < (int)sizeof line)
            snprintf(line + n, sizeof line - (size_t)n, ")");
    }
    int room = width - (bar[0] != '\0' ? 14 : 1);
    printf("%s%s%s%.*s\033[K", line_open && n_streams == 1 ? "\r" : "", bar,
           bar[0] != '\0' ? " " : "", room > 0 ? room : 0, line);
    line_open = true;
    if (n_streams > 1)
        console_break();
    fflush(stdout);
}

void console_break(void)
{
    if (line_open)
        printf("\n");
    line_open = false;
    fflush(stdout);
}
