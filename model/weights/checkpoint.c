/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weights/checkpoint.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "model/text_file.h"
#include "model/json_values.h"
#include "model/model_internal.h"
#include "model/weights/torch_file.h"

enum { MAX_FILES = 1000 };

struct source { /* one of the two */
    struct safetensors *safetensors;
    struct torch_file *torch;
    enum checkpoint_part part;
};

struct checkpoint {
    enum checkpoint_layout layout;
    char dir[PATH_MAX];
    char above[PATH_MAX]; /* where SpeechBrain's checkpointer leaves the rest, or "" */
    struct source *sources;
    size_t n_sources;
    struct checkpoint_tensor *tensors;
    size_t n;
};

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

static const char *source_path(const struct source *s)
{
    return s->safetensors != NULL ? safetensors_path(s->safetensors) : torch_path(s->torch);
}

/* Opening files */

static int add_file(struct checkpoint *c, const char *path, enum checkpoint_part part,
                    struct error *error)
{
    struct source *sources = realloc(c->sources, (c->n_sources + 1) * sizeof *sources);
    if (sources == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", path);
    c->sources = sources;
    struct source s = {.part = part};
    int r = ends_with(path, ".safetensors") ? safetensors_open(&s.safetensors, path, error)
                                            : torch_open(&s.torch, path, error);
    if (r == 0)
        c->sources[c->n_sources++] = s;
    return r;
}

/* A name that stays in the directory. */
static bool is_file_name(const char *name)
{
    return name != NULL && name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0 && strlen(name) <= NAME_MAX && text_is_printable(name);
}

static bool holds(const struct source *s, const char *name)
{
    return s->safetensors != NULL ? safetensors_find(s->safetensors, name) != NULL
                                  : torch_find(s->torch, name) != NULL;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The shards that an index names, each once, in order. */
static int add_shards(struct checkpoint *c, const char *index, const json_t *map,
                      struct error *error)
{
    size_t n = json_object_size(map), shards = 0;
    const char **names = calloc(n + 1, sizeof(*names));
    const char *tensor;
    json_t *value;
    int r = names == NULL ? error_set(error, ENOMEM, "%s: out of memory", index) : 0;
    if (r == 0)
        json_object_foreach ((json_t *)map, tensor, value) {
            const char *name = json_string_value(value);
            if (!text_is_printable(tensor)) {
                r = error_set(error, EINVAL, "%s: a tensor's name has control characters", index);
                break;
            }
            if (!is_file_name(name)) {
                r = json_wrong(index, tensor, value, "a file's name in the same directory", error);
                break;
            }
            names[shards++] = name;
        }
    if (r == 0)
        qsort(names, shards, sizeof(*names), compare_text);
    for (size_t i = 0; i < shards && r == 0; i++) {
        char path[PATH_MAX + NAME_MAX + 2];
        if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", c->dir, names[i]);
        r = c->n_sources == MAX_FILES
                ? error_set(error, EINVAL, "it names more than %d files", MAX_FILES)
                : add_file(c, path, PART_ANY, error);
        if (r < 0)
            error_prefix(error, r, "%s", index);
    }
    free(names);
    return r;
}

static int compare_source(const void *name, const void *source)
{
    return strcmp(name, strrchr(source_path(source), '/') + 1);
}

/* Each tensor of the index is in its file; the files are in the order of their names. */
static int check_index(const struct checkpoint *c, const char *index, const json_t *map,
                       struct error *error)
{
    const char *tensor;
    json_t *value;
    json_object_foreach ((json_t *)map, tensor, value) {
        const char *name = json_string_value(value);
        const struct source *source =
            bsearch(name, c->sources, c->n_sources, sizeof *c->sources, compare_source);
        if (source == NULL || !holds(source, tensor))
            return error_set(error, EINVAL, "%s: tensor %.120s is not in %s", index, tensor, name);
    }
    return 0;
}

static int add_index(struct checkpoint *c, const char *path, struct error *error)
{
    char *text;
    size_t length;
    json_t *o = NULL;
    int r = text_file_read(path, &text, &length, error);
    if (r < 0)
        return r;
    r = json_parse_object(&o, text, length, path, error);
    free(text);
    if (r < 0)
        return r;
    const json_t *map = json_object_get(o, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0)
        r = error_set(error, EINVAL, "%s: no \"weight_map\" that says which file has which tensor",
                      path);
    if (r == 0)
        r = add_shards(c, path, map, error);
    if (r == 0)
        r = check_index(c, path, map, error);
    json_decref(o);
    return r;
}

/* The list */

static void add_tensor(struct checkpoint *c, size_t source, struct checkpoint_tensor t,
                       const int64_t *shape)
{
    t.source = source;
    t.path = source_path(&c->sources[source]);
    t.part = c->sources[source].part;
    memcpy(t.shape, shape, sizeof t.shape);
    c->tensors[c->n++] = t;
}

/* What the two kinds of files say of a tensor has the same names. */
#define TENSOR_OF(t)                                                                               \
    (struct checkpoint_tensor)                                                                     \
    {                                                                                              \
        .name = (t)->name, .dtype = (t)->dtype, .rank = (t)->rank, .cells = (t)->cells, .at = (t)  \
    }

static void list_source(struct checkpoint *c, size_t source)
{
    const struct source *s = &c->sources[source];
    size_t n = s->safetensors != NULL ? safetensors_count(s->safetensors) : torch_count(s->torch);
    for (size_t i = 0; i < n; i++) {
        if (s->safetensors != NULL) {
            const struct safetensors_tensor *t = safetensors_at(s->safetensors, i);
            add_tensor(c, source, TENSOR_OF(t), t->shape);
        } else {
            const struct torch_tensor *t = torch_at(s->torch, i);
            add_tensor(c, source, TENSOR_OF(t), t->shape);
        }
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct checkpoint_tensor *const *)a)->name,
                  (*(const struct checkpoint_tensor *const *)b)->name);
}

