/* SPDX-License-Identifier: Apache-2.0 */
#include "model/import/match.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/graph.h"
#include "model/import/names.h"

enum { MISSING_SHOWN = 5, NAME_SHOWN = 74 };

/* By name */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct named_tensor *)a)->name, ((const struct named_tensor *)b)->name);
}

int match_names(struct import_plan *p, enum net_kind kind, struct error *error)
{
    size_t n = checkpoint_count(p->checkpoint);
    const bool psi = names_of_interpreter(p->checkpoint);
    p->named = calloc(n + 1, sizeof *p->named);
    if (p->named == NULL)
        return error_set(error, ENOMEM, "import: out of memory");
    for (size_t i = 0; i < n; i++) {
        char name[GRAPH_WEIGHT_NAME];
        const struct checkpoint_tensor *t = checkpoint_at(p->checkpoint, i);
        if (!canonical_name(t, kind, psi, name, sizeof name))
            continue;
        struct named_tensor *to = &p->named[p->n_named];
        *to = (struct named_tensor){strdup(name), t};
        if (to->name == NULL)
            return error_set(error, ENOMEM, "import: out of memory");
        p->n_named++;
    }
    qsort(p->named, p->n_named, sizeof *p->named, by_name);
    for (size_t i = 1; i < p->n_named; i++)
        if (strcmp(p->named[i - 1].name, p->named[i].name) == 0)
            return error_set(error, EINVAL, "%s: tensors %.90s and %.90s would both be %s",
                             p->named[i].from->path, p->named[i - 1].from->name,
                             p->named[i].from->name, p->named[i].name);
    return 0;
}

const struct checkpoint_tensor *match_find(const struct import_plan *p, const char *name)
{
    struct named_tensor key = {(char *)name, NULL};
    const struct named_tensor *found =
        bsearch(&key, p->named, p->n_named, sizeof *p->named, by_name);
    return found != NULL ? found->from : NULL;
}

bool match_any(const struct import_plan *p, const char *start)
{
    for (size_t i = 0; i < p->n_named; i++)
        if (strncmp(p->named[i].name, start, strlen(start)) == 0)
            return true;
    return false;
}

/* What is needed */

static bool is_float(enum safetensors_dtype dtype)
{
    return dtype == DTYPE_F64 || dtype == DTYPE_F32 || dtype == DTYPE_F16 || dtype == DTYPE_BF16;
}

static bool has_shape(const struct checkpoint_tensor *t, int rank, const int64_t *shape)
{
    bool same = t->rank == rank;
    for (int i = 0; i < rank && same; i++)
        same = t->shape[i] == shape[i];
    return same;
}

/* Which of config.json's numbers a weight's shape comes from, beside the width. */
static const char *key_of(const char *name)
{
    static const struct {
        const char *piece, *key;
    } keys[] = {
        {"classifier.", NULL},
        {"psi.", NULL},
        {"focal_layers", "focal_windows"},
        {"projection_in", "focal_levels"},
        {".mlp.", "mlp_ratio"},
        {"position_embeddings", "image_size"},
        {"patch_embeddings.projection", "patch_size"},
        {"intermediate.", "intermediate_size"},
        {".output.dense", "intermediate_size"},
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strstr(name, keys[i].piece) != NULL)
            return keys[i].key;
    return NULL;
}

static int wrong_shape(const struct import_plan *p, const struct checkpoint_tensor *t,
                       const struct graph_weight *w, struct error *error)
{
    char found[128], expected[128], why[160];
    bool vit = p->net.kind == NET_VIT;
    const char *key = key_of(w->name);
    char *value = key != NULL ? json_dumps(json_object_get(p->config_object, key),
                                           JSON_ENCODE_ANY | JSON_COMPACT)
                              : NULL;
    safetensors_shape_text(t->rank, t->shape, found, sizeof found);
    safetensors_shape_text(w->rank, w->shape, expected, sizeof expected);
    snprintf(why, sizeof why, "%s: %s %d%s%s%s%.60s",
             p->config_derived ? "of the other tensors" : "config.json",
             vit ? "hidden_size" : "embed_dim",
             vit ? p->net.vit.hidden_size : p->net.focalnet.embed_dim, value != NULL ? ", " : "",
             value != NULL ? key : "", value != NULL ? " " : "", value != NULL ? value : "");
    free(value);
    if (!is_float(t->dtype))
        return error_set(error, EINVAL, "%s: tensor %s is %s; expected: floating numbers", t->path,
                         t->name, dtype_name(t->dtype));
    return error_set(error, EINVAL, "%s: tensor %s is %s; expected: %s (%s)", t->path, t->name,
                     found, expected, why);
}

