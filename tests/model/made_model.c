/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/model/made_model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/graph.h"
#include "model/model_internal.h"
#include "model/text_file.h"
#include "model/weights/safetensors.h"
#include "model/weights/safetensors_write.h"

enum { HEAD_DIM = 24 };

const char made_focalnet[] = "{\"model_type\": \"focalnet\", \"image_size\": 64, \"embed_dim\": 8, "
                             "\"depths\": [1, 1, 2, 1]}";
const char made_vit[] = "{\"model_type\": \"vit\", \"image_size\": 64, \"hidden_size\": 32, "
                        "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, "
                        "\"intermediate_size\": 64}";

static int read_hashed(void *context, size_t i, void *ret, size_t size, struct error *error)
{
    (void)error;
    const struct graph_weight *w = &((const struct graph *)context)->weights[i];
    for (size_t k = 0; k < size / sizeof(float); k++) {
        float value = weights_hashed_value(w->name, w->rank, w->shape, k);
        memcpy((char *)ret + k * sizeof value, &value, sizeof value);
    }
    return 0;
}

static int write_weights(const char *path, struct graph *g, struct error *error)
{
    struct safetensors_entry *entries = calloc((size_t)g->n_weights, sizeof *entries);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int r = entries == NULL || fd < 0 ? error_set(error, EIO, "%s: cannot be made", path) : 0;
    for (int i = 0; i < g->n_weights && r == 0; i++) {
        const struct graph_weight *w = &g->weights[i];
        entries[i] = (struct safetensors_entry){w->name, DTYPE_F32, w->rank, {0}};
        memcpy(entries[i].shape, w->shape, (size_t)w->rank * sizeof w->shape[0]);
    }
    if (r == 0)
        r = safetensors_write(fd, path, entries, (size_t)g->n_weights, read_hashed, g, error);
    if (fd >= 0)
        close(fd);
    free(entries);
    return r;
}

static int write_text(const char *dir, const char *name, const char *text, int classes,
                      struct error *error)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    if (f == NULL)
        return error_set(error, errno, "%s: cannot be made", path);
    fputs(text, f);
    for (int i = 0; i < classes; i++)
        fprintf(f, "class %d\n", i);
    return fclose(f) == 0 ? 0 : error_set(error, EIO, "%s: cannot be written", path);
}

int made_model(const char *dir, const char *config, int classes, int piq_keys, struct error *error)
{
    struct net_config net = {
        .piq = {.keys = piq_keys, .adapter = piq_keys > 0, .reduce = piq_keys > 0}};
    char path[4096];
    struct graph g;
    struct net_values values;
    graph_init(&g);
    int r = net_config_parse(&net, config, strlen(config), "config", error);
    *net_head(&net) = (struct head_config){.dim = HEAD_DIM, .classes = classes};
    if (r == 0)
        r = net_build(&net, 1, false, piq_keys > 0, &g, &values, error);
    if (r == 0 && mkdir(dir, 0755) < 0 && errno != EEXIST)
        r = error_set(error, errno, "%s: cannot be made", dir);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    if (r == 0)
        r = write_weights(path, &g, error);
    graph_finish(&g);
    if (r == 0)
        r = write_text(dir, "config.json", config, 0, error);
    return r == 0 ? write_text(dir, "labels.txt", "", classes, error) : r;
}

static int copy_text(const char *dir, const char *from, const char *name, struct error *error)
{
    char path[4096], *text;
    size_t length;
    snprintf(path, sizeof path, "%s/%s", from, name);
    int r = text_file_read(path, &text, &length, error);
    if (r < 0)
        return r;
    r = write_text(dir, name, text, 0, error);
    free(text);
    return r;
}

struct change {
    const struct safetensors *from;
    const char *tensor;
    float value;
};

static int read_changed(void *context, size_t i, void *ret, size_t size, struct error *error)
{
    (void)error;
    const struct change *change = context;
    const struct safetensors_tensor *t = safetensors_at(change->from, i);
    memcpy(ret, t->data, size);
    for (size_t k = 0; k < t->cells && strcmp(t->name, change->tensor) == 0; k++)
        memcpy((char *)ret + k * sizeof change->value, &change->value, sizeof change->value);
    return 0;
}

static int write_changed(const char *dir, const struct change *change, struct error *error)
{
    char path[4096];
    size_t n = safetensors_count(change->from);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    struct safetensors_entry *entries = calloc(n, sizeof *entries);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int r = entries == NULL || fd < 0 ? error_set(error, EIO, "%s: cannot be made", path) : 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        const struct safetensors_tensor *t = safetensors_at(change->from, i);
        entries[i] = (struct safetensors_entry){t->name, t->dtype, t->rank, {0}};
        memcpy(entries[i].shape, t->shape, sizeof entries[i].shape);
    }
    if (r == 0)
        r = safetensors_write(fd, path, entries, n, read_changed, (void *)change, error);
    if (fd >= 0)
        close(fd);
    free(entries);
    return r;
}

int made_changed(const char *dir, const char *from, const char *tensor, float value,
                 struct error *error)
{
    static const char *const texts[] = {"config.json", "labels.txt", "preprocess.json"};
    char path[4096];
    struct safetensors *file;
    snprintf(path, sizeof path, "%s/model.safetensors", from);
    int r = safetensors_open(&file, path, error);
    if (r < 0)
        return r;
    const struct safetensors_tensor *t = safetensors_find(file, tensor);
    const struct change change = {file, tensor, value};
    if (t == NULL || t->dtype != DTYPE_F32)
        r = error_set(error, EINVAL, "%s: has no float32 tensor %s", path, tensor);
    else if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        r = error_set(error, errno, "%s: cannot be made", dir);
    if (r == 0)
        r = write_changed(dir, &change, error);
    for (size_t i = 0; i < sizeof texts / sizeof *texts && r == 0; i++)
        r = copy_text(dir, from, texts[i], error);
    safetensors_close(file);
    return r;
}
