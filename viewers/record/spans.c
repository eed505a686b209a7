/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/spans.h"

#include <string.h>

static void remove_at(struct spans *s, size_t at, size_t n)
{
    memmove(&s->list[at], &s->list[at + n], (s->n - at - n) * sizeof s->list[0]);
    s->n -= n;
}

static void make_room(struct spans *s)
{
    if (s->grow)
        s->list[1].first = s->list[0].first;
    remove_at(s, 0, 1);
}

void spans_add(struct spans *s, uint64_t first, uint64_t end)
{
    if (first >= end)
        return;
    if (s->n == SPANS_MAX)
        make_room(s);
    size_t from = 0;
    while (from < s->n && s->list[from].end < first)
        from++;
    size_t to = from;
    for (; to < s->n && s->list[to].first <= end; to++) {
        first = s->list[to].first < first ? s->list[to].first : first;
        end = s->list[to].end > end ? s->list[to].end : end;
    }
    if (to > from) {
        remove_at(s, from + 1, to - from - 1);
    } else {
        memmove(&s->list[from + 1], &s->list[from], (s->n - from) * sizeof s->list[0]);
        s->n++;
    }
    s->list[from] = (struct span){first, end};
}

void spans_forget(struct spans *s, uint64_t before)
{
    size_t n = 0;
    while (n < s->n && s->list[n].end <= before)
        n++;
    remove_at(s, 0, n);
}

void spans_clear(struct spans *s)
{
    s->n = 0;
}

const struct span *spans_after(const struct spans *s, uint64_t from)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->list[i].end > from)
            return &s->list[i];
    return NULL;
}

bool spans_touch(const struct spans *s, uint64_t first, uint64_t end)
{
    const struct span *next = spans_after(s, first);
    return next != NULL && next->first < end;
}
