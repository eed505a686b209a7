/* SPDX-License-Identifier: Apache-2.0
 * Messages come in here, are checked, and go onto the tapes. */
#include "viewers/record/hearing.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "viewers/record/hearing_internal.h"

/* What the tapes hold beyond the longest snippet: until its windows were judged and its sound came.
 */
enum { SLACK_S = 12 };

static int64_t wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int init(struct hearing *h, struct error *error)
{
    const struct settings *s = h->settings;
    double longest = s->lead_s + s->max_length_s + s->tail_s;
    if (h->continuous && s->chunk_s > longest)
        longest = s->chunk_s;
    h->span = (uint64_t)((longest + SLACK_S) * RATE_HZ) + h->window_samples;
    h->windows.private.grow = true;
    int code = s->input ? tape_init(&h->input, "input", (size_t)h->span) : 0;
    if (code == 0 && s->audio)
        code = tape_init(&h->audio, "audio", (size_t)h->span);
    return code == 0 ? 0
                     : error_set(error, ENOMEM,
                                 "%s: out of memory for %.0f s of sound; set a "
                                 "smaller max_length or chunk",
                                 h->name, (double)h->span / RATE_HZ);
}

int hearing_create(struct hearing **ret, const char *stream, int number_of_stream,
                   const struct settings *settings, struct writer *writer, struct error *error)
{
    struct hearing *h = calloc(1, sizeof *h);
    if (h == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", stream);
    snprintf(h->name, sizeof h->name, "%s", stream);
    h->number = number_of_stream;
    h->settings = settings;
    h->writer = writer;
    h->has_private = settings_has_private(settings);
    h->continuous = settings_listed(settings->continuous, stream);
    h->hop_length = 186;
    h->window_samples = 5 * RATE_HZ;
    h->hop_samples = h->delay_samples = 7998;
    int code = init(h, error);
    if (code < 0) {
        h->writer = NULL;
        hearing_destroy(h);
        return code;
    }
    *ret = h;
    return 0;
}

static void tell_listening(struct hearing *h)
{
    if (h->listening.t_from_ns != 0)
        writer_listening(h->writer, &h->listening);
    h->listening_told_ms = h->now_ms;
}

/* Keeps what was under way as far as it was heard. */
static void end_all(struct hearing *h)
{
    hearing_conclude(h, true);
    tell_listening(h);
    h->listening.t_from_ns = 0;
}

void hearing_destroy(struct hearing *h)
{
    if (h == NULL)
        return;
    if (h->writer != NULL)
        end_all(h);
    tape_finish(&h->input);
    tape_finish(&h->audio);
    strip_finish(&h->strip);
    windows_finish(&h->windows);
    hearing_forget_info(h);
    free(h);
}

const char *hearing_name(const struct hearing *h)
{
    return h->name;
}

/* The daemon was started anew: another timeline. */
static void begin_run(struct hearing *h, int64_t run)
{
    if (h->run != 0)
        end_all(h);
    h->run = run;
    tape_clear(&h->input);
    tape_clear(&h->audio);
    strip_clear(&h->strip);
    windows_clear(&h->windows);
    memset(h->topic_end, 0, sizeof h->topic_end);
    h->n_events = h->n_losses = 0;
    h->chunk_first = h->chunk_end = 0;
    h->anchor = 0;
    h->t_anchor_ns = 0;
}

/* A span is of the wall clock, which may be put forward or back, and runs on while the machine
 * sleeps: what lies across a leap was not heard. */
static void note_listening(struct hearing *h, int64_t run)
{
    struct store_listening *l = &h->listening;
    int64_t now = wall_ns();
    if (l->t_from_ns != 0 &&
        (now < l->t_to_ns || now - l->t_to_ns > HEARING_STALL_MS * INT64_C(1000000))) {
        tell_listening(h);
        l->t_from_ns = 0;
    }
    if (l->t_from_ns == 0) {
        memcpy(l->stream, h->name, sizeof h->name);
        l->run = run;
        l->t_from_ns = now;
    }
    l->t_to_ns = now;
    if (h->now_ms - h->listening_told_ms >= 10000)
        tell_listening(h);
}

/* Topics */

static int take_pcm(struct hearing *h, struct tape *tape, const struct focal_message *m,
                    const json_t *header, struct error *error)
{
    const json_t *rate = json_object_get(header, "rate_hz"),
                 *lost = json_object_get(header, "lost");
    if (tape->samples == NULL)
        return 0;
    if (m->count * sizeof(float) != m->payload_bytes || m->count > m->payload_bytes)
        return error_set(error, EPROTO, "%s/%s: %zu bytes are not the %" PRIu64 " samples it tells",
                         m->topic, m->stream, m->payload_bytes, m->count);
    if (json_is_integer(rate) && json_integer_value(rate) != RATE_HZ)
        return error_set(error, EPROTO, "%s/%s: %" JSON_INTEGER_FORMAT " Hz instead of %d",
                         m->topic, m->stream, json_integer_value(rate), RATE_HZ);
    struct tape_block block = {m->first, m->count, m->payload, m->lost, 0};
    if (json_is_integer(lost) && json_integer_value(lost) > 0)
        block.lost = (uint64_t)json_integer_value(lost);
    tape_write(tape, &block);
    if (tape == &h->input || h->input.samples == NULL) {
        h->anchor = m->first;
        h->t_anchor_ns = m->t_ns;
    }
    return 0;
}

/* [rows, cols] of the header, both from 1 to most. */
static bool shape_of(const json_t *header, size_t most, size_t *ret_rows, size_t *ret_cols)
{
    const json_t *shape = json_object_get(header, "shape");
    json_int_t rows = json_integer_value(json_array_get(shape, 0));
    json_int_t cols = json_integer_value(json_array_get(shape, 1));
    if (json_array_size(shape) != 2 || rows < 1 || cols < 1 || rows > (json_int_t)most ||
        cols > STRIP_MAX_BINS)
        return false;
    *ret_rows = (size_t)rows;
    *ret_cols = (size_t)cols;
    return true;
}

static int need_strip(struct hearing *h, size_t bins, struct error *error)
{
    if (h->strip.bins == bins)
        return 0;
    strip_finish(&h->strip);
    if (strip_init(&h->strip, h->span, h->hop_length, bins) < 0)
        return error_set(error, ENOMEM, "%s: out of memory for %zu bins", h->name, bins);
    return 0;
}

enum { MOST_ROWS = 1 << 20 };

static int take_spec(struct hearing *h, const struct focal_message *m, const json_t *header,
                     struct error *error)
{
    size_t rows, cols;
    const json_t *peak = json_object_get(header, "peak");
    if (!shape_of(header, MOST_ROWS, &rows, &cols) ||
        rows * cols * sizeof(float) != m->payload_bytes)
        return error_set(error, EPROTO, "spec/%s: its shape is not that of %zu bytes", h->name,
                         m->payload_bytes);
    int code = need_strip(h, cols, error);
    if (code < 0)
        return code;
    strip_spec(&h->strip, m->first, rows, m->payload,
               json_is_number(peak) ? (float)json_number_value(peak) : 0);
    return 0;
}

static int take_mask(struct hearing *h, const struct focal_message *m, const json_t *header,
                     struct error *error)
{
    size_t rows, cols;
    if (!shape_of(header, MOST_ROWS, &rows, &cols) || (rows * cols + 7) / 8 != m->payload_bytes)
        return error_set(error, EPROTO, "mask/%s: its shape is not that of %zu bytes", h->name,
                         m->payload_bytes);
    if (h->strip.bins != cols)
        return 0; /* a spectrogram comes first */
    uint64_t end = m->first + m->count, late = h->delay_samples + h->hop_samples;
    strip_mask(&h->strip, m->first, rows, m->payload, end > late ? end - late : 0);
    return 0;
}

static bool heard_private(const struct hearing *h, const float *p, size_t n_classes)
{
    for (size_t i = 0; i < n_classes && i < h->n_labels; i++)
        if (h->is_private[i] && !((double)p[i] < h->settings->private_probability))
            return true;
    return h->has_private && h->n_labels < n_classes; /* nobody knows which are private */
}

static int take_label(struct hearing *h, const struct focal_message *m, const json_t *header,
                      struct error *error)
{
    size_t rows, cols;
    const json_t *shape = json_object_get(header, "shape");
    rows = (size_t)json_integer_value(json_array_get(shape, 0));
    cols = (size_t)json_integer_value(json_array_get(shape, 1));
    if (rows != 3 || cols < 1 || cols > CLASSES_MAX ||
        rows * cols * sizeof(float) != m->payload_bytes)
        return error_set(error, EPROTO, "label/%s: %zu bytes are not 3 scores of 1 to %d classes",
                         h->name, m->payload_bytes, CLASSES_MAX);
    bool silence = json_is_true(json_object_get(header, "silence"));
    bool unknown = json_is_true(json_object_get(header, "unknown"));
    struct window_message w = {m->first,           m->count,   m->lost, m->t_ns,
                               silence || unknown, m->payload, 3 * cols};
    /* what has no name may still be it */
    bool private = !silence && heard_private(h, m->payload, cols);
    if (windows_add(&h->windows, &w, private) < 0)
        return error_set(error, ENOMEM, "label/%s: out of memory", h->name);
    return 0;
}

/* Events */

static struct pending *find_event(struct hearing *h, uint64_t id)
{
    for (size_t i = 0; i < h->n_events; i++)
        if (h->events[i].id == id)
            return &h->events[i];
    return NULL;
}

/* The oldest whose snippet is made, and whose end may have been lost. */
static void forget_concluded(struct hearing *h)
{
    size_t i = 0;
    while (i < h->n_events && !h->events[i].concluded)
        i++;
    if (i == h->n_events)
        return;
    h->n_events--;
    memmove(&h->events[i], &h->events[i + 1], (h->n_events - i) * sizeof h->events[0]);
}

static struct pending *add_event(struct hearing *h, const struct pending *e)
{
    if (h->n_events == HEARING_MAX_EVENTS)
        forget_concluded(h);
    if (h->n_events == HEARING_MAX_EVENTS) {
        hearing_conclude(h, true);
        if (h->n_events == HEARING_MAX_EVENTS)
            forget_concluded(h);
    }
    h->events[h->n_events] = *e;
    return &h->events[h->n_events++];
}

static bool read_event(const struct hearing *h, const json_t *header, struct pending *ret)
{
    const json_t *id = json_object_get(header, "id"), *onset = json_object_get(header, "onset");
    const json_t *t = json_object_get(header, "t_onset_ns"), *end = json_object_get(header, "end");
    const json_t *index = json_object_get(header, "index");
    const json_t *p = json_object_get(header, "p_peak");
    const char *label = json_string_value(json_object_get(header, "label"));
    json_int_t from = json_integer_value(onset), to = json_integer_value(end);
    json_int_t at = json_integer_value(index);
    ret->ended = json_is_true(json_object_get(header, "ended"));
    if (!json_is_integer(id) || json_integer_value(id) < 0 || !json_is_integer(onset) || from < 0 ||
        (uint64_t)from > position_max || !json_is_integer(t) || json_integer_value(t) <= 0 ||
        json_integer_value(t) > time_max || !json_is_integer(index) || at < 0 ||
        at >= CLASSES_MAX || !json_is_number(p) ||
        (ret->ended && (!json_is_integer(end) || to < from || (uint64_t)to > position_max)))
        return false;
    ret->id = (uint64_t)json_integer_value(id);
    ret->index = (int)at;
    ret->p_peak = fmin(fmax(json_number_value(p), 0), 1);
    ret->onset = (uint64_t)from;
    ret->end = ret->ended ? (uint64_t)to : 0;
    ret->t_onset_ns = json_integer_value(t);
    if (label == NULL && (size_t)at < h->n_labels)
        label = h->labels[at];
    if (label != NULL && label[0] != '\0')
        utf8_clean(label, ret->label, sizeof ret->label);
    else
        snprintf(ret->label, sizeof ret->label, "class %d", ret->index);
    return true;
}

static void tell_end(struct hearing *h, const struct pending *e)
{
    struct writer_end end = {.run = h->run,
                             .event = e->id,
                             .end = e->end,
                             .t_end_ns =
                                 e->t_onset_ns + (int64_t)(e->end - e->onset) * NS_PER_SAMPLE,
                             .p_peak = e->p_peak};
    memcpy(end.stream, h->name, sizeof end.stream);
    writer_event_end(h->writer, &end);
}

static int take_event(struct hearing *h, const struct focal_message *m, const json_t *header,
                      struct error *error)
{
    struct pending e = {.concluded = false};
    if (!read_event(h, header, &e))
        return error_set(error, EPROTO, "event/%s: its header lacks a field, or has a wild one",
                         h->name);
    if (settings_rule(h->settings, e.label)->private) /* it may have begun before it was known */
        spans_add(&h->windows.private,
                  e.onset > h->window_samples ? e.onset - h->window_samples : 0,
                  e.ended ? e.end : m->first + m->count);
    struct pending *known = find_event(h, e.id);
    if (known == NULL) {
        known = add_event(h, &e);
    } else {
        bool concluded = known->concluded;
        *known = e;
        known->concluded = concluded;
    }
    if (!e.ended)
        return 0;
    if (known->concluded) {
        tell_end(h, known);
        *known = h->events[--h->n_events];
    } else {
        double wait_s = h->settings->tail_s + (double)h->window_samples / RATE_HZ + SLACK_S / 2;
        known->due_ms = h->now_ms + (int64_t)(wait_s * 1000);
    }
    return 0;
}

/* All */

static int64_t monotonic_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void remember_loss(struct hearing *h, const char *topic, const struct focal_message *m,
                          uint64_t from)
{
    if (h->n_losses == HEARING_MAX_LOSSES)
        memmove(&h->losses[0], &h->losses[1], --h->n_losses * sizeof h->losses[0]);
    if (from == 0 || from > m->first)
        from = m->first;
    h->losses[h->n_losses++] = (struct snippet_gap){
        topic, "messages", from, m->first > from ? m->first - from : m->count, m->lost};
}

static const char *const plain_topics[] = {"label", "spec", "mask", "event"};

static void note_loss(struct hearing *h, const struct focal_message *m)
{
    if (m->lost > 0) {
        struct store_loss loss = {
            .t_ns = m->t_ns, .run = h->run, .messages = m->lost, .first = m->first};
        snprintf(loss.stream, sizeof loss.stream, "%s", h->name);
        snprintf(loss.topic, sizeof loss.topic, "%.15s", m->topic);
        writer_loss(h->writer, &loss);
    }
    for (size_t i = 0; i < ARRAY_LEN(plain_topics); i++) {
        if (strcmp(plain_topics[i], m->topic) != 0)
            continue;
        if (m->lost > 0)
            remember_loss(h, plain_topics[i], m, h->topic_end[i]);
        h->topic_end[i] = m->first + m->count;
    }
}

static int dispatch(struct hearing *h, const struct focal_message *m, const json_t *header,
                    struct error *error)
{
    if (strcmp(m->topic, "info") == 0)
        return hearing_take_info(h, header, error);
    if (strcmp(m->topic, "input") == 0)
        return take_pcm(h, &h->input, m, header, error);
    if (strcmp(m->topic, "audio") == 0)
        return take_pcm(h, &h->audio, m, header, error);
    if (strcmp(m->topic, "spec") == 0)
        return take_spec(h, m, header, error);
    if (strcmp(m->topic, "mask") == 0)
        return take_mask(h, m, header, error);
    if (strcmp(m->topic, "label") == 0)
        return take_label(h, m, header, error);
    if (strcmp(m->topic, "event") == 0)
        return take_event(h, m, header, error);
    return 0;
}

int hearing_take(struct hearing *h, const struct focal_message *m, struct error *error)
{
    if (m->first > position_max || m->count > position_max || m->t_ns < 0 || m->t_ns > time_max)
        return error_set(error, EPROTO, "%s/%s: a position or time beyond all timelines", m->topic,
                         m->stream);
    json_t *header = json_loadb(m->header, m->header_bytes, 0, NULL);
    if (header == NULL)
        return error_set(error, EPROTO, "%s/%s: its header cannot be read", m->topic, m->stream);
    json_int_t run = json_integer_value(json_object_get(header, "run"));
    run = run != 0 ? run : 1; /* 0 is ours, for "nothing came yet" */
    h->now_ms = h->last_ms = monotonic_ms();
    if (run != h->run)
        begin_run(h, run);
    note_listening(h, h->run);
    note_loss(h, m);
    int code = dispatch(h, m, header, error);
    json_decref(header);
    hearing_conclude(h, false);
    return code;
}

void hearing_tick(struct hearing *h, int64_t now_ms)
{
    h->now_ms = now_ms;
    if (h->last_ms != 0 && now_ms - h->last_ms >= HEARING_STALL_MS) {
        end_all(h);
        h->last_ms = 0;
    }
    hearing_conclude(h, false);
}
