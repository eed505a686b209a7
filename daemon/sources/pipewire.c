/* SPDX-License-Identifier: Apache-2.0
 * A capture stream of PipeWire, at the node's own rate and channels. The server may restart and
 * nodes may go: the source's thread tears the connection down and makes it anew.
 *
 *   pipewire               the default source
 *   pipewire:NODE          a node by name, description, id or serial; a sink: what it plays
 *   pipewire:NODE.monitor  likewise, said outright */
#include <errno.h>
#include <math.h>
#include <pipewire/pipewire.h>
#include <spa/param/audio/format-utils.h>
#include <spa/pod/builder.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/sources/common.h"
#include "daemon/timeline.h"

enum { MAX_CHANNELS = 64, MAX_NODES = 256 };
static const int64_t first_retry_ns = 500 * 1000 * 1000, last_retry_ns = 2000 * 1000 * 1000LL;
static const int64_t watch_ns = 50 * 1000 * 1000, list_ns = 1000 * 1000 * 1000;
static const int64_t pause_ns = 500 * 1000 * 1000; /* shorter: a format changes, a link moves */

struct pipewire_source {
    struct source_common common;
    pthread_t thread;
    bool started;
    char name[80];  /* of our node */
    char node[256]; /* as asked for, "" for the default */
    bool monitor;   /* asked for what it plays */

    /* while connected; the loop's thread and, under its lock, ours */
    struct pw_thread_loop *loop;
    struct pw_context *context;
    struct pw_core *core;
    struct pw_stream *stream;
    struct spa_hook core_listener, stream_listener;

    /* our thread's */
    char target[256]; /* the node's name */
    bool sink;        /* what it plays is captured */
    bool was_running; /* an earlier connection streamed */

    /* loop's thread → real-time thread */
    atomic_uint_least64_t format; /* rate_hz << 32 | channels; 0: none yet */
    atomic_bool restarted;        /* the next block comes after a pause */

    /* loop's thread → our thread */
    atomic_bool streaming;
    atomic_bool lost; /* the connection or the node is gone */
    char why[128];    /* set before `lost` */

    /* real-time thread writes */
    struct pw_time last;             /* when the block before this one came */
    uint32_t last_frames, last_rate; /* 0: there was none */
    atomic_uint_least64_t xruns;
};

static bool name_is(const char *a, const char *b)
{
    return a != NULL && strcmp(a, b) == 0;
}

/* Listing */

struct node {
    uint32_t id;
    char name[256], description[256], serial[24];
    bool sink;
};

struct listing {
    struct pw_main_loop *loop;
    const atomic_bool *stopping; /* ends it early; NULL for never */
    int64_t until_ns;
    int sync;
    bool done, failed;
    int n;
    struct node nodes[MAX_NODES];
};

static void list_global(void *data, uint32_t id, uint32_t permissions, const char *type,
                        uint32_t version, const struct spa_dict *props)
{
    struct listing *l = data;
    (void)permissions, (void)version;
    if (props == NULL || strcmp(type, PW_TYPE_INTERFACE_Node) != 0 || l->n == MAX_NODES)
        return;
    const char *class = spa_dict_lookup(props, PW_KEY_MEDIA_CLASS);
    const char *name = spa_dict_lookup(props, PW_KEY_NODE_NAME);
    const char *description = spa_dict_lookup(props, PW_KEY_NODE_DESCRIPTION);
    const char *serial = spa_dict_lookup(props, PW_KEY_OBJECT_SERIAL);
    bool sink = name_is(class, "Audio/Sink") || name_is(class, "Audio/Duplex");
    if (name == NULL ||
        (!sink && !name_is(class, "Audio/Source") && !name_is(class, "Audio/Source/Virtual")))
        return;
    struct node *node = &l->nodes[l->n++];
    node->id = id;
    snprintf(node->serial, sizeof node->serial, "%s", serial != NULL ? serial : "");
    snprintf(node->name, sizeof node->name, "%s", name);
    snprintf(node->description, sizeof node->description, "%s",
             description != NULL ? description : name);
    node->sink = sink;
}

