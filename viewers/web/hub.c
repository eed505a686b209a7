/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/hub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewers/web/convert.h"

enum { BACKLOG = 192, EVENTS = 64, DRAIN_MOST = 4096 };

static const int64_t backlog_us = 12000000, away_us = 3500000, gone_us = 20000000;

/* The newest packets, oldest overwritten. */
struct ring {
    struct packet **place;
    int size, begin, n;
};

struct hub_stream {
    char name[64]; /* "": free */
    int64_t heard_us;
    bool audio; /* subscribed */
    struct packet *info, *health;
    struct packet *places[BACKLOG];
    struct ring backlog;
};

struct hub {
    struct focal *focal;
    hub_deliver *deliver;
    void *user;
    struct hub_stream stream[HUB_STREAMS];
    struct packet *event_places[EVENTS];
    int event_streams[EVENTS]; /* whose each is */
    struct ring events;
    bool watched, input, here, changed; /* changed: a stream came or went */
    int64_t heard_us;
};

/* Where it lies then. */
static int ring_push(struct ring *r, struct packet *packet)
{
    int at = (r->begin + r->n) % r->size;
    if (r->n == r->size) {
        packet_unref(r->place[r->begin]);
        r->begin = (r->begin + 1) % r->size;
        r->n--;
    }
    r->place[at] = packet_ref(packet);
    r->n++;
    return at;
}

static struct packet *ring_at(const struct ring *r, int i)
{
    return r->place[(r->begin + i) % r->size];
}

static void ring_drop_until(struct ring *r, int64_t made_us)
{
    while (r->n > 0 && ring_at(r, 0)->made_us < made_us) {
        packet_unref(ring_at(r, 0));
        r->begin = (r->begin + 1) % r->size;
        r->n--;
    }
}

static void forget(struct hub_stream *s)
{
    packet_unref(s->info);
    packet_unref(s->health);
    ring_drop_until(&s->backlog, INT64_MAX);
    *s = (struct hub_stream){0};
}

/* A new page would make a stream of them that never goes. */
static void forget_events(struct hub *hub, int stream)
{
    struct ring *r = &hub->events;
    int kept = 0;
    for (int i = 0; i < r->n; i++) {
        int from = (r->begin + i) % r->size, to = (r->begin + kept) % r->size;
        struct packet *packet = r->place[from];
        if (hub->event_streams[from] == stream) {
            packet_unref(packet);
            continue;
        }
        r->place[to] = packet;
        hub->event_streams[to] = hub->event_streams[from];
        kept++;
    }
    r->n = kept;
}

int hub_create(struct hub **ret, const struct focal_options *options, hub_deliver *deliver,
               void *user, struct error *error)
{
    static const char *const always[] = {"info/", "health/", "event/"};
    struct hub *hub = calloc(1, sizeof *hub);
    if (hub == NULL)
        return error_set(error, ENOMEM, "out of memory");
    hub->deliver = deliver;
    hub->user = user;
    hub->events = (struct ring){hub->event_places, EVENTS, 0, 0};
    int code = focal_open(&hub->focal, options);
    if (code < 0) {
        error_set(error, -code, "%s", focal_last_error());
        hub_destroy(hub);
        return code;
    }
    for (int i = 0; i < 3; i++)
        if ((code = focal_subscribe(hub->focal, always[i])) < 0) {
            error_set(error, -code, "%s", focal_error(hub->focal));
            hub_destroy(hub);
            return code;
        }
    *ret = hub;
    return 0;
}

void hub_destroy(struct hub *hub)
{
    if (hub == NULL)
        return;
    for (int i = 0; i < HUB_STREAMS; i++)
        forget(&hub->stream[i]);
    ring_drop_until(&hub->events, INT64_MAX);
    focal_close(hub->focal);
    free(hub);
}

int hub_fd(struct hub *hub)
{
    return focal_fd(hub->focal);
}

const char *hub_where(const struct hub *hub)
{
    return focal_where(hub->focal);
}

int hub_find(const struct hub *hub, const char *stream)
{
    for (int i = 0; i < HUB_STREAMS; i++)
        if (hub->stream[i].name[0] != '\0' && strcmp(hub->stream[i].name, stream) == 0)
            return i;
    return -1;
}

/* Its index, a new one if need be; -1 when there is no place left. */
static int find_or_add(struct hub *hub, const char *name)
{
    int at = hub_find(hub, name);
    for (int i = 0; at < 0 && i < HUB_STREAMS; i++)
        if (hub->stream[i].name[0] == '\0') {
            struct hub_stream *s = &hub->stream[i];
            snprintf(s->name, sizeof s->name, "%s", name);
            s->backlog = (struct ring){s->places, BACKLOG, 0, 0};
            hub->changed = true;
            at = i;
        }
    return at;
}

static void tell(struct hub *hub, const char *text)
{
    struct packet *p = packet_create(PACKET_TEXT, text, 0, NULL);
    if (p != NULL)
        hub->deliver(hub->user, p, EVERYBODY, -1);
    packet_unref(p);
}

static const char *here_text(const struct hub *hub)
{
    return hub->here ? "{\"topic\":\"web\",\"kind\":\"daemon\",\"here\":true}"
                     : "{\"topic\":\"web\",\"kind\":\"daemon\",\"here\":false}";
}

struct topic {
    const char *name;
    struct packet *(*convert)(struct focal *focal, const struct focal_message *m);
    enum audience audience;
    bool replayed;
};

