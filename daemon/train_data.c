/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/clip.h"
#include "daemon/stop.h"
#include "daemon/train_files.h"
#include "daemon/train_teacher.h"
#include "dsp/sinc_resample.h"
#include "model/model_internal.h"

static int no_memory(struct error *error)
{
    return error_set(error, ENOMEM, "train: out of memory");
}

static struct eval_data_config set_config(const struct train_data_config *config, int set,
                                          uint64_t folds)
{
    return (struct eval_data_config){.dir = config->sets[set].dir,
                                     .folds = folds,
                                     .aliases = config->aliases,
                                     .n_aliases = config->n_aliases,
                                     .skip_unknown =
                                         config->skip_unknown || config->keep_unlabelled,
                                     .left_out = config->left_out,
                                     .n_left_out = config->n_left_out,
                                     .keep_going = config->keep_going,
                                     .keep_going_by = TRAIN_KEEP_GOING,
                                     .skip_unknown_by = "--set classes.skip_unknown=yes",
                                     .one_of_many = true};
}

/* Classes */

static int copy_labels(struct train_data *d, const struct train_data_config *config,
                       struct error *error)
{
    d->labels = calloc((size_t)config->n_labels + 1, sizeof *d->labels);
    if (d->labels == NULL)
        return no_memory(error);
    for (int i = 0; i < config->n_labels; i++) {
        const char *label = config->labels[i];
        if (!text_is_label(label))
            return error_set(error, EINVAL,
                             "labels: number %d: allowed: 1 to %d bytes of UTF-8 text without "
                             "control characters",
                             i + 1, LABEL_MAX_BYTES);
        for (int j = 0; j < i; j++)
            if (eval_names_equal(label, d->labels[j]))
                return error_set(error, EINVAL, "labels: %.80s and %.80s are the same class",
                                 d->labels[j], label);
        d->labels[i] = strdup(label);
        if (d->labels[i] == NULL)
            return no_memory(error);
        d->n_classes++;
    }
    return 0;
}

static int add_classes(struct train_data *d, const struct train_data_config *config, int set,
                       struct error *error)
{
    const struct eval_data_config set_of = set_config(config, set, 0);
    char **classes;
    int n;
    int r = eval_data_classes(&set_of, &classes, &n, error);
    if (r < 0)
        return r;
    char **labels = realloc(d->labels, (size_t)(d->n_classes + n) * sizeof *labels);
    if (labels == NULL) {
        eval_classes_free(classes, n);
        return no_memory(error);
    }
    memcpy(labels + d->n_classes, classes, (size_t)n * sizeof *labels);
    free(classes);
    d->labels = labels;
    d->n_classes += n;
    eval_classes_unite(d->labels, &d->n_classes);
    return 0;
}

/* The classes that are left out are no more; each must have been one. */
static int leave_out(struct train_data *d, const struct train_data_config *config,
                     struct error *error)
{
    for (int i = 0; i < config->n_left_out; i++) {
        int at = 0;
        while (at < d->n_classes && !eval_names_equal(d->labels[at], config->left_out[i]))
            at++;
        if (at == d->n_classes)
            return error_set(error, EINVAL,
                             "[classes] leave_out: %.60s is no class of the sets, or stands twice",
                             config->left_out[i]);
        free(d->labels[at]);
        d->n_classes--;
        memmove(&d->labels[at], &d->labels[at + 1],
                (size_t)(d->n_classes - at) * sizeof *d->labels);
    }
    return 0;
}

static int find_labels(struct train_data *d, const struct train_data_config *config,
                       struct error *error)
{
    int r = config->labels != NULL ? copy_labels(d, config, error) : 0;
    for (int s = 0; s < config->n_sets && config->labels == NULL && r == 0; s++)
        if ((config->sets[s].train_folds | config->sets[s].valid_folds) != 0)
            r = add_classes(d, config, s, error);
    if (r == 0)
        r = leave_out(d, config, error);
    if (r == 0 && (d->n_classes < 2 || d->n_classes > MODEL_MAX_CLASSES))
        r = error_set(error, EINVAL, "the training data has %d class%s; allowed: 2 to %d",
                      d->n_classes, d->n_classes == 1 ? "" : "es", MODEL_MAX_CLASSES);
    return r;
}

