/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/viewers/record/pretender.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

const char *const pretender_labels[PRETENDER_CLASSES] = {"rooster", "dog", "speech", "rain"};

static const char *const topics[9] = {"info",  "label", "map",   "mask",  "spec",
                                      "audio", "input", "event", "health"};

static int topic_of(const char *name)
{
    for (int i = 0; i < 9; i++)
        if (strcmp(topics[i], name) == 0)
            return i;
    fail_msg("no topic %s", name);
    return 0;
}

double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void pretender_start(struct pretender *p, const char *dir, int n_streams)
{
    struct timespec t;
    int none = 0, verbose = 1;
    memset(p, 0, sizeof *p);
    clock_gettime(CLOCK_REALTIME, &t);
    p->run = p->t0_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    snprintf(p->dir, sizeof p->dir, "%s", dir);
    snprintf(p->data, sizeof p->data, "ipc://%s/data", dir);
    p->n_streams = n_streams;
    for (int i = 0; i < n_streams; i++)
        snprintf(p->streams[i].name, sizeof p->streams[i].name, "s%d", i);
    p->context = zmq_ctx_new();
    p->socket = zmq_socket(p->context, ZMQ_XPUB);
    assert_non_null(p->socket);
    zmq_setsockopt(p->socket, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(p->socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(p->socket, ZMQ_XPUB_VERBOSE, &verbose, sizeof verbose);
    if (zmq_bind(p->socket, p->data) != 0)
        fail_msg("%s: %s", p->data, zmq_strerror(zmq_errno()));
}

void pretender_stop(struct pretender *p)
{
    if (p->socket == NULL)
        return;
    zmq_close(p->socket);
    zmq_ctx_term(p->context);
    p->socket = NULL;
}

void pretender_drain(struct pretender *p)
{
    char buffer[200];
    while (zmq_recv(p->socket, buffer, sizeof buffer, ZMQ_DONTWAIT) >= 0) {
    }
}

void pretender_wait(struct pretender *p)
{
    double until = seconds() + 20, last = 0;
    while (last == 0 || seconds() - last < 0.1) { /* they come one after the other */
        char buffer[200];
        int n = zmq_recv(p->socket, buffer, sizeof buffer, ZMQ_DONTWAIT);
        if (n > 0 && buffer[0] == 1)
            last = seconds();
        else
            usleep(1000);
        if (seconds() > until)
            fail_msg("no recorder subscribed");
    }
    for (int i = 0; i < p->n_streams; i++)
        pretender_info(p, i);
}

void pretender_frames(struct pretender *p, const char *topic, const char *header,
                      const void *payload, size_t bytes)
{
    zmq_send(p->socket, topic, strlen(topic), ZMQ_SNDMORE);
    zmq_send(p->socket, header, strlen(header), ZMQ_SNDMORE);
    zmq_send(p->socket, payload, bytes, 0);
}

void pretender_say(struct pretender *p, int stream, const char *topic, uint64_t first,
                   uint64_t count, json_t *fields, const void *payload, size_t bytes)
{
    struct pretender_stream *s = &p->streams[stream];
    char name[128];
    json_t *header =
        json_pack("{s:i,s:s,s:s,s:I,s:I,s:I,s:I,s:I}", "v", 1, "topic", topic, "stream", s->name,
                  "run", (json_int_t)p->run, "seq", (json_int_t)s->seq[topic_of(topic)]++, "first",
                  (json_int_t)first, "count", (json_int_t)count, "t_ns",
                  (json_int_t)(p->t0_ns + (int64_t)first * 62500));
    if (fields != NULL)
        json_object_update(header, fields);
    json_decref(fields);
    char *text = json_dumps(header, JSON_COMPACT);
    snprintf(name, sizeof name, "%s/%s", topic, s->name);
    pretender_frames(p, name, text, payload, bytes);
    free(text);
    json_decref(header);
}

void pretender_lose(struct pretender *p, int stream, const char *topic, int n)
{
    p->streams[stream].seq[topic_of(topic)] += (uint64_t)n;
}

void pretender_info(struct pretender *p, int stream)
{
    json_t *fields = json_pack(
        "{s:[s,s,s,s],s:{s:s,s:s,s:s,s:s},s:{s:i,s:i,s:i},s:{s:i,s:f}}", "labels",
        pretender_labels[0], pretender_labels[1], pretender_labels[2], pretender_labels[3], "model",
        "name", "made", "hash", "0123456789abcdef", "architecture", "focalnet", "interpreter",
        "modulation", "preprocess", "hop_length", 186, "window_samples", PRETENDER_WINDOW, "bins",
        PRETENDER_BINS, "analysis", "hop_samples", PRETENDER_HOP, "audio_delay_s",
        PRETENDER_HOP / 16000.0);
    pretender_say(p, stream, "info", p->streams[stream].position, 0, fields, "", 0);
}

float pretender_sample(uint64_t position)
{
    return (float)(position * 7919 % 20011) / 20011 - 0.5f;
}

static void say_label(struct pretender *p, int stream, uint64_t first, const float *probabilities)
{
    float scores[3 * PRETENDER_CLASSES];
    for (int i = 0; i < PRETENDER_CLASSES; i++) {
        scores[i] = probabilities[i];
        scores[PRETENDER_CLASSES + i] = probabilities[i] / 2;
        scores[2 * PRETENDER_CLASSES + i] = probabilities[i] - 0.5f;
    }
    json_t *fields = json_pack("{s:b,s:b,s:[i,i],s:s}", "silence", 0, "unknown", (int)p->unknown,
                               "shape", 3, PRETENDER_CLASSES, "dtype", "f32");
    pretender_say(p, stream, "label", first, PRETENDER_WINDOW, fields, scores, sizeof scores);
}

static void say_pcm(struct pretender *p, int stream, const char *topic, uint64_t first, float gain)
{
    float samples[PRETENDER_HOP];
    for (uint64_t i = 0; i < PRETENDER_HOP; i++)
        samples[i] = gain * pretender_sample(first + i);
    pretender_say(p, stream, topic, first, PRETENDER_HOP,
                  json_pack("{s:i,s:i}", "rate_hz", 16000, "lost", 0), samples, sizeof samples);
}

static void say_spec(struct pretender *p, int stream, uint64_t first)
{
    enum { ROWS = PRETENDER_HOP / 186 };
    static float spec[ROWS * PRETENDER_BINS];
    for (int i = 0; i < ROWS * PRETENDER_BINS; i++)
        spec[i] = 0.01f * (float)(i % PRETENDER_BINS);
    pretender_say(p, stream, "spec", first, PRETENDER_HOP,
                  json_pack("{s:[i,i],s:f}", "shape", ROWS, PRETENDER_BINS, "peak", 0.5), spec,
                  sizeof spec);
}

static void say_mask(struct pretender *p, int stream, uint64_t first)
{
    enum { ROWS = PRETENDER_WINDOW / 186 + 1 };
    static uint8_t mask[(ROWS * PRETENDER_BINS + 7) / 8];
    memset(mask, 0, sizeof mask);
    for (int row = 0; row < ROWS; row++)
        for (int bin = 100; bin < 200; bin++) {
            int cell = row * PRETENDER_BINS + bin;
            mask[cell / 8] |= (uint8_t)(1 << cell % 8);
        }
    pretender_say(p, stream, "mask", first, PRETENDER_WINDOW,
                  json_pack("{s:[i,i]}", "shape", ROWS, PRETENDER_BINS), mask, sizeof mask);
}

void pretender_hop(struct pretender *p, int stream, const float probabilities[PRETENDER_CLASSES])
{
    struct pretender_stream *s = &p->streams[stream];
    uint64_t end = s->position + PRETENDER_HOP;
    if (end >= PRETENDER_WINDOW) {
        say_label(p, stream, end - PRETENDER_WINDOW, probabilities);
        say_mask(p, stream, end - PRETENDER_WINDOW);
    }
    say_spec(p, stream, s->position);
    if (s->position >= PRETENDER_HOP)
        say_pcm(p, stream, "audio", s->position - PRETENDER_HOP, 0.5f);
    say_pcm(p, stream, "input", s->position, 1);
    s->position = end;
}

void pretender_quiet(struct pretender *p, int stream, int hops)
{
    static const float none[PRETENDER_CLASSES] = {0.01f, 0.02f, 0.03f, 0.04f};
    for (int i = 0; i < hops; i++)
        pretender_hop(p, stream, none);
}

static void say_event(struct pretender *p, int stream, int class, double probability, bool ended)
{
    struct pretender_stream *s = &p->streams[stream];
    json_t *fields = json_pack("{s:I,s:b,s:i,s:s,s:f,s:f,s:I,s:I,s:I}", "id", (json_int_t)s->event,
                               "ended", ended, "index", class, "label", pretender_labels[class],
                               "p", probability, "p_peak", probability, "onset",
                               (json_int_t)s->onset, "end", (json_int_t)(ended ? s->position : 0),
                               "t_onset_ns", (json_int_t)(p->t0_ns + (int64_t)s->onset * 62500));
    pretender_say(p, stream, "event", s->onset, s->position - s->onset, fields, "", 0);
}

uint64_t pretender_onset(struct pretender *p, int stream, int class, double probability)
{
    struct pretender_stream *s = &p->streams[stream];
    s->event++;
    s->onset = s->position;
    say_event(p, stream, class, probability, false);
    return s->event;
}

void pretender_end(struct pretender *p, int stream, int class, double probability)
{
    say_event(p, stream, class, probability, true);
}

uint64_t pretender_sound(struct pretender *p, int stream, int class, double probability, int hops)
{
    float probabilities[PRETENDER_CLASSES] = {0};
    pretender_quiet(p, stream, 6);
    uint64_t id = pretender_onset(p, stream, class, probability);
    for (int i = 0; i < hops; i++) {
        probabilities[class] = (float)probability * (i == hops / 2 ? 1 : 0.9f);
        pretender_hop(p, stream, probabilities);
    }
    pretender_end(p, stream, class, probability);
    pretender_quiet(p, stream, 6);
    return id;
}
