/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/feed.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/timeline.h"

struct feed {
    struct config_stream config;
    struct ring *ring;
    struct source *source;
    bool is_auto;
    int ticks;

    pthread_mutex_t lock; /* protects those below */
    const char *kind;
    struct source_status status;
    int64_t state_ns;
};

/* [audio] ring counts seconds of stereo at 48 kHz. */
enum { RING_BYTES_PER_S = 48000 * 2 * sizeof(float), AUTO_RETRY_TICKS = 3 };

static bool has_kind(const char *source, const char *kind)
{
    size_t n = strlen(kind);
    return strncmp(source, kind, n) == 0 && (source[n] == '\0' || source[n] == ':');
}

/* No server: the fallback, before anything is made for the source. */
static int choose_fallback(struct feed *f, struct error *error)
{
    const struct source_ops *ops;
    const char *spec;
    int r = source_find("auto", &ops, &spec, error);
    if (r != -ENODEV)
        return r;
    log_line(LOG_LEVEL_WARNING, "stream %s: no PipeWire or JACK server answers: taking %s instead",
             f->config.name, f->config.fallback);
    memcpy(f->config.source, f->config.fallback, sizeof f->config.source);
    f->is_auto = false;
    return 0;
}

bool feed_is_auto(const char *source)
{
    return has_kind(source, "auto");
}

static struct source_config source_config_of(const struct config_stream *c, const char *spec)
{
    return (struct source_config){
        .name = c->name,
        .spec = spec,
        .loop = c->loop,
        .fast = c->fast,
        .jack_autoconnect = c->jack_autoconnect[0] != '\0' ? c->jack_autoconnect : NULL,
    };
}

static int check_source(const struct config_stream *config, const char *source, struct error *error)
{
    const struct source_ops *ops;
    const char *spec;
    if (source[0] == '\0' || feed_is_auto(source))
        return 0;
    int r = source_find(source, &ops, &spec, error);
    if (r < 0)
        return r;
    const struct source_config of = source_config_of(config, spec);
    return ops->check(&of, error);
}

int feed_check(const struct config_stream *config, struct error *error)
{
    int r = check_source(config, config->source, error);
    if (r == 0)
        r = check_source(config, config->fallback, error);
    return r < 0 ? error_prefix(error, r, "stream %s", config->name) : 0;
}

static bool may_read_stdin(const struct config_stream *c)
{
    return has_kind(c->source, "stdin") ||
           (feed_is_auto(c->source) && has_kind(c->fallback, "stdin"));
}

int feed_check_stdin(const struct config_stream *streams, int n, struct error *error)
{
    const char *first = NULL;
    for (int i = 0; i < n; i++) {
        if (!may_read_stdin(&streams[i]))
            continue;
        if (first != NULL)
            return error_set(error, EINVAL,
                             "streams %s and %s both take the standard input, which only one can; "
                             "take another source for one of them",
                             first, streams[i].name);
        first = streams[i].name;
    }
    return 0;
}

int feed_create(struct feed **ret, const struct config_stream *config, double ring_s,
                struct error *error)
{
    struct feed *f = calloc(1, sizeof *f);
    if (f == NULL)
        return error_set(error, ENOMEM, "stream %s: out of memory", config->name);
    f->config = *config;
    f->is_auto = feed_is_auto(config->source);
    f->kind = "auto";
    f->state_ns = monotonic_ns();
    pthread_mutex_init(&f->lock, NULL);
    int r = 0;
    const struct source_ops *ops;
    const char *spec;
    if (f->is_auto && config->fallback[0] != '\0')
        r = choose_fallback(f, error);
    snprintf(f->status.text, sizeof f->status.text, "starting %.*s",
             (int)(sizeof f->status.text - sizeof "starting "), f->config.source);
    if (r == 0 && !f->is_auto)
        r = source_find(f->config.source, &ops, &spec, error);
    if (r == 0)
        r = ring_create(&f->ring, (size_t)(ring_s * RING_BYTES_PER_S), error);
    if (r < 0) {
        feed_destroy(f);
        return error_prefix(error, r, "stream %s", config->name);
    }
    *ret = f;
    return 0;
}

