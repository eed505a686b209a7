/* SPDX-License-Identifier: Apache-2.0
 * The small files of a model's directory: config.json, preprocess.json, labels.txt. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/model_internal.h"

enum { LABEL_MAX_BYTES = 255 };

/* For what quotes a file in an error's one line. */
static void make_printable(char *text)
{
    for (char *c = text; *c != '\0'; c++)
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
}

static int parse_object(json_t **ret, const char *text, size_t length, const char *where,
                        struct error *error)
{
    json_error_t json_error;
    *ret = json_loadb(text, length, JSON_REJECT_DUPLICATES, &json_error);
    if (*ret == NULL) {
        make_printable(json_error.text);
        return error_set(error, EINVAL, "%s:%d: not JSON: %s", where, json_error.line,
                         json_error.text);
    }
    if (json_is_object(*ret))
        return 0;
    json_decref(*ret);
    *ret = NULL;
    return error_set(error, EINVAL, "%s: not a JSON object", where);
}

/* Config.json */

/* The error for a key's value of the wrong kind. */
static int wrong(const char *where, const char *key, const json_t *value, const char *allowed,
                 struct error *error)
{
    char *found = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    if (found != NULL)
        make_printable(found);
    int r = error_set(error, EINVAL, "%s: \"%s\" is %.60s; allowed: %s", where, key,
                      found != NULL ? found : "(too long to show)", allowed);
    free(found);
    return r;
}

static bool is_int(const json_t *v)
{
    return json_is_integer(v) && json_integer_value(v) >= -INT_MAX &&
           json_integer_value(v) <= INT_MAX;
}

/* An absent key leaves *ret as it is. */
static int get_int(const json_t *o, const char *key, int *ret, const char *where,
                   struct error *error)
{
    const json_t *v = json_object_get(o, key);
    if (v == NULL)
        return 0;
    if (!is_int(v))
        return wrong(where, key, v, "an integer", error);
    *ret = (int)json_integer_value(v);
    return 0;
}

static int get_number(const json_t *o, const char *key, double *ret, const char *where,
                      struct error *error)
{
    const json_t *v = json_object_get(o, key);
    if (v == NULL)
        return 0;
    if (!json_is_number(v) || !isfinite(json_number_value(v)))
        return wrong(where, key, v, "a number", error);
    *ret = json_number_value(v);
    return 0;
}

static int get_float(const json_t *o, const char *key, float *ret, const char *where,
                     struct error *error)
{
    double v = (double)*ret;
    int r = get_number(o, key, &v, where, error);
    *ret = (float)v;
    return r;
}

static int get_bool(const json_t *o, const char *key, bool *ret, const char *where,
                    struct error *error)
{
    const json_t *v = json_object_get(o, key);
    if (v == NULL)
        return 0;
    if (!json_is_boolean(v))
        return wrong(where, key, v, "true or false", error);
    *ret = json_is_true(v);
    return 0;
}

/* n integers; with n = 0 the array's length, up to max, is taken. Returns the number, 0 when
 * absent, or a negative errno. */
static int get_ints(const json_t *o, const char *key, int *ret, int n, int max, const char *where,
                    struct error *error)
{
    const json_t *v = json_object_get(o, key);
    if (v == NULL)
        return 0;
    size_t size = json_array_size(v);
    if (!json_is_array(v) || size < 1 || size > (size_t)max || (n > 0 && size != (size_t)n))
        return wrong(where, key, v,
                     n > 0 ? "an array of as many integers as \"depths\" has"
                           : "an array of 1 to 8 integers",
                     error);
    for (size_t i = 0; i < size; i++) {
        const json_t *item = json_array_get(v, i);
        if (!is_int(item))
            return wrong(where, key, v, "an array of integers", error);
        ret[i] = (int)json_integer_value(item);
    }
    return (int)size;
}

/* One size, or [rows, columns]. */
static int get_size(const json_t *o, const char *key, int *rows, int *cols, const char *where,
                    struct error *error)
{
    const json_t *v = json_object_get(o, key);
    const json_t *row = json_is_array(v) ? json_array_get(v, 0) : v;
    const json_t *col = json_is_array(v) ? json_array_get(v, 1) : v;
    if (v == NULL)
        return 0;
    if (!is_int(row) || !is_int(col) || (json_is_array(v) && json_array_size(v) != 2))
        return wrong(where, key, v, "an integer or [rows, columns]", error);
    *rows = (int)json_integer_value(row);
    *cols = (int)json_integer_value(col);
    return 0;
}

