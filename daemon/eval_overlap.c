/* SPDX-License-Identifier: Apache-2.0
 * The mixture goes the way of any clip, through the classifier.
 *
 * W: samples of a window. */
#include "daemon/eval_overlap.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/classifier.h"
#include "daemon/classify_files.h"
#include "daemon/classify_print.h"
#include "dsp/spectrogram.h"

struct overlap {
    struct overlap_config config;
    const struct model_info *info;
    char *names[2]; /* paths; the second lies in the first's memory */
    char *stem;     /* "DIR/overlap-1-dog-rooster" */
    char title[256];
    size_t n;          /* W */
    float *sources[2]; /* [W] as they are in the mixture */
    struct clip mixture;
    struct error error; /* of the callback */
    int result;
};

int overlap_mode_parse(const char *name, enum overlap_mode *ret, struct error *error)
{
    if (strcmp(name, "mix") != 0 && strcmp(name, "concat") != 0)
        return error_set(error, EINVAL, "--overlap-mode %.40s: allowed: mix, concat", name);
    *ret = strcmp(name, "mix") == 0 ? OVERLAP_MIX : OVERLAP_CONCAT;
    return 0;
}

int overlap_files_check(const char *files, struct error *error)
{
    const char *comma = strchr(files, ',');
    if (comma == NULL || comma == files || comma[1] == '\0')
        return error_set(error, EINVAL, "--overlap %.200s: allowed: two sound files as A,B", files);
    return 0;
}

/* Names */

static int split(struct overlap *o, const char *files, struct error *error)
{
    const char *comma = strchr(files, ',');
    o->names[0] = strdup(files);
    if (o->names[0] == NULL)
        return error_set(error, ENOMEM, "out of memory");
    o->names[1] = o->names[0] + (comma - files) + 1;
    o->names[1][-1] = '\0';
    return 0;
}

/* The name without directories, and how many bytes of it are before its ending. */
static const char *short_name(const char *path, int *ret_length)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    *ret_length = dot != NULL && dot != name ? (int)(dot - name) : (int)strlen(name);
    return name;
}

static int make_names(struct overlap *o, struct error *error)
{
    int a, b;
    const char *first = short_name(o->names[0], &a), *second = short_name(o->names[1], &b);
    snprintf(o->title, sizeof o->title, "%.*s %s %.*s", a < 100 ? a : 100, first,
             o->config.mode == OVERLAP_MIX ? "with" : "before", b < 100 ? b : 100, second);
    if (asprintf(&o->stem, "%s/overlap-%d-%.*s-%.*s", o->config.dir, o->config.number,
                 a < 100 ? a : 100, first, b < 100 ? b : 100, second) < 0) {
        o->stem = NULL;
        return error_set(error, ENOMEM, "out of memory");
    }
    return 0;
}

/* Sound */

/* Divided by its maximum, as every clip is. */
static int read_source(struct overlap *o, struct eval_maker *maker, int k, struct error *error)
{
    uint64_t bad;
    size_t none;
    float max, peak, *x = o->sources[k];
    int r = eval_read_samples(maker, o->names[k], x, &bad, error);
    if (r < 0)
        return r;
    signal_peak(x, o->n, &max, &peak, &none);
    if (!(signal_scale(max) > 0))
        return error_set(error, EINVAL, "%s: is silent; an overlap needs two sounds", o->names[k]);
    for (size_t i = 0; i < o->n; i++)
        x[i] /= fabsf(max);
    return 0;
}

/* Lays the sources out as they are heard, and their sum into mixture: [W], all at a level where the
 * mixture does not exceed 1. */
static void mix(struct overlap *o, float *mixture)
{
    float *a = o->sources[0], *b = o->sources[1], peak = 0;
    size_t half = o->n / 2;
    if (o->config.mode == OVERLAP_CONCAT) {
        memmove(b + half, b, (o->n - half) * sizeof *b);
        memset(b, 0, half * sizeof *b);
        memset(a + half, 0, (o->n - half) * sizeof *a);
    }
    for (size_t i = 0; i < o->n; i++)
        peak = fmaxf(peak, fabsf(a[i] + b[i]));
    float scale = peak > 1 ? 1 / peak : 1;
    for (size_t i = 0; i < o->n; i++) {
        a[i] *= scale;
        b[i] *= scale;
        mixture[i] = a[i] + b[i];
    }
}