/* A head that the checkpoint has none of is not asked for. */
static bool is_asked(const struct import_plan *p, const struct graph_weight *w)
{
    return p->head || strncmp(w->name, "classifier.", strlen("classifier.")) != 0;
}

/* Running statistics are no parameters. */
static size_t parameters_of(const struct graph_weight *w)
{
    const char *last = strrchr(w->name, '.');
    size_t n = strncmp(last != NULL ? last : "", ".running_", 9) != 0;
    for (int i = 0; i < w->rank; i++)
        n *= (size_t)w->shape[i];
    return n;
}

static int check_needed(struct import_plan *p, const struct graph *g, struct error *error)
{
    int r = 0;
    p->missing = calloc((size_t)g->n_weights + 1, sizeof *p->missing);
    if (p->missing == NULL)
        return error_set(error, ENOMEM, "import: out of memory");
    for (int i = 0; i < g->n_weights; i++) {
        const struct graph_weight *w = &g->weights[i];
        const struct checkpoint_tensor *t = match_find(p, w->name);
        if (!is_asked(p, w))
            continue;
        p->parameters += parameters_of(w);
        if (t == NULL) {
            if ((p->missing[p->n_missing] = strdup(w->name)) == NULL)
                return error_set(error, ENOMEM, "import: out of memory");
            p->n_missing++;
        } else if (r == 0 && (!is_float(t->dtype) || !has_shape(t, w->rank, w->shape))) {
            r = wrong_shape(p, t, w, error);
        }
    }
    return r;
}

static int tell_missing(const struct import_plan *p, struct error *error)
{
    char names[400] = "";
    size_t at = 0;
    for (size_t i = 0; i < p->n_missing && i < MISSING_SHOWN; i++) {
        /* long paths of a network's parts: their ends tell most */
        const char *name = p->missing[i];
        size_t n = strlen(name);
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s%s", i > 0 ? ", " : "",
                               n > NAME_SHOWN ? "…" : "",
                               n > NAME_SHOWN ? name + n - NAME_SHOWN : name);
    }
    return error_set(error, EINVAL, "%s lacks %zu tensor%s of the network that %s: %s%s",
                     checkpoint_file(p->checkpoint, 0), p->n_missing, p->n_missing == 1 ? "" : "s",
                     p->config_derived ? "its other tensors make" : "config.json describes", names,
                     p->n_missing > MISSING_SHOWN ? ", …" : "");
}

/* What is kept beside it */

static const struct graph_weight *find_weight(const struct graph *g, const char *name)
{
    for (int i = 0; i < g->n_weights; i++)
        if (strcmp(g->weights[i].name, name) == 0)
            return &g->weights[i];
    return NULL;
}

/* A batch norm's counter, beside its running variance. */
static bool is_counter(const struct import_plan *p, const struct graph *g, const char *name,
                       const struct checkpoint_tensor *t)
{
    static const char counter[] = "num_batches_tracked";
    char sibling[GRAPH_WEIGHT_NAME + 16];
    const char *last = strrchr(name, '.');
    if (last == NULL || strcmp(last + 1, counter) != 0 || is_float(t->dtype) || t->cells != 1)
        return false;
    snprintf(sibling, sizeof sibling, "%.*s.running_var", (int)(last - name), name);
    const struct graph_weight *w = find_weight(g, sibling);
    return w != NULL && is_asked(p, w);
}

