/* SPDX-License-Identifier: Apache-2.0
 * `focald bench pipeline`: the dsp thread's and the inference thread's work of each hop, in one
 * thread, with a made-up map in the network's place. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "daemon/analysis.h"
#include "daemon/bench.h"
#include "daemon/masked_audio.h"
#include "daemon/ring.h"
#include "daemon/stream.h"
#include "daemon/timeline.h"

enum { RATE_HZ = 48000, CHANNELS = 2, BLOCK_FRAMES = 512, WARM_UP_HOPS = 5, MAX_HOPS = 100000 };

struct part { /* milliseconds, hop by hop */
    double *ms;
};

struct bench {
    const struct model_info *info;
    const struct config_live *live;
    struct ring *ring;
    struct stream *stream;
    struct analysis *analysis;
    struct masked_audio *audio;
    float *plane, *map, *pcm;
    float gate;
    uint64_t written; /* frames */
    int64_t start_ns;
    uint32_t noise;
    struct part ingest, before, after, sound, total, cpu;
};

static float next_noise(struct bench *b)
{
    b->noise = b->noise * 1664525u + 1013904223u;
    return (float)(int32_t)b->noise * 0x1p-32f;
}

/* Noise in blocks, as a server would bring it: not measured, it is the source's work. */
static int write_until(struct bench *b, uint64_t frames, struct error *error)
{
    while (b->written < frames) {
        float *x = ring_reserve(b->ring, BLOCK_FRAMES, CHANNELS);
        if (x == NULL)
            return error_set(error, ENOBUFS, "bench: the ring is too small for a hop");
        for (int i = 0; i < BLOCK_FRAMES * CHANNELS; i++)
            x[i] = next_noise(b);
        int64_t t_ns = b->start_ns + (int64_t)((double)b->written * 1e9 / RATE_HZ);
        ring_commit(b->ring, BLOCK_FRAMES, RATE_HZ, t_ns, 0);
        b->written += BLOCK_FRAMES;
    }
    return 0;
}

static double ms_since(int64_t begin_ns)
{
    return (double)(monotonic_ns() - begin_ns) * 1e-6;
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* One hop's window through everything but the network. Returns 0 when no window is due yet. */
static int run_hop(struct bench *b, int n, struct error *error)
{
    size_t chunk = (size_t)b->live->hop_frames * (size_t)b->info->preprocess.hop_length;
    int64_t begin = monotonic_ns(), begin_cpu = cpu_ns(), t = begin;
    int r = stream_pump(b->stream, b->live->hop_frames, error);
    if (r < 0)
        return r;
    const struct window *window = stream_take(b->stream);
    if (window == NULL)
        return 0;
    b->ingest.ms[n] = ms_since(t);
    t = monotonic_ns();
    struct analysis_window before;
    analysis_before(b->analysis, window->samples, window->spectrum, b->gate, b->plane, &before);
    b->before.ms[n] = ms_since(t);
    t = monotonic_ns();
    struct analysis_mask after;
    analysis_after(b->analysis, b->map, (float)b->live->quantile, &after);
    b->after.ms[n] = ms_since(t);
    t = monotonic_ns();
    uint64_t first;
    masked_audio_begin(b->audio, window, b->live->hop_frames, after.mask, after.soft, before.max);
    while (masked_audio_next(b->audio, b->pcm, chunk, &first) > 0)
        ;
    b->sound.ms[n] = ms_since(t);
    b->total.ms[n] = ms_since(begin);
    b->cpu.ms[n] = (double)(cpu_ns() - begin_cpu) * 1e-6;
    return 1;
}

static int create(struct bench *b, const struct config *config, struct error *error)
{
    const struct model_preprocess *p = &b->info->preprocess;
    struct stft_shape shape = analysis_shape(b->info);
    struct stream_config stream = {.shape = shape,
                                   .rate_hz = p->sample_rate,
                                   .window_samples = (size_t)p->window_samples,
                                   .quality = bench_quality(config)};
    int last = b->info->n_maps - 1;
    size_t map_cells = (size_t)b->info->maps[last].rows * (size_t)b->info->maps[last].cols;
    /* the first window is filled at once */
    double most_s = (double)(p->window_samples + p->sample_rate) / p->sample_rate;
    size_t ring_bytes = (size_t)(most_s * RATE_HZ) * CHANNELS * sizeof(float) * 2;
    int r = ring_create(&b->ring, ring_bytes, error);
    stream.ring = b->ring;
    if (r == 0)
        r = stream_create(&b->stream, &stream, error);
    if (r == 0)
        r = analysis_create(&b->analysis, b->info, error);
    if (r == 0)
        r = masked_audio_create(&b->audio, &shape, (size_t)p->window_samples, b->live->hop_frames,
                                error);
    if (r < 0)
        return r;
    b->plane =
        memory_zeroed((size_t)b->info->image_rows * (size_t)b->info->image_cols, sizeof(float));
    b->map = memory_zeroed(map_cells, sizeof(float));
    b->pcm = memory_zeroed((size_t)b->live->hop_frames * (size_t)p->hop_length, sizeof(float));
    struct part *parts[] = {&b->ingest, &b->before, &b->after, &b->sound, &b->total, &b->cpu};
    bool complete = b->plane != NULL && b->map != NULL && b->pcm != NULL;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        parts[i]->ms = memory_zeroed(MAX_HOPS, sizeof(double));
        complete = complete && parts[i]->ms != NULL;
    }
    for (size_t i = 0; complete && i < map_cells; i++)
        b->map[i] = 1 + next_noise(b);
    return complete ? 0 : error_set(error, ENOMEM, "bench: out of memory");
}

