/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/stream.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/timeline.h"
#include "dsp/sliding.h"

enum { STREAM_PUSH_FRAMES = 4096, STREAM_SLOTS = 3 };

struct stream {
    /* immutable after create */
    struct stream_config config;

    /* dsp thread */
    struct resampler *resampler; /* for in_rate and in_channels; NULL before the first block */
    uint32_t in_rate, in_channels;
    float *pcm; /* [resampler_out_max] */
    struct sliding *sliding;
    struct timeline timeline;
    double segment_pos; /* position of the first frame since the last gap or change of format */
    uint64_t segment_frames; /* frames taken since, at in_rate */
    uint64_t next_first;     /* of the window that comes next */
    uint64_t last_hop;       /* samples between the last window and the next */
    uint64_t serial;
    int64_t asleep_ns;    /* of the machine, that are accounted for */
    int64_t block_end_ns; /* when the last sample taken left the callback */
    int n_gaps;
    struct gap gaps[WINDOW_MAX_GAPS]; /* oldest first */
    bool busy, end_seen;

    /* both threads */
    struct mailbox mailbox;
    struct window slots[STREAM_SLOTS];
    atomic_bool ended;
    atomic_uint_least64_t skipped, missed;
    atomic_int_least64_t posted_ns, heard_ns;
};

static size_t spectrum_cells(const struct stream_config *config)
{
    return stft_frames(&config->shape, config->window_samples) * (size_t)stft_bins(&config->shape);
}

int stream_create(struct stream **ret, const struct stream_config *config, struct error *error)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ENOMEM, "stream: out of memory");
    s->config = *config;
    if (s->config.asleep_ns == NULL)
        s->config.asleep_ns = asleep_ns;
    s->asleep_ns = s->config.asleep_ns();
    mailbox_init(&s->mailbox);
    timeline_init(&s->timeline, config->rate_hz);
    int r = sliding_create(&s->sliding, &config->shape, config->window_samples, error);
    if (r < 0)
        goto fail;
    for (int i = 0; i < STREAM_SLOTS; i++) {
        s->slots[i].samples = memory_zeroed(config->window_samples, sizeof(float));
        s->slots[i].spectrum = memory_zeroed(spectrum_cells(config), 2 * sizeof(float));
        if (s->slots[i].samples == NULL || s->slots[i].spectrum == NULL) {
            r = error_set(error, ENOMEM, "stream: out of memory for a window");
            goto fail;
        }
    }
    *ret = s;
    return 0;
fail:
    stream_destroy(s);
    return r;
}

void stream_destroy(struct stream *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < STREAM_SLOTS; i++) {
        free(s->slots[i].samples);
        free(s->slots[i].spectrum);
    }
    resampler_destroy(s->resampler);
    sliding_destroy(s->sliding);
    free(s->pcm);
    free(s);
}

/* The exact position of the next input frame, in samples of the timeline. */
static double input_position(const struct stream *s)
{
    if (s->in_rate == 0)
        return s->segment_pos;
    return s->segment_pos + (double)s->segment_frames * s->config.rate_hz / s->in_rate;
}

/* Gaps that have left the history are forgotten; when the table is full the newest takes the rest,
 * so that the sum stays true. */
static void note_gap(struct stream *s, uint64_t first, uint64_t count)
{
    uint64_t begin = sliding_begin(s->sliding), end = sliding_end(s->sliding);
    uint64_t history = 2 * (uint64_t)s->config.window_samples;
    if (end > history && begin < end - history)
        begin = end - history;
    int kept = 0;
    for (int i = 0; i < s->n_gaps; i++)
        if (s->gaps[i].first + s->gaps[i].count > begin)
            s->gaps[kept++] = s->gaps[i];
    s->n_gaps = kept;
    if (s->n_gaps == WINDOW_MAX_GAPS)
        s->gaps[s->n_gaps - 1].count += count;
    else
        s->gaps[s->n_gaps++] = (struct gap){first, count};
}

static uint64_t round_up_to_hop(const struct stream *s, uint64_t position)
{
    uint64_t hop = (uint64_t)s->config.shape.hop;
    return (position + hop - 1) / hop * hop;
}

