/* SPDX-License-Identifier: Apache-2.0
 * The scores of the newest windows, and which samples may be kept. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "viewers/record/hearing_internal.h"

void windows_finish(struct windows *w)
{
    free(w->list);
    free(w->scores);
    memset(w, 0, sizeof *w);
}

void windows_clear(struct windows *w)
{
    w->n = w->next = 0;
    w->any = false;
    spans_clear(&w->clear);
    spans_clear(&w->private);
    w->private.grow = true; /* what was private stays private */
}

static int set_classes(struct windows *w, size_t n_scores)
{
    size_t bytes = n_scores * sizeof(float);
    free(w->list);
    free(w->scores);
    w->n = w->next = w->n_scores = 0;
    w->capacity = WINDOWS_BYTES / bytes < WINDOWS_MAX ? WINDOWS_BYTES / bytes : WINDOWS_MAX;
    w->list = calloc(w->capacity, sizeof w->list[0]);
    w->scores = calloc(w->capacity, bytes);
    if (w->list == NULL || w->scores == NULL)
        return -ENOMEM;
    w->n_scores = n_scores;
    return 0;
}

static void note_privacy(struct windows *w, const struct window_message *m, bool private)
{
    uint64_t end = m->first + m->count;
    w->private.grow = true;
    if (private)
        spans_add(&w->private, m->first, end);
    else
        spans_add(&w->clear, m->first, end);
    /* windows that never came may have heard anything */
    if (m->lost > 0 && w->any)
        spans_add(&w->private, w->newest_first < m->first ? w->newest_first : m->first, end);
}

int windows_add(struct windows *w, const struct window_message *m, bool private)
{
    if (m->n_scores != w->n_scores) {
        int code = set_classes(w, m->n_scores);
        if (code < 0)
            return code;
    }
    note_privacy(w, m, private);
    w->list[w->next].first = m->first;
    w->list[w->next].count = m->count;
    w->list[w->next].t_ns = m->t_ns;
    w->list[w->next].nameless = m->nameless;
    memcpy(w->scores + w->next * w->n_scores, m->scores, w->n_scores * sizeof(float));
    w->next = (w->next + 1) % w->capacity;
    w->n = w->n < w->capacity ? w->n + 1 : w->n;
    w->newest_first = m->first;
    w->newest_end = m->first + m->count;
    w->any = true;
    return 0;
}

const float *windows_best(const struct windows *w, int index, uint64_t onset, uint64_t until,
                          int64_t *ret_t_ns)
{
    const float *best = NULL;
    if (index < 0 || (size_t)index >= w->n_scores / 3)
        return NULL;
    for (size_t i = 0; i < w->n; i++) {
        uint64_t window_end = w->list[i].first + w->list[i].count;
        const float *scores = w->scores + i * w->n_scores;
        if (w->list[i].nameless || window_end <= onset || window_end > until ||
            (best != NULL && !(scores[index] > best[index])))
            continue;
        best = scores;
        *ret_t_ns = w->list[i].t_ns;
    }
    return best;
}

bool windows_withheld(const struct windows *w, uint64_t from, uint64_t to, struct span *ret)
{
    while (from < to) {
        const struct span *clear = spans_after(&w->clear, from);
        const struct span *private = spans_after(&w->private, from);
        if (private != NULL && private->first <= from) {
            *ret = (struct span){from, private->end < to ? private->end : to};
            return true;
        }
        if (clear == NULL || clear->first > from) {
            *ret = (struct span){from, clear != NULL && clear->first < to ? clear->first : to};
            return true;
        }
        from = clear->end;
        if (private != NULL && private->first < from)
            from = private->first;
    }
    return false;
}
