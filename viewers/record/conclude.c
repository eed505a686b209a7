/* SPDX-License-Identifier: Apache-2.0
 * Events and chunks become snippets, by the rules, once all their sound is there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "viewers/record/hearing_internal.h"

static uint64_t samples_of(double seconds)
{
    return (uint64_t)llround(seconds * RATE_HZ);
}

int64_t hearing_time(const struct hearing *h, uint64_t position)
{
    return h->t_anchor_ns + ((int64_t)position - (int64_t)h->anchor) * NS_PER_SAMPLE;
}

uint64_t hearing_position(const struct hearing *h)
{
    if (h->input.samples != NULL)
        return h->input.end;
    return h->audio.samples != NULL ? h->audio.end : h->windows.newest_end;
}

/* True when nothing more is to come of what lies before `end`. */
static bool is_whole(const struct hearing *h, uint64_t end)
{
    if (h->input.samples != NULL && h->input.end < end)
        return false;
    if (h->audio.samples != NULL && h->audio.end < end)
        return false;
    if (h->strip.bins != 0 && h->strip.end * (uint64_t)h->strip.hop < end)
        return false;
    return !h->has_private || (h->windows.any && h->windows.newest_first >= end);
}

/* Making a snippet */

static void add_losses(const struct hearing *h, struct snippet *s)
{
    uint64_t end = s->first + s->count;
    for (size_t i = 0; i < h->n_losses; i++) {
        struct snippet_gap gap = h->losses[i];
        uint64_t gap_end = gap.first + gap.count;
        gap.first = gap.first > s->first ? gap.first : s->first;
        gap_end = gap_end < end ? gap_end : end;
        if (gap.first >= gap_end)
            continue;
        gap.count = gap_end - gap.first;
        snippet_add_gap(s, &gap);
    }
}

static void silence(float *samples, const struct snippet *s, struct span span)
{
    if (samples != NULL)
        memset(samples + (span.first - s->first), 0, (span.end - span.first) * sizeof *samples);
}

/* Returns the samples that were withheld. */
static uint64_t withhold(const struct hearing *h, struct snippet *s)
{
    uint64_t from = s->first, end = s->first + s->count, n = 0;
    struct span span;
    while (h->has_private && windows_withheld(&h->windows, from, end, &span)) {
        silence(s->input, s, span);
        silence(s->audio, s, span);
        strip_withhold(&s->picture, span.first, span.end);
        snippet_add_gap(s, &(struct snippet_gap){s->input != NULL ? "input" : "audio", "private",
                                                 span.first, span.end - span.first, 0});
        n += span.end - span.first;
        from = span.end;
    }
    return n;
}

static bool read_tapes(const struct hearing *h, struct snippet *s)
{
    uint64_t lost = 0;
    size_t bytes = (size_t)s->count * sizeof(float);
    if (h->input.samples != NULL) {
        s->input = malloc(bytes);
        if (s->input == NULL)
            return false;
        s->lost = tape_read(&h->input, s->first, s->count, s->input, s);
        s->size_bytes += bytes;
    }
    if (h->audio.samples != NULL) {
        s->audio = malloc(bytes);
        if (s->audio == NULL)
            return false;
        lost = tape_read(&h->audio, s->first, s->count, s->audio, s);
        s->lost = s->input == NULL ? lost : s->lost;
        s->size_bytes += bytes;
    }
    if (h->settings->picture && h->strip.bins != 0 &&
        strip_read(&h->strip, s->first, s->count, &s->picture) < 0)
        return false;
    s->size_bytes += s->picture.columns * (s->picture.bins + s->picture.mask_bytes);
    return true;
}

/* [*first, *end) shrinks to what the tapes hold. */
static void shrink(const struct hearing *h, uint64_t *first, uint64_t *end)
{
    const struct tape *tape = h->input.samples != NULL ? &h->input : &h->audio;
    if (tape->samples == NULL)
        return;
    *first = *first > tape->begin ? *first : tape->begin;
    *end = *end < tape->end ? *end : tape->end;
}

