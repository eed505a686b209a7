/* SPDX-License-Identifier: Apache-2.0
 * As torch/serialization.py and torch/_utils.py write and read them. */
#include "model/weights/torch_rules.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

/* The storages' place among the globals is that of their dtype below. */
static const char *const globals[] = {
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.DoubleStorage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ShortStorage",
    "torch.CharStorage",
    "torch.ByteStorage",
    "torch.BoolStorage",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.Size",
    NULL,
};
static const enum safetensors_dtype dtypes[] = {
    DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64, DTYPE_I64,
    DTYPE_I32, DTYPE_I16, DTYPE_I8,   DTYPE_U8,  DTYPE_BOOL,
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };
enum { REBUILD_TENSOR = N_DTYPES, REBUILD_PARAMETER, SIZE };

static int malformed(const struct torch_build *b, struct error *error, const char *what)
{
    return error_set(error, EINVAL,
                     "%s: the pickle describes %s otherwise than PyTorch does: the file is damaged",
                     b->place, what);
}

static int no_memory(const struct torch_build *b, struct error *error)
{
    return error_set(error, ENOMEM, "%s: out of memory", b->place);
}

/* array with room for an element n: it grows at powers of two. NULL when memory is exhausted, and
 * array stays as it was. */
static void *with_room(void *array, size_t n, size_t size)
{
    if (n != 0 && (n & (n - 1)) != 0)
        return array;
    return realloc(array, 2 * (n + 1) * size);
}

static bool is_count(const struct pickle_value *v)
{
    return v->kind == PICKLE_INT && v->integer >= 0;
}

/* Storages */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct torch_storage *)a)->key, ((const struct torch_storage *)b)->key);
}

static bool take_key(struct torch_storage *s, const char *key, size_t n)
{
    if (n == 0 || n > TORCH_KEY_BYTES)
        return false;
    pickle_printable(key, n, s->key, sizeof s->key);
    return memcmp(s->key, key, n) == 0;
}

struct torch_storage *torch_tree_storage(const struct torch_tree *tree, const char *key, size_t n)
{
    struct torch_storage s;
    if (!take_key(&s, key, n))
        return NULL;
    void *node = tfind(&s, &tree->keys, compare_keys);
    return node != NULL ? *(struct torch_storage **)node : NULL;
}

/* Adds a storage that is not known yet. */
static int add_storage(struct torch_build *b, const struct torch_storage *new, struct error *error)
{
    struct torch_tree *tree = b->tree;
    struct torch_storage **storages =
        with_room(tree->storages, tree->n_storages, sizeof(*storages));
    if (storages == NULL)
        return no_memory(b, error);
    tree->storages = storages;
    struct torch_storage *s = malloc(sizeof *s);
    if (s == NULL)
        return no_memory(b, error);
    *s = *new;
    s->index = tree->n_storages;
    tree->storages[tree->n_storages++] = s;
    return tsearch(s, &tree->keys, compare_keys) != NULL ? 0 : no_memory(b, error);
}

/* ('storage', torch.FloatStorage, key, location, count), and in the old stream a sixth: None, or
 * (key, first, count) of a part that this one means */
static int read_storage(struct torch_build *b, const struct pickle_value *id,
                        struct torch_view *ret, struct error *error)
{
    struct pickle_value *const *v = id->items;
    struct torch_storage s = {.key = ""};
    if (id->kind != PICKLE_TUPLE || id->n < 5 || id->n > 6 || !pickle_is_text(v[0], "storage") ||
        v[1]->kind != PICKLE_GLOBAL || v[1]->index >= N_DTYPES || v[2]->kind != PICKLE_STRING ||
        !take_key(&s, v[2]->text, v[2]->n) || v[3]->kind != PICKLE_STRING || !is_count(v[4]))
        return malformed(b, error, "a storage");
    s.dtype = dtypes[v[1]->index];
    s.cells = (size_t)v[4]->integer;
    if (__builtin_mul_overflow(s.cells, dtype_size(s.dtype), &s.bytes) || s.bytes > INT64_MAX)
        return malformed(b, error, "a storage");
    struct torch_storage *known = torch_tree_storage(b->tree, s.key, strlen(s.key));
    if (known != NULL && (known->dtype != s.dtype || known->cells != s.cells))
        return error_set(error, EINVAL,
                         "%s: storage %s is said to be %zu %s values and %zu %s values: the file "
                         "is damaged",
                         b->place, s.key, known->cells, dtype_name(known->dtype), s.cells,
                         dtype_name(s.dtype));
    int r = known != NULL ? 0 : add_storage(b, &s, error);
    if (r < 0)
        return r;
    *ret = (struct torch_view){.storage = known != NULL ? known->index : b->tree->n_storages - 1,
                               .cells = s.cells};
    if (id->n == 6 && v[5]->kind != PICKLE_NONE) {
        struct pickle_value *const *part = v[5]->items;
        if (v[5]->kind != PICKLE_TUPLE || v[5]->n != 3 || part[0]->kind != PICKLE_STRING ||
            !is_count(part[1]) || !is_count(part[2]) || (size_t)part[1]->integer > s.cells ||
            (size_t)part[2]->integer > s.cells - (size_t)part[1]->integer)
            return malformed(b, error, "a part of a storage");
        ret->first = (size_t)part[1]->integer;
        ret->cells = (size_t)part[2]->integer;
    }
    return 0;
}