static void focalnet_default(struct focalnet_config *c)
{
    *c = (struct focalnet_config){
        .image_rows = 224,
        .image_cols = 224,
        .patch_size = 4,
        .num_channels = 3,
        .embed_dim = 96,
        .n_stages = 4,
        .depths = {2, 2, 6, 2},
        .mlp_ratio = 4,
        .layer_norm_eps = 1e-5f,
    };
    for (int s = 0; s < FOCALNET_MAX_STAGES; s++) {
        c->focal_levels[s] = 2;
        c->focal_windows[s] = 3;
    }
}

static int check_kind(const json_t *o, const char *where, struct error *error)
{
    const json_t *type = json_object_get(o, "model_type");
    const json_t *kinds = json_object_get(o, "architectures");
    const json_t *act = json_object_get(o, "hidden_act");
    if (type != NULL && (!json_is_string(type) || strcmp(json_string_value(type), "focalnet") != 0))
        return wrong(where, "model_type", type,
                     "\"focalnet\" (others are not supported by this version)", error);
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const char *kind = json_string_value(json_array_get(kinds, i));
        if (kind == NULL || strncmp(kind, "FocalNet", strlen("FocalNet")) != 0)
            return wrong(where, "architectures", kinds,
                         "FocalNet ones (others are not supported by this version)", error);
    }
    if (act != NULL && (!json_is_string(act) || strcmp(json_string_value(act), "gelu") != 0))
        return wrong(where, "hidden_act", act, "\"gelu\"", error);
    return 0;
}

/* Hugging Face publishes the channels behind each stage's downsampling ([192, 384, 768, 768] of
 * embed_dim 96); others write those of the stages themselves ([96, 192, 384, 768]). Both are fine.
 */
static int check_hidden_sizes(const json_t *o, const struct focalnet_config *c, const char *where,
                              struct error *error)
{
    int sizes[FOCALNET_MAX_STAGES];
    int n = get_ints(o, "hidden_sizes", sizes, c->n_stages, FOCALNET_MAX_STAGES, where, error);
    bool own = true, behind = true;
    for (int s = 0; s < n; s++) {
        own = own && sizes[s] == focalnet_stage_channels(c, s);
        behind = behind && sizes[s] == focalnet_stage_channels(c, s + 1 < n ? s + 1 : s);
    }
    if (own || behind)
        return n < 0 ? n : 0;
    char allowed[80];
    snprintf(allowed, sizeof allowed, "embed_dim %d doubled by each stage", c->embed_dim);
    return wrong(where, "hidden_sizes", json_object_get(o, "hidden_sizes"), allowed, error);
}

static int parse_stages(const json_t *o, struct focalnet_config *c, const char *where,
                        struct error *error)
{
    int n = get_ints(o, "depths", c->depths, 0, FOCALNET_MAX_STAGES, where, error);
    if (n < 0)
        return n;
    if (n > 0)
        c->n_stages = n;
    n = get_ints(o, "focal_levels", c->focal_levels, c->n_stages, FOCALNET_MAX_STAGES, where,
                 error);
    if (n >= 0)
        n = get_ints(o, "focal_windows", c->focal_windows, c->n_stages, FOCALNET_MAX_STAGES, where,
                     error);
    return n < 0 ? n : 0;
}

