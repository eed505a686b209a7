/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/daemon/sources/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <time.h>

double listener_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void listener_sleep(double s)
{
    struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};
    nanosleep(&t, NULL);
}

static void changed(void *user, const struct source_status *status)
{
    struct listener *l = user;
    pthread_mutex_lock(&l->lock);
    if (l->n_texts < LISTENER_TEXTS)
        l->said[l->n_texts++] = *status;
    pthread_mutex_unlock(&l->lock);
}

int listener_start(struct listener *l, const char *spec, size_t ring_bytes,
                   const struct source_config *config)
{
    struct source_config c = {.name = "test"};
    const struct source_ops *ops;
    memset(l, 0, sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    if (config != NULL)
        c = *config;
    c.name = c.name != NULL ? c.name : "test";
    c.changed = changed;
    c.user = l;
    int r = source_find(spec, &ops, &c.spec, &l->error);
    if (r == 0)
        r = ring_create(&l->ring, ring_bytes, &l->error);
    c.ring = l->ring;
    if (r == 0)
        r = ops->start(&l->source, &c, &l->error);
    if (r < 0) {
        ring_destroy(l->ring);
        pthread_mutex_destroy(&l->lock);
    }
    return r;
}

double listener_stop(struct listener *l)
{
    double began = listener_now();
    l->source->ops->stop(l->source);
    double took = listener_now() - began;
    for (int i = 0; i < l->n_texts; i++)
        assert_true(l->said[i].text[0] != '\0');
    ring_destroy(l->ring);
    pthread_mutex_destroy(&l->lock);
    return took;
}

static bool try_block(struct listener *l, struct ring_block *ret)
{
    if (l->held)
        ring_release(l->ring);
    l->held = ring_peek(l->ring, ret);
    return l->held;
}

struct ring_block listener_block(struct listener *l, double timeout_s)
{
    struct ring_block b;
    double end = listener_now() + timeout_s;
    while (!try_block(l, &b)) {
        if (listener_now() > end) {
            struct source_status s;
            l->source->ops->status(l->source, &s);
            fail_msg("no block in %.1f s; the source is %s: %s", timeout_s,
                     source_state_name(s.state), s.text);
        }
        listener_sleep(0.0005);
    }
    return b;
}

void listener_drain(struct listener *l)
{
    struct ring_block b;
    while (try_block(l, &b))
        ;
}

struct source_status listener_wait(struct listener *l, enum source_state state, bool drain,
                                   double timeout_s)
{
    struct source_status s;
    double end = listener_now() + timeout_s;
    for (;;) {
        if (drain)
            listener_drain(l);
        l->source->ops->status(l->source, &s);
        if (s.state == state)
            return s;
        if (listener_now() > end)
            fail_msg("the source is %s, not %s, after %.1f s: %s", source_state_name(s.state),
                     source_state_name(state), timeout_s, s.text);
        listener_sleep(0.002);
    }
}

bool listener_heard(struct listener *l, const char *text)
{
    bool heard = false;
    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < l->n_texts; i++)
        heard |= strstr(l->said[i].text, text) != NULL;
    pthread_mutex_unlock(&l->lock);
    return heard;
}
