/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/model_internal.h"

/* Folds */

int eval_folds_parse(const char *name, const char *text, uint64_t *ret, struct error *error)
{
    uint64_t folds = 0;
    for (const char *at = text;; at++) {
        int from, to;
        bool good = eval_fold_parse(&at, &from);
        to = from;
        if (good && *at == '-') {
            at++;
            good = eval_fold_parse(&at, &to) && to >= from;
        }
        if (!good || (*at != ',' && *at != '\0'))
            return error_set(error, EINVAL,
                             "%s %.60s: allowed: folds 0 to %d and spans of them, as in 4 or "
                             "1-3,6-9",
                             name, text, EVAL_MAX_FOLD);
        for (int f = from; f <= to; f++)
            folds |= UINT64_C(1) << f;
        if (*at == '\0')
            break;
    }
    *ret = folds;
    return 0;
}

void eval_folds_text(uint64_t folds, char *ret, size_t size)
{
    size_t n = 0;
    ret[0] = '\0';
    for (int f = 0; f <= EVAL_MAX_FOLD; f++) {
        int last = f;
        if (!(folds >> f & 1))
            continue;
        while (last < EVAL_MAX_FOLD && folds >> (last + 1) & 1)
            last++;
        int wrote = last > f ? snprintf(ret + n, size - n, "%s%d-%d", n > 0 ? "," : "", f, last)
                             : snprintf(ret + n, size - n, "%s%d", n > 0 ? "," : "", f);
        if (wrote < 0 || (size_t)wrote >= size - n)
            return;
        n += (size_t)wrote;
        f = last;
    }
}

/* Classes */