int focalnet_config_parse(struct focalnet_config *ret, const char *text, size_t length,
                          const char *where, struct error *error)
{
    json_t *o;
    struct focalnet_config c;
    focalnet_default(&c);
    c.head_dim = ret->head_dim;
    c.n_classes = ret->n_classes;
    int r = parse_object(&o, text, length, where, error);
    if (r < 0)
        return r;
    r = check_kind(o, where, error);
    if (r == 0)
        r = get_size(o, "image_size", &c.image_rows, &c.image_cols, where, error);
    if (r == 0)
        r = get_int(o, "patch_size", &c.patch_size, where, error);
    if (r == 0)
        r = get_int(o, "num_channels", &c.num_channels, where, error);
    if (r == 0)
        r = get_int(o, "embed_dim", &c.embed_dim, where, error);
    if (r == 0)
        r = parse_stages(o, &c, where, error);
    if (r == 0)
        r = get_float(o, "mlp_ratio", &c.mlp_ratio, where, error);
    if (r == 0)
        r = get_float(o, "layer_norm_eps", &c.layer_norm_eps, where, error);
    static const char *const flags[] = {"use_conv_embed", "use_layerscale", "use_post_layernorm",
                                        "use_post_layernorm_in_modulation", "normalize_modulator"};
    bool *const values[] = {&c.use_conv_embed, &c.use_layerscale, &c.use_post_layernorm,
                            &c.use_post_layernorm_in_modulation, &c.normalize_modulator};
    for (size_t i = 0; i < ARRAY_LEN(flags) && r == 0; i++)
        r = get_bool(o, flags[i], values[i], where, error);
    if (r == 0) {
        r = focalnet_check(&c, error);
        if (r < 0)
            error_prefix(error, r, "%s", where);
    }
    if (r == 0 && (float)c.embed_dim * c.mlp_ratio < 1)
        r = error_set(error, EINVAL, "%s: mlp_ratio is %g; allowed: at least 1 / embed_dim %d",
                      where, (double)c.mlp_ratio, c.embed_dim);
    if (r == 0)
        r = check_hidden_sizes(o, &c, where, error);
    json_decref(o);
    if (r == 0)
        *ret = c;
    return r;
}

/* Preprocess.json */

void preprocess_default(struct model_preprocess *ret)
{
    *ret = (struct model_preprocess){.sample_rate = 16000,
                                     .window_samples = 80000,
                                     .n_fft = 1024,
                                     .win_length = 372,
                                     .hop_length = 186,
                                     .antialias = true,
                                     .scale = 30};
}

/* Keys that say how, of which there is one way each. */
static int check_ways(const json_t *o, const char *where, struct error *error)
{
    static const char *const ways[][2] = {
        {"normalize", "max"}, {"resize", "bilinear"}, {"head", "cosine"}};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        const json_t *v = json_object_get(o, ways[i][0]);
        if (v != NULL && (!json_is_string(v) || strcmp(json_string_value(v), ways[i][1]) != 0))
            return wrong(where, ways[i][0], v, ways[i][1], error);
    }
    return 0;
}

static int unknown(const char *where, const char *key, struct error *error)
{
    return error_set(error, EINVAL,
                     "%s: unknown key \"%.60s\"; allowed: sample_rate window_s n_fft win_length "
                     "hop_length normalize resize antialias head scale",
                     where, text_is_printable(key) ? key : "(control characters)");
}

static int check_known(const json_t *o, const char *where, struct error *error)
{
    static const char *const known[] = {"sample_rate", "window_s",  "n_fft",  "win_length",
                                        "hop_length",  "normalize", "resize", "antialias",
                                        "head",        "scale"};
    for (void *it = json_object_iter((json_t *)o); it != NULL;
         it = json_object_iter_next((json_t *)o, it)) {
        bool found = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            found = found || strcmp(json_object_iter_key(it), known[i]) == 0;
        if (!found)
            return unknown(where, json_object_iter_key(it), error);
    }
    return 0;
}

static int check_preprocess(const struct model_preprocess *p, double window_s, const char *where,
                            struct error *error)
{
    if (p->sample_rate < 4000 || p->sample_rate > 192000)
        return error_set(error, EINVAL, "%s: sample_rate is %d; allowed: 4000 to 192000", where,
                         p->sample_rate);
    if (!(window_s >= 0.1 && window_s <= 60))
        return error_set(error, EINVAL, "%s: window_s is %g; allowed: 0.1 to 60", where, window_s);
    if (p->n_fft < 16 || p->n_fft > 65536 || p->n_fft % 2 != 0)
        return error_set(error, EINVAL, "%s: n_fft is %d; allowed: even, 16 to 65536", where,
                         p->n_fft);
    if (p->win_length < 2 || p->win_length > p->n_fft || p->win_length > p->window_samples)
        return error_set(error, EINVAL, "%s: win_length is %d; allowed: 2 to n_fft and the window",
                         where, p->win_length);
    if (p->hop_length < (p->win_length + 1) / 2 || p->hop_length > p->win_length)
        return error_set(error, EINVAL,
                         "%s: hop_length is %d; allowed: %d (half of win_length) to win_length",
                         where, p->hop_length, (p->win_length + 1) / 2);
    if (p->window_samples / p->hop_length > 8000)
        return error_set(error, EINVAL, "%s: a window of %d frames; allowed: up to 8000", where,
                         p->window_samples / p->hop_length);
    if (!(p->scale > 0 && p->scale <= 1000))
        return error_set(error, EINVAL, "%s: scale is %g; allowed: above 0, to 1000", where,
                         (double)p->scale);
    return 0;
}

