/* SPDX-License-Identifier: Apache-2.0
 * What the files of a hearing share: hearing.c takes messages, windows.c keeps scores and privacy,
 * conclude.c makes snippets. */
#ifndef FOCAL_RECORD_HEARING_INTERNAL_H
#define FOCAL_RECORD_HEARING_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>

#include "viewers/record/hearing.h"
#include "viewers/record/spans.h"
#include "viewers/record/strip.h"
#include "viewers/record/tape.h"

enum {
    RATE_HZ = 16000,
    NS_PER_SAMPLE = 1000000000 / RATE_HZ,
    HEARING_MAX_EVENTS = 128, /* under way at a time */
    HEARING_MAX_LOSSES = 128, /* remembered, of topics without a tape */
    HEARING_MAX_COOL = 1024,
    HEARING_STALL_MS = 15000, /* nothing came for so long: it is over */
    WINDOWS_MAX = 1024,
    WINDOWS_BYTES = 16 << 20,
    CLASSES_MAX = 8192,
};

/* A century of samples and the year 2096: sums of both fit into 63 bits as nanoseconds. */
static const uint64_t position_max = (uint64_t)1 << 46;
static const int64_t time_max = INT64_C(4000000000000000000);

/* The windows whose scores are remembered, newest last. */
struct windows {
    size_t capacity, n, next; /* a ring */
    size_t n_scores;          /* of a window: 3 * classes */
    struct {
        uint64_t first, count;
        int64_t t_ns;
        bool nameless;
    } * list;
    float *scores; /* [capacity][n_scores] */
    uint64_t newest_first, newest_end;
    bool any;
    struct spans clear;   /* covered by a window in which no private class was heard */
    struct spans private; /* covered by one in which some was, or by none that came */
};

struct pending {
    uint64_t id;
    int index;
    char label[SNIPPET_LABEL_BYTES];
    double p_peak;
    uint64_t onset, end;
    int64_t t_onset_ns;
    bool ended;
    bool concluded; /* its snippet is made, and its end is waited for */
    int64_t due_ms; /* when it is concluded with what is there; 0: not known yet */
};

struct hearing {
    char name[SNIPPET_NAME_BYTES];
    int number;
    const struct settings *settings;
    struct writer *writer;
    bool has_private;
    bool continuous;

    int64_t run;             /* 0: nothing came yet */
    int64_t now_ms, last_ms; /* of the last message */

    /* from info */
    char **labels;
    size_t n_labels;
    bool *is_private; /* [n_labels] */
    char model_hash[SNIPPET_LABEL_BYTES];
    bool rules_told; /* for this model */
    int hop_length;
    uint64_t window_samples, hop_samples, delay_samples;

    struct tape input, audio;
    struct strip strip; /* bins 0: none came yet */
    uint64_t span;      /* samples that tapes and strip hold */
    struct windows windows;
    uint64_t topic_end[8]; /* where the last message of a topic without a tape ended */

    struct pending events[HEARING_MAX_EVENTS];
    size_t n_events;
    struct snippet_gap losses[HEARING_MAX_LOSSES];
    size_t n_losses;
    struct {
        char label[SNIPPET_LABEL_BYTES];
        int64_t t_ns; /* end of the last snippet */
    } cool[HEARING_MAX_COOL];
    size_t n_cool;

    uint64_t chunk_first, chunk_end; /* of a continuous recording; equal: none is under way */
    int chunks;
    uint64_t anchor;     /* a position, and */
    int64_t t_anchor_ns; /* its time */

    struct store_listening listening;
    int64_t listening_told_ms;
};

/* windows.c */
void windows_finish(struct windows *windows);
void windows_clear(struct windows *windows);

struct window_message {
    uint64_t first, count, lost;
    int64_t t_ns;
    bool nameless;       /* silence, or unknown: what scored best is not what was heard */
    const float *scores; /* [n_scores] */
    size_t n_scores;
};

/* private: a private class was heard in it. -ENOMEM. */
int windows_add(struct windows *windows, const struct window_message *window, bool private);
/* Of the windows that end in (onset, until] and have a name the one in which `index` was most
 * probable; NULL: none is known. */
const float *windows_best(const struct windows *windows, int index, uint64_t onset, uint64_t until,
                          int64_t *ret_t_ns);
/* The next span of [from, to) that must not be kept. False: none is left. */
bool windows_withheld(const struct windows *windows, uint64_t from, uint64_t to, struct span *ret);

/* conclude.c */

/* Concludes what has all its sound, and with `all` everything; what has not ended stays known. */
void hearing_conclude(struct hearing *hearing, bool all);
int64_t hearing_time(const struct hearing *hearing, uint64_t position);
/* The newest position of what is kept. */
uint64_t hearing_position(const struct hearing *hearing);

/* info.c */
int hearing_take_info(struct hearing *hearing, const json_t *header, struct error *error);
void hearing_forget_info(struct hearing *hearing);

#endif