static const struct topic topics[] = {
    {"info", convert_header, EVERYBODY, false},  {"health", convert_header, EVERYBODY, false},
    {"event", convert_header, EVERYBODY, false}, {"label", convert_header, WATCHERS, true},
    {"spec", convert_spec, WATCHERS, true},      {"map", convert_map, WATCHERS, true},
    {"mask", convert_header, WATCHERS, true},    {"input", convert_level, WATCHERS, true},
    {"input", convert_whole, LISTENERS, false},  {"audio", convert_whole, LISTENERS, false},
};

static void keep(struct hub *hub, int stream, const struct topic *topic, struct packet *packet)
{
    struct hub_stream *s = &hub->stream[stream];
    struct packet **last = strcmp(topic->name, "info") == 0     ? &s->info
                           : strcmp(topic->name, "health") == 0 ? &s->health
                                                                : NULL;
    if (last != NULL) {
        packet_unref(*last);
        *last = packet_ref(packet);
    } else if (strcmp(topic->name, "event") == 0)
        hub->event_streams[ring_push(&hub->events, packet)] = stream;
    if (topic->replayed) {
        ring_drop_until(&s->backlog, packet->made_us - backlog_us);
        ring_push(&s->backlog, packet);
    }
}

static void take(struct hub *hub, const struct focal_message *m)
{
    int at = find_or_add(hub, m->stream);
    if (at < 0)
        return;
    struct hub_stream *s = &hub->stream[at];
    hub->heard_us = s->heard_us = monotonic_us();
    if (!hub->here) {
        hub->here = true;
        tell(hub, here_text(hub));
    }
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++) {
        const struct topic *topic = &topics[i];
        if (strcmp(topic->name, m->topic) != 0 || (topic->audience == LISTENERS && !s->audio))
            continue;
        struct packet *p = topic->convert(hub->focal, m);
        if (p == NULL)
            continue;
        keep(hub, at, topic, p);
        hub->deliver(hub->user, p, topic->audience, at);
        packet_unref(p);
    }
}

void hub_drain(struct hub *hub)
{
    struct focal_message m;
    int code;
    for (int i = 0; i < DRAIN_MOST && (code = focal_next(hub->focal, &m, 0)) != 0; i++)
        if (code == 1)
            take(hub, &m);
}

static void subscribe(struct hub *hub, const char *topic, const char *stream, bool on)
{
    char text[80];
    snprintf(text, sizeof text, "%s/%s", topic, stream);
    if (on)
        focal_subscribe(hub->focal, text);
    else
        focal_unsubscribe(hub->focal, text);
}

void hub_tick(struct hub *hub)
{
    int64_t now_us = monotonic_us();
    hub_drain(hub);
    if (hub->here && now_us - hub->heard_us > away_us) {
        hub->here = false;
        tell(hub, here_text(hub));
    }
    for (int i = 0; i < HUB_STREAMS; i++) {
        struct hub_stream *s = &hub->stream[i];
        if (s->name[0] == '\0' || !hub->here || now_us - s->heard_us < gone_us)
            continue;
        char text[192];
        snprintf(text, sizeof text, "{\"topic\":\"web\",\"kind\":\"gone\",\"stream\":\"%s\"}",
                 s->name);
        tell(hub, text);
        if (s->audio)
            subscribe(hub, "audio", s->name, false);
        forget_events(hub, i);
        forget(s);
        hub->changed = true;
    }
}

void hub_want(struct hub *hub, bool watched, uint64_t listened)
{
    static const char *const watching[] = {"label", "spec", "map", "mask"};
    if (watched != hub->watched) {
        for (int i = 0; i < 4; i++)
            subscribe(hub, watching[i], "", watched);
        for (int i = 0; i < HUB_STREAMS && !watched; i++)
            ring_drop_until(&hub->stream[i].backlog, INT64_MAX);
    }
    if ((watched || listened != 0) != hub->input)
        subscribe(hub, "input", "", !hub->input);
    for (int i = 0; i < HUB_STREAMS; i++) {
        struct hub_stream *s = &hub->stream[i];
        bool audio = (listened >> i & 1) != 0;
        if (s->name[0] != '\0' && audio != s->audio)
            subscribe(hub, "audio", s->name, s->audio = audio);
    }
    hub->watched = watched;
    hub->input = watched || listened != 0;
    hub_drain(hub); /* subscribing may have taken the descriptor's signal */
}

bool hub_streams_changed(struct hub *hub)
{
    bool changed = hub->changed;
    hub->changed = false;
    return changed;
}

void hub_greet(struct hub *hub, hub_deliver *deliver, void *user)
{
    for (int i = 0; i < HUB_STREAMS; i++) {
        if (hub->stream[i].info != NULL)
            deliver(user, hub->stream[i].info, EVERYBODY, i);
        if (hub->stream[i].health != NULL)
            deliver(user, hub->stream[i].health, EVERYBODY, i);
    }
    for (int i = 0; i < hub->events.n; i++)
        deliver(user, ring_at(&hub->events, i), EVERYBODY, -1);
    struct packet *p = packet_create(PACKET_TEXT, here_text(hub), 0, NULL);
    if (p != NULL)
        deliver(user, p, EVERYBODY, -1);
    packet_unref(p);
}

void hub_replay(struct hub *hub, uint64_t streams, hub_deliver *deliver, void *user)
{
    for (int i = 0; i < HUB_STREAMS; i++)
        for (int k = 0; (streams >> i & 1) != 0 && k < hub->stream[i].backlog.n; k++)
            deliver(user, ring_at(&hub->stream[i].backlog, k), WATCHERS, i);
}