int preprocess_parse(struct model_preprocess *ret, const char *text, size_t length,
                     const char *where, struct error *error)
{
    json_t *o;
    struct model_preprocess p;
    double window_s = 5;
    preprocess_default(&p);
    int r = parse_object(&o, text, length, where, error);
    if (r < 0)
        return r;
    r = check_known(o, where, error);
    if (r == 0)
        r = check_ways(o, where, error);
    if (r == 0)
        r = get_int(o, "sample_rate", &p.sample_rate, where, error);
    if (r == 0)
        r = get_number(o, "window_s", &window_s, where, error);
    if (r == 0)
        r = get_int(o, "n_fft", &p.n_fft, where, error);
    if (r == 0)
        r = get_int(o, "win_length", &p.win_length, where, error);
    if (r == 0)
        r = get_int(o, "hop_length", &p.hop_length, where, error);
    if (r == 0)
        r = get_bool(o, "antialias", &p.antialias, where, error);
    if (r == 0)
        r = get_float(o, "scale", &p.scale, where, error);
    json_decref(o);
    if (r == 0) {
        double samples = window_s * p.sample_rate;
        p.window_samples = samples > 0 && samples < 1e8 ? (int)lround(samples) : 0;
        r = check_preprocess(&p, window_s, where, error);
    }
    if (r == 0)
        *ret = p;
    return r;
}

/* Labels.txt */

static int compare_labels(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* jansson's check of UTF-8, since such text goes into JSON. C2 80 to C2 9F are control characters
 * too. */
bool text_is_printable(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        if (c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f))
            return false;
    json_t *json = json_string(text);
    json_decref(json);
    return json != NULL;
}

static bool is_label(const char *text)
{
    size_t n = strlen(text);
    return n > strspn(text, " ") && n <= LABEL_MAX_BYTES && text_is_printable(text);
}

static int check_unique(const char *const *labels, int n, const char *where, struct error *error)
{
    const char **order = calloc((size_t)n, sizeof(*order));
    if (order == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", where);
    memcpy(order, labels, (size_t)n * sizeof(*order));
    qsort(order, (size_t)n, sizeof(*order), compare_labels);
    int r = 0;
    for (int i = 1; i < n && r == 0; i++)
        if (strcmp(order[i - 1], order[i]) == 0)
            r = error_set(error, EINVAL, "%s: the label %s stands twice", where, order[i]);
    free(order);
    return r;
}

int labels_parse(const char *text, size_t length, const char *where, const char *const **ret_labels,
                 int *ret_n, struct error *error)
{
    size_t lines = length > 0 && text[length - 1] != '\n';
    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    if (memchr(text, '\0', length) != NULL)
        return error_set(error, EINVAL, "%s: it has bytes of zero: it is no text file", where);
    if (lines < 1 || lines > MODEL_MAX_CLASSES)
        return error_set(error, EINVAL, "%s: %zu labels; allowed: 1 to %d, one a line", where,
                         lines, MODEL_MAX_CLASSES);
    const char **labels = malloc(lines * sizeof(*labels) + length + 1);
    if (labels == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", where);
    char *copy = (char *)(labels + lines);
    memcpy(copy, text, length);
    copy[length] = '\0';
    int r = 0;
    for (size_t i = 0; i < lines && r == 0; i++) {
        char *end = strchr(copy, '\n');
        char *next = end != NULL ? end + 1 : copy + strlen(copy);
        if (end != NULL)
            *end = '\0';
        if (end != NULL && end > copy && end[-1] == '\r')
            end[-1] = '\0';
        labels[i] = copy;
        if (!is_label(copy))
            r = error_set(error, EINVAL,
                          "%s:%zu: allowed: one label a line, 1 to %d bytes of UTF-8 text without "
                          "control characters",
                          where, i + 1, LABEL_MAX_BYTES);
        copy = next;
    }
    if (r == 0)
        r = check_unique(labels, (int)lines, where, error);
    if (r < 0) {
        free(labels);
        return r;
    }
    *ret_labels = labels;
    *ret_n = (int)lines;
    return 0;
}
