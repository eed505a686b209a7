/* SPDX-License-Identifier: Apache-2.0
 * One window of a stream on its way from the dsp thread to the inference thread, and the mailbox it
 * travels in. */
#ifndef FOCALD_DAEMON_WINDOW_H
#define FOCALD_DAEMON_WINDOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WINDOW_MAX_GAPS = 32 };

/* Samples that never came and stand as zeros on the timeline. */
struct gap {
    uint64_t first, count;
};

struct window {
    uint64_t serial;      /* counts due windows of the stream; a jump is skipped windows */
    uint64_t first;       /* position of samples[0]; a multiple of the STFT's hop */
    float *samples;       /* [window_samples] at the network's rate, not normalised */
    float *spectrum;      /* [T][F][2] */
    uint64_t hop_samples; /* how far the window moved since the one before it */
    int64_t t_wall_ns;    /* CLOCK_REALTIME of samples[0] */
    int64_t t_last_ns;    /* CLOCK_MONOTONIC when the last sample left the callback */
    int64_t t_posted_ns;  /* CLOCK_MONOTONIC when the window was handed over */
    int n_gaps;
    struct gap gaps[WINDOW_MAX_GAPS];
};

/* Lost samples within [first, first + count). */
uint64_t window_lost(const struct window *window, uint64_t first, uint64_t count);

/* Three slots between one writer and one reader: the writer always has one to fill, the reader
 * always finds the newest. Lock-free, never waits (a triple buffer). */
struct mailbox {
    atomic_uint middle; /* slot index, and MAILBOX_FRESH while unread */
    unsigned back;      /* writer's */
    unsigned front;     /* reader's */
};

void mailbox_init(struct mailbox *mailbox);
/* The slot to fill. Writer. */
unsigned mailbox_back(const struct mailbox *mailbox);
/* Hands the filled slot over. Returns true when an unread one was replaced. Writer. */
bool mailbox_post(struct mailbox *mailbox);
/* True while the last posted slot is unread. Any thread. */
bool mailbox_pending(const struct mailbox *mailbox);
/* True when there is something new: *ret_slot is the reader's until the next take. Reader. */
bool mailbox_take(struct mailbox *mailbox, unsigned *ret_slot);

#endif
