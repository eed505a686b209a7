/* SPDX-License-Identifier: Apache-2.0
 * What runs for every block and every window takes no memory. The C library's allocator is counted,
 * so calls from within FFTW and libsamplerate count too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_ALLOCATOR 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 1
#endif

#ifdef OWN_ALLOCATOR

int main(void)
{
    printf("skipped: the sanitizer brings its own allocator, which cannot be counted\n");
    return 77;
}

#else

#include "base/memory.h"
#include "dsp/resampler.h"
#include "dsp/resize.h"
#include "dsp/sliding.h"
#include "dsp/spectrogram.h"
#include "dsp/stft.h"
#include "noise.h"

/* glibc's own names; this program's definitions stand before it for all shared libraries. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static unsigned long allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    allocations++;
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    allocations++;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    allocations++;
    *ret = __libc_memalign(alignment, size);
    return *ret == NULL;
}

enum { WINDOW = 80000, T = 431, F = 513, BLOCK = 1024, PUSHES = 600 };

static const struct stft_shape shape = {1024, 372, 186};

static void the_allocator_is_counted(void **state)
{
    (void)state;
    unsigned long before = allocations;
    struct resampler *r = NULL;
    struct error e;
    assert_int_equal(resampler_create(&r, 48000, 2, 16000, RESAMPLER_FAST, BLOCK, &e), 0);
    resampler_destroy(r);
    assert_true(allocations > before + 2);
}

static void pushing_audio_takes_no_memory(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static const int rates[] = {8000, 16000, 44100, 44101, 48000}; /* table, none, libsamplerate */
    static float block[BLOCK * 2];
    struct error e;
    noise_fill(&noise, block, ARRAY_LEN(block));
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        struct resampler *r = NULL;
        struct sliding *s = NULL;
        assert_int_equal(resampler_create(&r, rates[i], 2, 16000, RESAMPLER_FAST, BLOCK, &e), 0);
        assert_int_equal(sliding_create(&s, &shape, WINDOW, &e), 0);
        float *pcm = memory_zeroed(resampler_out_max(r), sizeof(float));
        unsigned long before = allocations;
        for (int k = 0; k < PUSHES; k++) {
            ssize_t n = resampler_push(r, block, noise_below(&noise, BLOCK + 1), pcm);
            sliding_push(s, pcm, (size_t)n);
            if (k % 200 == 150)
                sliding_skip(s, 1000);
            if (k % 200 == 170)
                resampler_reset(r);
        }
        ssize_t n = resampler_flush(r, pcm);
        sliding_push(s, pcm, (size_t)n);
        assert_int_equal(allocations, before);
        resampler_destroy(r);
        sliding_destroy(s);
        free(pcm);
    }
}

static void a_window_takes_no_memory(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    struct error e;
    struct sliding *s = NULL;
    struct istft *istft = NULL;
    struct resize *shrink = NULL, *grow = NULL;
    float *samples = memory_zeroed(WINDOW, sizeof(float));
    float *spectrum = memory_zeroed((size_t)T * F, sizeof(float[2]));
    float *logspec = memory_zeroed((size_t)T * F, sizeof(float));
    float *plane = memory_zeroed((size_t)T * F, sizeof(float));
    uint8_t *mask = memory_zeroed((size_t)T * F, 1);
    assert_int_equal(sliding_create(&s, &shape, WINDOW, &e), 0);
    assert_int_equal(istft_create(&istft, &shape, &e), 0);
    assert_int_equal(resize_create(&shrink, T, F, 224, 224, true, &e), 0);
    assert_int_equal(resize_create(&grow, 7, 7, T, F, true, &e), 0);
    noise_fill(&noise, samples, WINDOW);
    unsigned long before = allocations;
    float max, peak;
    size_t bad;
    sliding_push(s, samples, WINDOW);
    assert_true(sliding_window(s, 0, samples, spectrum));
    signal_peak(samples, WINDOW, &max, &peak, &bad);
    spectrogram_log(spectrum, (size_t)T * F, 1 / max, logspec);
    resize_run(shrink, logspec, plane);
    resize_run(grow, plane, logspec);
    spectrogram_interpret(logspec, mask, spectrum, (size_t)T * F, spectrum);
    spectrogram_mask(spectrum, mask, (size_t)T * F, spectrum);
    for (size_t t = 0; t < T; t++)
        istft_push(istft, spectrum + t * F * 2, plane);
    istft_reset(istft);
    assert_int_equal(allocations, before);
    sliding_destroy(s);
    istft_destroy(istft);
    resize_destroy(shrink);
    resize_destroy(grow);
    free(samples);
    free(spectrum);
    free(logspec);
    free(plane);
    free(mask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_allocator_is_counted),
        cmocka_unit_test(pushing_audio_takes_no_memory),
        cmocka_unit_test(a_window_takes_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