/* Moves the timeline on to `position`: what lies between never came, or is what a filter rounds. */
static void skip_to(struct stream *s, double position, bool lost)
{
    uint64_t end = sliding_end(s->sliding);
    int64_t n = llround(position) - (int64_t)end;
    if (n > 0) {
        sliding_skip(s->sliding, (uint64_t)n);
        atomic_fetch_add(&s->missed, lost ? (uint64_t)n : 0);
        if (sliding_begin(s->sliding) > end)
            s->n_gaps = 0; /* the windows go on behind it */
        else if (lost)
            note_gap(s, end, (uint64_t)n);
    }
    uint64_t first = round_up_to_hop(s, sliding_begin(s->sliding));
    if (s->next_first < first)
        s->next_first = first;
}

/* Ends a run of frames of one format without loss: the filter gives its rest. The next run begins
 * `lost` frames later. */
static void close_segment(struct stream *s, double lost_samples)
{
    if (s->resampler != NULL && s->segment_frames > 0) {
        ssize_t got = resampler_flush(s->resampler, s->pcm);
        size_t n = got > 0 ? (size_t)got : 0, half = s->config.window_samples / 2;
        for (size_t done = 0; done < n; done += half)
            sliding_push(s->sliding, s->pcm + done, n - done < half ? n - done : half);
    }
    double position = input_position(s) + lost_samples;
    skip_to(s, position, lost_samples > 0);
    double end = (double)sliding_end(s->sliding);
    s->segment_pos = position > end - 0.5 ? position : end;
    s->segment_frames = 0;
}

static int set_format(struct stream *s, uint32_t rate, uint32_t channels, struct error *error)
{
    close_segment(s, 0);
    resampler_destroy(s->resampler);
    s->resampler = NULL;
    s->in_rate = s->in_channels = 0;
    int r = resampler_create(&s->resampler, (int)rate, (int)channels, s->config.rate_hz,
                             s->config.quality, STREAM_PUSH_FRAMES, error);
    if (r < 0)
        return r;
    float *pcm = realloc(s->pcm, resampler_out_max(s->resampler) * sizeof(float));
    if (pcm == NULL) {
        resampler_destroy(s->resampler);
        s->resampler = NULL;
        return error_set(error, ENOMEM, "stream: out of memory for the resampler");
    }
    s->pcm = pcm;
    s->in_rate = rate;
    s->in_channels = channels;
    return 0;
}

/* Copies the window that is due into the mailbox. */
static void post_window(struct stream *s, uint64_t hop_samples)
{
    struct window *w = &s->slots[mailbox_back(&s->mailbox)];
    w->serial = s->serial++;
    w->first = s->next_first;
    w->hop_samples = s->last_hop;
    w->n_gaps = s->n_gaps;
    memcpy(w->gaps, s->gaps, sizeof w->gaps);
    w->t_wall_ns = timeline_wall(&s->timeline, (double)s->next_first);
    w->t_last_ns = s->block_end_ns;
    sliding_window(s->sliding, s->next_first, w->samples, w->spectrum);
    w->t_posted_ns = monotonic_ns();
    atomic_store(&s->posted_ns, w->t_posted_ns);
    if (mailbox_post(&s->mailbox))
        atomic_fetch_add(&s->skipped, 1);
    s->next_first += hop_samples;
    s->last_hop = hop_samples;
}

static int post_due(struct stream *s, uint64_t hop_samples)
{
    int posted = 0;
    /* two gaps at once may have moved the history on beyond the window that was next */
    uint64_t end = sliding_end(s->sliding), history = 2 * (uint64_t)s->config.window_samples;
    if (end > history && s->next_first < end - history)
        s->next_first = round_up_to_hop(s, end - history);
    while (sliding_has(s->sliding, s->next_first) &&
           !(s->config.lossless && mailbox_pending(&s->mailbox))) {
        if (s->serial == 0)
            s->last_hop = hop_samples;
        post_window(s, hop_samples);
        posted++;
    }
    return posted;
}

/* A window is due but the inference thread has not taken the one before it (lossless streams). */
static bool held_back(const struct stream *s)
{
    return s->config.lossless && mailbox_pending(&s->mailbox) &&
           sliding_has(s->sliding, s->next_first);
}

/* The machine slept: no clock that blocks are timed by shows it. What else the source was away is
 * seen by its times as ever. */
static void account_sleep(struct stream *s)
{
    const int64_t slept_ns = s->config.asleep_ns() - s->asleep_ns;
    if (slept_ns <= TIMELINE_JUMP_NS)
        return;
    s->asleep_ns += slept_ns;
    if (!s->timeline.anchored)
        return;
    const double slept = (double)slept_ns * 1e-9 * s->config.rate_hz;
    close_segment(s, slept);
    timeline_anchor(&s->timeline, s->timeline.anchor_pos + slept, s->timeline.anchor_ns);
}