/* They are printed. */
static int check_names(const struct checkpoint *c, struct error *error)
{
    for (size_t i = 0; i < c->n; i++)
        if (!text_is_printable(c->tensors[i].name))
            return error_set(error, EINVAL, "%s: the name of tensor %zu has control characters",
                             c->tensors[i].path, i);
    return 0;
}

/* Shards share no tensor. (SpeechBrain's files are modules: their names may well be the same.) */
static int check_once(const struct checkpoint *c, struct error *error)
{
    const struct checkpoint_tensor **order = calloc(c->n + 1, sizeof(*order));
    size_t n = 0;
    int r = 0;
    if (order == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", c->dir);
    for (size_t i = 0; i < c->n; i++)
        if (c->tensors[i].part == PART_ANY)
            order[n++] = &c->tensors[i];
    qsort(order, n, sizeof(*order), by_name);
    for (size_t i = 1; i < n && r == 0; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            r = error_set(error, EINVAL, "%s: tensor %.120s is in %s as well", order[i - 1]->path,
                          order[i]->name, order[i]->path);
    free(order);
    return r;
}

static int list(struct checkpoint *c, struct error *error)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_sources; i++)
        n += c->sources[i].safetensors != NULL ? safetensors_count(c->sources[i].safetensors)
                                               : torch_count(c->sources[i].torch);
    c->tensors = calloc(n + 1, sizeof *c->tensors);
    if (c->tensors == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", c->dir);
    for (size_t i = 0; i < c->n_sources; i++)
        list_source(c, i);
    int r = check_names(c, error);
    return r == 0 ? check_once(c, error) : r;
}

/* Places */

bool checkpoint_beside(const struct checkpoint *c, const char *name, char *ret, size_t size)
{
    struct stat st;
    const char *const dirs[] = {c->dir, c->above};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        int n = dirs[i][0] != '\0' ? snprintf(ret, size, "%s/%s", dirs[i], name) : -1;
        /* a link that leads nowhere is there: opening it tells */
        if (n >= 0 && (size_t)n < size && lstat(ret, &st) == 0)
            return true;
    }
    return false;
}

static int open_directory(struct checkpoint *c, struct error *error)
{
    static const struct {
        const char *name;
        enum checkpoint_part part;
    } modules[] = {{"embedding_model.ckpt", PART_BACKBONE}, {"classifier.ckpt", PART_HEAD}};
    static const char *const files[] = {"model.safetensors", "model.safetensors.index.json",
                                        "pytorch_model.bin", "pytorch_model.bin.index.json"};
    char path[PATH_MAX + 64];
    int r = 0;
    if (checkpoint_beside(c, modules[0].name, path, sizeof path)) {
        c->layout = CHECKPOINT_SPEECHBRAIN;
        for (size_t i = 0; i < ARRAY_LEN(modules) && r == 0; i++)
            if (checkpoint_beside(c, modules[i].name, path, sizeof path))
                r = add_file(c, path, modules[i].part, error);
    } else {
        c->layout = CHECKPOINT_HUGGING_FACE;
        for (size_t i = 0; i < ARRAY_LEN(files) && r == 0 && c->n_sources == 0; i++)
            if (checkpoint_beside(c, files[i], path, sizeof path))
                r = ends_with(path, ".json") ? add_index(c, path, error)
                                             : add_file(c, path, PART_ANY, error);
    }
    if (r == 0 && c->n_sources == 0)
        return error_set(error, ENOENT,
                         "%s holds no checkpoint; expected: model.safetensors, pytorch_model.bin, "
                         "the index of one of them, or embedding_model.ckpt with classifier.ckpt",
                         c->dir);
    if (r == 0 && checkpoint_beside(c, "psi_model.ckpt", path, sizeof path))
        r = add_file(c, path, PART_PSI, error);
    return r;
}

