/* SPDX-License-Identifier: Apache-2.0
 * T: frames of a window, F: bins. */
#include "daemon/output.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/events.h"
#include "daemon/masked_audio.h"
#include "daemon/reject_live.h"
#include "model/interpret/mask.h"

/* Frames a spec, input or audio message carries at most: after skipped windows the rest comes in
 * further messages, so that one slot's size is known. */
enum { OUTPUT_CHUNK_FRAMES = 86 };

struct output {
    struct output_config config;
    struct stft_shape shape;
    size_t frames, bins;
    uint64_t next_input; /* position; 0: begin with the next window */
    uint64_t next_spec;  /* frame; likewise */
    uint64_t last_end;   /* of the newest window; 0 before the first */
    struct masked_audio *audio;
    struct events *events;
    float *p, *p_paper; /* [n_classes] of the window being published */
    const struct output_window *now;
};

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t map_cells(const struct model_info *info)
{
    size_t cells = 0;
    for (int i = 0; i < info->n_maps; i++)
        cells += (size_t)info->maps[i].rows * (size_t)info->maps[i].cols;
    return cells;
}

size_t output_payload_bytes(const struct model_info *info)
{
    struct stft_shape shape = analysis_shape(info);
    size_t bins = (size_t)stft_bins(&shape);
    size_t frames = stft_frames(&shape, (size_t)info->preprocess.window_samples);
    size_t bytes = OUTPUT_CHUNK_FRAMES * max_size(bins, (size_t)shape.hop) * sizeof(float);
    bytes = max_size(bytes, map_cells(info) * sizeof(float));
    bytes = max_size(bytes, (frames * bins + 7) / 8);
    return max_size(bytes, 3 * (size_t)info->n_classes * sizeof(float));
}

int output_create(struct output **ret, const struct output_config *config, struct error *error)
{
    struct output *o = calloc(1, sizeof *o);
    if (o == NULL)
        return error_set(error, ENOMEM, "output: out of memory");
    o->config = *config;
    o->shape = analysis_shape(config->info);
    size_t window = (size_t)config->info->preprocess.window_samples;
    o->frames = stft_frames(&o->shape, window);
    o->bins = (size_t)stft_bins(&o->shape);
    int r = masked_audio_create(&o->audio, &o->shape, window, config->audio_delay_frames, error);
    if (r == 0)
        r = events_create(&o->events, config->info->n_classes, error);
    if (r == 0) {
        o->p = memory_zeroed((size_t)config->info->n_classes, sizeof(float));
        o->p_paper = memory_zeroed((size_t)config->info->n_classes, sizeof(float));
        if (o->p == NULL || o->p_paper == NULL)
            r = error_set(error, ENOMEM, "output: out of memory");
    }
    if (r < 0) {
        output_destroy(o);
        return r;
    }
    *ret = o;
    return 0;
}

void output_destroy(struct output *o)
{
    if (o == NULL)
        return;
    masked_audio_destroy(o->audio);
    events_destroy(o->events);
    free(o->p);
    free(o->p_paper);
    free(o);
}

void output_follow(struct output *o, struct output *before)
{
    struct masked_audio *unused = o->audio;
    o->audio = before->audio;
    before->audio = unused;
    o->next_input = before->next_input;
    o->next_spec = before->next_spec;
    o->last_end = before->last_end;
    events_follow(o->events, before->events);
}

static bool wants(const struct output *o, enum topic topic)
{
    return publisher_wants(o->config.publisher, o->config.stream, topic);
}

bool output_wants_mask(const struct output *o)
{
    return wants(o, TOPIC_MASK) || wants(o, TOPIC_AUDIO);
}

static uint64_t window_end(const struct output *o, const struct window *w)
{
    return w->first + (uint64_t)o->config.info->preprocess.window_samples;
}

static int64_t wall_of(const struct output *o, const struct window *w, uint64_t position)
{
    double s = ((double)position - (double)w->first) / o->config.info->preprocess.sample_rate;
    return w->t_wall_ns + (int64_t)(s * 1e9);
}

