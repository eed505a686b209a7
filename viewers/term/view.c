/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/term/view.h"

#include <math.h>
#include <ncurses.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "viewers/term/text.h"

enum { AXIS_COLS = 6, SIDE_BY_SIDE_COLS = 68 };

/* Where everything goes on a screen of so many rows and columns. */
struct layout {
    struct room picture, timeline, guesses, events;
    bool axis;
};

static struct layout layout_of(int rows, int cols)
{
    struct layout l = {.axis = cols >= 60};
    int x = l.axis ? AXIS_COLS : 0;
    bool side = cols >= SIDE_BY_SIDE_COLS;
    int below = rows < 14 ? 1 : rows < 20 ? 3 : rows < 32 ? 5 : 7; /* rows of guesses */
    int events = side ? below : rows < 16 ? 0 : below - 1;
    int timeline = rows < 12 ? 1 : 2;
    /* header, time axis, health and keys take a row each */
    int picture = rows - 4 - timeline - below - (side ? 0 : events) - (rows >= 20 ? 1 : 0);
    l.picture = (struct room){1, x, picture, cols - x};
    l.timeline = (struct room){2 + picture, x, timeline, cols - x};
    int y = l.timeline.y + timeline + (rows >= 20 ? 1 : 0);
    l.guesses = (struct room){y, 0, below, side ? cols / 2 - 1 : cols};
    l.events = side ? (struct room){y, cols / 2 + 1, below, cols - cols / 2 - 1}
                    : (struct room){y + below, 0, events, cols};
    return l;
}

const struct stream *view_stream(const struct world *w, const struct view *v)
{
    return world_find(w, v->selected);
}

void bar_draw(const struct terminal *t, int y, int x, int columns, double part, enum style style)
{
    static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    int eighth = (int)lrint(fmax(0, fmin(part, 1)) * columns * 8);
    for (int c = 0; c < columns; c++) {
        int here = eighth - 8 * c;
        here = here < 0 ? 0 : here > 8 ? 8 : here;
        terminal_text(y, x + c, 1, style, t->unicode ? eighths[here] : here >= 4 ? "#" : " ");
    }
}

static bool is_bad(const struct stream *s)
{
    return s->health.known && !s->health.ok;
}

/* The names of the streams from the one on that leaves room for the shown one. */
static void tabs_draw(const struct world *w, const struct stream *shown, int x, int end)
{
    int first = 0, width = 0;
    for (int i = 0; i < w->n_streams; i++) {
        width += text_columns(w->streams[i]->shown) + 2 + is_bad(w->streams[i]);
        while (first < i && width > end - x) {
            width -= text_columns(w->streams[first]->shown) + 2 + is_bad(w->streams[first]);
            first++;
        }
        if (w->streams[i] == shown)
            break;
    }
    if (shown == NULL)
        first = 0;
    for (int i = first; i < w->n_streams && x < end; i++) {
        const struct stream *s = w->streams[i];
        x += terminal_print(0, x, end - x,
                            s == shown  ? STYLE_TITLE
                            : is_bad(s) ? STYLE_BAD
                                        : STYLE_PLAIN,
                            s == shown ? "[%s%s]" : " %s%s ", s->shown, is_bad(s) ? "!" : "");
    }
}

/* The streams' names, the level, the time. */
static void header_draw(const struct terminal *t, const struct world *w, const struct view *v,
                        int cols)
{
    const struct stream *s = view_stream(w, v);
    char clock[16];
    time_t now = time(NULL);
    struct tm tm;
    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&now, &tm));
    int right = cols - 8, x = 1;
    terminal_text(0, right - 1, 8, STYLE_FAINT, clock);
    if (s != NULL && cols >= 60) {
        right -= 27;
        double part = isfinite(s->peak_dbfs) ? 1 + s->peak_dbfs / 60 : 0;
        terminal_text(0, right, 5, STYLE_FAINT, "level");
        bar_draw(t, 0, right + 6, 10, part, s->peak_dbfs > -0.1 ? STYLE_BAD : STYLE_GOOD);
        if (isfinite(s->peak_dbfs) && s->peak_dbfs > -1000)
            terminal_print(0, right + 17, 7, STYLE_FAINT, "%4.0f dB", s->peak_dbfs);
    }
    x += terminal_text(0, x, right - x, STYLE_FAINT, "focald") + 2;
    tabs_draw(w, s, x, right - 1);
}

