/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/events.h"

#include <errno.h>
#include <stdlib.h>

enum phase { EVENT_OFF, EVENT_RISING, EVENT_ON };

struct track {
    enum phase phase;
    struct event event;
};

struct events {
    int n_classes;
    uint64_t last_id;
    struct track tracks[]; /* [n_classes] */
};

int events_create(struct events **ret, int n_classes, struct error *error)
{
    struct events *e = calloc(1, sizeof *e + (size_t)n_classes * sizeof e->tracks[0]);
    if (e == NULL)
        return error_set(error, ENOMEM, "events: out of memory for %d labels", n_classes);
    e->n_classes = n_classes;
    *ret = e;
    return 0;
}

void events_destroy(struct events *e)
{
    free(e);
}

void events_follow(struct events *e, const struct events *before)
{
    e->last_id = before->last_id;
}

void events_step(struct events *e, const struct events_limits *limits, const float *p,
                 uint64_t from, uint64_t to, int64_t t_from_wall_ns,
                 void (*tell)(void *user, const struct event *event), void *user)
{
    for (int i = 0; i < e->n_classes; i++) {
        struct track *t = &e->tracks[i];
        float now = p != NULL ? p[i] : 0;
        if (t->phase == EVENT_OFF) {
            if (!(now >= limits->on))
                continue;
            t->phase = EVENT_RISING;
            t->event = (struct event){.index = i, .onset = from, .t_onset_wall_ns = t_from_wall_ns};
        }
        bool over = !(now >= limits->off);
        t->event.p = now;
        if (now > t->event.p_peak)
            t->event.p_peak = now;
        if (t->phase == EVENT_RISING && !over && to - t->event.onset >= limits->min_samples) {
            t->phase = EVENT_ON;
            t->event.id = ++e->last_id;
            tell(user, &t->event);
        }
        if (!over)
            continue;
        if (t->phase == EVENT_ON) {
            t->event.ended = true;
            t->event.end = from;
            tell(user, &t->event);
        }
        t->phase = EVENT_OFF;
    }
}
