/* SPDX-License-Identifier: Apache-2.0
 * From probabilities per window to sound events: a label that rises to `on` begins one, announced
 * once it has lasted min_samples; it ends when the label falls below `off`. */
#ifndef FOCALD_DAEMON_EVENTS_H
#define FOCALD_DAEMON_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct event {
    uint64_t id; /* counts from 1, on through changes of the model */
    bool ended;
    int index; /* label */
    float p, p_peak;
    uint64_t onset, end; /* positions; end is 0 until ended */
    int64_t t_onset_wall_ns;
};

struct events;

struct events_limits {
    float on, off;
    uint64_t min_samples;
};

int events_create(struct events **ret, int n_classes, struct error *error);
void events_destroy(struct events *events); /* takes NULL */

/* Counts on from what `before`, of another model, has come to. */
void events_follow(struct events *events, const struct events *before);

/* One window: p: [n_classes] (NULL: silence, or a sound that is unknown: every event ends), its new
 * samples [from, to), and the wall clock of `from`. Calls tell() for each onset and end, in order
 * of label. */
void events_step(struct events *events, const struct events_limits *limits, const float *p,
                 uint64_t from, uint64_t to, int64_t t_from_wall_ns,
                 void (*tell)(void *user, const struct event *event), void *user);

#endif
