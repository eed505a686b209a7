/* SPDX-License-Identifier: Apache-2.0
 * What is known of a focald and its streams from the messages that came: plain data for the
 * screen. All texts in it are clean (text.h). */
#ifndef FOCALD_VIEWERS_TERM_WORLD_H
#define FOCALD_VIEWERS_TERM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/libfocal/focal.h"
#include "viewers/term/spectrum.h"

enum {
    WORLD_STREAMS = 32,
    WORLD_EVENTS = 64,
    WORLD_HEARD = 2048,
    WORLD_TOP = 10,
    LABEL_BYTES = 64,
    LINE_BYTES = 256,
};

/* One label message, kept for the timeline. */
struct heard {
    int64_t from, to; /* samples: the end of the window before, and of this one */
    float p;
    bool silence;
    char label[LABEL_BYTES];
};

struct guess {
    double p;
    char label[LABEL_BYTES];
};

struct health {
    bool known, ok;
    char problem[LINE_BYTES], source_kind[LABEL_BYTES], source_state[LABEL_BYTES],
        source_text[LINE_BYTES];
    double rate_hz, lost_samples, skipped, windows, latency_ms;
};

struct stream {
    char name[64];            /* as on the wire, to compare and subscribe */
    char shown[LABEL_BYTES];  /* the same, clean */
    struct spectrum *picture; /* NULL until a spectrogram came */
    int64_t hop_samples;      /* of a spectrogram frame; from info */
    struct heard *heard;      /* ring of WORLD_HEARD, NULL until a label came */
    uint64_t n_heard;         /* since start */
    struct guess top[WORLD_TOP];
    int n_top;
    bool silence;
    bool unknown;     /* the window has no name, and top are candidates */
    double peak_dbfs; /* -INFINITY: digital silence */
    int64_t newest;   /* the end of the newest label's window, in samples */
    uint64_t missed;  /* messages lost on the way to this program */
    struct health health;
};

struct event {
    int64_t t_ns;
    char text[LINE_BYTES]; /* without the time */
    bool begins, news;     /* news: about the daemon, not about a sound */
};

struct world {
    bool unicode;
    struct stream *streams[WORLD_STREAMS];
    int n_streams;
    struct event events[WORLD_EVENTS]; /* ring */
    uint64_t n_events;                 /* since start */
    double run;                        /* of the daemon; 0: unknown */
    char model[LABEL_BYTES];
    uint64_t refused; /* messages that were not as they should be */
};

void world_init(struct world *w, bool unicode);
void world_finish(struct world *w);

/* NULL when there is none of that name. */
struct stream *world_find(const struct world *w, const char *name);
/* Takes in one message; what is malformed is counted and changes nothing. */
void world_receive(struct world *w, struct focal *focal, const struct focal_message *message);
/* A line among the events about the daemon itself, now. */
void world_tell(struct world *w, const char *text);

#endif
