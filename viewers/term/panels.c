/* SPDX-License-Identifier: Apache-2.0
 * What stands below the picture: timeline, labels, events, health. */
#include <math.h>
#include <ncurses.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "viewers/term/text.h"
#include "viewers/term/view.h"

enum { COLS_MAX = 1024, RATE_HZ = 16000 };

/* For each column the label that was said then; NULL: none. Newest first, so that one walk back
 * through the ring serves all. */
static void find_heard(const struct stream *s, const struct picture_span *span, int cols,
                       const struct heard **ret)
{
    uint64_t held = s->n_heard < WORLD_HEARD ? s->n_heard : WORLD_HEARD;
    uint64_t i = s->n_heard;
    for (int c = cols - 1; c >= 0; c--) {
        int64_t end = (span->last - (cols - 1 - c) + 1) * span->column_frames * s->hop_samples;
        ret[c] = NULL;
        while (i > s->n_heard - held && s->heard[(i - 1) % WORLD_HEARD].from >= end)
            i--;
        if (i > s->n_heard - held && s->heard[(i - 1) % WORLD_HEARD].to >= end)
            ret[c] = &s->heard[(i - 1) % WORLD_HEARD];
    }
}

static bool same_label(const struct heard *a, const struct heard *b)
{
    return a != NULL && b != NULL && a->silence == b->silence && strcmp(a->label, b->label) == 0;
}

static void draw_run(const struct terminal *t, int y, int x, int columns, const struct heard *h,
                     double p)
{
    const char *label = h->silence ? "silence" : h->label;
    enum style style = h->silence || p < 0.4 ? STYLE_FAINT : p < 0.7 ? STYLE_PLAIN : STYLE_TITLE;
    int taken = columns >= 3 ? terminal_text(y, x, columns - 1, style, label) : 0;
    if (taken > 0 && taken < columns - 1)
        taken++;
    for (int c = taken; c < columns; c++)
        terminal_text(y, x + c, 1, STYLE_FAINT,
                      c == columns - 1 ? (t->unicode ? "╴" : " ")
                      : t->unicode     ? "─"
                                       : "-");
}

