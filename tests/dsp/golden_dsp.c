/* SPDX-License-Identifier: Apache-2.0
 * T = 431 frames, F = 513 bins. Limits are those that the reference suggests; for the kernel and
 * the window, of which it says nothing, one step of float32 near their largest value. */
#include "golden_dsp.h"

#include <math.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/resize.h"
#include "dsp/sinc_resample.h"
#include "dsp/spectrogram.h"
#include "dsp/stft.h"
#include "tests/compare.h"

enum {
    SAMPLES = 80000,
    T = 431,
    F = 513,
    CELLS = T * F,
    HOP = 186,
    IMAGE = 224 * 224,
    INVERSE = (T - 1) * HOP,
    KERNEL_TAPS = 475,
    WINDOW = 372,
};

static const struct stft_shape shape = {1024, WINDOW, HOP};
static const double kernel_limit = 0x1p-25, window_limit = 0.46 * 2.4e-7 + 3 * 6e-8;

enum tensor { WAV, WAV_MAX, STFT, LOG, PLAIN, AA, MASK, ISTFT, EXPM1, MASKED_LOG, TENSORS };

static const struct {
    const char *name;
    size_t bytes;
    double limit;
} tensors[TENSORS] = {
    [WAV] = {"wav16k", SAMPLES * 4, 2e-5},
    [WAV_MAX] = {"wav16k_max", 4, 2e-5},
    [STFT] = {"stft", CELLS * 8, 1e-4},
    [LOG] = {"logspec", CELLS * 4, 5e-5},
    [PLAIN] = {"resized224", IMAGE * 4, 5e-5},
    [AA] = {"resized224_aa", IMAGE * 4, 5e-5},
    [MASK] = {"mask", CELLS, 0},
    [ISTFT] = {"istft", INVERSE * 4, 5e-6},
    [EXPM1] = {"istft_masked_expm1", INVERSE * 4, 5e-6},
    [MASKED_LOG] = {"istft_masked_log", INVERSE * 4, 5e-6},
};

struct check {
    golden_tensor tensor;
    golden_report report;
    void *user;
    int beyond;
    struct stft *stft;
    struct istft *istft;
    struct resize *plain, *aa;
    struct sinc_resample *resample;
    float *signal;   /* [SAMPLES] */
    float *spectrum; /* [T][F][2] */
    float *logspec;  /* [T][F] */
    float *scratch;  /* [T][F][2] */
};

struct clip {
    const char *name, *file;
    const char *note;      /* behind the names in reports */
    void *stored[TENSORS]; /* aligned copies; NULL if missing */
};

/* Comparing */

static void tell(struct check *c, const char *name, double error, double limit)
{
    if (!(error <= limit))
        c->beyond++;
    c->report(c->user, name, error, limit);
}

static void compare(struct check *c, const struct clip *clip, enum tensor t, const float *got)
{
    if (clip->stored[t] == NULL)
        return; /* reported when it was not found */
    char name[128];
    snprintf(name, sizeof name, "%s.%s%s", clip->name, tensors[t].name, clip->note);
    tell(c, name, distance_between(got, clip->stored[t], tensors[t].bytes / sizeof(float)).off,
         tensors[t].limit);
}

/* An aligned copy, or NULL and a report. */
static void *load(struct check *c, const char *name, size_t bytes, double limit)
{
    size_t have = 0;
    const void *data = c->tensor(c->user, name, &have);
    void *copy = data != NULL && have == bytes ? memory_zeroed(bytes, 1) : NULL;
    if (copy == NULL)
        tell(c, name, (double)NAN, limit);
    else
        memcpy(copy, data, bytes);
    return copy;
}

/* The steps */

/* spectrum: [T][F][2] -> ret: [INVERSE], without the hop before the first frame's centre. */
static void invert(struct check *c, const float *spectrum, float *ret)
{
    float before[HOP];
    istft_reset(c->istft);
    istft_push(c->istft, spectrum, before);
    for (size_t t = 1; t < T; t++)
        istft_push(c->istft, spectrum + t * F * 2, ret + (t - 1) * HOP);
}