/* Clips */

/* After clips were left out. */
static void count_present(struct eval_data *data, int n_classes)
{
    for (int c = 0; c < n_classes && data->present != NULL; c++)
        data->present[c] = false;
    for (int i = 0; i < data->n; i++)
        if (data->clips[i].label >= 0)
            data->present[data->clips[i].label] = true;
}

static int read_set(struct train_data *d, const struct train_data_config *config, int set,
                    const struct model_info *info, struct error *error)
{
    const struct train_set *from = &config->sets[set];
    struct eval_data_config train = set_config(config, set, from->train_folds);
    struct eval_data_config valid = set_config(config, set, from->valid_folds);
    train.keep_unknown = config->keep_unlabelled && from->teacher != NULL;
    int r = 0;
    if (from->train_folds != 0)
        r = eval_data_read(&d->train[set], &train, info, error);
    if (r == 0 && from->valid_folds != 0)
        r = eval_data_read(&d->valid[set], &valid, info, error);
    /* What validates is else heard only when an epoch is over; what trains, when the cache is made,
     * which knows the clips already. */
    if (r == 0)
        r = train_files_check(&d->train[set], d->rate_hz, d->least_samples, config->keep_going,
                              config->keep_going, &d->left_out, error);
    if (r == 0)
        r = train_files_check(&d->valid[set], d->rate_hz, d->least_samples, true,
                              config->keep_going, &d->left_out, error);
    count_present(&d->train[set], d->n_classes);
    count_present(&d->valid[set], d->n_classes);
    d->unknown_valid += d->valid[set].n_left_out;
    d->skipped_unknown += d->train[set].skipped_unknown + d->valid[set].skipped_unknown;
    return r;
}

static bool is_category(const struct eval_data *data, const char *name)
{
    for (int row = 0; row < data->listing.n; row++)
        if (eval_names_equal(data->listing.rows[row].category, name))
            return true;
    return false;
}

/* An alias of what no set has is mistyped, and its clips are of a class of their own. */
static int check_aliases(const struct train_data *d, const struct train_data_config *config,
                         struct error *error)
{
    for (int i = 0; i < config->n_aliases; i++) {
        const char *alias = config->aliases[i];
        char *name = strndup(alias, strcspn(alias, "="));
        if (name == NULL)
            return no_memory(error);
        bool found = false;
        for (int s = 0; s < d->n_sets && !found; s++)
            found = is_category(&d->train[s], name) || is_category(&d->valid[s], name);
        free(name);
        if (!found)
            return error_set(error, EINVAL, "--alias %.60s: no set has a class of the first name",
                             alias);
    }
    return 0;
}

static int read_sets(struct train_data *d, const struct train_data_config *config,
                     struct error *error)
{
    const struct model_info info = {.name = "to be trained",
                                    .n_classes = d->n_classes,
                                    .labels = (const char *const *)d->labels};
    d->train = calloc((size_t)config->n_sets, sizeof *d->train);
    d->valid = calloc((size_t)config->n_sets, sizeof *d->valid);
    if (d->train == NULL || d->valid == NULL)
        return no_memory(error);
    d->n_sets = config->n_sets;
    int r = 0;
    for (int s = 0; s < config->n_sets && r == 0; s++)
        r = read_set(d, config, s, &info, error);
    if (r == 0)
        r = check_aliases(d, config, error);
    return r == 0 ? train_files_overlap(d->train, d->valid, d->n_sets, error) : r;
}

static int join_clips(struct train_data *d, struct error *error)
{
    size_t all = 0;
    for (int s = 0; s < d->n_sets; s++) {
        all += (size_t)d->train[s].n;
        d->n_valid += d->valid[s].n;
    }
    d->clips = calloc(all + 1, sizeof *d->clips);
    if (d->clips == NULL)
        return no_memory(error);
    for (int s = 0; s < d->n_sets; s++)
        for (int i = 0; i < d->train[s].n; i++) {
            const struct eval_clip *clip = &d->train[s].clips[i];
            d->n_labelled += clip->label >= 0;
            d->clips[d->n++] = (struct train_clip){.path = clip->path,
                                                   .label = clip->label,
                                                   .set = s,
                                                   .row = clip->row,
                                                   .fold = clip->fold};
        }
    return 0;
}