void timeline_draw(const struct terminal *t, const struct stream *s,
                   const struct picture_span *span, struct room room)
{
    static const char *const heights[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const letters[] = {" ", ".", ".", ":", "-", "=", "+", "*", "#"};
    const struct heard *heard[COLS_MAX];
    int cols = room.cols < COLS_MAX ? room.cols : COLS_MAX;
    if (s->heard == NULL)
        return;
    find_heard(s, span, cols, heard);
    for (int c = 0; room.rows >= 2 && c < cols; c++) {
        int eighth = heard[c] != NULL ? (int)lrint((double)heard[c]->p * 8) : 0;
        eighth = eighth < 0 ? 0 : eighth > 8 ? 8 : eighth;
        terminal_text(room.y, room.x + c, 1, STYLE_GOOD,
                      t->unicode ? heights[eighth] : letters[eighth]);
    }
    for (int c = 0, n; c < cols; c += n) {
        double p = heard[c] != NULL ? (double)heard[c]->p : 0;
        n = 1;
        for (; c + n < cols && same_label(heard[c], heard[c + n]); n++)
            p = fmax(p, (double)heard[c + n]->p);
        if (heard[c] != NULL)
            draw_run(t, room.y + room.rows - 1, room.x + c, n, heard[c], p);
    }
}

void guesses_draw(const struct terminal *t, const struct stream *s, struct room room)
{
    int name = room.cols * 2 / 5 < 24 ? room.cols * 2 / 5 : 24;
    if (s == NULL)
        return;
    if (s->silence) {
        terminal_text(room.y, room.x + 1, room.cols - 1, STYLE_FAINT, "silence");
        return;
    }
    for (int i = 0; i < room.rows && i < s->n_top; i++) {
        const struct guess *g = &s->top[i];
        enum style style = i > 0 || g->p < 0.4 || s->unknown ? STYLE_FAINT : STYLE_TITLE;
        int y = room.y + i, bar = room.x + name + 8;
        terminal_text(y, room.x + 1, name - 1, style, g->label);
        terminal_print(y, room.x + name + 1, 6, style, "%3.0f %%", 100 * g->p);
        bar_draw(t, y, bar, room.x + room.cols - bar, g->p, i > 0 ? STYLE_FAINT : STYLE_GOOD);
    }
}

void events_draw(const struct terminal *t, const struct world *w, struct room room)
{
    uint64_t held = w->n_events < WORLD_EVENTS ? w->n_events : WORLD_EVENTS;
    for (int i = 0; i < room.rows && (uint64_t)i < held; i++) {
        const struct event *e = &w->events[(w->n_events - 1 - (uint64_t)i) % WORLD_EVENTS];
        char clock[16] = "--:--:--";
        time_t seconds = (time_t)(e->t_ns / 1000000000);
        struct tm tm;
        if (localtime_r(&seconds, &tm) != NULL)
            strftime(clock, sizeof clock, "%H:%M:%S", &tm);
        int x = room.x + 1, y = room.y + i, end = room.x + room.cols;
        const char *mark = t->unicode ? (e->news     ? "● "
                                         : e->begins ? "▶ "
                                                     : "■ ")
                                      : (e->news     ? "* "
                                         : e->begins ? "> "
                                                     : "< ");
        enum style style = e->news ? STYLE_NEWS : e->begins ? STYLE_GOOD : STYLE_FAINT;
        x += terminal_text(y, x, end - x, STYLE_FAINT, clock) + 1;
        x += terminal_text(y, x, end - x, style, mark);
        terminal_text(y, x, end - x, e->news || e->begins ? style : STYLE_PLAIN, e->text);
    }
}

static bool has_losses(const struct stream *s)
{
    return s->health.skipped > 0 || s->health.lost_samples > 0 || s->missed > 0;
}

/* "named 15 ms after it sounded; nothing lost; playing rooster.ogg": what matters first, since the
 * line may be cut. */
static void well(const struct stream *s, char *ret, size_t size)
{
    const struct health *h = &s->health;
    FILE *out = fmemopen(ret, size, "w");
    if (out == NULL)
        return;
    fputs("well", out);
    if (h->windows > 0 && h->latency_ms >= 0 && h->latency_ms < 1e6)
        fprintf(out, ": named %.0f ms after it sounded", h->latency_ms);
    if (h->skipped > 0)
        fprintf(out, "; %.0f of %.0f windows skipped, the machine was busy", h->skipped,
                h->skipped + h->windows);
    if (h->lost_samples > 0)
        fprintf(out, "; %.1f s of sound lost",
                h->lost_samples / (h->rate_hz > 0 ? h->rate_hz : RATE_HZ));
    if (s->missed > 0)
        fprintf(out, "; %llu messages missed here", (unsigned long long)s->missed);
    fprintf(out, "%s; %s", has_losses(s) ? "" : "; nothing lost",
            h->source_text[0] != '\0' ? h->source_text : h->source_state);
    fclose(out);
}

void health_draw(const struct terminal *t, const struct world *w, const struct view *v,
                 struct room room)
{
    const struct stream *s = view_stream(w, v);
    char line[3 * LINE_BYTES] = "well";
    enum style style = STYLE_FAINT, dot = STYLE_GOOD;
    if (!v->ever || v->silent_s >= VIEW_SILENT_S) {
        style = dot = STYLE_BAD;
        if (v->ever)
            snprintf(line, sizeof line,
                     "no word from focald for %.0f s; waiting. Is it running? (focalctl doctor)",
                     v->silent_s);
        else
            snprintf(line, sizeof line, "nobody answers yet. Is focald running? (focalctl doctor)");
    } else if (s == NULL || !s->health.known) {
        snprintf(line, sizeof line, "focald is there");
    } else if (!s->health.ok) {
        style = dot = STYLE_BAD;
        snprintf(line, sizeof line, "%s",
                 s->health.problem[0] != '\0' ? s->health.problem : "not well");
    } else {
        well(s, line, sizeof line);
        if (has_losses(s))
            dot = STYLE_NEWS;
    }
    terminal_text(room.y, room.x + 1, 1, dot, t->unicode ? "●" : "*");
    terminal_text(room.y, room.x + 3, room.cols - 4, style, line);
}