static char plain(char c)
{
    return c == '_' || c == '-' ? ' ' : (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* b: [n] */
static bool same_name(const char *a, const char *b, size_t n)
{
    size_t i = 0;
    for (; i < n && a[i] != '\0'; i++)
        if (plain(a[i]) != plain(b[i]))
            return false;
    return i == n && a[i] == '\0';
}

bool eval_names_equal(const char *a, const char *b)
{
    return same_name(a, b, strlen(b));
}

int eval_class_find(const struct model_info *info, const char *name)
{
    for (int i = 0; i < info->n_classes; i++)
        if (eval_names_equal(info->labels[i], name))
            return i;
    return -1;
}

const char *eval_class_name(const struct eval_data_config *config, const char *category)
{
    for (int i = 0; i < config->n_aliases; i++) {
        const char *equal = strchr(config->aliases[i], '=');
        if (same_name(category, config->aliases[i], (size_t)(equal - config->aliases[i])))
            return equal + 1;
    }
    return category;
}

static bool is_left_out(const struct eval_data_config *config, const char *name)
{
    for (int i = 0; i < config->n_left_out; i++)
        if (eval_names_equal(config->left_out[i], name))
            return true;
    return false;
}

/* info NULL: there is no model yet. */
static int check_aliases(const struct eval_data_config *config, const struct model_info *info,
                         struct error *error)
{
    for (int i = 0; i < config->n_aliases; i++) {
        const char *equal = strchr(config->aliases[i], '=');
        if (equal == NULL || equal == config->aliases[i] || equal[1] == '\0')
            return error_set(error, EINVAL,
                             "--alias %.60s: allowed: the set's name = the model's, as in "
                             "bird=chirping_birds",
                             config->aliases[i]);
        if (info != NULL && !config->one_of_many && eval_class_find(info, equal + 1) < 0)
            return error_set(error, EINVAL, "--alias %.60s: model %s has no class %.40s",
                             config->aliases[i], info->name, equal + 1);
    }
    return 0;
}

/* Classes that the model does not know, each with its clips. */
struct unknown {
    int n_classes, n_clips;
    struct {
        const char *name;
        int clips;
    } first[5]; /* of them, to be told */
};

static void count_unknown(struct unknown *u, const char *category)
{
    const int most = (int)(sizeof u->first / sizeof *u->first);
    u->n_clips++;
    for (int i = 0; i < u->n_classes && i < most; i++)
        if (strcmp(u->first[i].name, category) == 0) {
            u->first[i].clips++;
            return;
        }
    if (u->n_classes < most) {
        u->first[u->n_classes].name = category;
        u->first[u->n_classes].clips = 1;
        u->n_classes++;
    }
}

static int tell_unknown(const struct unknown *u, const char *table, const struct model_info *info,
                        const char *skip_by, struct error *error)
{
    char list[256] = "";
    size_t n = 0;
    int told = 0;
    for (int i = 0; i < u->n_classes && n < sizeof list - 64; i++) {
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%.30s (%d clip%s)", i > 0 ? ", " : "",
                              u->first[i].name, u->first[i].clips,
                              u->first[i].clips == 1 ? "" : "s");
        told += u->first[i].clips;
    }
    if (told < u->n_clips)
        snprintf(list + n, sizeof list - n, ", … (%d in all)", u->n_clips);
    return error_set(error, EINVAL,
                     "%.120s: model %.30s has no class %s; --alias NAME=CLASS says which it is, "
                     "%s leaves it out",
                     table, info->name, list, skip_by != NULL ? skip_by : "--skip-unknown");
}

/* Clips */

/* A fold that is not there is told with those that are. */
static int choose_folds(const struct eval_listing *listing, uint64_t wanted, uint64_t *ret,
                        struct error *error)
{
    uint64_t there = 0;
    for (int row = 0; row < listing->n; row++)
        there |= UINT64_C(1) << listing->rows[row].fold;
    uint64_t missing = wanted & ~there;
    if (missing != 0) {
        char missing_text[200], there_text[200];
        eval_folds_text(missing, missing_text, sizeof missing_text);
        eval_folds_text(there, there_text, sizeof there_text);
        return error_set(error, EINVAL, "--folds: %s has no fold %s; it has %s", listing->where,
                         missing_text, there_text);
    }
    *ret = wanted != 0 ? wanted : there;
    return 0;
}

static int add_clip(struct eval_data *data, int row, int label)
{
    const struct eval_row *from = &data->listing.rows[row];
    struct eval_clip *clip = &data->clips[data->n];
    *clip = (struct eval_clip){
        .file = from->file, .fold = from->fold, .label = label, .line = from->line, .row = row};
    if (asprintf(&clip->path, "%s/%s", data->listing.audio, from->file) < 0) {
        clip->path = NULL;
        return -ENOMEM;
    }
    data->n++;
    if (label >= 0)
        data->present[label] = true;
    return 0;
}

static int choose_clips(struct eval_data *data, const struct eval_data_config *config,
                        const struct model_info *info, struct error *error)
{
    struct unknown unknown = {0};
    for (int row = 0; row < data->listing.n; row++) {
        const struct eval_row *from = &data->listing.rows[row];
        if (!(data->folds >> from->fold & 1))
            continue;
        const char *name = eval_class_name(config, from->category);
        const int label = eval_class_find(info, name);
        const bool left_out = label < 0 && is_left_out(config, name);
        data->n_left_out += left_out;
        if (config->only_unknown ? label >= 0 || (config->only_left_out && !left_out) : left_out)
            continue;
        if (label < 0 && !config->keep_unknown && !config->only_unknown)
            count_unknown(&unknown, from->category);
        else if (add_clip(data, row, label) < 0)
            return error_set(error, ENOMEM, "%s: out of memory", data->listing.where);
    }
    data->skipped_unknown = unknown.n_clips;
    if (unknown.n_clips > 0 && !config->skip_unknown)
        return tell_unknown(&unknown, data->listing.where, info, config->skip_unknown_by, error);
    if (data->n == 0 && !config->one_of_many && !config->only_unknown)
        return error_set(error, EINVAL,
                         "%s: no clip of these folds is of a class that model %s has",
                         data->listing.where, info->name);
    return 0;
}

/* A file that is not there is told before the work begins. */
static int check_files(const struct eval_data *data, const char *keep_going_by, struct error *error)
{
    int missing = 0, first = -1;
    for (int i = 0; i < data->n; i++)
        if (access(data->clips[i].path, R_OK) < 0) {
            first = first < 0 ? i : first;
            missing++;
        }
    if (missing == 0)
        return 0;
    const struct eval_clip *clip = &data->clips[first];
    char place[32] = "", others[64] = "";
    if (clip->line > 0)
        snprintf(place, sizeof place, " line %d:", clip->line);
    if (missing > 1)
        snprintf(others, sizeof others, " (and %d more)", missing - 1);
    return error_set(error, ENOENT, "%.200s:%s %.160s%s cannot be read; %s leaves out what fails",
                     data->listing.where, place, clip->path, others,
                     keep_going_by != NULL ? keep_going_by : "--keep-going");
}

static int read_clips(struct eval_data *data, const struct eval_data_config *config,
                      const struct model_info *info, struct error *error)
{
    int r = eval_listing_read(&data->listing, config->dir, error);
    if (r == 0)
        r = choose_folds(&data->listing, config->folds, &data->folds, error);
    if (r < 0)
        return r;
    data->rows = data->listing.n;
    data->clips = calloc((size_t)data->rows, sizeof *data->clips);
    data->present = calloc((size_t)info->n_classes, sizeof *data->present);
    if (data->clips == NULL || data->present == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", data->listing.where);
    r = choose_clips(data, config, info, error);
    return r == 0 && !config->keep_going ? check_files(data, config->keep_going_by, error) : r;
}

int eval_data_read(struct eval_data *ret, const struct eval_data_config *config,
                   const struct model_info *info, struct error *error)
{
    struct eval_data data = {0};
    int r = check_aliases(config, info, error);
    if (r == 0)
        r = read_clips(&data, config, info, error);
    if (r < 0) {
        eval_data_finish(&data);
        return r;
    }
    *ret = data;
    return 0;
}

void eval_data_finish(struct eval_data *data)
{
    for (int i = 0; i < data->n; i++)
        free(data->clips[i].path);
    free(data->clips);
    free(data->present);
    eval_listing_finish(&data->listing);
    *data = (struct eval_data){0};
}

/* Classes without a model */

static int compare_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names that are equal by eval_names_equal stand together, by their bytes. */
static int compare_plain(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    size_t i = 0;
    while (x[i] != '\0' && plain(x[i]) == plain(y[i]))
        i++;
    int d = (unsigned char)plain(x[i]) - (unsigned char)plain(y[i]);
    return d != 0 ? d : strcmp(x, y);
}

void eval_classes_unite(char **classes, int *n)
{
    int unique = 0;
    if (*n < 1)
        return;
    qsort(classes, (size_t)*n, sizeof *classes, compare_plain);
    for (int i = 0; i < *n; i++)
        if (unique > 0 && eval_names_equal(classes[unique - 1], classes[i]))
            free(classes[i]);
        else
            classes[unique++] = classes[i];
    *n = unique;
    qsort(classes, (size_t)unique, sizeof *classes, compare_bytes);
}

void eval_classes_free(char **classes, int n)
{
    for (int i = 0; i < n && classes != NULL; i++)
        free(classes[i]);
    free(classes);
}

static int list_classes(const struct eval_listing *listing, const struct eval_data_config *config,
                        char **classes, int *n, struct error *error)
{
    for (int row = 0; row < listing->n; row++) {
        const char *name = eval_class_name(config, listing->rows[row].category);
        if (*n > 0 && strcmp(classes[*n - 1], name) == 0)
            continue;
        if (!text_is_label(name))
            return error_set(error, EINVAL,
                             "%s: class %.40s of clip %.80s: allowed: 1 to %d bytes of UTF-8 text "
                             "without control characters",
                             listing->where, text_is_printable(name) ? name : "(not printable)",
                             listing->rows[row].file, LABEL_MAX_BYTES);
        classes[*n] = strdup(name);
        if (classes[*n] == NULL)
            return error_set(error, ENOMEM, "%s: out of memory", listing->where);
        ++*n;
    }
    eval_classes_unite(classes, n);
    return 0;
}

int eval_data_classes(const struct eval_data_config *config, char ***ret, int *ret_n,
                      struct error *error)
{
    struct eval_listing listing = {0};
    char **classes = NULL;
    int n = 0, r = check_aliases(config, NULL, error);
    if (r == 0)
        r = eval_listing_read(&listing, config->dir, error);
    if (r == 0) {
        classes = calloc((size_t)listing.n, sizeof *classes);
        r = classes == NULL ? error_set(error, ENOMEM, "%s: out of memory", listing.where)
                            : list_classes(&listing, config, classes, &n, error);
    }
    eval_listing_finish(&listing);
    if (r < 0) {
        eval_classes_free(classes, n);
        return r;
    }
    *ret = classes;
    *ret_n = n;
    return 0;
}