/* "1-3 of esc50, 1-3,6-9 of kitchen20" */
static void folds_list(const struct train_data_config *config, bool valid, char *ret, size_t size)
{
    size_t n = 0;
    ret[0] = '\0';
    for (int s = 0; s < config->n_sets && n < size; s++) {
        char folds[200];
        uint64_t bits = valid ? config->sets[s].valid_folds : config->sets[s].train_folds;
        if (bits == 0)
            continue;
        eval_folds_text(bits, folds, sizeof folds);
        int wrote = snprintf(ret + n, size - n, "%s%s of %.80s", n > 0 ? ", " : "", folds,
                             config->sets[s].dir);
        n += wrote > 0 ? (size_t)wrote : 0;
    }
    if (n == 0)
        snprintf(ret, size, "none");
}

static int check_classes(const struct train_data *d, const struct train_data_config *config,
                         struct error *error)
{
    int first = -1, without = 0, *count = calloc((size_t)d->n_classes, sizeof *count);
    if (count == NULL)
        return no_memory(error);
    for (int i = 0; i < d->n; i++)
        if (d->clips[i].label >= 0)
            count[d->clips[i].label]++;
    for (int c = d->n_classes - 1; c >= 0; c--)
        if (count[c] == 0) {
            first = c;
            without++;
        }
    free(count);
    if (without == 0)
        return 0;
    char folds[256], others[48] = "";
    folds_list(config, false, folds, sizeof folds);
    if (without > 1)
        snprintf(others, sizeof others, " (nor have %d more)", without - 1);
    return error_set(error, EINVAL, "class %.80s has no clip in the training folds (%s)%s",
                     d->labels[first], folds, others);
}

static int check_counts(const struct train_data *d, const struct train_data_config *config,
                        struct error *error)
{
    char folds[300];
    if (d->n_labelled == 0) {
        folds_list(config, false, folds, sizeof folds);
        return error_set(error, EINVAL, "no clip of a class in the training folds (%s)", folds);
    }
    int r = config->may_lack ? 0 : check_classes(d, config, error);
    if (r == 0 && d->n_valid == 0) {
        folds_list(config, true, folds, sizeof folds);
        r = error_set(error, EINVAL, "no clip of a class in the validation folds (%s)", folds);
    }
    return r;
}

/* The teacher */

static int make_room(struct train_data *d, const struct train_teacher *teacher, const char *path,
                     const char *first, struct error *error)
{
    if (d->embeddings == NULL) {
        size_t n = (size_t)d->n;
        d->embedding_width = teacher->embedding_width;
        d->scores_width = teacher->scores_width;
        d->embeddings = memory_zeroed(n * (size_t)d->embedding_width, sizeof(float));
        d->scores = memory_zeroed(n * (size_t)d->scores_width, sizeof(float));
        d->taught = calloc(n, sizeof *d->taught);
        return d->embeddings == NULL || d->scores == NULL || d->taught == NULL ? no_memory(error)
                                                                               : 0;
    }
    if (teacher->embedding_width != d->embedding_width || teacher->scores_width != d->scores_width)
        return error_set(error, EINVAL,
                         "--teacher %.150s: embedding of %d values and %d scores; that of %.150s "
                         "has %d and %d; they must be of the same network",
                         path, teacher->embedding_width, teacher->scores_width, first,
                         d->embedding_width, d->scores_width);
    return 0;
}

static void teach(struct train_data *d, const struct train_teacher *teacher, int set)
{
    size_t e = (size_t)d->embedding_width, s = (size_t)d->scores_width;
    for (size_t i = 0; i < (size_t)d->n; i++) {
        if (d->clips[i].set != set)
            continue;
        size_t row = (size_t)d->clips[i].row;
        memcpy(d->embeddings + i * e, teacher->embedding + row * e, e * sizeof(float));
        memcpy(d->scores + i * s, teacher->scores + row * s, s * sizeof(float));
        d->taught[i] = true;
    }
}