/* amplitude: [T][F] with the phase of spectrum. */
static void with_phase(const float *amplitude, const float *spectrum, float *ret)
{
    for (size_t i = 0; i < CELLS; i++) {
        float phase = atan2f(spectrum[2 * i + 1], spectrum[2 * i]);
        ret[2 * i] = amplitude[i] * cosf(phase);
        ret[2 * i + 1] = amplitude[i] * sinf(phase);
    }
}

static void check_inverses(struct check *c, const struct clip *clip, const float *spectrum,
                           const float *logspec)
{
    float *out = memory_zeroed(INVERSE, sizeof *out);
    if (out == NULL) {
        tell(c, "out of memory", (double)NAN, 0);
        return;
    }
    invert(c, spectrum, out);
    compare(c, clip, ISTFT, out);
    const uint8_t *mask = clip->stored[MASK];
    if (mask != NULL) {
        spectrogram_interpret(logspec, mask, spectrum, CELLS, c->scratch);
        invert(c, c->scratch, out);
        compare(c, clip, EXPM1, out);
        float *masked = memory_zeroed(CELLS, sizeof *masked);
        for (size_t i = 0; masked != NULL && i < CELLS; i++)
            masked[i] = mask[i] ? logspec[i] : 0;
        if (masked != NULL)
            with_phase(masked, spectrum, c->scratch);
        invert(c, c->scratch, out);
        compare(c, clip, MASKED_LOG, out);
        free(masked);
    }
    free(out);
}

static void check_images(struct check *c, const struct clip *clip, const float *logspec)
{
    resize_run(c->plain, logspec, c->scratch);
    compare(c, clip, PLAIN, c->scratch);
    resize_run(c->aa, logspec, c->scratch);
    compare(c, clip, AA, c->scratch);
}

/* Every step from the stored result of the one before. */
static void check_isolated(struct check *c, const struct clip *clip)
{
    if (clip->stored[WAV] != NULL) {
        stft_signal(c->stft, clip->stored[WAV], SAMPLES, c->spectrum);
        compare(c, clip, STFT, c->spectrum);
    }
    if (clip->stored[STFT] != NULL) {
        spectrogram_log(clip->stored[STFT], CELLS, 1, c->logspec);
        compare(c, clip, LOG, c->logspec);
    }
    if (clip->stored[LOG] != NULL)
        check_images(c, clip, clip->stored[LOG]);
    if (clip->stored[STFT] != NULL && clip->stored[LOG] != NULL)
        check_inverses(c, clip, clip->stored[STFT], clip->stored[LOG]);
}

/* From the clip */

/* The clip at 16 kHz into c->signal; false if it cannot be read or is not of the expected form. */
static bool read_clip(struct check *c, const char *dir, const char *file)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    SF_INFO info = {0};
    SNDFILE *sound = sf_open(path, SFM_READ, &info);
    float *x = NULL;
    bool ok = sound != NULL && info.channels == 1 && info.samplerate == 44100 && info.frames > 0 &&
              info.frames < 1 << 20;
    if (ok) {
        size_t n = (size_t)info.frames;
        x = memory_zeroed(n, sizeof *x);
        ok = x != NULL && sf_readf_float(sound, x, info.frames) == info.frames &&
             sinc_resample_length(c->resample, n) == SAMPLES;
        if (ok)
            sinc_resample_run(c->resample, x, n, c->signal);
    }
    free(x);
    if (sound != NULL)
        sf_close(sound);
    return ok;
}