static void list_done(void *data, uint32_t id, int seq)
{
    struct listing *l = data;
    if (id == PW_ID_CORE && seq == l->sync) {
        l->done = true;
        pw_main_loop_quit(l->loop);
    }
}

static void list_error(void *data, uint32_t id, int seq, int res, const char *message)
{
    struct listing *l = data;
    (void)id, (void)seq, (void)res, (void)message;
    l->failed = true;
    pw_main_loop_quit(l->loop);
}

static void list_tick(void *data, uint64_t expirations)
{
    struct listing *l = data;
    (void)expirations;
    if (monotonic_ns() >= l->until_ns || (l->stopping != NULL && atomic_load(l->stopping)))
        pw_main_loop_quit(l->loop);
}

static const struct pw_registry_events registry_events = {PW_VERSION_REGISTRY_EVENTS,
                                                          .global = list_global};
static const struct pw_core_events list_core_events = {PW_VERSION_CORE_EVENTS, .done = list_done,
                                                       .error = list_error};

static void run_listing(struct listing *l, struct pw_core *core)
{
    struct spa_hook core_hook, registry_hook;
    struct timespec tick = {.tv_nsec = watch_ns};
    spa_zero(core_hook);
    spa_zero(registry_hook);
    struct pw_registry *registry = pw_core_get_registry(core, PW_VERSION_REGISTRY, 0);
    struct spa_source *timer = pw_loop_add_timer(pw_main_loop_get_loop(l->loop), list_tick, l);
    pw_core_add_listener(core, &core_hook, &list_core_events, l);
    pw_registry_add_listener(registry, &registry_hook, &registry_events, l);
    l->sync = pw_core_sync(core, PW_ID_CORE, 0);
    pw_loop_update_timer(pw_main_loop_get_loop(l->loop), timer, &tick, &tick, false);
    pw_main_loop_run(l->loop);
    spa_hook_remove(&registry_hook);
    spa_hook_remove(&core_hook);
    pw_loop_destroy_source(pw_main_loop_get_loop(l->loop), timer);
    pw_proxy_destroy((struct pw_proxy *)registry);
}

/* The library tells of itself where it was asked to. What keeps us from hearing we say ourselves,
 * once: it would say it at every try, for as long as there is no server. */
static void start_library(void)
{
    pw_init(NULL, NULL);
    if (getenv("PIPEWIRE_DEBUG") == NULL)
        pw_log_set_level(SPA_LOG_LEVEL_NONE);
}

/* All audio sources and sinks, within a second. Returns true when a server answered. */
static bool list_nodes(struct listing *l, const atomic_bool *stopping)
{
    memset(l, 0, sizeof *l);
    l->stopping = stopping;
    l->until_ns = monotonic_ns() + list_ns;
    start_library();
    l->loop = pw_main_loop_new(NULL);
    struct pw_context *context =
        l->loop != NULL ? pw_context_new(pw_main_loop_get_loop(l->loop), NULL, 0) : NULL;
    struct pw_core *core = context != NULL ? pw_context_connect(context, NULL, 0) : NULL;
    if (core != NULL) {
        run_listing(l, core);
        pw_core_disconnect(core);
    }
    if (context != NULL)
        pw_context_destroy(context);
    if (l->loop != NULL)
        pw_main_loop_destroy(l->loop);
    return l->done && !l->failed;
}

static bool pipewire_probe(void)
{
    struct listing *l = malloc(sizeof *l);
    bool answers = l != NULL && list_nodes(l, NULL);
    free(l);
    return answers;
}

static int pipewire_list(struct source_entry *ret, int cap, struct error *error)
{
    struct listing *l = malloc(sizeof *l);
    if (l == NULL || !list_nodes(l, NULL)) {
        free(l);
        return error_set(error, ENODEV, "no PipeWire server answers");
    }
    int n = l->n;
    for (int i = 0; i < n && i < cap; i++) {
        snprintf(ret[i].spec, sizeof ret[i].spec, "pipewire:%.220s%s", l->nodes[i].name,
                 l->nodes[i].sink ? ".monitor" : "");
        snprintf(ret[i].description, sizeof ret[i].description, "%s%.230s",
                 l->nodes[i].sink ? "what is played on " : "", l->nodes[i].description);
    }
    free(l);
    return n;
}

