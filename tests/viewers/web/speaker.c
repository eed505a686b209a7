/* SPDX-License-Identifier: Apache-2.0
 * speaker DIR [STREAMS]: a real publisher that says what focald says, as often and as much, without
 * a network's work: for tests of what focal-web makes of it. Streams are room0, room1, …; a hop is
 * 43 frames.
 *
 * Of sample n of `input` the value is known, pcm_at(n), of `audio` its half. The spectrogram's
 * frame f has the value 1 + f % 5 in all bins, with peak 0.5; the map is [7][7] with cell (r, c) =
 * r + c; an event begins each eighth hop and ends four hops later. A "quantile" can be set. Ends on
 * SIGTERM. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ipc/publisher.h"

enum {
    HOP_FRAMES = 43,
    HOP = HOP_FRAMES * 186,
    WINDOW = 80000,
    FRAMES = 431,
    BINS = 513,
    MOST = 16
};

static volatile sig_atomic_t ended;
static char quantile[32] = "0.9";

static void end(int signal)
{
    ended = 1;
}

/* Whole 16-bit fractions: exact in f32, and no second stretch of 65536 is like the first. */
static float pcm_at(uint64_t n)
{
    return (float)((n * 7919 + n / 65536 * 104729) % 65536) / 65536 - 0.5f;
}

static int answer(void *user, const json_t *request, uint64_t ticket, json_t **ret,
                  struct error *error)
{
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    const char *key = json_string_value(json_object_get(request, "key"));
    if (strcmp(cmd, "set") == 0) {
        const char *value = json_string_value(json_object_get(request, "value"));
        if (key == NULL || value == NULL || strcmp(key, "quantile") != 0)
            return error_set(error, EINVAL, "there is no live value of that name");
        snprintf(quantile, sizeof quantile, "%s", value);
    } else if (strcmp(cmd, "get") != 0)
        return error_set(error, EINVAL, "unknown command %s", cmd);
    *ret = json_pack("{s:{s:s}}", "values", "quantile", quantile);
    return 0;
}

struct speaker {
    struct outbox *outbox;
    int stream;
    uint64_t first; /* of the hop */
    int64_t t_ns;
};

static struct message *take(struct speaker *s, enum topic topic, uint64_t first, uint64_t count)
{
    struct message *m = outbox_take(s->outbox);
    m->topic = topic;
    m->stream = s->stream;
    m->first = first;
    m->count = count;
    m->t_wall_ns = s->t_ns;
    m->payload_bytes = 0;
    return m;
}

static void say_sound(struct speaker *s)
{
    static const enum topic topics[] = {TOPIC_INPUT, TOPIC_AUDIO};
    for (int t = 0; t < 2; t++) {
        struct message *m = take(s, topics[t], s->first, HOP);
        m->pcm = (struct pcm_message){.rate_hz = 16000};
        m->payload_bytes = HOP * sizeof(float);
        for (uint64_t i = 0; i < HOP; i++)
            ((float *)m->payload)[i] = pcm_at(s->first + i) * (t == 0 ? 1 : 0.5f);
        outbox_send(s->outbox);
    }
}

static void say_picture(struct speaker *s, uint64_t window)
{
    struct message *m = take(s, TOPIC_SPEC, s->first, HOP);
    m->spec = (struct spec_message){HOP_FRAMES, BINS, 0.5f};
    m->payload_bytes = HOP_FRAMES * BINS * sizeof(float);
    for (int f = 0; f < HOP_FRAMES; f++)
        for (int b = 0; b < BINS; b++)
            ((float *)m->payload)[f * BINS + b] = (float)(1 + f % 5);
    outbox_send(s->outbox);

    m = take(s, TOPIC_MAP, window, WINDOW);
    m->map = (struct map_message){.n_maps = 2, .maps = {{14, 14}, {7, 7}}};
    m->payload_bytes = (14 * 14 + 7 * 7) * sizeof(float);
    memset(m->payload, 0, m->payload_bytes);
    for (int i = 0; i < 49; i++)
        ((float *)m->payload)[14 * 14 + i] = (float)(i / 7 + i % 7);
    outbox_send(s->outbox);

    m = take(s, TOPIC_MASK, window, WINDOW);
    m->mask = (struct mask_message){FRAMES, BINS, 0.9f, 9, 0.1f};
    m->payload_bytes = message_payload_bytes(m);
    memset(m->payload, 0x55, m->payload_bytes);
    outbox_send(s->outbox);
}

