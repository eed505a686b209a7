/* SPDX-License-Identifier: Apache-2.0
 * libsamplerate's sinc converters put output n at input time n / ratio and hold outputs back until
 * the filter's look-ahead is there; only the end of a signal needs care, so that exactly
 * round(frames * ratio) samples come: it is zeros that follow, and outputs are counted. Where the
 * ratio of the rates has few phases the same filter runs from a table (polyphase.h). */
#include "dsp/resampler.h"

#include <errno.h>
#include <math.h>
#include <samplerate.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/polyphase.h"
#include "dsp/sample.h"

enum { FLUSH_FRAMES = 256, PROBE_FRAMES = 512, PROBE_OUT = 4096, SLACK = 64 };

/* mono holds what a push brings; with neither src nor polyphase the rates are equal. */
struct resampler {
    int in_rate, out_rate, channels;
    size_t max_frames, out_max, delay;
    SRC_STATE *src;
    struct polyphase *polyphase;
    float *mono;                     /* [max(max_frames, FLUSH_FRAMES)] */
    uint64_t frames_in, samples_out; /* since the last flush or reset */
};

static int converter_of(enum resampler_quality quality)
{
    switch (quality) {
    case RESAMPLER_FAST:
        return SRC_SINC_FASTEST;
    case RESAMPLER_BEST:
        return SRC_SINC_BEST_QUALITY;
    case RESAMPLER_MEDIUM:
        break;
    }
    return SRC_SINC_MEDIUM_QUALITY;
}

/* in: [frames] mono. Returns the samples written, at most cap; unless cap stops it all of in is
 * consumed. */
static ssize_t process(struct resampler *r, const float *in, size_t frames, float *ret, size_t cap)
{
    if (r->polyphase != NULL)
        return (ssize_t)polyphase_push(r->polyphase, in, frames, ret, cap);
    size_t made = 0;
    SRC_DATA data = {
        .data_in = in,
        .input_frames = (long)frames,
        .src_ratio = (double)r->out_rate / r->in_rate,
    };
    do {
        data.data_out = ret + made;
        data.output_frames = (long)(cap - made);
        if (src_process(r->src, &data) != 0)
            return -EIO;
        made += (size_t)data.output_frames_gen;
        data.data_in += data.input_frames_used;
        data.input_frames -= data.input_frames_used;
    } while (data.input_frames > 0 && (data.input_frames_used > 0 || data.output_frames_gen > 0));
    return (ssize_t)made;
}

/* Feeds one zero and counts what comes. out: [PROBE_OUT], more than a ratio of 256 can give. */
static ssize_t probe_one(struct resampler *r, float *out)
{
    const float zero = 0;
    return process(r, &zero, 1, out, PROBE_OUT);
}

/* The inputs after an output's position that libsamplerate waits for: those fed beyond it when it
 * comes. Early outputs are skipped, since the first call sets the converter up. */
static int measure_reach(struct resampler *r, size_t *ret)
{
    float *out = memory_zeroed(PROBE_OUT, sizeof(float));
    if (out == NULL)
        return -ENOMEM;
    uint64_t fed = 0, made = 0, settled = PROBE_FRAMES;
    if (r->in_rate > r->out_rate)
        settled *= (uint64_t)(r->in_rate / r->out_rate + 1);
    ssize_t n = 0;
    for (; n >= 0 && (fed < settled || n == 0); fed++) {
        n = probe_one(r, out);
        made += n > 0 ? (uint64_t)n : 0;
    }
    free(out);
    src_reset(r->src);
    if (n < 0)
        return (int)n;
    *ret = (size_t)(fed - 1 - (made - 1) * (uint64_t)r->in_rate / (uint64_t)r->out_rate);
    return 0;
}

static int gcd(int a, int b)
{
    return b == 0 ? a : gcd(b, a % b);
}

static int make_converter(struct resampler *r, enum resampler_quality quality, struct error *error)
{
    int code;
    size_t reach = 0;
    r->src = src_new(converter_of(quality), 1, &code);
    if (r->src == NULL)
        return error_set(error, ENOMEM, "resampler: %s", src_strerror(code));
    code = measure_reach(r, &reach);
    if (code < 0)
        return error_set(error, -code, "resampler: cannot convert %d Hz to %d Hz: %s", r->in_rate,
                         r->out_rate, strerror(-code));
    int divisor = gcd(r->in_rate, r->out_rate);
    size_t most = r->max_frames > FLUSH_FRAMES ? r->max_frames : FLUSH_FRAMES;
    code = polyphase_create(&r->polyphase, r->src, r->in_rate / divisor, r->out_rate / divisor,
                            reach, most, error);
    if (code < 0 && code != -E2BIG)
        return code;
    if (r->polyphase != NULL) {
        reach = polyphase_reach(r->polyphase);
        src_delete(r->src);
        r->src = NULL;
    }
    r->delay = (size_t)((uint64_t)reach * (uint64_t)r->out_rate / (uint64_t)r->in_rate);
    return 0;
}