/* Capturing */

static void set_lost(struct pipewire_source *p, const char *why)
{
    if (atomic_load(&p->lost))
        return;
    snprintf(p->why, sizeof p->why, "%s", why);
    atomic_store(&p->lost, true);
}

/* Cycles that went by without us (we were late, or the stream moved to another node): the audio
 * frames between the end of the block before and this one, at its rate. The graph's own count of
 * ticks says it exactly; a node with another clock, only by time. Real-time. */
static uint64_t frames_missed(const struct pipewire_source *p, const struct pw_time *t)
{
    if (p->last_frames == 0 || p->last.rate.denom == 0 || t->rate.denom == 0)
        return 0;
    double between = (double)(t->now - p->last.now) * 1e-9;
    double by_ticks = (double)(int64_t)(t->ticks - p->last.ticks) * t->rate.num / t->rate.denom;
    bool same_clock = t->rate.num == p->last.rate.num && t->rate.denom == p->last.rate.denom &&
                      fabs(by_ticks - between) < 0.05 + 0.01 * between;
    double missed = (same_clock ? by_ticks : between) * p->last_rate - p->last_frames;
    return missed > 0.5 * p->last_frames ? (uint64_t)(missed + 0.5) : 0;
}

/* Told before every block, dropped or not. Real-time. */
static int64_t follow_clock(struct pipewire_source *p, uint32_t frames, uint32_t rate,
                            bool restarted)
{
    struct pw_time t;
    if (pw_stream_get_time_n(p->stream, &t, sizeof t) < 0 || t.now == 0) {
        p->last_frames = 0;
        return monotonic_ns() - (int64_t)frames * 1000000000 / rate;
    }
    uint64_t missed = restarted || rate != p->last_rate ? 0 : frames_missed(p, &t);
    if (missed > 0) {
        ring_count_lost(p->common.ring, missed);
        atomic_fetch_add_explicit(&p->xruns, 1, memory_order_relaxed);
    }
    p->last = t;
    p->last_frames = frames;
    p->last_rate = rate;
    return t.now - (int64_t)frames * 1000000000 / rate;
}

/* The real-time callback: no lock, no allocation, no log, no system call but the clock's (vdso). */
static void on_process(void *data)
{
    struct pipewire_source *p = data;
    uint64_t format = atomic_load_explicit(&p->format, memory_order_acquire);
    uint32_t rate = (uint32_t)(format >> 32), channels = (uint32_t)format;
    struct pw_buffer *b = pw_stream_dequeue_buffer(p->stream);
    if (b == NULL)
        return;
    const struct spa_data *d = &b->buffer->datas[0];
    if (format != 0 && d->data != NULL && d->chunk->size > 0) {
        uint32_t offset = d->chunk->offset < d->maxsize ? d->chunk->offset : d->maxsize;
        uint32_t size = d->chunk->size < d->maxsize - offset ? d->chunk->size : d->maxsize - offset;
        uint32_t frames = size / (channels * (uint32_t)sizeof(float));
        bool restarted = atomic_load_explicit(&p->restarted, memory_order_acquire);
        int64_t t_ns = follow_clock(p, frames, rate, restarted);
        float *to = ring_reserve(p->common.ring, frames, channels);
        if (to != NULL) {
            memcpy(to, (const char *)d->data + offset, (size_t)frames * channels * sizeof(float));
            ring_commit(p->common.ring, frames, rate, t_ns, restarted ? RING_RESTART : 0);
            if (restarted)
                atomic_store_explicit(&p->restarted, false, memory_order_relaxed);
        }
    }
    pw_stream_queue_buffer(p->stream, b);
}

