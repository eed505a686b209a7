/* SPDX-License-Identifier: Apache-2.0
 * States told under a lock, sleeps that end with the source, writers that wait for the reader. */
#include "daemon/sources/common.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/timeline.h"

static const int64_t room_poll_ns = 2 * 1000 * 1000;

int source_common_init(struct source_common *c, const struct source_ops *ops,
                       const struct source_config *config, struct error *error)
{
    c->source.ops = ops;
    c->ring = config->ring;
    c->changed = config->changed;
    c->user = config->user;
    pthread_mutex_init(&c->tell_lock, NULL);
    pthread_mutex_init(&c->lock, NULL);
    atomic_init(&c->stopping, false);
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake_fd < 0)
        return error_set(error, errno, "source %s: no event file: %s", ops->name, strerror(errno));
    return 0;
}

void source_common_finish(struct source_common *c)
{
    if (c->wake_fd >= 0)
        close(c->wake_fd);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->tell_lock);
}

static void tell(struct source_common *c)
{
    struct source_status copy;
    pthread_mutex_lock(&c->lock);
    copy = c->status;
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_lock(&c->tell_lock);
    if (c->changed != NULL)
        c->changed(c->user, &copy);
    pthread_mutex_unlock(&c->tell_lock);
}

void source_common_mute(struct source_common *c)
{
    pthread_mutex_lock(&c->tell_lock);
    c->changed = NULL;
    pthread_mutex_unlock(&c->tell_lock);
}

void source_set_state(struct source_common *c, enum source_state state, const char *format, ...)
{
    pthread_mutex_lock(&c->lock);
    c->status.state = state;
    if (format != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(c->status.text, sizeof c->status.text, format, args);
        va_end(args);
    }
    pthread_mutex_unlock(&c->lock);
    tell(c);
}

void source_set_format(struct source_common *c, uint32_t rate_hz, uint32_t channels)
{
    pthread_mutex_lock(&c->lock);
    bool news = (c->status.rate_hz != rate_hz || c->status.channels != channels) &&
                c->status.text[0] != '\0';
    c->status.rate_hz = rate_hz;
    c->status.channels = channels;
    pthread_mutex_unlock(&c->lock);
    if (news)
        tell(c);
}

void source_set_again(struct source_common *c, bool again)
{
    pthread_mutex_lock(&c->lock);
    c->status.again = again;
    pthread_mutex_unlock(&c->lock);
}

void source_set_xruns(struct source_common *c, uint64_t xruns)
{
    pthread_mutex_lock(&c->lock);
    bool news = c->status.xruns != xruns;
    c->status.xruns = xruns;
    pthread_mutex_unlock(&c->lock);
    if (news)
        tell(c);
}

void source_common_status(struct source *source, struct source_status *ret)
{
    struct source_common *c = (struct source_common *)source;
    pthread_mutex_lock(&c->lock);
    *ret = c->status;
    pthread_mutex_unlock(&c->lock);
}

void source_common_stop(struct source_common *c)
{
    const uint64_t one = 1;
    atomic_store(&c->stopping, true);
    if (write(c->wake_fd, &one, sizeof one) < 0)
        return; /* it is readable already */
}

bool source_sleep_until(struct source_common *c, int64_t t_ns)
{
    int64_t ns;
    while (!atomic_load(&c->stopping) && (ns = t_ns - monotonic_ns()) > 0) {
        struct pollfd fd = {.fd = c->wake_fd, .events = POLLIN};
        struct timespec timeout = {ns / 1000000000, ns % 1000000000};
        ppoll(&fd, 1, &timeout, NULL);
    }
    return !atomic_load(&c->stopping);
}

bool source_sleep(struct source_common *c, int64_t ns)
{
    return source_sleep_until(c, monotonic_ns() + ns);
}

uint32_t source_block_frames(size_t ring_bytes, uint32_t channels, uint32_t wanted)
{
    size_t fit = ring_bytes / 4 / (channels * sizeof(float));
    return fit < 1 ? 1 : fit < wanted ? (uint32_t)fit : wanted;
}

bool source_wait_room(struct source_common *c, uint32_t frames, uint32_t channels)
{
    while (ring_writable(c->ring) < (size_t)frames * channels * sizeof(float))
        if (!source_sleep(c, room_poll_ns))
            return false;
    return !atomic_load(&c->stopping);
}

void source_write_end(struct source_common *c)
{
    struct source_status s;
    source_common_status(&c->source, &s);
    if (!source_wait_room(c, 1, 1) || ring_reserve(c->ring, 0, 1) == NULL)
        return;
    /* at the last rate, so that what was lost before the end keeps its duration */
    ring_commit(c->ring, 0, s.rate_hz > 0 ? s.rate_hz : 1, 0, RING_END);
}
