/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_sets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/eval_data.h"
#include "model/model_internal.h"
#include "model/text_file.h"

static int folds_of(const struct train_config_set *set, const char *key, const char *text,
                    uint64_t *ret, struct error *error)
{
    *ret = 0;
    if (text[0] == '\0')
        return 0;
    int r = eval_folds_parse(key, text, ret, error);
    return r < 0 ? error_prefix(error, r, "[data %s]", set->name) : 0;
}

int train_names_read(struct train_names *ret, const char *text, const char *key,
                     struct error *error)
{
    char *save = NULL;
    ret->n = 0;
    snprintf(ret->text, sizeof ret->text, "%s", text);
    for (char *one = strtok_r(ret->text, ",", &save); one != NULL;
         one = strtok_r(NULL, ",", &save)) {
        one += strspn(one, " \t");
        for (size_t n = strlen(one); n > 0 && strchr(" \t", one[n - 1]) != NULL; n--)
            one[n - 1] = '\0';
        if (ret->n == TRAIN_MAX_NAMES)
            return error_set(error, EINVAL, "[classes] %s: more than %d", key, TRAIN_MAX_NAMES);
        ret->list[ret->n++] = one;
    }
    return 0;
}

static int read_labels(const char *path, const char *const **ret, int *ret_n, struct error *error)
{
    char *text;
    size_t n;
    if (path[0] == '\0')
        return 0;
    int r = text_file_read(path, &text, &n, error);
    if (r < 0)
        return r;
    r = labels_parse(text, n, path, ret, ret_n, error);
    free(text);
    return r;
}

int train_sets_read(struct train_data *ret, const struct train_config *config,
                    const struct model_info *info, struct error *error)
{
    struct train_set sets[TRAIN_MAX_SETS];
    struct train_names aliases, left_out;
    struct train_data_config data = {.sets = sets,
                                     .n_sets = config->n_sets,
                                     .aliases = aliases.list,
                                     .left_out = left_out.list,
                                     .skip_unknown = config->skip_unknown,
                                     .keep_unlabelled = config->keep_unlabelled,
                                     .keep_going = config->keep_going,
                                     .standardise = config->standardise,
                                     .rate_hz = info->preprocess.sample_rate,
                                     .least_samples = (size_t)info->preprocess.win_length};
    int r = 0;
    if (config->n_sets == 0)
        return error_set(error, EINVAL,
                         "train on what? Name a directory with --data, or a set in "
                         "the configuration; see --help");
    for (int i = 0; i < config->n_sets && r == 0; i++) {
        const struct train_config_set *set = &config->sets[i];
        sets[i] = (struct train_set){.dir = set->dir,
                                     .teacher = set->teacher[0] != '\0' ? set->teacher : NULL};
        r = folds_of(set, "train", set->train, &sets[i].train_folds, error);
        if (r == 0)
            r = folds_of(set, "valid", set->valid, &sets[i].valid_folds, error);
        if (r == 0 && set->dir[0] == '\0')
            r = error_set(error, EINVAL, "[data %s]: has no dir", set->name);
    }
    if (r == 0)
        r = train_names_read(&aliases, config->aliases, "aliases", error);
    if (r == 0)
        r = train_names_read(&left_out, config->leave_out, "leave_out", error);
    data.n_aliases = r == 0 ? aliases.n : 0;
    data.n_left_out = r == 0 ? left_out.n : 0;
    const char *const *labels = NULL;
    if (r == 0)
        r = read_labels(config->labels, &labels, &data.n_labels, error);
    data.labels = labels;
    if (info->n_classes > 0) {
        data.labels = info->labels;
        data.n_labels = info->n_classes;
        data.may_lack = true;
    }
    if (r == 0)
        r = train_data_read(ret, &data, error);
    free((void *)labels);
    return r;
}

int train_sets_valid(struct eval_data *ret_known, struct eval_data *ret_unknown,
                     const struct train_config *config, const struct train_names *aliases, int set,
                     const struct model_info *info, struct error *error)
{
    struct eval_data_config data = {.dir = config->sets[set].dir,
                                    .aliases = aliases->list,
                                    .n_aliases = aliases->n,
                                    .skip_unknown = true,
                                    .keep_going = config->keep_going,
                                    .one_of_many = true};
    struct train_names left_out;
    *ret_known = *ret_unknown = (struct eval_data){0};
    int r = train_names_read(&left_out, config->leave_out, "leave_out", error);
    if (r == 0)
        r = folds_of(&config->sets[set], "valid", config->sets[set].valid, &data.folds, error);
    if (r < 0 || data.folds == 0)
        return r;
    r = eval_data_read(ret_known, &data, info, error);
    if (r < 0)
        return r;
    data.only_unknown = true;
    data.only_left_out = config->keep_unlabelled && config->sets[set].teacher[0] != '\0';
    data.left_out = left_out.list;
    data.n_left_out = left_out.n;
    r = eval_data_read(ret_unknown, &data, info, error);
    if (r < 0)
        eval_data_finish(ret_known);
    return r;
}