static void on_param_changed(void *data, uint32_t id, const struct spa_pod *param)
{
    struct pipewire_source *p = data;
    struct spa_audio_info info;
    spa_zero(info);
    if (id != SPA_PARAM_Format)
        return;
    atomic_store(&p->format, 0);
    if (param == NULL || spa_format_parse(param, &info.media_type, &info.media_subtype) < 0 ||
        info.media_type != SPA_MEDIA_TYPE_audio || info.media_subtype != SPA_MEDIA_SUBTYPE_raw ||
        spa_format_audio_raw_parse(param, &info.info.raw) < 0)
        return;
    uint32_t channels = info.info.raw.channels;
    if (channels < 1 || channels > MAX_CHANNELS || info.info.raw.rate < 1000) {
        set_lost(p, "its format cannot be captured");
        return;
    }
    atomic_store(&p->format, (uint64_t)info.info.raw.rate << 32 | channels);
}

static void on_state_changed(void *data, enum pw_stream_state old, enum pw_stream_state state,
                             const char *message)
{
    struct pipewire_source *p = data;
    if (old == PW_STREAM_STATE_STREAMING)
        atomic_store(&p->restarted, true);
    if (state == PW_STREAM_STATE_ERROR)
        set_lost(p, message != NULL ? message : "the stream failed");
    else if (state == PW_STREAM_STATE_UNCONNECTED && old != PW_STREAM_STATE_UNCONNECTED)
        set_lost(p, "the node is gone");
    atomic_store(&p->streaming, state == PW_STREAM_STATE_STREAMING);
}

static void on_core_error(void *data, uint32_t id, int seq, int res, const char *message)
{
    struct pipewire_source *p = data;
    (void)seq;
    if (id == PW_ID_CORE)
        set_lost(p, res == -EPIPE ? "the server is gone"
                                  : (message != NULL ? message : "the connection failed"));
}

static const struct pw_stream_events stream_events = {
    PW_VERSION_STREAM_EVENTS,
    .state_changed = on_state_changed,
    .param_changed = on_param_changed,
    .process = on_process,
};
static const struct pw_core_events core_events = {PW_VERSION_CORE_EVENTS, .error = on_core_error};

static bool node_is(const struct node *node, const char *asked)
{
    char id[16];
    snprintf(id, sizeof id, "%u", node->id);
    return strcmp(node->name, asked) == 0 || strcmp(node->description, asked) == 0 ||
           strcmp(node->serial, asked) == 0 || strcmp(id, asked) == 0;
}

/* Finds the node that is asked for; a name goes before what else may be the same. False with the
 * reason when there is none. */
static bool find_target(struct pipewire_source *p)
{
    const struct node *found = NULL;
    struct listing *l = malloc(sizeof *l);
    bool answers = l != NULL && list_nodes(l, &p->common.stopping);
    for (int i = 0; answers && i < l->n; i++)
        if (strcmp(l->nodes[i].name, p->node) == 0 ||
            (found == NULL && node_is(&l->nodes[i], p->node)))
            found = &l->nodes[i];
    if (found != NULL) {
        snprintf(p->target, sizeof p->target, "%s", found->name);
        p->sink = found->sink;
    } else if (answers) {
        snprintf(p->why, sizeof p->why, "there is no node %.90s", p->node);
    } else {
        snprintf(p->why, sizeof p->why, "no server answers");
    }
    free(l);
    return found != NULL;
}

static struct pw_properties *stream_properties(const struct pipewire_source *p)
{
    struct pw_properties *props = pw_properties_new(
        PW_KEY_MEDIA_TYPE, "Audio", PW_KEY_MEDIA_CATEGORY, "Capture", PW_KEY_MEDIA_ROLE, "DSP",
        PW_KEY_NODE_NAME, p->name, PW_KEY_APP_NAME, "focald", NULL);
    if (props != NULL && p->target[0] != '\0') {
        pw_properties_set(props, "target.object", p->target);
        pw_properties_set(props, PW_KEY_NODE_DONT_RECONNECT, "true");
    }
    if (props != NULL && p->sink)
        pw_properties_set(props, PW_KEY_STREAM_CAPTURE_SINK, "true");
    return props;
}