/* Sound and picture of [first, end), as far as there are any. NULL: there is none, or no memory.
 * *ret_withheld: all of it had to be withheld. */
static struct snippet *make_snippet(const struct hearing *h, uint64_t first, uint64_t end,
                                    bool *ret_withheld)
{
    *ret_withheld = false;
    shrink(h, &first, &end);
    if (first >= end)
        return NULL;
    struct snippet *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    memcpy(s->stream, h->name, sizeof s->stream);
    memcpy(s->model_hash, h->model_hash, sizeof s->model_hash);
    s->run = h->run;
    s->first = first;
    s->count = end - first;
    s->size_bytes = sizeof *s;
    if (!read_tapes(h, s)) {
        snippet_destroy(s);
        return NULL;
    }
    add_losses(h, s);
    uint64_t withheld = withhold(h, s);
    s->lost = s->lost + withheld < s->count ? s->lost + withheld : s->count;
    if (withheld == s->count) {
        *ret_withheld = true;
        snippet_destroy(s);
        return NULL;
    }
    return s;
}

/* Rules */

static int64_t *cool_of(struct hearing *h, const char *label, bool make)
{
    for (size_t i = 0; i < h->n_cool; i++)
        if (strcmp(h->cool[i].label, label) == 0)
            return &h->cool[i].t_ns;
    if (!make)
        return NULL;
    if (h->n_cool == HEARING_MAX_COOL)
        h->n_cool = 0;
    memcpy(h->cool[h->n_cool].label, label, SNIPPET_LABEL_BYTES);
    return &h->cool[h->n_cool++].t_ns;
}

static bool rules_allow(struct hearing *h, const struct pending *e, const struct rule *rule,
                        uint64_t end)
{
    double length_s = (double)(end - e->onset) / RATE_HZ;
    const int64_t *last = cool_of(h, e->label, false);
    if (!rule->record || e->p_peak < rule->min_probability || length_s < rule->min_length_s)
        return false;
    if (last == NULL || rule->cool_down_s <= 0)
        return true;
    double cooled_s = (double)(e->t_onset_ns - *last) * 1e-9;
    return cooled_s < 0 || cooled_s >= rule->cool_down_s; /* below 0: the clock was put back */
}

static void add_scores(const struct hearing *h, const struct pending *e, uint64_t end,
                       struct snippet *s)
{
    const float *scores =
        windows_best(&h->windows, e->index, e->onset, end + h->hop_samples, &s->t_scores_ns);
    if (scores == NULL)
        return;
    s->n_scores = h->windows.n_scores;
    s->scores = malloc(s->n_scores * sizeof *s->scores);
    if (s->scores == NULL)
        return;
    memcpy(s->scores, scores, s->n_scores * sizeof *s->scores);
}

/* Where an event's snippet lies. *ret_cut: it goes on afterwards. */
static void bounds(const struct hearing *h, const struct pending *e, uint64_t *ret_first,
                   uint64_t *ret_end, bool *ret_cut)
{
    const struct settings *set = h->settings;
    uint64_t lead = samples_of(set->lead_s), longest = e->onset + samples_of(set->max_length_s);
    *ret_first = e->onset > lead ? e->onset - lead : 0;
    *ret_cut = !e->ended || e->end > longest;
    *ret_end = *ret_cut ? longest : e->end + samples_of(set->tail_s);
}

