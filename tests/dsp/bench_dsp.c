/* SPDX-License-Identifier: Apache-2.0
 * The time of each piece of dsp/ for one 0.5 s hop of 48 kHz stereo in the recipe's shape: 43
 * frames of a window of 431. Prints the best and the median of many runs. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "dsp/resampler.h"
#include "dsp/resize.h"
#include "dsp/sinc_resample.h"
#include "dsp/sliding.h"
#include "dsp/spectrogram.h"
#include "dsp/stft.h"
#include "noise.h"

enum {
    RUNS = 101,
    RATE = 48000,
    BLOCK = 1024,
    HOP_IN = 24000,
    WINDOW = 80000,
    T = 431,
    F = 513,
    CELLS = T * F,
    HOP_FRAMES = 43,
    HOP_OUT = HOP_FRAMES * 186
};

static const struct stft_shape shape = {1024, 372, 186};

struct bench {
    float *in;       /* [HOP_IN][2] */
    float *samples;  /* [WINDOW] */
    float *spectrum; /* [T][F][2] */
    float *out;      /* [T][F][2] */
    uint8_t *mask;   /* [T][F] */
    void *object;
    const struct spectrogram_ops *ops;
    uint64_t first;
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, struct bench *b, void (*run)(struct bench *b))
{
    double ms[RUNS];
    for (int i = 0; i < RUNS; i++) {
        double begin = now_ms();
        run(b);
        ms[i] = now_ms() - begin;
    }
    qsort(ms, RUNS, sizeof ms[0], ascending);
    printf("%-44s %9.3f %9.3f\n", name, ms[0], ms[RUNS / 2]);
}

static void check(int r, const struct error *e)
{
    if (r < 0) {
        fprintf(stderr, "bench_dsp: %s\n", e->text);
        exit(1);
    }
}

static void run_resampler(struct bench *b)
{
    for (size_t at = 0; at < HOP_IN; at += BLOCK) {
        size_t n = HOP_IN - at < BLOCK ? HOP_IN - at : BLOCK;
        resampler_push(b->object, b->in + 2 * at, n, b->out);
    }
}

static void run_sinc(struct bench *b)
{
    sinc_resample_run(b->object, b->in, HOP_IN, b->out);
}

static void run_stft(struct bench *b)
{
    for (size_t t = 0; t < HOP_FRAMES; t++)
        stft_frame(b->object, b->samples + t * 186, b->out + t * F * 2);
}

static void run_istft(struct bench *b)
{
    for (size_t t = 0; t < HOP_FRAMES; t++)
        istft_push(b->object, b->spectrum + t * F * 2, b->out);
}

static void run_sliding(struct bench *b)
{
    sliding_push(b->object, b->samples, HOP_OUT);
    b->first += HOP_OUT;
    sliding_window(b->object, b->first, b->samples, b->out);
}

static void run_log(struct bench *b)
{
    b->ops->log(b->spectrum, CELLS, 0.7f, b->out);
}

static void run_mask(struct bench *b)
{
    b->ops->mask(b->spectrum, b->mask, HOP_FRAMES * F, b->out);
}

static void run_peak(struct bench *b)
{
    float max, peak;
    size_t bad;
    b->ops->peak(b->samples, WINDOW, &max, &peak, &bad);
}

static void run_interpret(struct bench *b)
{
    spectrogram_interpret(b->samples, b->mask, b->spectrum, HOP_FRAMES * F, b->out);
}

static void run_resize(struct bench *b)
{
    resize_run(b->object, b->spectrum, b->out);
}

static void bench_resamplers(struct bench *b)
{
    static const char *const names[] = {"fast", "medium", "best"};
    static const int rates[] = {48000, 44100, 44101};
    struct error e;
    char name[64];
    for (size_t r = 0; r < ARRAY_LEN(rates); r++)
        for (int q = RESAMPLER_FAST; q <= RESAMPLER_BEST; q++) {
            struct resampler *resampler;
            double begin = now_ms();
            check(resampler_create(&resampler, rates[r], 2, 16000, (enum resampler_quality)q, BLOCK,
                                   &e),
                  &e);
            double made = now_ms() - begin;
            b->object = resampler;
            snprintf(name, sizeof name, "resample %d Hz, %s (made in %.0f ms)", rates[r], names[q],
                     made);
            measure(name, b, run_resampler);
            resampler_destroy(resampler);
        }
    struct sinc_resample *sinc;
    check(sinc_resample_create(&sinc, RATE, 16000, &e), &e);
    b->object = sinc;
    measure("resample as published, mono", b, run_sinc);
    sinc_resample_destroy(sinc);
}

