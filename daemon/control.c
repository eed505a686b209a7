/* SPDX-License-Identifier: Apache-2.0
 * What focald answers on the control socket (docs/protocol.md). ipc thread. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "daemon/daemon.h"
#include "daemon/info.h"
#include "daemon/timeline.h"
#include "daemon/version.h"

typedef int (*control_command)(struct daemon *d, const json_t *request, json_t **ret_reply,
                               struct error *error);

void daemon_tell_info(struct daemon *d)
{
    pipeline_compute(d->pipeline, &d->told);
    const struct model_info *info = model_info(d->model);
    json_t *fields =
        info_stream(info, &d->config.live, pipeline_audio_delay_s(d->pipeline, info), &d->told);
    if (fields == NULL)
        return;
    for (int i = 0; i < d->n_feeds; i++)
        publisher_set_info(d->publisher, i, fields);
    json_decref(fields);
}

static json_t *stream_json(struct daemon *d, int i)
{
    struct health_message h;
    health_fill(d, i, &h);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}",
        "name", d->config.streams[i].name, "source", h.source_kind, "state", h.source_state, "text",
        h.source_text, "rate_hz", (int)h.rate_hz, "channels", (int)h.channels, "ok", (int)h.ok,
        "problem", h.problem, "windows", (json_int_t)h.windows, "skipped_windows",
        (json_int_t)h.skipped_windows, "lost_samples", (json_int_t)h.lost_samples, "missed_samples",
        (json_int_t)h.missed_samples, "xruns", (json_int_t)h.xruns, "reconnects",
        (json_int_t)h.reconnects, "latency_ms_p50", (double)h.latency_ms_p50, "latency_ms_p99",
        (double)h.latency_ms_p99, "network_ms_p50", (double)h.network_ms_p50);
}

static json_t *streams_json(struct daemon *d)
{
    json_t *streams = json_array();
    for (int i = 0; i < d->n_feeds; i++)
        json_array_append_new(streams, stream_json(d, i));
    return streams;
}

static int command_status(struct daemon *d, const json_t *request, json_t **ret_reply,
                          struct error *error)
{
    (void)request, (void)error;
    struct health_message h;
    struct pipeline_compute compute;
    char trouble[sizeof compute.trouble];
    health_fill(d, 0, &h);
    pipeline_compute(d->pipeline, &compute);
    utf8_clean(compute.trouble, trouble, sizeof trouble);
    *ret_reply = json_pack("{s:{s:I, s:s, s:s, s:s, s:i, s:I, s:s, s:o, s:I, s:I, s:o}}", "status",
                           "uptime_s", (json_int_t)h.uptime_s, "version", FOCALD_VERSION, "backend",
                           compute.backend, "precision", precision_name(compute.precision),
                           "threads", compute.threads, "gpu_failures", (json_int_t)h.gpu_failures,
                           "gpu_problem", trouble, "model", info_model(model_info(d->model)),
                           "resident_bytes", (json_int_t)h.resident_bytes, "dropped_messages",
                           (json_int_t)h.dropped_messages, "streams", streams_json(d));
    return 0;
}

static int command_streams(struct daemon *d, const json_t *request, json_t **ret_reply,
                           struct error *error)
{
    (void)request, (void)error;
    *ret_reply = json_pack("{s:o}", "streams", streams_json(d));
    return 0;
}

static int values_reply(const struct config_live *live, const char *only, json_t **ret_reply,
                        struct error *error)
{
    json_t *values = json_object();
    for (const char *const *key = config_live_keys(); *key != NULL; key++) {
        char text[64];
        if (only != NULL && strcmp(only, *key) != 0)
            continue;
        if (config_live_get(live, *key, text, sizeof text) == 0)
            json_object_set_new(values, *key, json_string(text));
    }
    if (only != NULL && json_object_size(values) == 0) {
        json_decref(values);
        struct config_live copy = *live;
        return config_live_set(&copy, only, "", error); /* its error names the keys there are */
    }
    *ret_reply = json_pack("{s:o}", "values", values);
    return 0;
}

static int command_get(struct daemon *d, const json_t *request, json_t **ret_reply,
                       struct error *error)
{
    return values_reply(&d->config.live, json_string_value(json_object_get(request, "key")),
                        ret_reply, error);
}

/* A JSON number is taken as what it reads as. */
static int value_text(const json_t *value, char *ret, size_t size, struct error *error)
{
    if (json_is_string(value))
        snprintf(ret, size, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(ret, size, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(ret, size, "%.9g", json_real_value(value));
    else
        return error_set(error, EINVAL, "set: needs \"value\", a string or a number");
    return 0;
}

static int command_set(struct daemon *d, const json_t *request, json_t **ret_reply,
                       struct error *error)
{
    const char *key = json_string_value(json_object_get(request, "key"));
    char value[128];
    if (key == NULL)
        return error_set(error, EINVAL, "set: needs \"key\", a string");
    int r = value_text(json_object_get(request, "value"), value, sizeof value, error);
    struct config_live live = d->config.live;
    if (r == 0)
        r = config_live_set(&live, key, value, error);
    if (r < 0)
        return r;
    d->config.live = live;
    pipeline_set_live(d->pipeline, &live);
    daemon_tell_info(d);
    return values_reply(&live, key, ret_reply, error);
}

/* The main thread reads everything again, which may take a while, and answers. */
static int ask_for_reload(struct daemon *d, uint64_t ticket, struct error *error)
{
    if (d->n_reloads == DAEMON_RELOADS_MAX)
        return error_set(error, EAGAIN, "reload: %d others wait for one; ask again in a moment",
                         d->n_reloads);
    d->reloads[d->n_reloads++] = ticket;
    atomic_store(&d->reload_wanted, true);
    return 1;
}

static const struct {
    const char *name;
    control_command run;
} commands[] = {
    {"status", command_status},
    {"streams", command_streams},
    {"get", command_get},
    {"set", command_set},
};

static int run_command(struct daemon *d, const char *name, const json_t *request, uint64_t ticket,
                       json_t **ret_reply, struct error *error)
{
    if (!atomic_load(&d->ready))
        return error_set(error, EAGAIN, "focald is starting or stopping; ask again in a moment");
    if (strcmp(name, "reload") == 0)
        return ask_for_reload(d, ticket, error);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(name, commands[i].name) == 0) {
            int r = commands[i].run(d, request, ret_reply, error);
            return r == 0 && *ret_reply == NULL
                       ? error_set(error, ENOMEM, "%s: out of memory", name)
                       : r;
        }
    return error_set(error, EINVAL,
                     "unknown command %s; allowed: ping, info, status, streams, get, set, reload",
                     name);
}

int control_request(void *user, const json_t *request, uint64_t ticket, json_t **ret_reply,
                    struct error *error)
{
    struct daemon *d = user;
    const char *name = json_string_value(json_object_get(request, "cmd"));
    pthread_mutex_lock(&d->lock);
    int r = run_command(d, name != NULL ? name : "(none)", request, ticket, ret_reply, error);
    pthread_mutex_unlock(&d->lock);
    return r;
}
