/* SPDX-License-Identifier: Apache-2.0
 * focal-record run: subscribes, and hands each stream its messages. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/memory.h"
#include "ipc/keys.h"
#include "ipc/libfocal/focal.h"
#include "viewers/record/commands.h"
#include "viewers/record/hearing.h"
#include "viewers/record/writer.h"

enum {
    STREAMS_MAX = 64,
    RECEIVE_HWM = 20000,
    TICK_MS = 500,
    QUIET_MS = 10000, /* between two warnings of the same kind */
    ENDPOINT_BYTES = 512,
};

static volatile sig_atomic_t ended;

struct running {
    const struct settings *settings;
    struct focal *focal;
    char where[ENDPOINT_BYTES]; /* focal_where, as it was last */
    struct writer *writer;
    struct hearing *streams[STREAMS_MAX];
    int n_streams;
    int64_t warned_ms, state_ms;
    char problem[WRITER_PROBLEM_BYTES]; /* told last */
    struct writer_state state;
};

static void end(int number)
{
    ended = 1;
}

static void listen_to_signals(void)
{
    struct sigaction action = {.sa_handler = end};
    const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        sigaction(numbers[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on files' sizes is an error of write */
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 3))) static void say(bool warning, const char *format, ...)
{
    va_list args;
    bool journal = getenv("JOURNAL_STREAM") != NULL;
    fputs(journal ? warning ? SD_WARNING : SD_INFO : warning ? "warning: " : "", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static void warn(struct running *r, const char *text)
{
    if (now_ms() - r->warned_ms < QUIET_MS)
        return;
    r->warned_ms = now_ms();
    say(true, "%s", text);
}

/* Subscribing */

static int read_keys(const struct settings *s, struct focal_options *o,
                     char keys[3][KEY_TEXT_BYTES], struct error *error)
{
    if (s->server_key[0] == '\0')
        return s->key[0] == '\0' ? 0
                                 : error_set(error, EINVAL,
                                             "key in [focald]: needs server_key, the daemon's "
                                             "public key, too");
    int code = key_read_public(s->server_key, keys[0], error);
    o->curve_server_public_key = keys[0];
    if (code == 0 && s->key[0] != '\0') {
        code = key_read_secret(s->key, keys[1], keys[2], error);
        o->curve_secret_key = keys[1];
        o->curve_public_key = keys[2];
    }
    return code;
}

static int subscribe_one(struct focal *focal, const char *topic, const char *stream,
                         struct error *error)
{
    char name[80];
    snprintf(name, sizeof name, "%s/%.63s", topic, stream);
    if (focal_subscribe(focal, name) < 0)
        return error_set(error, EIO, "%s", focal_error(focal));
    return 0;
}

static int subscribe_stream(struct focal *focal, const struct settings *s, const char *stream,
                            struct error *error)
{
    const struct {
        const char *topic;
        bool wanted;
    } topics[] = {{"info", true},      {"label", true},     {"event", true},
                  {"input", s->input}, {"audio", s->audio}, {"spec", s->picture},
                  {"mask", s->picture}};
    int code = 0;
    for (size_t i = 0; i < ARRAY_LEN(topics) && code == 0; i++)
        if (topics[i].wanted)
            code = subscribe_one(focal, topics[i].topic, stream, error);
    return code;
}

static int subscribe(struct focal *focal, const struct settings *s, struct error *error)
{
    char list[sizeof s->streams], *save = NULL;
    memcpy(list, s->streams, sizeof list);
    int code = 0, n = 0;
    for (char *name = strtok_r(list, " \t,", &save); name != NULL && code == 0;
         name = strtok_r(NULL, " \t,", &save), n++)
        code = subscribe_stream(focal, s, strcmp(name, "*") == 0 ? "" : name, error);
    return n == 0 ? subscribe_stream(focal, s, "", error) : code;
}

static int connect_daemon(struct running *r, struct error *error)
{
    const struct settings *s = r->settings;
    char keys[3][KEY_TEXT_BYTES];
    struct focal_options o = {.data = s->data[0] != '\0' ? s->data : NULL,
                              .control = s->control[0] != '\0' ? s->control : NULL,
                              .receive_hwm = RECEIVE_HWM};
    int code = read_keys(s, &o, keys, error);
    if (code == 0 && focal_open(&r->focal, &o) < 0)
        code = error_set(error, EINVAL, "%s", focal_last_error());
    explicit_bzero(keys, sizeof keys);
    return code == 0 ? subscribe(r->focal, s, error) : code;
}

/* The library follows the daemon. */
static void tell_where(struct running *r)
{
    const char *where = focal_where(r->focal);
    if (strcmp(where, r->where) == 0)
        return;
    if (r->where[0] != '\0')
        say(false, "listening to %s", where);
    snprintf(r->where, sizeof r->where, "%s", where);
}

/* Listening */

static struct hearing *stream_of(struct running *r, const char *name)
{
    struct error error;
    for (int i = 0; i < r->n_streams; i++)
        if (strcmp(hearing_name(r->streams[i]), name) == 0)
            return r->streams[i];
    const char *wanted = r->settings->streams;
    if (wanted[strspn(wanted, " \t,")] != '\0' && !settings_listed(wanted, name))
        return NULL; /* a name that begins like a wanted one */
    if (r->n_streams == STREAMS_MAX) {
        warn(r, "more than 64 streams; the others are not recorded (streams in [record] chooses)");
        return NULL;
    }
    if (hearing_create(&r->streams[r->n_streams], name, r->n_streams, r->settings, r->writer,
                       &error) < 0) {
        warn(r, error.text);
        return NULL;
    }
    say(false, "recording %s", name);
    return r->streams[r->n_streams++];
}

/* One that is private is believed to work. */
static void tell_idle_rules(struct hearing *stream)
{
    char rules[500];
    if (hearing_idle_rules(stream, rules, sizeof rules))
        say(true, "%s: the model there has no such labels, so these sections do nothing: %s",
            hearing_name(stream), rules);
}

static void take_messages(struct running *r)
{
    struct focal_message message;
    struct error error;
    int timeout = TICK_MS, n;
    int64_t until = now_ms() + TICK_MS;
    while (!ended && (n = focal_next(r->focal, &message, timeout)) != 0) {
        if (n == -EINTR)
            return;
        timeout = 0;
        if (n < 0)
            warn(r, focal_error(r->focal));
        struct hearing *stream = n > 0 ? stream_of(r, message.stream) : NULL;
        if (stream != NULL && hearing_take(stream, &message, &error) < 0)
            warn(r, error.text);
        if (stream != NULL)
            tell_idle_rules(stream);
        if (now_ms() >= until)
            return;
    }
}

/* What the writer met, once, and when it is over. */
static void tell_state(struct running *r)
{
    struct writer_state *s = &r->state;
    const uint64_t refused = s->refused;
    writer_state(r->writer, s);
    if (s->refused != refused)
        say(true, "left out, since the history refuses it: %s", s->refusal);
    if (strcmp(s->problem, r->problem) != 0) {
        if (s->problem[0] != '\0' && now_ms() - r->state_ms < QUIET_MS)
            return;
        say(s->problem[0] != '\0', "%s", s->problem[0] != '\0' ? s->problem : "recording again");
        memcpy(r->problem, s->problem, sizeof r->problem);
        r->state_ms = now_ms();
    }
    sd_notifyf(0,
               "WATCHDOG=1\nSTATUS=%" PRIu64 " snippets kept, %" PRIu64 " dropped, %d streams%s%s",
               s->kept, s->dropped, r->n_streams, s->problem[0] != '\0' ? "; " : "", s->problem);
}

/* What waited when the end came, and is lost. */
static void tell_end(struct running *r)
{
    struct writer_state *s = &r->state;
    const uint64_t dropped = s->dropped;
    writer_state(r->writer, s);
    if (s->dropped > dropped || s->unwritten > 0)
        say(true,
            "not written before the end: %" PRIu64 " snippets, %" PRIu64
            " other rows (models, ends of events, times of listening, losses, counts): %s",
            s->dropped - dropped, s->unwritten, s->problem);
}

static void record(struct running *r)
{
    sd_notify(0, "READY=1");
    while (!ended) {
        take_messages(r);
        tell_where(r);
        int64_t now = now_ms();
        for (int i = 0; i < r->n_streams; i++)
            hearing_tick(r->streams[i], now);
        tell_state(r);
    }
    sd_notify(0, "STOPPING=1");
}

int command_run(const struct arguments *a)
{
    static struct running r;
    struct error error;
    r = (struct running){.settings = &a->settings, .warned_ms = -QUIET_MS, .state_ms = -QUIET_MS};
    listen_to_signals();
    int code = writer_create(&r.writer, &a->settings, a->dir, &error);
    if (code == 0)
        code = connect_daemon(&r, &error);
    if (code == 0) {
        say(false, "the history is in %s", a->dir);
        record(&r);
    }
    for (int i = 0; i < r.n_streams; i++)
        hearing_destroy(r.streams[i]);
    if (code == 0) {
        writer_end(r.writer);
        tell_end(&r);
    }
    writer_destroy(r.writer);
    focal_close(r.focal);
    return code < 0 ? complain(&error) : EXIT_SUCCESS;
}