static int ask_teachers(struct train_data *d, const struct train_data_config *config,
                        struct error *error)
{
    const char *first = NULL;
    int r = 0;
    for (int s = 0; s < d->n_sets && r == 0; s++) {
        const char *path = config->sets[s].teacher;
        struct train_teacher teacher = {0};
        if (path == NULL || d->train[s].n == 0)
            continue;
        r = train_teacher_read(&teacher, path, d->train[s].rows, error);
        if (r == 0)
            r = make_room(d, &teacher, path, first, error);
        if (r == 0)
            teach(d, &teacher, s);
        train_teacher_finish(&teacher);
        first = first != NULL ? first : path;
    }
    return r;
}

int train_data_read(struct train_data *ret, const struct train_data_config *config,
                    struct error *error)
{
    struct train_data d = {.rate_hz = config->rate_hz, .least_samples = config->least_samples};
    int r = config->n_sets > 0 ? find_labels(&d, config, error)
                               : error_set(error, EINVAL, "train on what? Name a set with --data");
    if (r == 0)
        r = read_sets(&d, config, error);
    if (r == 0)
        r = join_clips(&d, error);
    if (r == 0)
        r = check_counts(&d, config, error);
    if (r == 0)
        r = ask_teachers(&d, config, error);
    if (r == 0 && config->standardise && d.taught != NULL)
        train_teacher_standardise(d.embeddings, d.taught, d.n, d.embedding_width);
    if (r < 0) {
        train_data_finish(&d);
        return r;
    }
    *ret = d;
    return 0;
}

void train_data_finish(struct train_data *data)
{
    for (int s = 0; s < data->n_sets; s++) {
        eval_data_finish(&data->train[s]);
        eval_data_finish(&data->valid[s]);
    }
    free(data->train);
    free(data->valid);
    eval_classes_free(data->labels, data->n_classes);
    free(data->clips);
    free(data->embeddings);
    free(data->scores);
    free(data->taught);
    *data = (struct train_data){0};
}

/* The cache */

/* Takes the clip's samples, at its own rate or resampled. */
static int take_samples(struct clip *clip, int rate_hz, float **ret, size_t *ret_n,
                        struct error *error)
{
    if (clip->rate_hz == rate_hz) {
        *ret = clip->samples;
        *ret_n = clip->n;
        clip->samples = NULL;
        return 0;
    }
    struct sinc_resample *resample;
    int r = sinc_resample_create(&resample, clip->rate_hz, rate_hz, error);
    if (r < 0)
        return r;
    size_t n = sinc_resample_length(resample, clip->n);
    *ret = malloc((n > 0 ? n : 1) * sizeof **ret);
    *ret_n = n;
    if (*ret == NULL)
        r = error_set(error, ENOMEM, "out of memory for %zu samples", n);
    else
        sinc_resample_run(resample, clip->samples, clip->n, *ret);
    sinc_resample_destroy(resample);
    return r;
}

static int decode(void *context, size_t i, float **ret_samples, size_t *ret_n, struct error *error)
{
    const struct train_data *d = context;
    const char *path = d->clips[i].path;
    struct clip clip;
    float *samples = NULL;
    if (stop_signal != 0)
        return error_set(error, EINTR, "train: interrupted while the clips were read");
    int r = clip_read(&clip, path, 0, RESAMPLER_BEST, error);
    if (r < 0)
        return r != -ENOMEM ? train_file_advise(r, error) : r;
    r = take_samples(&clip, d->rate_hz, &samples, ret_n, error);
    clip_finish(&clip);
    if (r < 0)
        return error_prefix(error, r, "%s", path);
    if (*ret_n < d->least_samples) {
        free(samples);
        error_set(error, EINVAL,
                  "%s: has %zu samples at %d Hz, fewer than its header says; a clip needs %zu",
                  path, *ret_n, d->rate_hz, d->least_samples);
        return train_file_advise(-EINVAL, error);
    }
    *ret_samples = samples;
    return 0;
}

int train_data_cache(struct cache **ret, const struct train_data *data, const char *path,
                     struct error *why, struct error *error)
{
    const char **sources = calloc((size_t)data->n + 1, sizeof *sources);
    if (sources == NULL)
        return no_memory(error);
    for (int i = 0; i < data->n; i++)
        sources[i] = data->clips[i].path;
    const struct cache_list list = {
        .sources = sources, .count = (size_t)data->n, .rate_hz = data->rate_hz};
    int r = cache_ready(ret, path, &list, decode, (void *)(uintptr_t)data, why, error);
    free(sources);
    return r;
}