static void destroy(struct bench *b)
{
    masked_audio_destroy(b->audio);
    analysis_destroy(b->analysis);
    stream_destroy(b->stream);
    ring_destroy(b->ring);
    free(b->plane);
    free(b->map);
    free(b->pcm);
    struct part *parts[] = {&b->ingest, &b->before, &b->after, &b->sound, &b->total, &b->cpu};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        free(parts[i]->ms);
}

/* Fills the first window, then hops until `seconds` have passed. */
static int run(struct bench *b, double seconds, int *ret_hops, struct error *error)
{
    double hop_s = (double)b->live->hop_frames * b->info->preprocess.hop_length /
                   b->info->preprocess.sample_rate;
    double window_s = (double)b->info->preprocess.window_samples / b->info->preprocess.sample_rate;
    int n = 0, warm_up = WARM_UP_HOPS;
    int64_t end = 0;
    for (double due_s = window_s; n < MAX_HOPS; due_s += hop_s) {
        int r = write_until(b, (uint64_t)(due_s * RATE_HZ), error);
        if (r == 0)
            r = run_hop(b, n, error);
        if (r < 0)
            return r;
        if (r > 0 && warm_up-- <= 0)
            n++;
        if (end == 0 && warm_up < 0)
            end = monotonic_ns() + (int64_t)(seconds * 1e9);
        if (n > 0 && monotonic_ns() >= end)
            break;
    }
    *ret_hops = n;
    return 0;
}

int pipeline_bench(const struct model *model, const struct config *config, double seconds,
                   struct pipeline_bench_result *ret, struct error *error)
{
    struct bench b = {.info = model_info(model),
                      .live = &config->live,
                      .gate = powf(10, (float)config->live.silence_gate_db / 20),
                      .start_ns = monotonic_ns(),
                      .noise = 1};
    int hops = 0;
    int r = create(&b, config, error);
    if (r == 0)
        r = run(&b, seconds, &hops, error);
    if (r == 0)
        *ret = (struct pipeline_bench_result){
            .hops = hops,
            .hop_s = (double)config->live.hop_frames * b.info->preprocess.hop_length /
                     b.info->preprocess.sample_rate,
            .rate_hz = RATE_HZ,
            .channels = CHANNELS,
            .ingest = bench_spread(b.ingest.ms, hops),
            .before = bench_spread(b.before.ms, hops),
            .after = bench_spread(b.after.ms, hops),
            .audio = bench_spread(b.sound.ms, hops),
            .total = bench_spread(b.total.ms, hops),
            .cpu = bench_spread(b.cpu.ms, hops),
        };
    destroy(&b);
    return r;
}
