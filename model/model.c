/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "model/graph.h"
#include "model/model_internal.h"
#include "model/text_file.h"

enum {
    BUILTIN_CLASSES = 50,
    PIQ_KEYS = 1024,
    PIQ_MAX_KEYS = 1 << 20,
    HEAD_DIM = 192,
    MAX_HEAD_DIM = 65536
};

struct model {
    struct model_info info;
    struct net_config net;
    struct safetensors *file; /* NULL: hashed */
    const char *const *labels;
};

/* SHA-256 of the parts, one after the other, in hex. */
static void hash_text(const char *const *parts, size_t n, char ret[65])
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    for (size_t i = 0; i < n; i++)
        crypto_hash_sha256_update(&state, (const unsigned char *)parts[i], strlen(parts[i]));
    crypto_hash_sha256_final(&state, digest);
    sodium_bin2hex(ret, 65, digest, sizeof digest);
}

/* SHA-256 of the file, in hex. Pages go as soon as they are hashed: opening a model of any size
 * takes no memory of its size. */
static void hash_file(const struct safetensors *file, char ret[65])
{
    enum { CHUNK = 8 << 20 };
    size_t size;
    const unsigned char *bytes = safetensors_bytes(file, &size);
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    for (size_t at = 0; at < size; at += CHUNK) {
        crypto_hash_sha256_update(&state, bytes + at, size - at < CHUNK ? size - at : CHUNK);
        safetensors_release_pages(file);
    }
    crypto_hash_sha256_final(&state, digest);
    sodium_bin2hex(ret, 65, digest, sizeof digest);
}

const char *interpreter_name(enum interpreter interpreter)
{
    static const char *const names[] = {"auto", "modulation", "attention", "piq"};
    return names[interpreter];
}

int interpreter_parse(const char *name, enum interpreter *ret, struct error *error)
{
    for (enum interpreter i = INTERPRETER_AUTO; i <= INTERPRETER_PIQ; i++)
        if (strcmp(name, interpreter_name(i)) == 0) {
            *ret = i;
            return 0;
        }
    return error_set(error, EINVAL,
                     "interpreter is %.40s; allowed: auto, modulation, attention, piq", name);
}

bool preprocess_fits_piq(const struct model_preprocess *p)
{
    return p->window_samples / p->hop_length + 1 == PIQ_FRAMES && p->n_fft / 2 + 1 == PIQ_BINS;
}

static int choose_interpreter(struct model *m, enum interpreter wanted, struct error *error)
{
    bool piq = m->net.piq.keys > 0;
    enum interpreter own = m->net.kind == NET_VIT ? INTERPRETER_ATTENTION : INTERPRETER_MODULATION;
    m->info.interpreter = wanted == INTERPRETER_AUTO ? own : wanted;
    if (m->info.interpreter == own)
        return 0;
    if (wanted != INTERPRETER_PIQ || !piq)
        return error_set(error, EINVAL, "interpreter is %s, but the model is a %s%s; allowed: %s%s",
                         interpreter_name(wanted), net_name(m->net.kind),
                         piq ? "" : " without the weights of PIQ", interpreter_name(own),
                         piq ? ", piq" : "");
    if (!preprocess_fits_piq(&m->info.preprocess))
        return error_set(error, EINVAL,
                         "interpreter is piq, which makes masks of %d x %d; the windows of "
                         "preprocess.json have another size",
                         PIQ_FRAMES, PIQ_BINS);
    return 0;
}

static void fill_info(struct model *m)
{
    struct model_info *info = &m->info;
    snprintf(info->architecture, sizeof info->architecture, "%s", net_name(m->net.kind));
    net_image_size(&m->net, &info->image_rows, &info->image_cols);
    info->n_classes = net_head(&m->net)->classes;
    info->labels = m->labels;
    bool piq = info->interpreter == INTERPRETER_PIQ;
    info->n_maps = net_maps(&m->net, piq);
    for (int i = 0; i < info->n_maps; i++)
        net_map_size(&m->net, i, &info->maps[i].rows, &info->maps[i].cols);
    info->parameters = net_parameters(&m->net);
    info->flops = net_flops(&m->net, piq);
}

/* The built-in geometries */

static const char focalnet_base[] =
    "{\"model_type\": \"focalnet\", \"image_size\": 224, \"embed_dim\": 128, "
    "\"depths\": [2, 2, 18, 2]}";
static const char vit_base[] = "{\"model_type\": \"vit\"}"; /* the defaults */

static int builtin_labels(struct model *m, struct error *error)
{
    char text[BUILTIN_CLASSES * 10];
    size_t n = 0;
    for (int i = 0; i < BUILTIN_CLASSES; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "class %d\n", i);
    int count;
    return labels_parse(text, n, m->info.name, &m->labels, &count, error);
}

