/* SPDX-License-Identifier: Apache-2.0
 * Raw little-endian PCM from the standard input, as `arecord -t raw` or `ffmpeg -f s16le -` give
 * it. A pipe has back pressure: nothing is dropped, its writer waits. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/sources/common.h"
#include "dsp/resampler.h"

enum { BLOCK_FRAMES = 1024, MAX_SAMPLE_BYTES = 4 };

enum sample_format { SAMPLE_S16, SAMPLE_S32, SAMPLE_F32 };

struct stdin_source {
    struct source_common common;
    pthread_t thread;
    bool started;
    uint32_t rate_hz, channels;
    enum sample_format format;
    size_t frame_bytes;
    uint32_t block_frames; /* at most; what is read at once */
    size_t held;           /* bytes in `bytes` */
    unsigned char bytes[BLOCK_FRAMES * RESAMPLER_MAX_CHANNELS * MAX_SAMPLE_BYTES];
};

static int parse_spec(struct stdin_source *s, const char *spec, struct error *error)
{
    static const char *const formats[] = {"s16", "s32", "f32"};
    char format[8] = "s16";
    unsigned rate, channels;
    int end = -1, n = sscanf(spec, "%u:%u%n:%7s%n", &rate, &channels, &end, format, &end);
    int known = -1;
    for (int i = 0; i < 3; i++)
        if (strcmp(format, formats[i]) == 0)
            known = i;
    if (n < 2 || end < 0 || spec[end] != '\0' || known < 0 || rate < RESAMPLER_MIN_HZ ||
        rate > RESAMPLER_MAX_HZ || channels < 1 || channels > RESAMPLER_MAX_CHANNELS)
        return error_set(error, EINVAL,
                         "source stdin: \"%s\"; allowed: RATE:CHANNELS[:s16|s32|f32], as in "
                         "stdin:44100:2 (%d to %d Hz, 1 to %d channels)",
                         spec, RESAMPLER_MIN_HZ, RESAMPLER_MAX_HZ, RESAMPLER_MAX_CHANNELS);
    s->rate_hz = rate;
    s->channels = channels;
    s->format = (enum sample_format)known;
    s->frame_bytes = channels * (s->format == SAMPLE_S16 ? 2u : 4u);
    return 0;
}

static int stdin_check(const struct source_config *config, struct error *error)
{
    struct stdin_source *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ENOMEM, "source stdin: out of memory");
    int r = parse_spec(s, config->spec, error);
    free(s);
    return r;
}

static uint32_t little_endian(const unsigned char *b, int n)
{
    uint32_t x = 0;
    for (int i = n - 1; i >= 0; i--)
        x = x << 8 | b[i];
    return x;
}

static void convert(const struct stdin_source *s, size_t samples, float *to)
{
    for (size_t i = 0; i < samples; i++) {
        if (s->format == SAMPLE_S16) {
            to[i] = (float)(int16_t)little_endian(s->bytes + 2 * i, 2) / 32768.0f;
            continue;
        }
        uint32_t bits = little_endian(s->bytes + 4 * i, 4);
        if (s->format == SAMPLE_S32)
            to[i] = (float)(int32_t)bits / 2147483648.0f;
        else
            memcpy(&to[i], &bits, sizeof bits);
    }
}

/* Whole frames go into the ring; what is left of a frame waits for its rest. */
static bool write_frames(struct stdin_source *s)
{
    uint32_t frames = (uint32_t)(s->held / s->frame_bytes);
    if (frames == 0)
        return true;
    if (!source_wait_room(&s->common, frames, s->channels))
        return false;
    float *to = ring_reserve(s->common.ring, frames, s->channels);
    if (to != NULL) {
        convert(s, (size_t)frames * s->channels, to);
        ring_commit(s->common.ring, frames, s->rate_hz, 0, 0);
    }
    size_t used = frames * s->frame_bytes;
    memmove(s->bytes, s->bytes + used, s->held - used);
    s->held -= used;
    return true;
}

/* Waits for input or stop. Returns the bytes read, 0 at the end, negative when stopping or failed.
 */
static ssize_t read_some(struct stdin_source *s)
{
    struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {s->common.wake_fd, POLLIN, 0}};
    while (!atomic_load(&s->common.stopping)) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return -errno;
        if (fds[0].revents == 0)
            continue;
        size_t most = s->block_frames * s->frame_bytes - s->held;
        ssize_t n = read(STDIN_FILENO, s->bytes + s->held, most);
        if (n >= 0 || (errno != EINTR && errno != EAGAIN))
            return n < 0 ? -errno : n;
    }
    return -ECANCELED;
}

static void *stdin_main(void *arg)
{
    struct stdin_source *s = arg;
    struct source_common *c = &s->common;
    ssize_t n;
    source_set_format(c, s->rate_hz, s->channels);
    source_set_state(c, SOURCE_RUNNING, "reading the standard input, %u Hz, %u channel%s",
                     s->rate_hz, s->channels, s->channels == 1 ? "" : "s");
    while ((n = read_some(s)) > 0) {
        s->held += (size_t)n;
        if (!write_frames(s))
            return NULL;
    }
    if (n == -ECANCELED)
        return NULL;
    if (n < 0)
        source_set_state(c, SOURCE_FAILED, "the standard input cannot be read: %s",
                         strerror((int)-n));
    else if (s->held > 0)
        source_set_state(c, SOURCE_ENDED,
                         "the standard input ended within a frame: %zu bytes left over; is it "
                         "%u channels?",
                         s->held, s->channels);
    else
        source_set_state(c, SOURCE_ENDED, "the standard input is at its end");
    source_write_end(c);
    return NULL;
}

static void stdin_stop(struct source *source)
{
    struct stdin_source *s = (struct stdin_source *)source;
    if (s == NULL)
        return;
    source_common_stop(&s->common);
    if (s->started)
        pthread_join(s->thread, NULL);
    source_common_finish(&s->common);
    free(s);
}

static int stdin_start(struct source **ret, const struct source_config *config, struct error *error)
{
    struct stdin_source *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ENOMEM, "source stdin: out of memory");
    bool is_open = fcntl(STDIN_FILENO, F_GETFD) >= 0; /* before our own files take its number */
    int r = source_common_init(&s->common, &source_stdin, config, error);
    if (r == 0)
        r = parse_spec(s, config->spec, error);
    if (r == 0 && !is_open)
        r = error_set(error, EBADF,
                      "source stdin: the standard input is closed; pipe raw audio "
                      "into focald");
    if (r == 0 && isatty(STDIN_FILENO))
        r = error_set(error, EINVAL,
                      "source stdin: the standard input is a terminal; pipe raw "
                      "audio into focald");
    if (r == 0) {
        s->block_frames =
            source_block_frames(ring_writable(config->ring), s->channels, BLOCK_FRAMES);
        int code = pthread_create(&s->thread, NULL, stdin_main, s);
        s->started = code == 0;
        if (code != 0)
            r = error_set(error, code, "source stdin: cannot start its thread: %s", strerror(code));
    }
    if (r < 0) {
        stdin_stop(&s->common.source);
        return r;
    }
    *ret = &s->common.source;
    return 0;
}

const struct source_ops source_stdin = {
    .name = "stdin",
    .help = "stdin:RATE:CHANNELS[:s16|s32|f32]  raw PCM from the standard input",
    .check = stdin_check,
    .start = stdin_start,
    .stop = stdin_stop,
    .status = source_common_status,
};