void feed_destroy(struct feed *f)
{
    if (f == NULL)
        return;
    feed_stop(f);
    ring_destroy(f->ring);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

double feed_ring_s(size_t bytes)
{
    return ceil(100.0 * (double)bytes / RING_BYTES_PER_S) / 100;
}

struct ring *feed_ring(struct feed *f)
{
    return f->ring;
}

bool feed_lossless(const struct feed *f)
{
    return has_kind(f->config.source, "stdin") ||
           (has_kind(f->config.source, "file") && f->config.fast);
}

/* From the source's thread. */
static void changed(void *user, const struct source_status *status)
{
    struct feed *f = user;
    pthread_mutex_lock(&f->lock);
    bool news = status->state != f->status.state || strcmp(status->text, f->status.text) != 0;
    if (status->state != f->status.state)
        f->state_ns = monotonic_ns();
    f->status = *status;
    pthread_mutex_unlock(&f->lock);
    if (!news)
        return;
    enum log_level level = status->state == SOURCE_FAILED    ? LOG_LEVEL_ERROR
                           : status->state == SOURCE_WAITING ? LOG_LEVEL_WARNING
                           : status->state == SOURCE_RUNNING && status->again
                               ? LOG_LEVEL_DEBUG /* a loop of months is not to fill the log */
                               : LOG_LEVEL_INFO;
    log_line(level, "stream %s: %s", f->config.name, status->text);
}

static int start_source(struct feed *f, const struct source_ops *ops, const char *spec,
                        struct error *error)
{
    struct source_config config = source_config_of(&f->config, spec);
    config.ring = f->ring;
    config.changed = changed;
    config.user = f;
    pthread_mutex_lock(&f->lock);
    f->kind = ops->name;
    pthread_mutex_unlock(&f->lock);
    return ops->start(&f->source, &config, error);
}

static void set_waiting(struct feed *f, const char *text)
{
    struct source_status status = {.state = SOURCE_WAITING};
    snprintf(status.text, sizeof status.text, "%.*s", (int)sizeof status.text - 1, text);
    changed(f, &status);
}

/* No server: another try later. */
static int start_auto(struct feed *f, struct error *error)
{
    const struct source_ops *ops;
    const char *spec;
    int r = source_find("auto", &ops, &spec, error);
    if (r == 0) {
        log_line(LOG_LEVEL_INFO, "stream %s: listening to the %s server", f->config.name,
                 ops->name);
        return start_source(f, ops, spec, error);
    }
    if (r != -ENODEV)
        return r;
    set_waiting(f, "no PipeWire or JACK server answers; looking again every 3 s");
    return 0;
}

int feed_start(struct feed *f, struct error *error)
{
    const struct source_ops *ops;
    const char *spec;
    int r;
    if (f->is_auto) {
        r = start_auto(f, error);
    } else {
        r = source_find(f->config.source, &ops, &spec, error);
        if (r == 0)
            r = start_source(f, ops, spec, error);
    }
    return r < 0 ? error_prefix(error, r, "stream %s", f->config.name) : 0;
}

void feed_tick(struct feed *f)
{
    struct error error;
    if (f->source != NULL || !f->is_auto || ++f->ticks % AUTO_RETRY_TICKS != 0)
        return;
    if (start_auto(f, &error) < 0)
        set_waiting(f, error.text);
}

void feed_stop(struct feed *f)
{
    if (f->source != NULL)
        f->source->ops->stop(f->source);
    f->source = NULL;
}

void feed_status(struct feed *f, struct source_status *ret, const char **ret_kind)
{
    pthread_mutex_lock(&f->lock);
    *ret = f->status;
    *ret_kind = f->kind;
    pthread_mutex_unlock(&f->lock);
}

int64_t feed_state_ns(struct feed *f)
{
    pthread_mutex_lock(&f->lock);
    int64_t ns = f->state_ns;
    pthread_mutex_unlock(&f->lock);
    return ns;
}