static void bench_transforms(struct bench *b)
{
    struct error e;
    struct stft *stft;
    struct istft *istft;
    struct sliding *sliding;
    double begin = now_ms();
    check(stft_create(&stft, &shape, &e), &e);
    check(istft_create(&istft, &shape, &e), &e);
    printf("%-44s %9.3f\n", "planning STFT and inverse, once", now_ms() - begin);
    check(sliding_create(&sliding, &shape, WINDOW, &e), &e);
    b->object = stft;
    measure("STFT, 43 frames", b, run_stft);
    b->object = istft;
    measure("inverse STFT, 43 frames", b, run_istft);
    b->object = sliding;
    sliding_push(sliding, b->samples, WINDOW);
    measure("history: 43 frames and a copy of a window", b, run_sliding);
    stft_destroy(stft);
    istft_destroy(istft);
    sliding_destroy(sliding);
}

static void bench_loops(struct bench *b)
{
    char name[64];
    for (size_t v = 0; (b->ops = spectrogram_ops_at(v)) != NULL; v++) {
        snprintf(name, sizeof name, "log spectrogram, 431 x 513, %s", b->ops->name);
        measure(name, b, run_log);
        snprintf(name, sizeof name, "mask, 43 frames, %s", b->ops->name);
        measure(name, b, run_mask);
        snprintf(name, sizeof name, "peak of a window, %s", b->ops->name);
        measure(name, b, run_peak);
    }
    measure("interpretation, 43 frames", b, run_interpret);
}

static void bench_resizes(struct bench *b)
{
    static const struct {
        const char *name;
        int size[4];
        bool antialias;
    } cases[] = {{"resize 431 x 513 to 224 x 224, antialiased", {T, F, 224, 224}, true},
                 {"resize 431 x 513 to 224 x 224, plain", {T, F, 224, 224}, false},
                 {"resize 7 x 7 to 431 x 513", {7, 7, T, F}, false}};
    struct error e;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct resize *resize;
        const int *s = cases[i].size;
        check(resize_create(&resize, s[0], s[1], s[2], s[3], cases[i].antialias, &e), &e);
        b->object = resize;
        measure(cases[i].name, b, run_resize);
        resize_destroy(resize);
    }
}

int main(void)
{
    struct noise noise = noise_start();
    struct bench b = {
        .in = memory_zeroed((size_t)HOP_IN * 2, sizeof(float)),
        .samples = memory_zeroed(WINDOW, sizeof(float)),
        .spectrum = memory_zeroed(CELLS, sizeof(float[2])),
        .out = memory_zeroed(CELLS, sizeof(float[2])),
        .mask = memory_zeroed(CELLS, 1),
    };
    if (b.in == NULL || b.samples == NULL || b.spectrum == NULL || b.out == NULL || b.mask == NULL)
        return 1;
    noise_fill(&noise, b.in, (size_t)HOP_IN * 2);
    noise_fill(&noise, b.samples, WINDOW);
    for (size_t i = 0; i < CELLS; i++) {
        b.spectrum[2 * i] = noise_sample(&noise) * 100;
        b.spectrum[2 * i + 1] = noise_sample(&noise) * 100;
        b.mask[i] = noise_below(&noise, 10) == 0;
    }
    printf("%-44s %9s %9s\n", "", "best ms", "median ms");
    bench_resamplers(&b);
    bench_transforms(&b);
    bench_loops(&b);
    bench_resizes(&b);
    free(b.in);
    free(b.samples);
    free(b.spectrum);
    free(b.out);
    free(b.mask);
    return 0;
}