/* A message of the span [first, first + count), or NULL when the outbox is full. */
static struct message *take(struct output *o, enum topic topic, uint64_t first, uint64_t count,
                            size_t payload_bytes)
{
    struct message *m = outbox_take(o->config.outbox);
    if (m == NULL || payload_bytes > m->payload_capacity)
        return NULL;
    m->topic = topic;
    m->stream = o->config.stream;
    m->first = first;
    m->count = count;
    m->t_wall_ns = wall_of(o, o->now->window, first);
    m->payload_bytes = payload_bytes;
    return m;
}

static struct message *take_window(struct output *o, enum topic topic, size_t payload_bytes)
{
    return take(o, topic, o->now->window->first,
                (uint64_t)o->config.info->preprocess.window_samples, payload_bytes);
}

static void send(struct output *o)
{
    outbox_send(o->config.outbox);
}

static float dbfs(float linear)
{
    return linear > 0 ? 20 * log10f(linear) : -INFINITY;
}

/* The k best, best first, by insertion: k is small. */
static void fill_top(const struct output *o, const float *cosines, int k, struct label_message *l)
{
    int n = o->config.info->n_classes;
    k = k < n ? k : n;
    l->n_top = 0;
    for (int i = 0; i < n; i++) {
        int at = l->n_top;
        while (at > 0 && o->p[i] > l->top[at - 1].p)
            at--;
        if (at >= k)
            continue;
        if (l->n_top < k)
            l->n_top++;
        memmove(&l->top[at + 1], &l->top[at], (size_t)(l->n_top - 1 - at) * sizeof l->top[0]);
        l->top[at].index = i;
        l->top[at].p = o->p[i];
        l->top[at].p_paper = o->p_paper[i];
        l->top[at].cosine = cosines[i];
    }
}

static void fill_label(struct output *o, struct label_message *l)
{
    const struct output_window *w = o->now;
    const struct model_info *info = o->config.info;
    *l = (struct label_message){
        .silence = w->result == NULL,
        .score = NAN,
        .n_classes = info->n_classes,
        .peak_dbfs = dbfs(w->before->peak),
        .rms_dbfs = dbfs(w->before->rms),
        .lost = window_lost(w->window, w->window->first, (uint64_t)info->preprocess.window_samples),
        .skipped = w->skipped,
        .ms_ingest = (float)(w->window->t_posted_ns - w->window->t_last_ns) * 1e-6f,
        .ms_wait = w->ms_wait,
        .ms_pre = w->ms_pre,
        .ms_network = w->ms_network,
        .ms_post = w->ms_post,
    };
    if (w->result == NULL)
        return;
    softmax_scaled(w->result->cosines, info->n_classes, info->preprocess.scale, o->p);
    softmax_scaled(w->result->cosines, info->n_classes, 1, o->p_paper);
    fill_top(o, w->result->cosines, w->live->top_k, l);
    const struct model_reject reject = reject_in_use(w->live, info);
    if (reject.score == REJECT_NONE)
        return;
    l->score =
        reject_score(reject.score, w->result->cosines, info->n_classes, info->preprocess.scale);
    l->unknown = reject_is_unknown(&reject, l->score);
}

static void publish_label(struct output *o, const struct label_message *l)
{
    size_t row = (size_t)l->n_classes * sizeof(float);
    struct message *m = take_window(o, TOPIC_LABEL, 3 * row);
    if (m == NULL)
        return;
    m->label = *l;
    float *scores = m->payload;
    if (l->silence) {
        memset(scores, 0, 3 * row);
    } else {
        memcpy(scores, o->p, row);
        memcpy(scores + l->n_classes, o->p_paper, row);
        memcpy(scores + 2 * l->n_classes, o->now->result->cosines, row);
    }
    send(o);
}