static const struct builtin {
    const char *name, *config;
    bool piq;
} builtins[] = {
    {"focalnet-base", focalnet_base, false},
    {"focalnet-base-piq", focalnet_base, true},
    {"vit-base", vit_base, false},
    {"vit-base-piq", vit_base, true},
};

static const struct builtin *find_builtin(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++)
        if (strcmp(name, builtins[i].name) == 0)
            return &builtins[i];
    return NULL;
}

static int open_builtin(struct model *m, const struct builtin *b, struct error *error)
{
    snprintf(m->info.name, sizeof m->info.name, "%s", b->name);
    if (b->piq)
        m->net.piq = (struct piq_config){.keys = PIQ_KEYS, .adapter = true, .reduce = true};
    int r = net_config_parse(&m->net, b->config, strlen(b->config), b->name, error);
    *net_head(&m->net) = (struct head_config){.dim = HEAD_DIM, .classes = BUILTIN_CLASSES};
    if (r == 0)
        r = builtin_labels(m, error);
    preprocess_default(&m->info.preprocess);
    m->info.preprocess.antialias = false;
    hash_text((const char *const[]){b->name, "\n", b->config}, 3, m->info.hash);
    return r;
}

/* A directory */

/* The head's sizes are those of its class vectors. */
static int read_head(struct model *m, struct error *error)
{
    const struct safetensors_tensor *t = safetensors_find(m->file, "classifier.weight");
    if (t == NULL)
        return error_set(error, EINVAL,
                         "%s has no tensor classifier.weight: it is a network without a classifier",
                         safetensors_path(m->file));
    if (t->rank != 2 || t->shape[0] < 1 || t->shape[0] > MODEL_MAX_CLASSES || t->shape[1] < 1 ||
        t->shape[1] > MAX_HEAD_DIM) {
        char found[128];
        safetensors_shape_text(t->rank, t->shape, found, sizeof found);
        return error_set(error, EINVAL,
                         "%s: tensor classifier.weight is %s; allowed: [classes 1 to %d, dim 1 to "
                         "%d]",
                         safetensors_path(m->file), found, MODEL_MAX_CLASSES, MAX_HEAD_DIM);
    }
    *net_head(&m->net) = (struct head_config){.dim = (int)t->shape[1], .classes = (int)t->shape[0]};
    return 0;
}

/* PIQ is there when its codebook is. */
static int read_piq(struct model *m, struct error *error)
{
    const struct safetensors_tensor *t = safetensors_find(m->file, "psi.codebook.embedding.weight");
    if (t == NULL)
        return 0;
    if (t->rank != 2 || t->shape[0] < 1 || t->shape[0] > PIQ_MAX_KEYS) {
        char found[128];
        safetensors_shape_text(t->rank, t->shape, found, sizeof found);
        return error_set(error, EINVAL, "%s: tensor %s is %s; allowed: [keys 1 to %d, channels]",
                         safetensors_path(m->file), t->name, found, PIQ_MAX_KEYS);
    }
    m->net.piq = (struct piq_config){
        .keys = (int)t->shape[0],
        .adapter = safetensors_find(m->file, "psi.adapter.block.0.weight") != NULL,
        .reduce = safetensors_find(m->file, "psi.down.weight") != NULL,
    };
    return 0;
}

static int read_config(struct model *m, const char *dir, struct error *error)
{
    char path[4096], *text;
    size_t length;
    snprintf(path, sizeof path, "%s/config.json", dir);
    int r = text_file_read(path, &text, &length, error);
    if (r < 0)
        return r;
    r = net_config_parse(&m->net, text, length, path, error);
    free(text);
    if (r < 0 || m->net.piq.keys == 0)
        return r;
    r = piq_check(&m->net.piq, net_head(&m->net)->classes, error);
    return r < 0 ? error_prefix(error, r, "%s", path) : 0;
}

static int read_preprocess(struct model *m, const char *dir, struct error *error)
{
    char path[4096], *text;
    size_t length;
    preprocess_default(&m->info.preprocess);
    snprintf(path, sizeof path, "%s/preprocess.json", dir);
    int r = text_file_read(path, &text, &length, error);
    if (r == -ENOENT)
        return 0;
    if (r == 0) {
        r = preprocess_parse(&m->info.preprocess, text, length, path, error);
        free(text);
    }
    return r;
}

