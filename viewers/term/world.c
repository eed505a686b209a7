/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/term/world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "viewers/term/text.h"

enum { RATE_HZ = 16000, HOP_SAMPLES = 186, SIDE_MAX = 8192 };

void world_init(struct world *w, bool unicode)
{
    memset(w, 0, sizeof *w);
    w->unicode = unicode;
}

static void forget_streams(struct world *w)
{
    for (int i = 0; i < w->n_streams; i++) {
        free(w->streams[i]->picture);
        free(w->streams[i]->heard);
        free(w->streams[i]);
    }
    w->n_streams = 0;
}

void world_finish(struct world *w)
{
    forget_streams(w);
}

struct stream *world_find(const struct world *w, const char *name)
{
    for (int i = 0; i < w->n_streams; i++)
        if (strcmp(w->streams[i]->name, name) == 0)
            return w->streams[i];
    return NULL;
}

/* In the order of their names, so that a stream's number is the same for everybody. */
static struct stream *find_or_add(struct world *w, const char *name)
{
    struct stream *s = world_find(w, name);
    if (s != NULL || w->n_streams == WORLD_STREAMS)
        return s;
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    snprintf(s->name, sizeof s->name, "%s", name);
    text_clean(name, w->unicode, s->shown, sizeof s->shown);
    s->hop_samples = HOP_SAMPLES;
    s->peak_dbfs = -INFINITY;
    int at = w->n_streams++;
    for (; at > 0 && strcmp(w->streams[at - 1]->name, name) > 0; at--)
        w->streams[at] = w->streams[at - 1];
    w->streams[at] = s;
    return s;
}

static double number(struct focal *f, const char *path, double otherwise)
{
    double value;
    return focal_number(f, path, &value) == 0 && isfinite(value) ? value : otherwise;
}

static void clean(const struct world *w, struct focal *f, const char *path, const char *otherwise,
                  char *ret, size_t size)
{
    const char *value;
    text_clean(focal_string(f, path, &value) == 0 ? value : otherwise, w->unicode, ret, size);
}

static struct event *next_event(struct world *w)
{
    struct event *e = &w->events[w->n_events++ % WORLD_EVENTS];
    memset(e, 0, sizeof *e);
    return e;
}

void world_tell(struct world *w, const char *text)
{
    struct event *e = next_event(w);
    e->t_ns = (int64_t)time(NULL) * 1000000000;
    e->news = true;
    snprintf(e->text, sizeof e->text, "%s", text);
}

static void take_info(struct world *w, struct stream *s, struct focal *f)
{
    double hop = number(f, "preprocess.hop_length", HOP_SAMPLES);
    if (hop >= 1 && hop <= 65536 && (int64_t)hop != s->hop_samples) {
        s->hop_samples = (int64_t)hop;
        if (s->picture != NULL)
            spectrum_clear(s->picture);
    }
    clean(w, f, "model.name", "", w->model, sizeof w->model);
}

static void keep_for_timeline(struct stream *s)
{
    if (s->heard == NULL)
        s->heard = calloc(WORLD_HEARD, sizeof *s->heard);
    if (s->heard == NULL)
        return;
    int64_t before = s->n_heard > 0 ? s->heard[(s->n_heard - 1) % WORLD_HEARD].to : 0;
    struct heard *h = &s->heard[s->n_heard++ % WORLD_HEARD];
    /* what no window ended in for two seconds is a hole */
    bool joined = before < s->newest && s->newest - before <= 2 * RATE_HZ;
    *h = (struct heard){.from = joined ? before : s->newest - RATE_HZ / 2,
                        .to = s->newest,
                        .silence = s->silence,
                        .p = s->n_top > 0 && !s->unknown ? (float)s->top[0].p : 0};
    if (s->unknown)
        snprintf(h->label, sizeof h->label, "unknown");
    else if (s->n_top > 0)
        memcpy(h->label, s->top[0].label, sizeof h->label);
}

static bool take_label(struct world *w, struct stream *s, struct focal *f,
                       const struct focal_message *m)
{
    if (m->first > INT64_MAX / 4 || m->count > INT64_MAX / 4)
        return false;
    s->silence = number(f, "silence", 0) != 0;
    s->unknown = number(f, "unknown", 0) != 0;
    s->peak_dbfs = number(f, "peak_dbfs", -INFINITY);
    s->newest = (int64_t)(m->first + m->count);
    s->n_top = 0;
    while (!s->silence && s->n_top < WORLD_TOP) {
        struct guess *g = &s->top[s->n_top];
        char path[32];
        snprintf(path, sizeof path, "top.%d.p", s->n_top);
        g->p = number(f, path, -1);
        if (!(g->p >= 0 && g->p <= 1))
            break;
        snprintf(path, sizeof path, "top.%d.label", s->n_top++);
        clean(w, f, path, "(no name yet)", g->label, sizeof g->label);
    }
    keep_for_timeline(s);
    return true;
}

/* rows and cols of the payload, by the header's shape; false when they are not what is there. */
static bool take_shape(struct focal *f, const struct focal_message *m, bool bits, size_t *ret_rows,
                       size_t *ret_cols)
{
    double rows = number(f, "shape.0", 0), cols = number(f, "shape.1", 0);
    if (!(rows >= 1 && rows <= SIDE_MAX && cols >= 1 && cols <= SIDE_MAX))
        return false;
    *ret_rows = (size_t)rows;
    *ret_cols = (size_t)cols;
    size_t cells = *ret_rows * *ret_cols;
    return m->payload_bytes == (bits ? (cells + 7) / 8 : cells * sizeof(float));
}