static void conclude_event(struct hearing *h, const struct pending *e)
{
    const struct rule *rule = settings_rule(h->settings, e->label);
    uint64_t first, end, position = hearing_position(h);
    bool cut, withheld;
    bounds(h, e, &first, &end, &cut);
    uint64_t known_end = e->ended ? e->end : position > e->onset ? position : e->onset;
    if (rule->private || !rules_allow(h, e, rule, known_end)) {
        writer_tally(h->writer, h->name, e->label, e->t_onset_ns,
                     rule->private ? STORE_PRIVATE : STORE_RULED_OUT);
        return;
    }
    struct snippet *s = make_snippet(h, first, end, &withheld);
    if (s == NULL) {
        writer_tally(h->writer, h->name, e->label, e->t_onset_ns,
                     withheld ? STORE_PRIVATE : STORE_DROPPED);
        return;
    }
    memcpy(s->label, e->label, sizeof s->label);
    s->event = e->id;
    s->label_index = e->index;
    s->p_peak = e->p_peak;
    s->onset = e->onset;
    s->t_onset_ns = e->t_onset_ns;
    s->t_first_ns = e->t_onset_ns + ((int64_t)s->first - (int64_t)e->onset) * NS_PER_SAMPLE;
    if (e->ended) {
        s->end = e->end;
        s->t_end_ns = e->t_onset_ns + (int64_t)(e->end - e->onset) * NS_PER_SAMPLE;
    }
    s->cut = cut || s->first + s->count < known_end;
    add_scores(h, e, known_end, s);
    *cool_of(h, e->label, true) = e->t_onset_ns + (int64_t)(known_end - e->onset) * NS_PER_SAMPLE;
    writer_snippet(h->writer, s);
}

/* What goes on is remembered when its snippet is made: its end is no event of its own. */
static void conclude_events(struct hearing *h, bool all)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->n_events; i++) {
        struct pending *e = &h->events[i];
        uint64_t first, end;
        bool longer;
        bounds(h, e, &first, &end, &longer);
        bool over = e->ended && (all || is_whole(h, end) || h->now_ms >= e->due_ms);
        /* what would come later is no longer on the tape then */
        bool longest =
            (is_whole(h, end) || hearing_position(h) > end + h->window_samples + 5 * RATE_HZ) &&
            hearing_position(h) >= end;
        bool cut = !e->ended && (all || longest);
        if ((over || cut) && !e->concluded)
            conclude_event(h, e);
        e->concluded = e->concluded || cut;
        if (!over)
            h->events[kept++] = *e;
    }
    h->n_events = kept;
}

/* Continuous recordings */

static void conclude_chunk(struct hearing *h, uint64_t first, uint64_t end)
{
    bool withheld;
    struct snippet *s = make_snippet(h, first, end, &withheld);
    if (s == NULL || s->lost == s->count) { /* nothing but silence that nobody heard */
        snippet_destroy(s);
        return;
    }
    s->continuous = true;
    s->event = s->onset = s->first;
    s->end = s->first + s->count;
    s->t_first_ns = s->t_onset_ns = hearing_time(h, s->first);
    s->t_end_ns = hearing_time(h, s->end);
    writer_snippet(h->writer, s);
}

static void begin_chunk(struct hearing *h, uint64_t first)
{
    double chunk_s = h->settings->chunk_s;
    /* the streams' chunks end at different times: one golden section of a chunk apart */
    if (h->chunks++ == 0)
        chunk_s = fmax(1, chunk_s * (1 - fmod(h->number * 0.618034, 1)));
    h->chunk_first = first;
    h->chunk_end = first + samples_of(chunk_s);
}

static void conclude_chunks(struct hearing *h, bool all)
{
    const struct tape *tape = h->input.samples != NULL ? &h->input : &h->audio;
    if (!h->continuous || tape->samples == NULL || tape->begin == tape->end)
        return;
    if (h->chunk_first == h->chunk_end)
        begin_chunk(h, tape->begin > h->chunk_first ? tape->begin : h->chunk_first);
    if (tape->begin >= h->chunk_end) /* the timeline leapt: the old chunk is gone */
        begin_chunk(h, tape->begin);
    uint64_t patience = h->window_samples + 5 * RATE_HZ;
    while (is_whole(h, h->chunk_end) || tape->end > h->chunk_end + patience) {
        conclude_chunk(h, h->chunk_first, h->chunk_end);
        begin_chunk(h, h->chunk_end);
    }
    if (!all)
        return;
    if (tape->end > h->chunk_first) {
        conclude_chunk(h, h->chunk_first, tape->end);
        h->chunk_first = tape->end;
    }
    h->chunk_end = h->chunk_first;
}

void hearing_conclude(struct hearing *h, bool all)
{
    conclude_events(h, all);
    conclude_chunks(h, all);
}