static int read_labels(struct model *m, const char *dir, struct error *error)
{
    char path[4096], *text;
    size_t length;
    int n = 0;
    snprintf(path, sizeof path, "%s/labels.txt", dir);
    int r = text_file_read(path, &text, &length, error);
    if (r < 0)
        return r;
    r = labels_parse(text, length, path, &m->labels, &n, error);
    free(text);
    if (r == 0 && n != net_head(&m->net)->classes)
        r = error_set(error, EINVAL,
                      "%s has %d labels, but classifier.weight in model.safetensors has %d rows; "
                      "each class needs its line",
                      path, n, net_head(&m->net)->classes);
    return r;
}

/* Every weight the network needs is there in its shape, with values to compute with: a model that
 * opens can run. As with its hash, pages go when they were read. */
static int check_weights(struct model *m, const char *dir, struct error *error)
{
    struct graph graph;
    struct net_values values;
    struct weights *weights = NULL;
    graph_init(&graph);
    int r = net_build(&m->net, 1, false, m->net.piq.keys > 0, &graph, &values, error);
    if (r < 0)
        error_prefix(error, r, "%s/config.json", dir);
    else
        r = weights_from_file(&weights, m->file, error);
    for (int i = 0; i < graph.n_weights && r == 0; i++) {
        const struct graph_weight *w = &graph.weights[i];
        r = weights_check(weights, w->name, w->rank, w->shape, error);
        if (r == 0)
            r = safetensors_check_values(safetensors_path(m->file),
                                         safetensors_find(m->file, w->name), error);
        safetensors_release_pages(m->file);
    }
    weights_destroy(weights);
    graph_finish(&graph);
    return r;
}

/* The directory's last name, also of "." and "model/..". Bytes that are no text become '?', since
 * the name goes into JSON. */
static int name_of(const char *dir, char *ret, size_t size, struct error *error)
{
    char *whole = realpath(dir, NULL);
    if (whole == NULL)
        return error_set(error, errno, "model %s: %s", dir, strerror(errno));
    const char *last = strrchr(dir, '/');
    last = last != NULL ? last + 1 : dir;
    if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        last = strrchr(whole, '/') + 1;
    snprintf(ret, size, "%s", last);
    free(whole);
    if (!text_is_printable(ret))
        for (char *c = ret; *c != '\0'; c++)
            *c = (unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f ? '?' : *c;
    return 0;
}

static int open_directory(struct model *m, const char *dir, struct error *error)
{
    char path[4096];
    struct stat st;
    if (stat(dir, &st) < 0)
        return error_set(error, errno,
                         "model %s: %s; --model takes a directory with "
                         "model.safetensors, config.json and labels.txt",
                         dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return error_set(error, EINVAL,
                         "model %s is not a directory; give the one that holds "
                         "model.safetensors, config.json and labels.txt",
                         dir);
    if (snprintf(path, sizeof path - 32, "%s/model.safetensors", dir) >= (int)sizeof path - 32)
        return error_set(error, ENAMETOOLONG, "model %s: the path is too long", dir);
    int r = safetensors_open(&m->file, path, error);
    if (r == 0)
        r = read_head(m, error);
    if (r == 0)
        r = read_piq(m, error);
    if (r == 0)
        r = read_config(m, dir, error);
    if (r == 0)
        r = read_preprocess(m, dir, error);
    if (r == 0)
        r = read_labels(m, dir, error);
    if (r == 0)
        r = check_weights(m, dir, error);
    if (r < 0)
        return r;
    hash_file(m->file, m->info.hash);
    return name_of(dir, m->info.name, sizeof m->info.name, error);
}

int model_open_with(struct model **ret, const char *dir, enum interpreter interpreter,
                    struct error *error)
{
    struct model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return error_set(error, ENOMEM, "model: out of memory");
    const struct builtin *builtin = find_builtin(dir);
    int r = builtin != NULL ? open_builtin(m, builtin, error) : open_directory(m, dir, error);
    if (r == 0) {
        r = choose_interpreter(m, interpreter, error);
        if (r < 0)
            error_prefix(error, r, "model %s", m->info.name);
    }
    if (r < 0) {
        model_close(m);
        return r;
    }
    fill_info(m);
    *ret = m;
    return 0;
}

int model_open(struct model **ret, const char *dir, struct error *error)
{
    return model_open_with(ret, dir, INTERPRETER_AUTO, error);
}

void model_close(struct model *m)
{
    if (m == NULL)
        return;
    safetensors_close(m->file);
    free((void *)m->labels);
    free(m);
}

const struct model_info *model_info(const struct model *m)
{
    return &m->info;
}

const struct net_config *model_net(const struct model *m)
{
    return &m->net;
}

int model_weights(const struct model *m, struct weights **ret, struct error *error)
{
    return m->file != NULL ? weights_from_file(ret, m->file, error) : weights_hashed(ret, error);
}