static void publish_maps(struct output *o)
{
    const struct model_info *info = o->config.info;
    struct message *m = take_window(o, TOPIC_MAP, map_cells(info) * sizeof(float));
    if (m == NULL)
        return;
    m->map.n_maps = info->n_maps;
    float *out = m->payload;
    for (int i = 0; i < info->n_maps; i++) {
        size_t cells = (size_t)info->maps[i].rows * (size_t)info->maps[i].cols;
        m->map.maps[i].rows = info->maps[i].rows;
        m->map.maps[i].cols = info->maps[i].cols;
        if (o->now->result != NULL)
            memcpy(out, o->now->result->maps[i], cells * sizeof(float));
        else
            memset(out, 0, cells * sizeof(float));
        out += cells;
    }
    send(o);
}

static void publish_mask(struct output *o)
{
    const struct analysis_mask *a = o->now->after;
    size_t cells = o->frames * o->bins, bytes = (cells + 7) / 8;
    struct message *m = take_window(o, TOPIC_MASK, bytes);
    if (m == NULL)
        return;
    m->mask = (struct mask_message){.rows = (int)o->frames,
                                    .cols = (int)o->bins,
                                    .quantile = (float)o->now->live->quantile,
                                    .threshold = a != NULL ? a->threshold : 0,
                                    .kept = a != NULL ? a->kept : 0};
    if (a != NULL)
        mask_pack(a->mask, cells, m->payload);
    else
        memset(m->payload, 0, bytes);
    send(o);
}

/* The frames since the last message: the window's own last frame is padded and comes, whole, with
 * the next window. In silence they are zeros. */
static void publish_spec(struct output *o)
{
    const struct window *w = o->now->window;
    uint64_t hop = (uint64_t)o->shape.hop;
    uint64_t begin = w->first / hop, end = begin + o->frames - 1;
    uint64_t fresh = w->hop_samples / hop < o->frames - 1 ? w->hop_samples / hop : o->frames - 1;
    if (o->next_spec == 0)
        o->next_spec = end - fresh;
    if (o->next_spec < begin)
        o->next_spec = begin;
    while (o->next_spec < end) {
        uint64_t n = end - o->next_spec;
        n = n < OUTPUT_CHUNK_FRAMES ? n : OUTPUT_CHUNK_FRAMES;
        size_t bytes = (size_t)n * o->bins * sizeof(float);
        struct message *m = take(o, TOPIC_SPEC, o->next_spec * hop, n * hop, bytes);
        if (m == NULL)
            return;
        m->spec = (struct spec_message){(int)n, (int)o->bins, o->now->before->max};
        if (o->now->before->silence)
            memset(m->payload, 0, bytes);
        else
            memcpy(m->payload, o->now->before->logspec + (o->next_spec - begin) * o->bins, bytes);
        send(o);
        o->next_spec += n;
    }
}

static struct message *take_pcm(struct output *o, enum topic topic, uint64_t first, size_t n)
{
    struct message *m = take(o, topic, first, n, n * sizeof(float));
    if (m != NULL)
        m->pcm = (struct pcm_message){.rate_hz = o->config.info->preprocess.sample_rate,
                                      .lost = window_lost(o->now->window, first, n)};
    return m;
}

static void publish_input(struct output *o)
{
    const struct window *w = o->now->window;
    uint64_t end = window_end(o, w);
    uint64_t span = end - w->first;
    if (o->next_input == 0)
        o->next_input = end - (w->hop_samples < span ? w->hop_samples : span);
    if (o->next_input < w->first)
        o->next_input = w->first;
    uint64_t chunk = OUTPUT_CHUNK_FRAMES * (uint64_t)o->shape.hop;
    while (o->next_input < end) {
        size_t n = (size_t)(end - o->next_input < chunk ? end - o->next_input : chunk);
        struct message *m = take_pcm(o, TOPIC_INPUT, o->next_input, n);
        if (m == NULL)
            return;
        memcpy(m->payload, w->samples + (o->next_input - w->first), n * sizeof(float));
        send(o);
        o->next_input += n;
    }
}

