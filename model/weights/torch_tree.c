/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weights/torch_tree.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/weights/torch_rules.h"

/* The way from the root to a value. */
struct way {
    struct torch_tree *tree;
    const struct torch_build *build;
    const char *place;
    struct error *error;
    size_t steps, room; /* room: for tensors */
    char name[TORCH_NAME_BYTES + 1];
};

/* UTF-8 without control characters; 0 where text does not begin with one such character. */
static size_t character(const unsigned char *text, size_t n)
{
    uint32_t c = text[0];
    size_t length = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (length == 0 || length > n)
        return 0;
    c &= length == 1 ? 0x7f : 0x7fu >> length;
    for (size_t i = 1; i < length; i++) {
        if (text[i] >> 6 != 2)
            return 0;
        c = c << 6 | (text[i] & 0x3f);
    }
    bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    bool valid = c >= least[length] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
    return valid && !control ? length : 0;
}

/* Puts key behind name[n]; the new length, or 0 where that makes no name. */
static size_t extend(struct way *w, size_t n, const char *key, size_t n_key)
{
    size_t dot = n > 0 ? 1 : 0;
    if (n_key == 0 || n + dot + n_key > TORCH_NAME_BYTES)
        return 0;
    for (size_t i = 0, length; i < n_key; i += length) {
        length = character((const unsigned char *)key + i, n_key - i);
        if (length == 0)
            return 0;
    }
    if (dot)
        w->name[n] = '.';
    memcpy(w->name + n + dot, key, n_key);
    w->name[n + dot + n_key] = '\0';
    return n + dot + n_key;
}

static int add_tensor(struct way *w, const struct pickle_value *v, size_t n_name)
{
    struct torch_tree *tree = w->tree;
    if (n_name == 0)
        return error_set(w->error, EINVAL,
                         "%s: a tensor has no name, one of more than %d bytes, or one that is no "
                         "plain text; expected: a dictionary of named tensors",
                         w->place, TORCH_NAME_BYTES);
    if (tree->n_tensors == TORCH_MAX_TENSORS)
        return error_set(w->error, EINVAL, "%s: it has more than %d tensors", w->place,
                         TORCH_MAX_TENSORS);
    if (tree->n_tensors == w->room) {
        size_t room = w->room == 0 ? 64 : 2 * w->room;
        struct torch_tensor *grown = realloc(tree->tensors, room * sizeof *grown);
        if (grown == NULL)
            return error_set(w->error, ENOMEM, "%s: out of memory", w->place);
        tree->tensors = grown;
        w->room = room;
    }
    struct torch_tensor *t = &tree->tensors[tree->n_tensors];
    *t = w->build->tensors[v->index];
    t->name = strndup(w->name, n_name);
    if (t->name == NULL)
        return error_set(w->error, ENOMEM, "%s: out of memory", w->place);
    tree->n_tensors++;
    return 0;
}

static int walk(struct way *w, const struct pickle_value *v, size_t n_name, bool named, int depth);

/* A dictionary's values go by their keys, the others' by their numbers. */
static int walk_item(struct way *w, const struct pickle_value *v, size_t i, size_t n_name,
                     bool named, int depth)
{
    const struct pickle_value *item = v->items[i];
    char number[24];
    const char *key = number;
    size_t n_key = 0;
    if (v->kind != PICKLE_DICT) {
        n_key = (size_t)snprintf(number, sizeof number, "%zu", i);
    } else {
        const struct pickle_value *k = v->items[i - 1];
        if (k->kind == PICKLE_STRING) {
            key = k->text;
            n_key = k->n;
        } else if (k->kind == PICKLE_INT) {
            n_key = (size_t)snprintf(number, sizeof number, "%" PRId64, k->integer);
        }
    }
    size_t n = named ? extend(w, n_name, key, n_key) : 0;
    return walk(w, item, n, n > 0, depth + 1);
}

/* named: name[n_name] leads here. Without it only what has no tensors is allowed here. */
static int walk(struct way *w, const struct pickle_value *v, size_t n_name, bool named, int depth)
{
    if (w->steps++ == TORCH_MAX_STEPS || depth > TORCH_MAX_DEPTH)
        return error_set(w->error, EINVAL,
                         "%s: its values are nested deeper than %d, or more than %d: it is no "
                         "file of weights",
                         w->place, TORCH_MAX_DEPTH, TORCH_MAX_STEPS);
    if (v->kind == PICKLE_OBJECT && v->type == TORCH_TENSOR)
        return add_tensor(w, v, named ? n_name : 0);
    if (v->kind != PICKLE_TUPLE && v->kind != PICKLE_LIST && v->kind != PICKLE_DICT)
        return 0;
    int r = 0;
    size_t step = v->kind == PICKLE_DICT ? 2 : 1;
    for (size_t i = step - 1; i < v->n && r == 0; i += step)
        r = walk_item(w, v, i, n_name, named, depth);
    return r;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct torch_tensor *const *)a)->name,
                  (*(const struct torch_tensor *const *)b)->name);
}

static int sort_names(struct way *w)
{
    struct torch_tree *tree = w->tree;
    tree->by_name = malloc((tree->n_tensors + 1) * sizeof(*tree->by_name));
    if (tree->by_name == NULL)
        return error_set(w->error, ENOMEM, "%s: out of memory", w->place);
    for (size_t i = 0; i < tree->n_tensors; i++)
        tree->by_name[i] = &tree->tensors[i];
    qsort(tree->by_name, tree->n_tensors, sizeof(*tree->by_name), by_name);
    for (size_t i = 1; i < tree->n_tensors; i++)
        if (strcmp(tree->by_name[i - 1]->name, tree->by_name[i]->name) == 0)
            return error_set(w->error, EINVAL, "%s: two tensors are named %s", w->place,
                             tree->by_name[i]->name);
    return 0;
}

int torch_tree_read(struct torch_tree *tree, const char *place, const void *bytes, size_t size,
                    size_t *ret_used, struct error *error)
{
    *tree = (struct torch_tree){0};
    struct torch_build build = {.tree = tree, .place = place};
    struct pickle_rules rules = torch_rules(&build);
    struct way w = {.tree = tree, .build = &build, .place = place, .error = error};
    struct pickle *pickle = NULL;
    int r = pickle_read(&pickle, place, bytes, size, &rules, ret_used, error);
    if (r == 0)
        r = walk(&w, pickle_root(pickle), 0, true, 0);
    if (r == 0)
        r = sort_names(&w);
    pickle_destroy(pickle);
    torch_build_clear(&build);
    return r;
}

static void leave(void *storage)
{
}

void torch_tree_clear(struct torch_tree *tree)
{
    tdestroy(tree->keys, leave);
    for (size_t i = 0; i < tree->n_storages; i++)
        free(tree->storages[i]);
    free(tree->storages);
    for (size_t i = 0; i < tree->n_tensors; i++)
        free((char *)(uintptr_t)tree->tensors[i].name);
    free(tree->tensors);
    free(tree->by_name);
    *tree = (struct torch_tree){0};
}
