/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_data.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/eval_csv.h"

static const char table_name[] = "meta/esc50.csv";

/* Folds */

static bool parse_fold(const char **at, int *ret)
{
    if (!isdigit((unsigned char)**at))
        return false;
    char *end;
    long value = strtol(*at, &end, 10);
    *at = end;
    *ret = (int)value;
    return value >= 0 && value <= EVAL_MAX_FOLD;
}

int eval_folds_parse(const char *text, uint64_t *ret, struct error *error)
{
    uint64_t folds = 0;
    for (const char *at = text;; at++) {
        int from, to;
        bool good = parse_fold(&at, &from);
        to = from;
        if (good && *at == '-') {
            at++;
            good = parse_fold(&at, &to) && to >= from;
        }
        if (!good || (*at != ',' && *at != '\0'))
            return error_set(error, EINVAL,
                             "--folds %.60s: allowed: folds 0 to %d and spans of them, as in 4 or "
                             "1-3,6-9",
                             text, EVAL_MAX_FOLD);
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

static int find_class(const struct model_info *info, const char *name, size_t n)
{
    for (int i = 0; i < info->n_classes; i++)
        if (same_name(info->labels[i], name, n))
            return i;
    return -1;
}

int eval_class_find(const struct model_info *info, const char *name)
{
    return find_class(info, name, strlen(name));
}

/* What the model calls the category: by an alias if there is one, or itself; -1. */
static int class_of(const struct eval_data_config *config, const struct model_info *info,
                    const char *category)
{
    for (int i = 0; i < config->n_aliases; i++) {
        const char *equal = strchr(config->aliases[i], '=');
        if (same_name(category, config->aliases[i], (size_t)(equal - config->aliases[i])))
            return eval_class_find(info, equal + 1);
    }
    return eval_class_find(info, category);
}

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
        if (eval_class_find(info, equal + 1) < 0)
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
                        struct error *error)
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
                     "--skip-unknown leaves it out",
                     table, info->name, list);
}

/* The table */

struct columns {
    int filename, fold, category;
};

static int find_columns(const struct csv *csv, const char *table, struct columns *ret,
                        struct error *error)
{
    const struct {
        const char *name;
        int *to;
    } wanted[] = {{"filename", &ret->filename}, {"fold", &ret->fold}, {"category", &ret->category}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        *wanted[i].to = csv_column(csv, wanted[i].name);
        if (*wanted[i].to < 0)
            return error_set(error, EINVAL,
                             "%s: has no column %s; its heading must name filename, fold and "
                             "category",
                             table, wanted[i].name);
    }
    return 0;
}

static int fold_of(const struct csv *csv, const struct columns *columns, int row, const char *table,
                   int *ret, struct error *error)
{
    const char *text = csv_cell(csv, row, columns->fold), *at = text;
    if (!parse_fold(&at, ret) || *at != '\0')
        return error_set(error, EINVAL, "%s: line %d: fold is %.20s; allowed: 0 to %d", table,
                         csv->lines[row + 1], text, EVAL_MAX_FOLD);
    return 0;
}

/* Every row's fold is read, so that a fold that is not there can be told with those that are. */
static int choose_folds(const struct csv *csv, const struct columns *columns, const char *table,
                        uint64_t wanted, uint64_t *ret, struct error *error)
{
    uint64_t there = 0;
    for (int row = 0; row + 1 < csv->n_rows; row++) {
        int fold = 0, r = fold_of(csv, columns, row, table, &fold, error);
        if (r < 0)
            return r;
        there |= UINT64_C(1) << fold;
    }
    if (there == 0)
        return error_set(error, EINVAL, "%s: has a heading and no clips", table);
    uint64_t missing = wanted & ~there;
    if (missing != 0) {
        char missing_text[200], there_text[200];
        eval_folds_text(missing, missing_text, sizeof missing_text);
        eval_folds_text(there, there_text, sizeof there_text);
        return error_set(error, EINVAL, "--folds: %s has no fold %s; it has %s", table,
                         missing_text, there_text);
    }
    *ret = wanted != 0 ? wanted : there;
    return 0;
}

