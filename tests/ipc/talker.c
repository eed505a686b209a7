/* SPDX-License-Identifier: Apache-2.0
 * talker DIR: a real publisher that says known things, for tests of programs that listen. Stream
 * "kitchen" hears a dog; audio's sample at position n is (n % 1000) / 1000. Ends on SIGTERM. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ipc/publisher.h"

enum { HOP = 1000 };

static volatile sig_atomic_t ended;
static char quantile[32] = "0.9";

static void end(int signal)
{
    ended = 1;
}

static json_t *streams(void)
{
    return json_pack("[{s:s,s:s,s:s,s:s,s:i,s:i,s:b,s:s,s:i,s:i,s:i,s:f,s:f}]", "name", "kitchen",
                     "source", "jack", "state", "running", "text", "system:capture_1", "rate_hz",
                     48000, "channels", 2, "ok", 1, "problem", "", "windows", 120,
                     "skipped_windows", 3, "lost_samples", 64, "latency_ms_p50", 4.25,
                     "latency_ms_p99", 9.5);
}

static int set(const json_t *request, json_t **ret, struct error *error)
{
    const char *key = json_string_value(json_object_get(request, "key"));
    const char *value = json_string_value(json_object_get(request, "value"));
    if (key == NULL || strcmp(key, "quantile") != 0)
        return error_set(error, EINVAL, "unknown key %s; allowed: quantile", key);
    if (value == NULL || value[0] != '0')
        return error_set(error, EINVAL, "quantile = %s: must be 0 to 1", value);
    snprintf(quantile, sizeof quantile, "%s", value);
    *ret = json_pack("{s:{s:s}}", "values", "quantile", quantile);
    return 0;
}

static int answer(void *user, const json_t *request, uint64_t ticket, json_t **ret,
                  struct error *error)
{
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    if (strcmp(cmd, "status") == 0)
        *ret =
            json_pack("{s:{s:i,s:s,s:s,s:s,s:i,s:{s:s,s:s},s:o}}", "status", "uptime_s", 93784,
                      "version", "0.1.0", "backend", "cuda", "precision", "tf32", "gpu_failures", 2,
                      "model", "name", "home", "hash", "0123456789abcdef", "streams", streams());
    else if (strcmp(cmd, "streams") == 0)
        *ret = json_pack("{s:o}", "streams", streams());
    else if (strcmp(cmd, "get") == 0)
        *ret = json_pack("{s:{s:s}}", "values", "quantile", quantile);
    else if (strcmp(cmd, "set") == 0)
        return set(request, ret, error);
    else if (strcmp(cmd, "reload") == 0)
        *ret = json_pack("{s:[s]}", "changed", "top_k");
    else
        return error_set(error, EINVAL, "unknown command %s", cmd);
    return 0;
}

static struct message *take(struct outbox *outbox, enum topic topic, uint64_t position)
{
    struct message *m = outbox_take(outbox);
    m->topic = topic;
    m->first = position;
    m->count = HOP;
    m->t_wall_ns = (int64_t)time(NULL) * 1000000000;
    return m;
}

static void say(struct outbox *outbox, uint64_t position)
{
    struct message *m = take(outbox, TOPIC_LABEL, position);
    m->label = (struct label_message){.n_top = 2, .n_classes = 2, .rms_dbfs = -INFINITY};
    m->label.unknown = position / HOP % 3 == 2;
    m->label.top[0].index = 1;
    m->label.top[0].p = 0.9f;
    m->label.top[1].p = 0.1f;
    m->payload_bytes = 24;
    memset(m->payload, 0, 24);
    outbox_send(outbox);

    m = take(outbox, TOPIC_AUDIO, position);
    m->pcm.rate_hz = 16000;
    m->payload_bytes = HOP * sizeof(float);
    for (uint64_t i = 0; i < HOP; i++)
        ((float *)m->payload)[i] = (float)((position + i) % 1000) / 1000;
    outbox_send(outbox);

    m = take(outbox, TOPIC_EVENT, position);
    m->event = (struct event_message){.id = position / HOP, .index = 1, .p = 0.8f, .p_peak = 0.9f};
    m->event.ended = position / HOP % 2 == 1;
    m->event.onset = position;
    m->event.end = m->event.ended ? position + 24000 : 0;
    m->count = m->event.ended ? 24000 : HOP;
    outbox_send(outbox);

    m = take(outbox, TOPIC_HEALTH, position);
    m->health = (struct health_message){.source_kind = "jack",
                                        .source_state = "running",
                                        .backend = "cpu",
                                        .precision = "float32",
                                        .ok = false};
    snprintf(m->health.problem, sizeof m->health.problem,
             "the \033[31mJACK \302\233server went away");
    outbox_send(outbox);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"kitchen"};
    struct publisher_config config = {
        .ipc_dir = argc > 1 ? argv[1] : "", .streams = names, .n_streams = 1, .request = answer};
    struct publisher *publisher;
    struct outbox *outbox;
    struct error error;
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    if (publisher_create(&publisher, &config, &error) < 0 ||
        outbox_create(&outbox, publisher, 64, HOP * sizeof(float), &error) < 0) {
        fprintf(stderr, "talker: %s\n", error.text);
        return 1;
    }
    json_t *info = json_pack("{s:{s:s},s:[s,s],s:i}", "model", "name", "home", "labels", "rooster",
                             "dog \033[1mbark", "a \033 \302\237key", 1);
    publisher_set_info(publisher, 0, info);
    json_decref(info);
    for (uint64_t position = 0; !ended; position += HOP) {
        say(outbox, position);
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    publisher_destroy(publisher);
    return 0;
}
