/* SPDX-License-Identifier: Apache-2.0
 * Sound files of every kind come in as mono at the model's rate; what cannot be read is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "daemon/clip.h"

enum { RATE = 16000 };

static char directory[64];

static void path_of(const char *name, char *ret, size_t size)
{
    snprintf(ret, size, "%s/%s", directory, name);
}

/* A 440 Hz tone of amplitude 0.5, the second channel at half of it, `frames` long. */
static void write_tone(const char *path, int rate, int channels, int format, size_t frames)
{
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    if (file == NULL)
        fail_msg("%s: %s", path, sf_strerror(NULL));
    float *x = calloc(frames * (size_t)channels + 1, sizeof *x);
    for (size_t i = 0; i < frames; i++)
        for (int c = 0; c < channels; c++)
            x[i * (size_t)channels + (size_t)c] =
                (float)(0.5 / (c + 1) * sin(2 * M_PI * 440 * (double)i / rate));
    assert_int_equal(sf_writef_float(file, x, (sf_count_t)frames), frames);
    sf_close(file);
    free(x);
}

/* Largest difference from the tone, away from its ends, where every resampler rings. */
static double tone_error(const struct clip *clip, double amplitude)
{
    double worst = 0;
    for (size_t i = 400; i + 400 < clip->n; i++) {
        double want = amplitude * sin(2 * M_PI * 440 * (double)i / RATE);
        double d = fabs((double)clip->samples[i] - want);
        worst = d > worst || isnan(d) ? d : worst;
    }
    return worst;
}

/* Limits: half a step of the format, and of lossy ones what they lose of a tone. */
static void any_format_rate_and_channel_count_gives_the_sound(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int rate, channels, format;
        double limit;
    } cases[] = {
        {"a.wav", 16000, 1, SF_FORMAT_WAV | SF_FORMAT_FLOAT, 1e-6},
        {"b.wav", 44100, 1, SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1e-4},
        {"c.wav", 48000, 2, SF_FORMAT_WAV | SF_FORMAT_PCM_24, 1e-5},
        {"d.flac", 96000, 2, SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 1e-4},
        {"e.aiff", 8000, 1, SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 1e-4},
        {"f.ogg", 22050, 1, SF_FORMAT_OGG | SF_FORMAT_VORBIS, 0.02},
        {"g.wav", 11025, 6, SF_FORMAT_WAV | SF_FORMAT_FLOAT, 1e-5},
        {"h.wav", 192000, 1, SF_FORMAT_WAV | SF_FORMAT_PCM_32, 1e-5},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        char path[128];
        struct clip clip;
        struct error error = {""};
        double amplitude = 0;
        for (int c = 0; c < cases[k].channels; c++)
            amplitude += 0.5 / (c + 1) / cases[k].channels;
        path_of(cases[k].name, path, sizeof path);
        write_tone(path, cases[k].rate, cases[k].channels, cases[k].format,
                   (size_t)cases[k].rate / 2);
        if (clip_read(&clip, path, RATE, RESAMPLER_BEST, &error) != 0)
            fail_msg("%s", error.text);
        assert_int_equal(clip.n,
                         (cases[k].rate / 2 * (long)RATE + cases[k].rate / 2) / cases[k].rate);
        assert_int_equal(clip.rate_hz, RATE);
        assert_int_equal(clip.file_rate_hz, cases[k].rate);
        assert_int_equal(clip.file_channels, cases[k].channels);
        assert_int_equal(clip.file_frames, cases[k].rate / 2);
        assert_int_equal(clip.bad, 0);
        double worst = tone_error(&clip, amplitude);
        print_message("%s: largest difference %.1e\n", cases[k].name, worst);
        assert_true(worst <= cases[k].limit);
        clip_finish(&clip);
    }
}

static void what_is_no_number_is_zero_and_counted(void **state)
{
    (void)state;
    char path[128];
    struct clip clip;
    struct error error = {""};
    float x[1000] = {0};
    SF_INFO info = {.samplerate = RATE, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    path_of("nan.wav", path, sizeof path);
    x[3] = NAN;
    x[10] = INFINITY;
    x[11] = -INFINITY;
    x[12] = 0.25f;
    x[13] = -1e36f;  /* of a filter that ran away */
    x[14] = 0x1p31f; /* of integers that nobody scaled: very loud, but sound */
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    sf_writef_float(file, x, 1000);
    sf_close(file);
    assert_int_equal(clip_read(&clip, path, RATE, RESAMPLER_BEST, &error), 0);
    assert_int_equal(clip.bad, 4);
    for (size_t i = 0; i < clip.n; i++)
        assert_true(clip.samples[i] == (i == 12 ? 0.25f : i == 14 ? 0x1p31f : 0));
    clip_finish(&clip);
}

static void refused(const char *path, int code, const char *reason)
{
    struct clip clip = {.n = 77};
    struct error error = {""};
    assert_int_equal(clip_read(&clip, path, RATE, RESAMPLER_BEST, &error), code);
    assert_int_equal(clip.n, 77);
    if (strstr(error.text, path) == NULL || strstr(error.text, reason) == NULL)
        fail_msg("the line must name %s and say %s: %s", path, reason, error.text);
    assert_null(strchr(error.text, '\n'));
}

static void what_cannot_be_read_is_named_in_one_line(void **state)
{
    (void)state;
    char path[128];
    path_of("missing.wav", path, sizeof path);
    refused(path, -ENOENT, "No such file");
    refused(directory, -EISDIR, "directory");
    path_of("empty.wav", path, sizeof path);
    write_tone(path, 44100, 1, SF_FORMAT_WAV | SF_FORMAT_PCM_16, 0);
    refused(path, -EINVAL, "no audio frames");
    path_of("text.wav", path, sizeof path);
    FILE *f = fopen(path, "we");
    fputs("this is not a sound file, whatever its name says\n", f);
    fclose(f);
    refused(path, -EINVAL, "not a sound file");
    path_of("nothing.wav", path, sizeof path);
    f = fopen(path, "we");
    fclose(f);
    refused(path, -EINVAL, "not a sound file");
    path_of("slow.wav", path, sizeof path);
    write_tone(path, 100, 1, SF_FORMAT_WAV | SF_FORMAT_PCM_16, 100);
    refused(path, -EINVAL, "100");
}

static void a_file_that_breaks_off_gives_what_is_there_or_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int format;
    } cases[] = {{"cut.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16},
                 {"cut.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16},
                 {"cut.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        char path[128];
        struct stat st;
        struct clip clip;
        struct error error = {""};
        path_of(cases[k].name, path, sizeof path);
        write_tone(path, 44100, 1, cases[k].format, 44100);
        assert_int_equal(stat(path, &st), 0);
        for (off_t size = st.st_size * 3 / 4; size > 0; size /= 3) {
            assert_int_equal(truncate(path, size), 0);
            if (clip_read(&clip, path, RATE, RESAMPLER_BEST, &error) < 0) {
                assert_non_null(strstr(error.text, path));
                continue;
            }
            assert_true(clip.n > 0 && clip.n < RATE);
            clip_finish(&clip);
        }
    }
}

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/focald-clip-XXXXXX");
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_format_rate_and_channel_count_gives_the_sound),
        cmocka_unit_test(what_is_no_number_is_zero_and_counted),
        cmocka_unit_test(what_cannot_be_read_is_named_in_one_line),
        cmocka_unit_test(a_file_that_breaks_off_gives_what_is_there_or_is_named),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