/* Tensors that the published networks have and that the classifier does not use. */
static bool is_companion(const struct import_plan *p, const char *name,
                         const struct checkpoint_tensor *t)
{
    const struct focalnet_config *f = &p->net.focalnet;
    const bool vit = p->net.kind == NET_VIT;
    const int64_t width = vit ? p->net.vit.hidden_size : f->embed_dim;
    const int64_t last = vit ? 0 : focalnet_stage_channels(f, f->n_stages - 1);
    const struct {
        const char *name;
        bool vit;
        int rank;
        int64_t shape[3];
    } companions[] = {
        {"focalnet.layernorm.weight", false, 1, {last}},
        {"focalnet.layernorm.bias", false, 1, {last}},
        {"focalnet.embeddings.mask_token", false, 3, {1, 1, width}},
        {"pooler.dense.weight", true, 2, {width, width}},
        {"pooler.dense.bias", true, 1, {width}},
        {"embeddings.mask_token", true, 3, {1, 1, width}},
    };
    for (size_t i = 0; i < ARRAY_LEN(companions); i++)
        if (companions[i].vit == vit && strcmp(companions[i].name, name) == 0)
            return is_float(t->dtype) && has_shape(t, companions[i].rank, companions[i].shape);
    return false;
}

/* A left-over weight that shows that the network is another one than we would build. */
static bool is_of_network(const struct import_plan *p, const char *name,
                          const struct checkpoint_tensor *t)
{
    static const char *const parts[] = {"focalnet.encoder.", "encoder.", "psi."};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (strncmp(name, parts[i], strlen(parts[i])) == 0)
            return is_float(t->dtype);
    return p->head && strncmp(name, "classifier.", strlen("classifier.")) == 0 &&
           is_float(t->dtype);
}

static int sort_out(struct import_plan *p, const struct graph *g, struct error *error)
{
    size_t n = checkpoint_count(p->checkpoint);
    int r = 0;
    p->rows = calloc(n + 1, sizeof *p->rows);
    if (p->rows == NULL)
        return error_set(error, ENOMEM, "import: out of memory");
    for (size_t i = 0; i < n; i++)
        p->rows[i].from = checkpoint_at(p->checkpoint, i);
    p->n_left = n;
    for (size_t i = 0; i < p->n_named; i++) {
        const char *name = p->named[i].name;
        const struct checkpoint_tensor *t = p->named[i].from;
        const struct graph_weight *w = find_weight(g, name);
        struct import_row *row = &p->rows[t - checkpoint_at(p->checkpoint, 0)];
        bool needed = w != NULL && is_asked(p, w);
        if (needed || is_counter(p, g, name, t) || is_companion(p, name, t)) {
            row->to = name;
            row->dtype = t->dtype == DTYPE_F64 ? DTYPE_F32 : t->dtype;
            p->n_left--;
        } else if (r == 0 && is_of_network(p, name, t)) {
            r = error_set(error, EINVAL,
                          "%s: tensor %s has no place in the network that %s; is it of another "
                          "geometry?",
                          t->path, t->name,
                          p->config_derived ? "the other tensors make" : "config.json describes");
        }
    }
    return r;
}

int match_tensors(struct import_plan *p, struct error *error)
{
    struct graph g;
    struct net_values values;
    struct net_config config = p->net;
    if (!p->head)
        *net_head(&config) =
            (struct head_config){.dim = 1, .classes = 1}; /* built, not asked for */
    graph_init(&g);
    int r = net_build(&config, 1, false, config.piq.keys > 0, &g, &values, error);
    if (r == 0) {
        struct error of_left = {""};
        r = check_needed(p, &g, error);
        int left = r == -ENOMEM ? 0 : sort_out(p, &g, &of_left);
        if (r == 0 && p->n_missing > 0)
            r = tell_missing(p, error);
        else if (r == 0 && left < 0)
            r = error_set(error, -left, "%s", of_left.text);
    }
    graph_finish(&g);
    return r;
}