static int persistent(void *context, struct pickle *pickle, const struct pickle_value *id,
                      struct pickle_value **ret, struct error *error)
{
    struct torch_build *b = context;
    struct torch_view view;
    int r = read_storage(b, id, &view, error);
    if (r < 0)
        return r;
    struct torch_view *views = with_room(b->views, b->n_views, sizeof *views);
    if (views == NULL)
        return no_memory(b, error);
    b->views = views;
    views[b->n_views] = view;
    *ret = pickle_object(pickle, TORCH_STORAGE_VIEW, b->n_views++);
    return 0;
}

/* Tensors */

/* Shape and stride, and that the last element lies in the view. */
static int place_tensor(struct torch_build *b, struct torch_tensor *t,
                        const struct torch_view *view, struct error *error)
{
    size_t cells = 1, last = t->offset;
    bool empty = false, overflow = false;
    for (int i = 0; i < t->rank; i++)
        empty |= t->shape[i] == 0;
    for (int i = 0; i < t->rank; i++) {
        size_t way;
        overflow |= t->shape[i] != 0 && __builtin_mul_overflow(cells, (size_t)t->shape[i], &cells);
        if (!empty)
            overflow |=
                __builtin_mul_overflow((size_t)t->shape[i] - 1, (size_t)t->stride[i], &way) ||
                __builtin_add_overflow(last, way, &last);
    }
    t->cells = empty ? 0 : cells;
    size_t bytes;
    overflow |= __builtin_mul_overflow(cells, dtype_size(t->dtype), &bytes);
    if (overflow || (empty ? t->offset > view->cells : last >= view->cells)) {
        char shape[160];
        safetensors_shape_text(t->rank, t->shape, shape, sizeof shape);
        return error_set(error, EINVAL,
                         "%s: a tensor %s reaches beyond storage %s of %zu values: the file is "
                         "damaged",
                         b->place, shape, b->tree->storages[t->storage]->key, view->cells);
    }
    t->offset += view->first;
    return 0;
}

/* (storage, offset, shape, stride, requires_grad, hooks[, metadata]) */
static int rebuild_tensor(struct torch_build *b, const struct pickle_value *args,
                          struct error *error)
{
    struct pickle_value *const *v = args->items;
    if (args->n < 6 || args->n > 7 || v[0]->kind != PICKLE_OBJECT ||
        v[0]->type != TORCH_STORAGE_VIEW || !is_count(v[1]) || v[2]->kind != PICKLE_TUPLE ||
        v[3]->kind != PICKLE_TUPLE || v[2]->n != v[3]->n || v[4]->kind != PICKLE_BOOL ||
        (v[5]->kind != PICKLE_DICT && v[5]->kind != PICKLE_NONE) ||
        (args->n == 7 && v[6]->kind != PICKLE_DICT && v[6]->kind != PICKLE_NONE))
        return malformed(b, error, "a tensor");
    if (v[2]->n > SAFETENSORS_MAX_RANK)
        return error_set(error, EINVAL, "%s: a tensor has %zu dimensions; allowed: up to %d",
                         b->place, v[2]->n, SAFETENSORS_MAX_RANK);
    const struct torch_view *view = &b->views[v[0]->index];
    struct torch_tensor t = {.dtype = b->tree->storages[view->storage]->dtype,
                             .rank = (int)v[2]->n,
                             .storage = view->storage,
                             .offset = (size_t)v[1]->integer};
    for (int i = 0; i < t.rank; i++) {
        if (!is_count(v[2]->items[i]) || !is_count(v[3]->items[i]))
            return malformed(b, error, "the shape of a tensor");
        t.shape[i] = v[2]->items[i]->integer;
        t.stride[i] = v[3]->items[i]->integer;
    }
    int r = place_tensor(b, &t, view, error);
    if (r < 0)
        return r;
    if (b->n_tensors == TORCH_MAX_TENSORS)
        return error_set(error, EINVAL, "%s: it has more than %d tensors", b->place,
                         TORCH_MAX_TENSORS);
    struct torch_tensor *tensors = with_room(b->tensors, b->n_tensors, sizeof *tensors);
    if (tensors == NULL)
        return no_memory(b, error);
    b->tensors = tensors;
    tensors[b->n_tensors++] = t;
    return 0;
}

static int call(void *context, struct pickle *pickle, size_t global,
                const struct pickle_value *args, struct pickle_value **ret, struct error *error)
{
    struct torch_build *b = context;
    int r = 0;
    if (global == REBUILD_TENSOR) {
        r = rebuild_tensor(b, args, error);
        if (r == 0)
            *ret = pickle_object(pickle, TORCH_TENSOR, b->n_tensors - 1);
    } else if (global == REBUILD_PARAMETER) { /* (tensor, requires_grad, hooks) */
        if (args->n != 3 || args->items[0]->kind != PICKLE_OBJECT ||
            args->items[0]->type != TORCH_TENSOR || args->items[1]->kind != PICKLE_BOOL ||
            args->items[2]->kind != PICKLE_DICT)
            return malformed(b, error, "a parameter");
        *ret = args->items[0];
    } else if (global == SIZE) { /* (shape) */
        if (args->n != 1 || args->items[0]->kind != PICKLE_TUPLE)
            return malformed(b, error, "a shape");
        *ret = args->items[0];
    } else {
        r = malformed(b, error, "a storage");
    }
    return r;
}

struct pickle_rules torch_rules(struct torch_build *build)
{
    return (struct pickle_rules){globals, call, persistent, build};
}

void torch_build_clear(struct torch_build *b)
{
    free(b->views);
    free(b->tensors);
    b->views = NULL;
    b->tensors = NULL;
}
