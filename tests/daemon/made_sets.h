/* SPDX-License-Identifier: Apache-2.0
 * Sets of clips for tests of what a training reads, in the scratch directory. */
#ifndef FOCALD_TESTS_DAEMON_MADE_SETS_H
#define FOCALD_TESTS_DAEMON_MADE_SETS_H

#include "tests/model/places.h"

#include <math.h>
#include <sndfile.h>

#include "daemon/train_data.h"

enum { RATE = 16000, FRAME = 372 };
enum { FOLD1 = 1 << 1, FOLD2 = 1 << 2, FOLD3 = 1 << 3, FOLD4 = 1 << 4 };

/* A sound of n samples that is the clip's own; format: libsndfile's. */
static inline void write_sound(const char *path, int rate, int channels, int format, int n)
{
    static unsigned sounds;
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    float *x = calloc((size_t)(n * channels) + 1, sizeof *x);
    sounds++;
    assert_non_null(file);
    for (int i = 0; i < n * channels; i++)
        x[i] = (float)(0.5 * sin(0.01 * i * (1 + sounds % 7)));
    assert_int_equal(sf_writef_float(file, x, n), n);
    sf_close(file);
    free(x);
}

static inline void write_wav(const char *path, int n)
{
    write_sound(path, RATE, 1, SF_FORMAT_WAV | SF_FORMAT_FLOAT, n);
}

static inline struct place in_set(const char *set, const char *folder, const char *file)
{
    char name[256];
    snprintf(name, sizeof name, "%s/%s/%s", set, folder, file);
    return in_scratch(name);
}

/* A set in ESC-50's layout: "name fold class" in each line. */
static inline struct place make_set(const char *name, const char *const *clips, int n)
{
    struct place dir = in_scratch(name);
    char file[64], class[64];
    int fold;
    mkdir(dir.path, 0777);
    mkdir(in_set(name, "audio", "").path, 0777);
    mkdir(in_set(name, "meta", "").path, 0777);
    FILE *f = fopen(in_set(name, "meta", "esc50.csv").path, "we");
    assert_non_null(f);
    fputs("filename,fold,target,category\n", f);
    for (int i = 0; i < n; i++) {
        assert_int_equal(sscanf(clips[i], "%63s %d %63[^\n]", file, &fold, class), 3);
        fprintf(f, "%s,%d,0,%s\n", file, fold, class);
        struct place sound = in_set(name, "audio", file);
        if (access(sound.path, F_OK) != 0)
            write_wav(sound.path, 1000 + i);
    }
    assert_int_equal(fclose(f), 0);
    return dir;
}

#define SET(name, ...)                                                                             \
    make_set(name, (const char *const[]){__VA_ARGS__},                                             \
             (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

/* Two sets: kitchen calls chirping_birds by another name. */
static struct place farm, kitchen;

static inline void make_sets(void)
{
    farm = SET("farm", "a.wav 1 dog", "b.wav 1 chirping_birds", "c.wav 2 dog", "d.wav 4 dog",
               "e.wav 4 chirping_birds", "f.wav 5 dog");
    kitchen = SET("kitchen", "a.wav 4 bird", "b.wav 2 bird", "c.wav 2 plates", "d.wav 4 plates",
                  "e.wav 6 plates");
}

static const char *const aliases[] = {"bird=chirping birds"};

static inline struct train_data_config config_of(const struct train_set *sets, int n)
{
    return (struct train_data_config){.sets = sets,
                                      .n_sets = n,
                                      .aliases = aliases,
                                      .n_aliases = 1,
                                      .rate_hz = RATE,
                                      .least_samples = FRAME};
}

static inline struct train_data read_well(const struct train_data_config *config)
{
    struct train_data data;
    struct error error = {""};
    if (train_data_read(&data, config, &error) != 0)
        fail_msg("%s", error.text);
    return data;
}

/* With this code and a line that has these words. */
static inline void refused(const struct train_data_config *config, int code, const char *a,
                           const char *b, const char *c)
{
    struct train_data data = {.n = -7};
    struct error error = {""};
    int r = train_data_read(&data, config, &error);
    if (r != code)
        fail_msg("%d instead of %d: %s", r, code, error.text);
    assert_int_equal(data.n, -7); /* untouched */
    assert_line(&error, a, b, c, NULL);
}

#endif