/* Lost frames and late blocks move the timeline on before the block's samples come. */
static void account_time(struct stream *s, const struct ring_block *block)
{
    if (block->lost_frames > 0)
        close_segment(s, (double)block->lost_frames * s->config.rate_hz / block->rate_hz);
    if (s->config.lossless || block->t_ns == 0) {
        if (!s->timeline.anchored || s->config.lossless)
            timeline_anchor(&s->timeline, input_position(s), monotonic_ns());
        return;
    }
    account_sleep(s);
    int64_t late = timeline_follow(&s->timeline, input_position(s), block->t_ns,
                                   (block->flags & RING_RESTART) != 0);
    if (late > 0) {
        close_segment(s, (double)late * 1e-9 * s->config.rate_hz);
        timeline_anchor(&s->timeline, input_position(s), block->t_ns);
    }
}

/* Frames that bring at most half a window. */
static uint32_t push_frames(const struct stream *s)
{
    uint64_t most =
        (uint64_t)s->config.window_samples * s->in_rate / (uint64_t)s->config.rate_hz / 2;
    return most < 1 ? 1 : most > STREAM_PUSH_FRAMES ? STREAM_PUSH_FRAMES : (uint32_t)most;
}

static int push_block(struct stream *s, const struct ring_block *block, uint64_t hop_samples,
                      struct error *error)
{
    account_time(s, block);
    int64_t frames_ns = (int64_t)((double)block->frames * 1e9 / block->rate_hz);
    s->block_end_ns =
        block->t_ns != 0 && !s->config.lossless ? block->t_ns + frames_ns : monotonic_ns();
    if (block->rate_hz != s->in_rate || block->channels != s->in_channels) {
        int r = set_format(s, block->rate_hz, block->channels, error);
        if (r < 0) { /* time passes all the same */
            close_segment(s, (double)block->frames * s->config.rate_hz / block->rate_hz);
            return r;
        }
    }
    int posted = 0;
    uint32_t most = push_frames(s);
    for (uint32_t done = 0; done < block->frames;) {
        uint32_t n = block->frames - done;
        n = n < most ? n : most;
        ssize_t got = resampler_push(s->resampler, block->samples + (size_t)done * block->channels,
                                     n, s->pcm);
        if (got < 0)
            return error_set(error, EIO, "stream: the resampler failed at %u Hz", block->rate_hz);
        sliding_push(s->sliding, s->pcm, (size_t)got);
        s->segment_frames += n;
        done += n;
        posted += post_due(s, hop_samples);
    }
    return posted;
}

int stream_pump(struct stream *s, int hop_frames, struct error *error)
{
    uint64_t hop_samples = (uint64_t)hop_frames * (uint64_t)s->config.shape.hop;
    int posted = post_due(s, hop_samples);
    s->busy = false;
    struct ring_block block;
    while (!held_back(s) && ring_peek(s->config.ring, &block)) {
        int r = 0;
        if (block.frames > 0) {
            atomic_store(&s->heard_ns, monotonic_ns());
            r = push_block(s, &block, hop_samples, error);
        }
        if (block.flags & RING_END) {
            close_segment(s, (double)block.lost_frames * s->config.rate_hz / block.rate_hz);
            r = r < 0 ? r : r + post_due(s, hop_samples);
            s->end_seen = true;
        }
        ring_release(s->config.ring);
        if (r < 0)
            return r;
        posted += r;
        s->busy = true;
    }
    if (s->end_seen && !sliding_has(s->sliding, s->next_first))
        atomic_store(&s->ended, true);
    return posted;
}

bool stream_busy(const struct stream *s)
{
    return s->busy;
}

const struct window *stream_take(struct stream *s)
{
    unsigned slot;
    return mailbox_take(&s->mailbox, &slot) ? &s->slots[slot] : NULL;
}

int64_t stream_posted_ns(const struct stream *s)
{
    return atomic_load(&s->posted_ns);
}

int64_t stream_heard_ns(const struct stream *s)
{
    return atomic_load(&s->heard_ns);
}

bool stream_pending(const struct stream *s)
{
    return mailbox_pending(&s->mailbox);
}

bool stream_ended(const struct stream *s)
{
    return atomic_load(&s->ended);
}

uint64_t stream_skipped(const struct stream *s)
{
    return atomic_load(&s->skipped);
}

uint64_t stream_missed(const struct stream *s)
{
    return atomic_load(&s->missed);
}