static void say_words(struct speaker *s, uint64_t window)
{
    uint64_t hop = s->first / HOP;
    struct message *m = take(s, TOPIC_LABEL, window, WINDOW);
    m->label = (struct label_message){.n_top = 2, .n_classes = 2, .peak_dbfs = -6, .rms_dbfs = -11};
    m->label.top[0].index = 1;
    m->label.top[0].p = 0.9f;
    m->label.top[1].p = 0.1f;
    m->payload_bytes = 24;
    memset(m->payload, 0, 24);
    outbox_send(s->outbox);
    if (hop % 4 == 0) {
        m = take(s, TOPIC_EVENT, window, WINDOW);
        bool over = hop % 8 == 4;
        m->event = (struct event_message){.id = hop / 8,
                                          .ended = over,
                                          .index = 1,
                                          .p = 0.8f,
                                          .p_peak = 0.9f,
                                          .onset = hop / 8 * 8 * HOP,
                                          .end = over ? s->first : 0,
                                          .t_onset_wall_ns = s->t_ns};
        outbox_send(s->outbox);
    }
    if (hop % 2 == 0) {
        m = take(s, TOPIC_HEALTH, s->first, 0);
        m->health = (struct health_message){.source_kind = "file",
                                            .source_state = "running",
                                            .source_text = "playing known samples",
                                            .backend = "none",
                                            .precision = "float32",
                                            .rate_hz = 16000,
                                            .channels = 1,
                                            .ok = true,
                                            .windows = hop};
        outbox_send(s->outbox);
    }
}

static void tell_info(struct publisher *publisher, int stream)
{
    json_t *info = json_pack("{s:[s,s],s:{s:s},s:{s:i,s:i},s:{s:f,s:f,s:f,s:f}}", "labels",
                             "rooster", "dog", "model", "name", "speaker", "preprocess",
                             "hop_length", 186, "frames", FRAMES, "analysis", "quantile", 0.9,
                             "event_on", 0.6, "event_off", 0.4, "silence_gate_dbfs", -60.0);
    publisher_set_info(publisher, stream, info);
    json_decref(info);
}

/* One hop of every stream, then until its time is over. */
static void speak(struct outbox *outbox, int n_streams)
{
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (uint64_t first = 0; !ended; first += HOP) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        for (int i = 0; i < n_streams; i++) {
            struct speaker s = {outbox, i, first, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec};
            uint64_t window = first + HOP > WINDOW ? first + HOP - WINDOW : 0;
            say_sound(&s);
            say_picture(&s, window);
            say_words(&s, window);
        }
        next.tv_nsec += (long)(HOP * 62500LL);
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
}

int main(int argc, char **argv)
{
    char names[MOST][16];
    const char *pointers[MOST];
    int n = argc > 2 ? atoi(argv[2]) : 1;
    if (argc < 2 || n < 1 || n > MOST)
        return 2;
    for (int i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "room%d", i);
        pointers[i] = names[i];
    }
    struct publisher_config config = {
        .ipc_dir = argv[1], .streams = pointers, .n_streams = n, .request = answer};
    struct publisher *publisher;
    struct outbox *outbox;
    struct error error;
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    if (publisher_create(&publisher, &config, &error) < 0 ||
        outbox_create(&outbox, publisher, 256, HOP_FRAMES * BINS * sizeof(float), &error) < 0) {
        fprintf(stderr, "speaker: %s\n", error.text);
        return 1;
    }
    for (int i = 0; i < n; i++)
        tell_info(publisher, i);
    speak(outbox, n);
    publisher_destroy(publisher);
    return 0;
}