static void axis_draw(const struct layout *l)
{
    const struct room *p = &l->picture;
    int step = p->rows >= 17 ? 1 : p->rows >= 8 ? 2 : 4;
    if (!l->axis)
        return;
    for (int khz = 0; khz <= 8; khz += step) {
        int row = (int)lrint((p->rows - 1) * (1 - khz / 8.0));
        terminal_print(p->y + row, 0, AXIS_COLS, STYLE_FAINT, khz == 8 ? "%d kHz" : "%d", khz);
    }
}

static void time_axis_draw(const struct stream *s, const struct view *v,
                           const struct picture_span *span, const struct layout *l)
{
    static const double steps[] = {1, 2, 5, 10, 20, 30, 60, 120};
    double column_s = (double)(span->column_frames * s->hop_samples) / 16000, step = 120;
    int y = l->picture.y + l->picture.rows, right = l->picture.x + l->picture.cols;
    for (size_t i = sizeof steps / sizeof *steps; i-- > 0;)
        if (steps[i] / column_s >= 9)
            step = steps[i];
    const char *end = v->held >= 0 ? "held" : "now";
    terminal_text(y, right - (int)strlen(end), 5, v->held >= 0 ? STYLE_NEWS : STYLE_FAINT, end);
    for (double ago = step;; ago += step) {
        char text[24];
        int n = snprintf(text, sizeof text, "-%.0f s", ago);
        int x = right - 1 - (int)lrint(ago / column_s);
        if (x < l->picture.x)
            break;
        terminal_text(y, x, n, STYLE_FAINT, text);
    }
}

static void keys_draw(const struct view *v, const struct world *w, int y, int cols)
{
    static const char *const overlays[] = {"off", "map", "mask"};
    char line[LINE_BYTES];
    snprintf(line, sizeof line, "q quit   m overlay: %s   +/- %.0f s   space %s%s%s",
             overlays[v->overlay], v->seconds, v->held >= 0 ? "go on" : "hold",
             w->n_streams > 1 ? "   Tab stream" : "",
             cols >= 76 && w->n_streams > 1 ? "   1-9" : "");
    terminal_text(y, 1, cols - 2, STYLE_FAINT, line);
}

/* In the middle of the picture, what to know while there is none. */
static void hint_draw(const struct world *w, const struct view *v, const struct room *room)
{
    char line[LINE_BYTES] = "";
    const struct stream *s = view_stream(w, v);
    if (!v->ever)
        snprintf(line, sizeof line, "waiting for focald%s%s", v->where != NULL ? " at " : "",
                 v->where != NULL ? v->where : "");
    else if (s == NULL)
        snprintf(line, sizeof line, "focald has no stream of that name: %s",
                 v->selected[0] != '\0' ? "Tab shows another" : "waiting for one");
    else if (s->picture == NULL)
        snprintf(line, sizeof line, "waiting for sound");
    int columns = text_columns(line);
    int x = room->x + (room->cols - columns) / 2;
    terminal_text(room->y + room->rows / 2, x > room->x ? x : room->x, room->cols, STYLE_PLAIN,
                  line);
}

static void too_small(int rows, int cols)
{
    terminal_print(rows / 2, 0, cols, STYLE_PLAIN, "too small: %d x %d", cols, rows);
    terminal_print(rows / 2 + 1, 0, cols, STYLE_PLAIN, "at least %d x %d", VIEW_MIN_COLS,
                   VIEW_MIN_ROWS);
}

void view_draw(const struct terminal *t, const struct world *w, const struct view *v)
{
    int rows = LINES, cols = COLS;
    erase();
    if (rows < VIEW_MIN_ROWS || cols < VIEW_MIN_COLS) {
        too_small(rows, cols);
        refresh();
        return;
    }
    struct layout l = layout_of(rows, cols);
    const struct stream *s = view_stream(w, v);
    header_draw(t, w, v, cols);
    axis_draw(&l);
    if (s != NULL && s->picture != NULL) {
        struct picture_span span = picture_span(v->seconds, s->hop_samples, l.picture.cols,
                                                v->held >= 0 ? v->held : s->picture->newest);
        const struct picture_place place = {l.picture.y, l.picture.x, l.picture.rows,
                                            l.picture.cols};
        picture_draw(t, s->picture, &span, &place, v->overlay != OVERLAY_OFF);
        time_axis_draw(s, v, &span, &l);
        timeline_draw(t, s, &span, l.timeline);
    } else {
        hint_draw(w, v, &l.picture);
    }
    guesses_draw(t, s, l.guesses);
    events_draw(t, w, l.events);
    health_draw(t, w, v, (struct room){rows - 2, 0, 1, cols});
    keys_draw(v, w, rows - 1, cols);
    refresh();
}