/* On the loop's lock. */
static int connect_stream(struct pipewire_source *p)
{
    unsigned char buffer[1024];
    struct spa_pod_builder builder = SPA_POD_BUILDER_INIT(buffer, sizeof buffer);
    struct spa_audio_info_raw wanted = SPA_AUDIO_INFO_RAW_INIT(.format = SPA_AUDIO_FORMAT_F32);
    p->core = pw_context_connect(p->context, NULL, 0);
    if (p->core == NULL)
        return -errno;
    spa_zero(p->core_listener);
    spa_zero(p->stream_listener);
    pw_core_add_listener(p->core, &p->core_listener, &core_events, p);
    p->stream = pw_stream_new(p->core, p->name, stream_properties(p));
    if (p->stream == NULL)
        return -errno;
    pw_stream_add_listener(p->stream, &p->stream_listener, &stream_events, p);
    const struct spa_pod *params[] = {
        spa_format_audio_raw_build(&builder, SPA_PARAM_EnumFormat, &wanted)};
    return pw_stream_connect(p->stream, PW_DIRECTION_INPUT, PW_ID_ANY,
                             PW_STREAM_FLAG_AUTOCONNECT | PW_STREAM_FLAG_MAP_BUFFERS |
                                 PW_STREAM_FLAG_RT_PROCESS,
                             params, 1);
}

static void disconnect_all(struct pipewire_source *p)
{
    if (p->loop == NULL)
        return;
    pw_thread_loop_stop(p->loop);
    if (p->stream != NULL)
        pw_stream_destroy(p->stream);
    if (p->core != NULL)
        pw_core_disconnect(p->core);
    if (p->context != NULL)
        pw_context_destroy(p->context);
    pw_thread_loop_destroy(p->loop);
    p->stream = NULL;
    p->core = NULL;
    p->context = NULL;
    p->loop = NULL;
}

/* A connection from the ground up. Returns true once the stream is on its way. */
static bool connect_all(struct pipewire_source *p)
{
    p->target[0] = '\0';
    p->sink = p->monitor; /* of the default sink */
    if (p->node[0] != '\0' && !find_target(p))
        return false;
    atomic_store(&p->lost, false);
    atomic_store(&p->streaming, false);
    atomic_store(&p->format, 0);
    atomic_store(&p->restarted, p->was_running);
    p->last_frames = 0;
    p->loop = pw_thread_loop_new("focald-pipewire", NULL);
    /* this configuration gives the data thread real-time priority where the system allows it */
    struct pw_properties *props = pw_properties_new(PW_KEY_CONFIG_NAME, "client-rt.conf", NULL);
    p->context =
        p->loop != NULL ? pw_context_new(pw_thread_loop_get_loop(p->loop), props, 0) : NULL;
    if (p->context == NULL || pw_thread_loop_start(p->loop) < 0) {
        snprintf(p->why, sizeof p->why, "no memory for a connection");
        disconnect_all(p);
        return false;
    }
    pw_thread_loop_lock(p->loop);
    int r = connect_stream(p);
    pw_thread_loop_unlock(p->loop);
    if (r < 0) {
        snprintf(p->why, sizeof p->why, "no server answers");
        disconnect_all(p);
    }
    return r >= 0;
}

static const char *target_name(const struct pipewire_source *p)
{
    return p->target[0] != '\0' ? p->target : p->sink ? "the default sink" : "the default source";
}

/* Audio comes. */
static void tell_running(struct pipewire_source *p, bool again)
{
    struct source_common *c = &p->common;
    pthread_mutex_lock(&c->lock);
    c->status.reconnects += again;
    pthread_mutex_unlock(&c->lock);
    source_set_state(c, SOURCE_RUNNING, "capturing %s%s", p->sink ? "what is played on " : "",
                     target_name(p));
}