/* As the daemon does it: the signal is not normalised, its spectrum is scaled. */
static void check_chain(struct check *c, const struct clip *clip, const char *clips_dir)
{
    float max, peak;
    size_t bad;
    if (!read_clip(c, clips_dir, clip->file)) {
        tell(c, clip->file, (double)NAN, 0);
        return;
    }
    signal_peak(c->signal, SAMPLES, &max, &peak, &bad);
    compare(c, clip, WAV_MAX, &max);
    for (size_t i = 0; i < SAMPLES; i++)
        c->scratch[i] = c->signal[i] / max;
    compare(c, clip, WAV, c->scratch);
    stft_signal(c->stft, c->signal, SAMPLES, c->spectrum);
    spectrogram_log(c->spectrum, CELLS, 1 / max, c->logspec);
    for (size_t i = 0; i < CELLS * 2; i++)
        c->spectrum[i] /= max;
    compare(c, clip, STFT, c->spectrum);
    compare(c, clip, LOG, c->logspec);
    check_images(c, clip, c->logspec);
    check_inverses(c, clip, c->spectrum, c->logspec);
}

static void check_tables(struct check *c)
{
    static const int phases[] = {0, 1, 80, 159};
    float *rows = load(c, "resample_kernel_rows", sizeof(float[4][KERNEL_TAPS]), kernel_limit);
    float *window = load(c, "stft_window", sizeof(float[WINDOW]), window_limit);
    if (rows != NULL && sinc_resample_taps(c->resample) == KERNEL_TAPS) {
        double error = 0;
        for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
            sinc_resample_row(c->resample, phases[i], c->scratch);
            error =
                worse(error, distance_between(c->scratch, rows + i * KERNEL_TAPS, KERNEL_TAPS).off);
        }
        tell(c, "resample_kernel_rows", error, kernel_limit);
    } else if (rows != NULL) {
        tell(c, "resample_kernel_rows", (double)NAN, kernel_limit);
    }
    if (window != NULL)
        tell(c, "stft_window", distance_between(stft_window(c->stft), window, WINDOW).off,
             window_limit);
    free(rows);
    free(window);
}

/* All together */

static bool prepare(struct check *c)
{
    struct error e;
    c->signal = memory_zeroed(SAMPLES, sizeof(float));
    c->spectrum = memory_zeroed(CELLS, sizeof(float[2]));
    c->logspec = memory_zeroed(CELLS, sizeof(float));
    c->scratch = memory_zeroed(CELLS, sizeof(float[2]));
    return c->signal != NULL && c->spectrum != NULL && c->logspec != NULL && c->scratch != NULL &&
           stft_create(&c->stft, &shape, &e) == 0 && istft_create(&c->istft, &shape, &e) == 0 &&
           resize_create(&c->plain, T, F, 224, 224, false, &e) == 0 &&
           resize_create(&c->aa, T, F, 224, 224, true, &e) == 0 &&
           sinc_resample_create(&c->resample, 44100, 16000, &e) == 0;
}

static void clean(struct check *c)
{
    stft_destroy(c->stft);
    istft_destroy(c->istft);
    resize_destroy(c->plain);
    resize_destroy(c->aa);
    sinc_resample_destroy(c->resample);
    free(c->signal);
    free(c->spectrum);
    free(c->logspec);
    free(c->scratch);
}

int golden_dsp_check(golden_tensor tensor, void *user, const char *clips_dir, golden_report report)
{
    struct check c = {.tensor = tensor, .report = report, .user = user};
    struct clip clips[] = {{.name = "clip1", .file = "1-100032-A-0.wav"},
                           {.name = "clip2", .file = "2-100648-A-43.wav"}};
    if (!prepare(&c)) {
        clean(&c);
        report(user, "the objects of dsp/", (double)NAN, 0);
        return 1;
    }
    check_tables(&c);
    for (size_t i = 0; i < ARRAY_LEN(clips); i++) {
        for (int t = 0; t < TENSORS; t++) {
            char name[64];
            snprintf(name, sizeof name, "%s.%s", clips[i].name, tensors[t].name);
            clips[i].stored[t] = load(&c, name, tensors[t].bytes, tensors[t].limit);
        }
        clips[i].note = "";
        check_isolated(&c, &clips[i]);
        clips[i].note = " (from the clip)";
        if (clips_dir != NULL)
            check_chain(&c, &clips[i], clips_dir);
        for (int t = 0; t < TENSORS; t++)
            free(clips[i].stored[t]);
    }
    clean(&c);
    return c.beyond;
}