/* Files */

static int write_sound(struct overlap *o, const char *what, const float *x, int rate_hz)
{
    char *path;
    if (asprintf(&path, "%s-%s.wav", o->stem, what) < 0)
        return error_set(&o->error, ENOMEM, "out of memory");
    int r = classify_write_wav(path, x, o->n, rate_hz, &o->error);
    free(path);
    return r;
}

static int write_picture(struct overlap *o, const struct classified_clip *clip)
{
    char title[512], subtitle[512], *path;
    struct classify_top top;
    classify_top(clip, o->info->n_classes, 5, &top);
    classify_title(o->title, clip, o->info, &top, title, sizeof title);
    classify_subtitle(clip, o->info, &top, o->config.quantile, subtitle, sizeof subtitle);
    struct picture_text text = {title, subtitle};
    if (asprintf(&path, "%s.png", o->stem) < 0)
        return error_set(&o->error, ENOMEM, "out of memory");
    picture_show_mask(clip->picture);
    int r = picture_write(clip->picture, &text, path, &o->error);
    free(path);
    return r;
}

static void heard(void *user, struct classified_clip *clip)
{
    struct overlap *o = user;
    int rate = clip->clip.rate_hz;
    o->result = clip->failed ? error_set(&o->error, ERANGE, "%s: %s", o->title, clip->error.text)
                             : write_sound(o, "mixture", clip->clip.samples, rate);
    if (o->result == 0)
        o->result = write_sound(o, "interpretation", clip->interpreted, rate);
    if (o->result == 0)
        o->result = write_sound(o, "a", o->sources[0], rate);
    if (o->result == 0)
        o->result = write_sound(o, "b", o->sources[1], rate);
    if (o->result == 0)
        o->result = write_picture(o, clip);
}

static int prepare(struct overlap *o, struct error *error)
{
    struct eval_maker *maker = NULL;
    o->mixture = (struct clip){.samples = calloc(o->n, sizeof(float)),
                               .n = o->n,
                               .rate_hz = o->info->preprocess.sample_rate};
    for (int k = 0; k < 2; k++)
        o->sources[k] = memory_zeroed(o->n, sizeof(float));
    int r = o->mixture.samples == NULL || o->sources[0] == NULL || o->sources[1] == NULL
                ? error_set(error, ENOMEM, "eval: out of memory")
                : eval_maker_create(&maker, o->info, o->config.resampler, error);
    for (int k = 0; k < 2 && r == 0; k++)
        r = read_source(o, maker, k, error);
    eval_maker_destroy(maker);
    if (r == 0)
        mix(o, o->mixture.samples);
    return r;
}

int overlap_open(struct overlap **ret, const struct overlap_config *config, const char *files,
                 struct error *error)
{
    struct overlap *o = calloc(1, sizeof *o);
    if (o == NULL)
        return error_set(error, ENOMEM, "eval: out of memory");
    o->config = *config;
    o->info = model_info(config->model);
    o->n = (size_t)o->info->preprocess.window_samples;
    int r = split(o, files, error);
    if (r == 0)
        r = make_names(o, error);
    if (r == 0)
        r = prepare(o, error);
    if (r < 0) {
        overlap_close(o);
        return r;
    }
    *ret = o;
    return 0;
}

int overlap_run(struct overlap *o, struct error *error)
{
    struct classifier *classifier = NULL;
    struct classifier_config config = {.model = o->config.model,
                                       .backend = o->config.backend,
                                       .precision = o->config.precision,
                                       .threads = o->config.threads,
                                       .batch = 1,
                                       .quantile = o->config.quantile,
                                       .interpret = true,
                                       .picture = true,
                                       .done = heard,
                                       .user = o};
    int r = classifier_create(&classifier, &config, error);
    if (r < 0)
        return r;
    r = classifier_add(classifier, &o->mixture, NULL, error);
    if (r == 0)
        r = classifier_flush(classifier, error);
    classifier_destroy(classifier);
    if (r == 0 && o->result < 0) {
        *error = o->error;
        r = o->result;
    }
    return r;
}

void overlap_close(struct overlap *o)
{
    if (o == NULL)
        return;
    free(o->names[0]);
    free(o->stem);
    free(o->sources[0]);
    free(o->sources[1]);
    clip_finish(&o->mixture);
    free(o);
}