int resampler_create(struct resampler **ret, int in_rate_hz, int channels, int out_rate_hz,
                     enum resampler_quality quality, size_t max_frames, struct error *error)
{
    if (in_rate_hz < RESAMPLER_MIN_HZ || in_rate_hz > RESAMPLER_MAX_HZ || channels < 1 ||
        channels > RESAMPLER_MAX_CHANNELS)
        return error_set(
            error, EINVAL, "audio of %d Hz and %d channels; allowed: %d to %d Hz, 1 to %d channels",
            in_rate_hz, channels, RESAMPLER_MIN_HZ, RESAMPLER_MAX_HZ, RESAMPLER_MAX_CHANNELS);
    double ratio = (double)out_rate_hz / in_rate_hz;
    if (out_rate_hz < 1 || !src_is_valid_ratio(ratio) || max_frames < 1 || max_frames > 1 << 24)
        return error_set(error, EINVAL, "resampling %d Hz to %d Hz; allowed: ratios 1/256 to 256",
                         in_rate_hz, out_rate_hz);
    struct resampler *r = calloc(1, sizeof *r);
    if (r == NULL)
        return error_set(error, ENOMEM, "resampler: out of memory");
    r->in_rate = in_rate_hz;
    r->out_rate = out_rate_hz;
    r->channels = channels;
    r->max_frames = max_frames;
    r->mono = memory_zeroed(max_frames > FLUSH_FRAMES ? max_frames : FLUSH_FRAMES, sizeof(float));
    int code = r->mono == NULL ? error_set(error, ENOMEM, "resampler: out of memory") : 0;
    if (code == 0 && in_rate_hz != out_rate_hz)
        code = make_converter(r, quality, error);
    if (code < 0) {
        resampler_destroy(r);
        return code;
    }
    /* a push gives at most what it brings and what was held back, and so does a flush */
    r->out_max = (size_t)ceil((double)max_frames * ratio) + r->delay + SLACK;
    *ret = r;
    return 0;
}

void resampler_destroy(struct resampler *r)
{
    if (r == NULL)
        return;
    polyphase_destroy(r->polyphase);
    src_delete(r->src);
    free(r->mono);
    free(r);
}

size_t resampler_out_max(const struct resampler *r)
{
    return r->out_max;
}

size_t resampler_delay(const struct resampler *r)
{
    return r->delay;
}

/* Bad samples become 0; the loops vectorise for the usual one and two channels. */
static void downmix(const float *restrict in, size_t frames, int channels, float *restrict mono)
{
    if (channels == 1) {
        for (size_t i = 0; i < frames; i++)
            mono[i] = sample_is_bad(in[i]) ? 0 : in[i];
        return;
    }
    if (channels == 2) {
        for (size_t i = 0; i < frames; i++) {
            float left = in[2 * i], right = in[2 * i + 1];
            left = sample_is_bad(left) ? 0 : left;
            right = sample_is_bad(right) ? 0 : right;
            mono[i] = 0.5f * left + 0.5f * right;
        }
        return;
    }
    float scale = 1.0f / (float)channels;
    for (size_t i = 0; i < frames; i++) {
        float sum = 0;
        for (int c = 0; c < channels; c++) {
            float x = in[i * (size_t)channels + (size_t)c];
            sum += sample_is_bad(x) ? 0 : x * scale;
        }
        mono[i] = sum;
    }
}

static bool rates_are_equal(const struct resampler *r)
{
    return r->src == NULL && r->polyphase == NULL;
}

ssize_t resampler_push(struct resampler *r, const float *in, size_t frames, float *ret)
{
    if (frames > r->max_frames)
        return -EINVAL;
    r->frames_in += frames;
    if (rates_are_equal(r)) {
        downmix(in, frames, r->channels, ret);
        r->samples_out += frames;
        return (ssize_t)frames;
    }
    downmix(in, frames, r->channels, r->mono);
    ssize_t n = process(r, r->mono, frames, ret, r->out_max);
    if (n > 0)
        r->samples_out += (uint64_t)n;
    return n;
}

ssize_t resampler_flush(struct resampler *r, float *ret)
{
    uint64_t in = (uint64_t)r->in_rate, out = (uint64_t)r->out_rate;
    uint64_t expected = (r->frames_in / in) * out + ((r->frames_in % in) * out + in / 2) / in;
    size_t want = expected > r->samples_out ? (size_t)(expected - r->samples_out) : 0;
    size_t made = 0;
    want = want < r->out_max ? want : r->out_max;
    memset(r->mono, 0, FLUSH_FRAMES * sizeof(float));
    while (made < want && !rates_are_equal(r)) {
        ssize_t n = process(r, r->mono, FLUSH_FRAMES, ret + made, want - made);
        if (n < 0)
            return n;
        made += (size_t)n;
    }
    resampler_reset(r);
    return (ssize_t)made;
}

void resampler_reset(struct resampler *r)
{
    if (r->polyphase != NULL)
        polyphase_reset(r->polyphase);
    if (r->src != NULL)
        src_reset(r->src);
    r->frames_in = r->samples_out = 0;
}