static void publish_audio(struct output *o)
{
    size_t chunk = OUTPUT_CHUNK_FRAMES * (size_t)o->shape.hop;
    const struct analysis_mask *after = o->now->after;
    masked_audio_begin(o->audio, o->now->window, o->now->live->hop_frames,
                       after != NULL ? after->mask : NULL, after != NULL ? after->soft : NULL,
                       o->now->before->max);
    for (;;) {
        struct message *m = take_pcm(o, TOPIC_AUDIO, 0, chunk);
        if (m == NULL) {
            masked_audio_reset(o->audio); /* the samples are lost: begin anew, visibly */
            return;
        }
        uint64_t first;
        size_t n = masked_audio_next(o->audio, m->payload, chunk, &first);
        if (n == 0)
            return; /* the taken message is given to whoever asks next */
        m->first = first;
        m->count = n;
        m->t_wall_ns = wall_of(o, o->now->window, first);
        m->payload_bytes = n * sizeof(float);
        m->pcm.lost = window_lost(o->now->window, first, n);
        send(o);
    }
}

static void tell_event(void *user, const struct event *event)
{
    struct output *o = user;
    uint64_t end = window_end(o, o->now->window);
    struct message *m = take(o, TOPIC_EVENT, event->onset, end - event->onset, 0);
    if (m == NULL)
        return;
    m->t_wall_ns = event->t_onset_wall_ns;
    if (event->ended)
        m->count = event->end - event->onset;
    m->event = (struct event_message){
        .id = event->id,
        .ended = event->ended,
        .index = event->index,
        .p = event->p,
        .p_peak = event->p_peak,
        .onset = event->onset,
        .end = event->end,
        .t_onset_wall_ns = event->t_onset_wall_ns,
    };
    send(o);
}

static void step_events(struct output *o, const float *p, uint64_t from, uint64_t to,
                        const struct config_live *live)
{
    struct events_limits limits = {
        (float)live->event_on, (float)live->event_off,
        (uint64_t)(live->event_min_s * o->config.info->preprocess.sample_rate)};
    events_step(o->events, &limits, p, from, to, wall_of(o, o->now->window, from), tell_event, o);
}

void output_publish(struct output *o, const struct output_window *w,
                    struct label_message *ret_label)
{
    /* who came to want a mask after output_wants_mask was asked begins with the next window */
    const bool has_mask = w->result == NULL || w->after != NULL;
    o->now = w;
    fill_label(o, ret_label);
    if (wants(o, TOPIC_LABEL))
        publish_label(o, ret_label);
    uint64_t end = window_end(o, w->window);
    uint64_t fresh = w->window->hop_samples;
    if (o->last_end != 0 &&
        w->window->first > o->last_end) /* the source was away: nothing sounds on */
        step_events(o, NULL, o->last_end, o->last_end, w->live);
    o->last_end = end;
    uint64_t from = fresh < end - w->window->first ? end - fresh : w->window->first;
    const bool named = !ret_label->silence && !ret_label->unknown;
    step_events(o, named ? o->p : NULL, from, end, w->live);
    if (wants(o, TOPIC_MAP))
        publish_maps(o);
    if (has_mask && wants(o, TOPIC_MASK))
        publish_mask(o);
    if (wants(o, TOPIC_SPEC))
        publish_spec(o);
    else
        o->next_spec = 0;
    if (has_mask && wants(o, TOPIC_AUDIO))
        publish_audio(o);
    else
        masked_audio_reset(o->audio);
    if (wants(o, TOPIC_INPUT))
        publish_input(o);
    else
        o->next_input = 0;
    o->now = NULL;
}

void output_end(struct output *o, uint64_t position, int64_t t_wall_ns)
{
    struct window window = {.first = position, .t_wall_ns = t_wall_ns};
    struct output_window w = {.window = &window};
    struct events_limits limits = {1, 1, 0};
    o->now = &w;
    events_step(o->events, &limits, NULL, position, position, t_wall_ns, tell_event, o);
    o->now = NULL;
}