static int64_t frame_of(const struct stream *s, uint64_t sample)
{
    return ((int64_t)sample + s->hop_samples / 2) / s->hop_samples;
}

static bool take_spec(struct stream *s, struct focal *f, const struct focal_message *m)
{
    size_t rows, cols;
    if (m->first > INT64_MAX / 4 || !take_shape(f, m, false, &rows, &cols))
        return false;
    if (s->picture == NULL) {
        s->picture = malloc(sizeof *s->picture);
        if (s->picture == NULL)
            return true; /* no picture, then */
        spectrum_clear(s->picture);
    }
    spectrum_add(s->picture, frame_of(s, m->first), m->payload, rows, cols, number(f, "peak", 0));
    return true;
}

/* The last map is the one the mask is made of. */
static bool take_map(struct stream *s, struct focal *f, const struct focal_message *m)
{
    double rows = 0, cols = 0, offset = 0, r;
    for (int i = 0; i < 64; i++) {
        char path[32];
        snprintf(path, sizeof path, "maps.%d.rows", i);
        if (focal_number(f, path, &r) != 0)
            break;
        rows = r;
        snprintf(path, sizeof path, "maps.%d.cols", i);
        cols = number(f, path, 0);
        snprintf(path, sizeof path, "maps.%d.offset", i);
        offset = number(f, path, 0);
    }
    double values = (double)(m->payload_bytes / sizeof(float));
    if (!(rows >= 1 && rows <= SIDE_MAX && cols >= 1 && cols <= SIDE_MAX && offset >= 0 &&
          offset <= values) ||
        floor(offset) + floor(rows) * floor(cols) > values || m->first > INT64_MAX / 4 ||
        m->count > INT32_MAX)
        return false;
    if (s->picture != NULL)
        spectrum_shine_map(s->picture, frame_of(s, m->first),
                           (int64_t)m->count / s->hop_samples + 1,
                           (const float *)m->payload + (size_t)offset, (size_t)rows, (size_t)cols);
    return true;
}

static bool take_mask(struct stream *s, struct focal *f, const struct focal_message *m)
{
    size_t rows, cols;
    if (m->first > INT64_MAX / 4 || !take_shape(f, m, true, &rows, &cols))
        return false;
    if (s->picture != NULL)
        spectrum_shine_mask(s->picture, frame_of(s, m->first), m->payload, rows, cols);
    return true;
}

static void take_event(struct world *w, const struct stream *s, struct focal *f,
                       const struct focal_message *m)
{
    struct event *e = next_event(w);
    char label[LABEL_BYTES];
    bool ended = number(f, "ended", 0) != 0;
    double seconds = (number(f, "end", 0) - number(f, "onset", 0)) / RATE_HZ;
    clean(w, f, "label", "(no name yet)", label, sizeof label);
    e->t_ns = m->t_ns;
    e->begins = !ended;
    int n = snprintf(e->text, sizeof e->text, "%s", label);
    if (w->n_streams > 1)
        n += snprintf(e->text + n, sizeof e->text - (size_t)n, " in %s", s->shown);
    if (ended && seconds >= 0 && seconds < 1e6)
        snprintf(e->text + n, sizeof e->text - (size_t)n, ": %.1f s (%.0f %%)", seconds,
                 100 * fmin(fmax(number(f, "p_peak", 0), 0), 1));
    else
        snprintf(e->text + n, sizeof e->text - (size_t)n, " begins (%.0f %%)",
                 100 * fmin(fmax(number(f, "p", 0), 0), 1));
}

static void take_health(struct world *w, struct stream *s, struct focal *f)
{
    struct health *h = &s->health;
    h->known = true;
    h->ok = number(f, "ok", 0) != 0;
    clean(w, f, "problem", "", h->problem, sizeof h->problem);
    clean(w, f, "source_kind", "", h->source_kind, sizeof h->source_kind);
    clean(w, f, "source_state", "", h->source_state, sizeof h->source_state);
    clean(w, f, "source_text", "", h->source_text, sizeof h->source_text);
    h->rate_hz = number(f, "rate_hz", 0);
    h->lost_samples = number(f, "lost_samples", 0);
    h->skipped = number(f, "skipped_windows", 0);
    h->windows = number(f, "windows", 0);
    h->latency_ms = number(f, "latency_ms_p50", NAN);
}

/* Another daemon than before: its timeline begins anew, and it may have other streams. */
static void follow_run(struct world *w, struct focal *f)
{
    double run = number(f, "run", 0);
    if (run == w->run || run == 0)
        return;
    if (w->run != 0) {
        forget_streams(w);
        world_tell(w, "focald was started anew");
    }
    w->run = run;
}

void world_receive(struct world *w, struct focal *f, const struct focal_message *m)
{
    follow_run(w, f);
    struct stream *s = find_or_add(w, m->stream);
    if (s == NULL)
        return;
    bool good = true;
    s->missed += m->lost;
    if (strcmp(m->topic, "label") == 0)
        good = take_label(w, s, f, m);
    else if (strcmp(m->topic, "spec") == 0)
        good = take_spec(s, f, m);
    else if (strcmp(m->topic, "map") == 0)
        good = take_map(s, f, m);
    else if (strcmp(m->topic, "mask") == 0)
        good = take_mask(s, f, m);
    else if (strcmp(m->topic, "event") == 0)
        take_event(w, s, f, m);
    else if (strcmp(m->topic, "health") == 0)
        take_health(w, s, f);
    else if (strcmp(m->topic, "info") == 0)
        take_info(w, s, f);
    if (!good)
        w->refused++;
}
