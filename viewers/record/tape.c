/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/tape.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

int tape_init(struct tape *t, const char *topic, size_t capacity)
{
    memset(t, 0, sizeof *t);
    t->topic = topic;
    t->capacity = capacity;
    t->samples = memory_zeroed(capacity, sizeof(float));
    return t->samples != NULL ? 0 : -ENOMEM;
}

void tape_finish(struct tape *t)
{
    free(t->samples);
    t->samples = NULL;
}

void tape_clear(struct tape *t)
{
    t->begin = t->end = 0;
    t->n_gaps = 0;
}

static void add_gap(struct tape *t, const char *kind, uint64_t first, uint64_t count,
                    uint64_t messages, uint64_t lost)
{
    size_t old = 0;
    while (old < t->n_gaps && t->gaps[old].gap.first + t->gaps[old].gap.count <= t->begin)
        old++;
    if (old == 0 && t->n_gaps == TAPE_MAX_GAPS) {
        /* too many to tell apart: the two oldest become one, so that none is forgotten */
        uint64_t end = t->gaps[1].gap.first + t->gaps[1].gap.count;
        t->gaps[1].gap.first = t->gaps[0].gap.first;
        t->gaps[1].gap.count = end - t->gaps[0].gap.first;
        t->gaps[1].gap.messages += t->gaps[0].gap.messages;
        t->gaps[1].lost += t->gaps[0].lost;
        old = 1;
    }
    memmove(&t->gaps[0], &t->gaps[old], (t->n_gaps - old) * sizeof t->gaps[0]);
    t->n_gaps -= old;
    t->gaps[t->n_gaps].gap = (struct snippet_gap){t->topic, kind, first, count, messages};
    t->gaps[t->n_gaps++].lost = lost;
}

/* Zeros up to `to`. */
static void skip(struct tape *t, uint64_t to, uint64_t messages)
{
    uint64_t count = to - t->end;
    uint64_t zeros = count < t->capacity ? count : t->capacity;
    for (uint64_t i = to - zeros; i < to; i++)
        t->samples[i % t->capacity] = 0;
    add_gap(t, messages > 0 ? "messages" : "absent", t->end, count, messages, count);
    t->end = to;
}

static void put(struct tape *t, const float *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        t->samples[(t->end + i) % t->capacity] = isfinite(x[i]) ? x[i] : 0;
    t->end += n;
}

void tape_write(struct tape *t, const struct tape_block *b)
{
    const float *x = b->samples;
    uint64_t first = b->first, count = b->count;
    if (t->begin == t->end)
        t->begin = t->end = first;
    if (first < t->end) {
        uint64_t known = t->end - first;
        if (known >= count)
            return;
        first += known;
        x += known;
        count -= known;
    }
    if (count > t->capacity) {
        x += count - t->capacity;
        first += count - t->capacity;
        count = t->capacity;
    }
    if (first > t->end)
        skip(t, first, b->messages);
    put(t, x, count);
    if (t->end - t->begin > t->capacity)
        t->begin = t->end - t->capacity;
    uint64_t lost = b->lost < count ? b->lost : count;
    if (lost > 0)
        add_gap(t, "source", first, count, 0, lost);
}

void snippet_add_gap(struct snippet *s, const struct snippet_gap *gap)
{
    if (gap->count == 0)
        return;
    if (s->n_gaps < SNIPPET_MAX_GAPS) {
        s->gaps[s->n_gaps++] = *gap;
        return;
    }
    struct snippet_gap *last = &s->gaps[SNIPPET_MAX_GAPS - 1];
    uint64_t end = gap->first + gap->count, last_end = last->first + last->count;
    last->first = gap->first < last->first ? gap->first : last->first;
    last->count = (end > last_end ? end : last_end) - last->first;
    last->messages += gap->messages;
}

static void add_span(struct snippet *s, const char *topic, const char *kind, uint64_t first,
                     uint64_t end)
{
    if (first < end)
        snippet_add_gap(s, &(struct snippet_gap){topic, kind, first, end - first, 0});
}

uint64_t tape_read(const struct tape *t, uint64_t first, uint64_t count, float *ret,
                   struct snippet *snippet)
{
    uint64_t end = first + count, lost = 0;
    uint64_t from = t->begin > first ? t->begin : first, to = t->end < end ? t->end : end;
    memset(ret, 0, count * sizeof *ret);
    if (from >= to) {
        add_span(snippet, t->topic, "absent", first, end);
        return count;
    }
    for (uint64_t i = from; i < to; i++)
        ret[i - first] = t->samples[i % t->capacity];
    add_span(snippet, t->topic, "absent", first, from);
    for (size_t i = 0; i < t->n_gaps; i++) {
        struct snippet_gap gap = t->gaps[i].gap;
        uint64_t gap_end = gap.first + gap.count, whole = gap.count;
        gap.first = gap.first > from ? gap.first : from;
        gap_end = gap_end < to ? gap_end : to;
        if (gap.first >= gap_end)
            continue;
        gap.count = gap_end - gap.first;
        lost += t->gaps[i].lost < gap.count || whole == gap.count ? t->gaps[i].lost : gap.count;
        snippet_add_gap(snippet, &gap);
    }
    add_span(snippet, t->topic, "absent", to, end);
    return lost + (from - first) + (end - to);
}