static int add_clip(struct eval_data *data, const struct csv *csv, const struct columns *columns,
                    int row, const char *dir, int fold, int label)
{
    struct eval_clip *clip = &data->clips[data->n];
    *clip = (struct eval_clip){.file = csv_cell(csv, row, columns->filename),
                               .fold = fold,
                               .label = label,
                               .line = csv->lines[row + 1]};
    if (asprintf(&clip->path, "%s/audio/%s", dir, clip->file) < 0) {
        clip->path = NULL;
        return -ENOMEM;
    }
    data->n++;
    data->present[label] = true;
    return 0;
}

static int choose_clips(struct eval_data *data, const struct csv *csv,
                        const struct columns *columns, const char *table,
                        const struct eval_data_config *config, const struct model_info *info,
                        struct error *error)
{
    struct unknown unknown = {0};
    for (int row = 0; row + 1 < csv->n_rows; row++) {
        int fold = 0, r = fold_of(csv, columns, row, table, &fold, error);
        if (r < 0)
            return r;
        if (!(data->folds >> fold & 1))
            continue;
        const char *category = csv_cell(csv, row, columns->category);
        int label = class_of(config, info, category);
        if (label < 0)
            count_unknown(&unknown, category);
        else if (add_clip(data, csv, columns, row, config->dir, fold, label) < 0)
            return error_set(error, ENOMEM, "%s: out of memory", table);
    }
    data->skipped_unknown = unknown.n_clips;
    if (unknown.n_clips > 0 && !config->skip_unknown)
        return tell_unknown(&unknown, table, info, error);
    if (data->n == 0)
        return error_set(error, EINVAL,
                         "%s: no clip of these folds is of a class that model %s has", table,
                         info->name);
    return 0;
}

/* A file that is not there is told before the work begins. */
static int check_files(const struct eval_data *data, const char *table, struct error *error)
{
    int missing = 0, first = -1;
    for (int i = 0; i < data->n; i++)
        if (access(data->clips[i].path, R_OK) < 0) {
            first = first < 0 ? i : first;
            missing++;
        }
    if (missing == 0)
        return 0;
    char others[64] = "";
    if (missing > 1)
        snprintf(others, sizeof others, " (and %d more)", missing - 1);
    return error_set(error, ENOENT,
                     "%.200s: line %d: %.160s%s cannot be read; --keep-going leaves out what fails",
                     table, data->clips[first].line, data->clips[first].path, others);
}

static int read_table(struct eval_data *data, struct csv *csv, const char *table,
                      const struct eval_data_config *config, const struct model_info *info,
                      struct error *error)
{
    struct columns columns;
    int r = csv_read(csv, table, error);
    if (r == -ENOENT)
        return error_set(error, ENOENT,
                         "--data %s: has no %s; expected: a directory with audio/ and %s",
                         config->dir, table_name, table_name);
    if (r == 0)
        r = find_columns(csv, table, &columns, error);
    if (r == 0)
        r = choose_folds(csv, &columns, table, config->folds, &data->folds, error);
    if (r < 0)
        return r;
    data->clips = calloc((size_t)csv->n_rows, sizeof *data->clips);
    data->present = calloc((size_t)info->n_classes, sizeof *data->present);
    if (data->clips == NULL || data->present == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", table);
    r = choose_clips(data, csv, &columns, table, config, info, error);
    return r == 0 && !config->keep_going ? check_files(data, table, error) : r;
}

int eval_data_read(struct eval_data *ret, const struct eval_data_config *config,
                   const struct model_info *info, struct error *error)
{
    struct eval_data data = {0};
    struct csv csv = {0};
    char *table = NULL;
    int r = check_aliases(config, info, error);
    if (r == 0 && asprintf(&table, "%s/%s", config->dir, table_name) < 0) {
        table = NULL;
        r = error_set(error, ENOMEM, "out of memory");
    }
    if (r == 0)
        r = read_table(&data, &csv, table, config, info, error);
    data.names = csv.text; /* the clips' names lie in it */
    csv.text = NULL;
    csv_finish(&csv);
    free(table);
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
    free(data->names);
    *data = (struct eval_data){0};
}
