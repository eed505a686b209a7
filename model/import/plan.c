/* SPDX-License-Identifier: Apache-2.0 */
#include "model/import/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/import/config_text.h"
#include "model/import/labels.h"
#include "model/import/match.h"
#include "model/import/names.h"
#include "model/json_values.h"
#include "model/model_internal.h"
#include "model/text_file.h"

enum { MAX_HEAD_DIM = 65536, MAX_KEYS = 1 << 20 };

/* The network */

/* SpeechBrain's releases have a config.json for the hub that says nothing of the network. */
static bool says_geometry(const json_t *config)
{
    static const char *const keys[] = {"model_type", "architectures", "embed_dim", "depths",
                                       "hidden_size"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (json_object_get(config, keys[i]) != NULL)
            return true;
    return false;
}

/* config.json where there is one; the names of the tensors tell the kind otherwise. */
static int read_config(struct import_plan *p, const struct import_options *options,
                       struct error *error)
{
    char path[PATH_MAX + 64];
    size_t length = 0;
    int r = 0;
    bool found = checkpoint_beside(p->checkpoint, "config.json", path, sizeof path);
    if (found)
        r = text_file_read(path, &p->config, &length, error);
    if (found && r == 0)
        r = json_parse_object(&p->config_object, p->config, length, path, error);
    if (r < 0)
        return r;
    bool speechbrain = checkpoint_layout(p->checkpoint) == CHECKPOINT_SPEECHBRAIN;
    p->config_derived = !found || (speechbrain && !says_geometry(p->config_object));
    if (p->config_derived)
        return 0;
    if (options->geometry.image_rows > 0 || options->geometry.heads > 0)
        return error_set(error, EINVAL,
                         "--image-size and --heads are for checkpoints without config.json, but "
                         "there is %s",
                         path);
    return net_config_parse(&p->net, p->config, length, path, error);
}

static int derive_config(struct import_plan *p, const struct import_options *options,
                         struct error *error)
{
    const char *where = checkpoint_file(p->checkpoint, 0);
    char *text = NULL;
    json_t *derived;
    int r = geometry_derive(&derived, p->net.kind, p->named, p->n_named, &options->geometry, where,
                            p->geometry_said, sizeof p->geometry_said, error);
    if (r < 0)
        return r;
    if (p->config_object != NULL) /* what it says of other things stays */
        json_object_update_missing(derived, p->config_object);
    json_decref(p->config_object);
    p->config_object = derived;
    free(p->config);
    p->config = NULL;
    text = json_dumps(p->config_object, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    if (text == NULL || asprintf(&p->config, "%s\n", text) < 0) {
        p->config = NULL;
        r = error_set(error, ENOMEM, "%s: out of memory", where);
    }
    free(text);
    return r < 0 ? r : net_config_parse(&p->net, p->config, strlen(p->config), where, error);
}

static int read_names(struct import_plan *p, struct error *error)
{
    enum net_kind kind = p->net.kind;
    bool known = kind_of_names(p->checkpoint, &kind);
    size_t n = checkpoint_count(p->checkpoint);
    const char *where = checkpoint_file(p->checkpoint, 0);
    if (!known)
        return error_set(error, EINVAL,
                         "%s: none of its %zu tensors%s%.80s%s has a FocalNet's or a ViT's name",
                         where, n, n > 0 ? " (" : "",
                         n > 0 ? checkpoint_at(p->checkpoint, 0)->name : "", n > 0 ? ", …)" : "");
    if (!p->config_derived && kind != p->net.kind)
        return error_set(error, EINVAL,
                         "%s: its tensors have the names of a %s, but config.json says %s", where,
                         net_name(kind), net_name(p->net.kind));
    p->net.kind = kind;
    return match_names(p, kind, error);
}

/* Two sizes of a matrix, within bounds. */
static int read_sizes(const struct checkpoint_tensor *t, int most_rows, int most_columns,
                      int *ret_rows, int *ret_columns, struct error *error)
{
    char found[128];
    if (t->rank == 2 && t->shape[0] >= 1 && t->shape[0] <= most_rows && t->shape[1] >= 1 &&
        t->shape[1] <= most_columns) {
        *ret_rows = (int)t->shape[0];
        *ret_columns = (int)t->shape[1];
        return 0;
    }
    safetensors_shape_text(t->rank, t->shape, found, sizeof found);
    return error_set(error, EINVAL, "%s: tensor %s is %s; allowed: [1 to %d, 1 to %d]", t->path,
                     t->name, found, most_rows, most_columns);
}

/* The cosine classifier has blocks before its class vectors; what has none is Hugging Face's
 * linear one. */
static int read_head(struct import_plan *p, struct error *error)
{
    const struct checkpoint_tensor *t = match_find(p, "classifier.weight");
    p->head = checkpoint_has(p->checkpoint, PART_HEAD) || match_any(p, "classifier.blocks.");
    if (!p->head)
        return 0;
    if (t == NULL)
        return error_set(error, EINVAL,
                         "%s has a classifier without the tensor classifier.weight, which would "
                         "tell its classes",
                         checkpoint_dir(p->checkpoint));
    struct head_config *head = net_head(&p->net);
    return read_sizes(t, MODEL_MAX_CLASSES, MAX_HEAD_DIM, &head->classes, &head->dim, error);
}

static int read_piq(struct import_plan *p, struct error *error)
{
    const struct checkpoint_tensor *t = match_find(p, "psi.codebook.embedding.weight");
    int keys = 0, dim = 0, r;
    if (t == NULL && (checkpoint_has(p->checkpoint, PART_PSI) || match_any(p, "psi.")))
        return error_set(error, EINVAL,
                         "%s has an interpreter without the tensor psi.codebook.embedding.weight",
                         checkpoint_dir(p->checkpoint));
    if (t == NULL)
        return 0;
    r = read_sizes(t, MAX_KEYS, 1 << 16, &keys, &dim, error);
    if (r == 0) {
        p->net.piq.keys = keys;
        p->net.piq.adapter = match_find(p, "psi.adapter.block.0.weight") != NULL;
        p->net.piq.reduce = match_find(p, "psi.down.weight") != NULL;
        r = piq_check(&p->net.piq, p->head ? net_head(&p->net)->classes : 1, error);
        if (r < 0)
            error_prefix(error, r, "%s", checkpoint_dir(p->checkpoint));
    }
    return r;
}

/* Labels */

/* A labels.txt as it is, when it fits the classifier. */
static int take_labels(struct import_plan *p, const char *path, int classes, struct error *error)
{
    size_t length;
    const char *const *labels;
    int n, r = text_file_read(path, &p->labels, &length, error);
    if (r == 0)
        r = labels_parse(p->labels, length, path, &labels, &n, error);
    if (r < 0)
        return r;
    free((void *)labels);
    if (n != classes)
        return error_set(error, EINVAL,
                         "%s has %d labels; the classifier has %d classes, and each needs its line",
                         path, n, classes);
    return 0;
}

static int take_encoder(struct import_plan *p, const char *path, int classes, struct error *error)
{
    char *text;
    size_t length;
    int r = text_file_read(path, &text, &length, error);
    if (r < 0)
        return r;
    r = labels_from_encoder(&p->labels, text, length, classes, path, error);
    free(text);
    return r;
}

static int read_labels(struct import_plan *p, const char *given, struct error *error)
{
    char path[PATH_MAX + 64];
    const int classes = net_head(&p->net)->classes;
    const json_t *id2label = json_object_get(p->config_object, "id2label");
    int r;
    if (!p->head)
        return given == NULL ? 0
                             : error_set(error, EINVAL,
                                         "--labels %s: %s has no classifier that fits, so it needs "
                                         "no labels",
                                         given, checkpoint_file(p->checkpoint, 0));
    snprintf(path, sizeof path, "%s", given != NULL ? given : "");
    if (given != NULL || checkpoint_beside(p->checkpoint, "labels.txt", path, sizeof path))
        r = take_labels(p, path, classes, error);
    else if (checkpoint_beside(p->checkpoint, "label_encoder.txt", path, sizeof path))
        r = take_encoder(p, path, classes, error);
    else if (json_is_object(id2label) &&
             checkpoint_beside(p->checkpoint, "config.json", path, sizeof path))
        r = labels_from_id2label(&p->labels, id2label, classes, path, error);
    else
        r = error_set(error, EINVAL,
                      "%s has no label_encoder.txt, labels.txt or id2label in config.json; give "
                      "--labels FILE with the %d classes, one a line",
                      checkpoint_dir(p->checkpoint), classes);
    if (r == 0)
        snprintf(p->labels_path, sizeof p->labels_path, "%.*s", PATH_MAX - 1, path);
    return r;
}

/* The labels of the network behind are in labels.txt; config.json keeps no others. */
static int settle_config(struct import_plan *p, struct error *error)
{
    const char *const *labels;
    int n, r;
    if (p->labels == NULL)
        return 0;
    r = labels_parse(p->labels, strlen(p->labels), p->labels_path, &labels, &n, error);
    if (r < 0)
        return r;
    char *config = config_remove_labels(p->config, labels, n);
    free((void *)labels);
    if (config == NULL)
        return error_set(error, ENOMEM, "import: out of memory");
    free(p->config);
    p->config = config;
    return 0;
}

/* Preprocess.json */

static int set_antialias(struct import_plan *p, const char *path, struct error *error)
{
    json_t *o;
    int r = json_parse_object(&o, p->preprocess, strlen(p->preprocess), path, error);
    if (r < 0)
        return r;
    json_object_set_new(o, "antialias", json_boolean(p->antialias));
    free(p->preprocess);
    p->preprocess = json_dumps(o, JSON_INDENT(1));
    json_decref(o);
    return p->preprocess != NULL ? 0 : error_set(error, ENOMEM, "%s: out of memory", path);
}

/* A copy of what is beside the source; with another antialias where that was asked for. */
static int take_preprocess(struct import_plan *p, const char *path, int antialias,
                           struct error *error)
{
    struct model_preprocess found;
    size_t length;
    p->preprocess_found = true;
    int r = text_file_read(path, &p->preprocess, &length, error);
    if (r == 0)
        r = preprocess_parse(&found, p->preprocess, length, path, error);
    if (r < 0)
        return r;
    p->antialias = antialias >= 0 ? antialias != 0 : found.antialias;
    return p->antialias == found.antialias ? 0 : set_antialias(p, path, error);
}

static int read_preprocess(struct import_plan *p, int antialias, struct error *error)
{
    char path[PATH_MAX + 64];
    struct model_preprocess usual;
    if (checkpoint_beside(p->checkpoint, "preprocess.json", path, sizeof path))
        return take_preprocess(p, path, antialias, error);
    preprocess_default(&usual);
    /* a model of ours that goes without it means the usual numbers */
    if (p->head && antialias < 0 && checkpoint_layout(p->checkpoint) == CHECKPOINT_HUGGING_FACE &&
        checkpoint_beside(p->checkpoint, "labels.txt", path, sizeof path)) {
        p->antialias = usual.antialias;
        return 0;
    }
    bool published = p->head || checkpoint_layout(p->checkpoint) == CHECKPOINT_SPEECHBRAIN;
    p->antialias = antialias >= 0 ? antialias != 0 : !published;
    int n = asprintf(&p->preprocess,
                     "{\n \"sample_rate\": %d,\n \"window_s\": %.1f,\n \"n_fft\": %d,\n "
                     "\"win_length\": %d,\n \"hop_length\": %d,\n \"normalize\": \"max\",\n "
                     "\"resize\": \"bilinear\",\n \"antialias\": %s,\n \"head\": \"cosine\",\n "
                     "\"scale\": %.0f\n}\n",
                     usual.sample_rate, (double)usual.window_samples / usual.sample_rate,
                     usual.n_fft, usual.win_length, usual.hop_length,
                     p->antialias ? "true" : "false", (double)usual.scale);
    if (n < 0) {
        p->preprocess = NULL;
        return error_set(error, ENOMEM, "import: out of memory");
    }
    return 0;
}

/* All of it */

static int understand(struct import_plan *p, const char *source,
                      const struct import_options *options, struct error *error)
{
    int r = checkpoint_open(&p->checkpoint, source, error);
    if (r == 0)
        r = read_config(p, options, error);
    if (r == 0)
        r = read_names(p, error);
    if (r == 0 && p->config_derived)
        r = derive_config(p, options, error);
    if (r == 0)
        r = read_head(p, error);
    if (r == 0)
        r = read_piq(p, error);
    return r;
}

int import_plan_create(struct import_plan **ret, const char *source,
                       const struct import_options *options, struct error *error)
{
    struct import_plan *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(error, ENOMEM, "import: out of memory");
    int r = understand(p, source, options, error);
    if (r < 0) {
        import_plan_destroy(p);
        return r;
    }
    r = match_tensors(p, &p->problem);
    if (r == 0)
        r = read_labels(p, options->labels, &p->problem);
    if (r == 0)
        r = settle_config(p, &p->problem);
    if (r == 0)
        r = read_preprocess(p, options->antialias, &p->problem);
    p->complete = r == 0;
    *ret = p;
    return 0;
}

void import_plan_destroy(struct import_plan *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n_named; i++)
        free(p->named[i].name);
    for (size_t i = 0; i < p->n_missing; i++)
        free(p->missing[i]);
    free(p->named);
    free(p->missing);
    free(p->rows);
    free(p->config);
    free(p->labels);
    free(p->preprocess);
    json_decref(p->config_object);
    checkpoint_close(p->checkpoint);
    free(p);
}