static int open_file(struct checkpoint *c, const char *path, struct error *error)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    c->layout = CHECKPOINT_FILE;
    if (slash == NULL)
        snprintf(c->dir, sizeof c->dir, ".");
    else
        snprintf(c->dir, sizeof c->dir, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (ends_with(name, ".index.json"))
        return add_index(c, path, error);
    if (!ends_with(name, ".safetensors") && !ends_with(name, ".bin") && !ends_with(name, ".ckpt") &&
        !ends_with(name, ".pt") && !ends_with(name, ".pth"))
        return error_set(error, EINVAL,
                         "%s: unknown kind of file; allowed: .safetensors, .bin, .ckpt, .pt, .pth, "
                         ".index.json, or a directory with them",
                         path);
    return add_file(c, path, PART_ANY, error);
}

/* The directory's name without slashes at the end. */
static void take_directory(struct checkpoint *c, const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    snprintf(c->dir, sizeof c->dir, "%.*s", (int)n, path);
    const char *slash = strrchr(c->dir, '/'), *last = slash != NULL ? slash + 1 : c->dir;
    if (strncmp(last, "CKPT+", 5) != 0)
        return;
    if (slash == NULL)
        snprintf(c->above, sizeof c->above, ".");
    else
        snprintf(c->above, sizeof c->above, "%.*s", (int)(slash > c->dir ? slash - c->dir : 1),
                 c->dir);
}

int checkpoint_open(struct checkpoint **ret, const char *path, struct error *error)
{
    struct stat st;
    if (strlen(path) >= PATH_MAX)
        return error_set(error, ENAMETOOLONG, "%.100s…: the path is too long", path);
    if (stat(path, &st) < 0)
        return error_set(error, errno, "%s: %s", path, strerror(errno));
    struct checkpoint *c = calloc(1, sizeof *c);
    if (c == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", path);
    int r;
    if (S_ISDIR(st.st_mode)) {
        take_directory(c, path);
        r = open_directory(c, error);
    } else {
        r = open_file(c, path, error);
    }
    if (r == 0)
        r = list(c, error);
    if (r < 0) {
        checkpoint_close(c);
        return r;
    }
    *ret = c;
    return 0;
}

void checkpoint_close(struct checkpoint *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n_sources; i++) {
        safetensors_close(c->sources[i].safetensors);
        torch_close(c->sources[i].torch);
    }
    free(c->sources);
    free(c->tensors);
    free(c);
}

enum checkpoint_layout checkpoint_layout(const struct checkpoint *c)
{
    return c->layout;
}

const char *checkpoint_dir(const struct checkpoint *c)
{
    return c->dir;
}

size_t checkpoint_files(const struct checkpoint *c)
{
    return c->n_sources;
}

const char *checkpoint_file(const struct checkpoint *c, size_t i)
{
    return source_path(&c->sources[i]);
}

bool checkpoint_has(const struct checkpoint *c, enum checkpoint_part part)
{
    for (size_t i = 0; i < c->n_sources; i++)
        if (c->sources[i].part == part)
            return true;
    return false;
}

size_t checkpoint_count(const struct checkpoint *c)
{
    return c->n;
}

const struct checkpoint_tensor *checkpoint_at(const struct checkpoint *c, size_t i)
{
    return &c->tensors[i];
}

int checkpoint_read(const struct checkpoint *c, const struct checkpoint_tensor *t, void *ret,
                    struct error *error)
{
    const struct source *s = &c->sources[t->source];
    if (s->torch != NULL)
        return torch_read(s->torch, t->at, ret, error);
    const struct safetensors_tensor *tensor = t->at;
    if (tensor->cells > 0)
        memcpy(ret, tensor->data, tensor->cells * dtype_size(tensor->dtype));
    safetensors_release_pages(s->safetensors);
    return 0;
}

const struct safetensors *checkpoint_whole(const struct checkpoint *c)
{
    return c->n_sources == 1 ? c->sources[0].safetensors : NULL;
}
