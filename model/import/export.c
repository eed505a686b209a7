/* SPDX-License-Identifier: Apache-2.0 */
#include "model/import/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/import/config_text.h"
#include "model/model_internal.h"

int export_check(const struct import_plan *p, struct error *error)
{
    const struct safetensors *whole = checkpoint_whole(p->checkpoint);
    const char *dir = checkpoint_dir(p->checkpoint);
    const char *slash = whole != NULL ? strrchr(safetensors_path(whole), '/') : NULL;
    if (!p->complete)
        return error_set(error, EINVAL, "%s", p->problem.text);
    bool ours = slash != NULL && strcmp(slash, "/model.safetensors") == 0 && !p->config_derived;
    for (size_t i = 0; i < checkpoint_count(p->checkpoint) && ours; i++)
        ours = p->rows[i].to == NULL || strcmp(p->rows[i].to, p->rows[i].from->name) == 0;
    if (!ours)
        return error_set(error, EINVAL,
                         "%s is a checkpoint that is not focald's own; `focald import` makes a "
                         "model of it",
                         dir);
    return 0;
}

/* config.json as Hugging Face's readers want it, to be freed; NULL when memory is exhausted. */
static char *published_config(const struct import_plan *p)
{
    const char *const *labels;
    int n;
    if (p->labels == NULL)
        return strdup(p->config);
    if (labels_parse(p->labels, strlen(p->labels), p->labels_path, &labels, &n, NULL) < 0)
        return NULL;
    char *config = config_add_labels(p->config, labels, n);
    free((void *)labels);
    return config;
}

int export_write(const struct import_plan *p, const char *dir, const volatile sig_atomic_t *stop,
                 struct error *error)
{
    char *config = published_config(p);
    if (config == NULL)
        return error_set(error, ENOMEM, "export: out of memory");
    int r = import_copy_weights(checkpoint_whole(p->checkpoint), dir, stop, error);
    if (r == 0)
        r = import_write_text(dir, "config.json", config, error);
    if (r == 0 && p->labels != NULL)
        r = import_write_text(dir, "labels.txt", p->labels, error);
    if (r == 0 && p->preprocess_found)
        r = import_write_text(dir, "preprocess.json", p->preprocess, error);
    free(config);
    return r;
}