/* Until the connection is lost or we stop: tells what has changed since the last look, a pause when
 * it lasts. */
static void watch_connection(struct pipewire_source *p)
{
    struct source_common *c = &p->common;
    bool told = false, streamed = false;
    int64_t since_ns = monotonic_ns();
    while (!atomic_load(&p->lost) && source_sleep(c, watch_ns)) {
        uint64_t format = atomic_load(&p->format);
        bool running = atomic_load(&p->streaming) && format != 0;
        source_set_xruns(c, atomic_load(&p->xruns));
        if (format != 0)
            source_set_format(c, (uint32_t)(format >> 32), (uint32_t)format);
        if (running && !told) {
            tell_running(p, p->was_running && !streamed);
            told = streamed = p->was_running = true;
        }
        if (running) {
            since_ns = monotonic_ns();
        } else if (monotonic_ns() - since_ns >= pause_ns && c->status.state != SOURCE_WAITING) {
            source_set_state(c, SOURCE_WAITING, "waiting for PipeWire: %s gives no audio",
                             target_name(p));
            told = false;
        }
    }
}

static void *pipewire_main(void *arg)
{
    struct pipewire_source *p = arg;
    struct source_common *c = &p->common;
    int64_t retry_ns = first_retry_ns;
    source_set_state(c, SOURCE_STARTING, "connecting to PipeWire");
    while (!atomic_load(&c->stopping)) {
        if (connect_all(p)) {
            watch_connection(p);
            disconnect_all(p);
            retry_ns = first_retry_ns;
        }
        if (atomic_load(&c->stopping))
            break;
        source_set_state(c, SOURCE_WAITING, "waiting for PipeWire: %s", p->why);
        source_sleep(c, retry_ns);
        retry_ns = 2 * retry_ns < last_retry_ns ? 2 * retry_ns : last_retry_ns;
    }
    return NULL;
}

static void pipewire_stop(struct source *source)
{
    struct pipewire_source *p = (struct pipewire_source *)source;
    if (p == NULL)
        return;
    source_common_stop(&p->common);
    if (p->started)
        pthread_join(p->thread, NULL);
    source_common_finish(&p->common);
    free(p);
}

static int pipewire_check(const struct source_config *config, struct error *error)
{
    const size_t most = sizeof((struct pipewire_source *)0)->node - 1;
    if (strlen(config->spec) > most)
        return error_set(error, EINVAL, "source pipewire: the node's name is longer than %zu bytes",
                         most);
    return 0;
}

static int pipewire_start(struct source **ret, const struct source_config *config,
                          struct error *error)
{
    static const char suffix[] = ".monitor";
    struct pipewire_source *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(error, ENOMEM, "source pipewire: out of memory");
    start_library();
    int r = source_common_init(&p->common, &source_pipewire, config, error);
    snprintf(p->name, sizeof p->name, "focald-%s", config->name);
    if (r == 0)
        r = pipewire_check(config, error);
    size_t n = strlen(config->spec), tail = sizeof suffix - 1;
    snprintf(p->node, sizeof p->node, "%s", config->spec);
    if (r == 0 && n > tail && strcmp(config->spec + n - tail, suffix) == 0) {
        p->monitor = true;
        p->node[n - tail] = '\0';
    }
    if (r == 0) {
        int code = pthread_create(&p->thread, NULL, pipewire_main, p);
        p->started = code == 0;
        if (code != 0)
            r = error_set(error, code, "source pipewire: cannot start its thread: %s",
                          strerror(code));
    }
    if (r < 0) {
        pipewire_stop(&p->common.source);
        return r;
    }
    *ret = &p->common.source;
    return 0;
}

const struct source_ops source_pipewire = {
    .name = "pipewire",
    .help = "pipewire[:NODE]  the default or a named node, or what a sink plays (NODE.monitor)",
    .auto_rank = 1,
    .probe = pipewire_probe,
    .check = pipewire_check,
    .start = pipewire_start,
    .stop = pipewire_stop,
    .status = source_common_status,
    .list = pipewire_list,
};
