/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_config.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/inifile.h"
#include "base/keys.h"

#define FIELD(field) offsetof(struct train_config, field), sizeof(((struct train_config *)0)->field)
#define SET(field)                                                                                 \
    offsetof(struct train_config_set, field), sizeof(((struct train_config_set *)0)->field)
#define TEXT(section, key, field, fallback)                                                        \
    {                                                                                              \
        section, key, KIND_TEXT, FIELD(field), 0, 0, NULL, fallback, NULL, 0                       \
    }
#define CHOICE(section, key, field, choices, fallback)                                             \
    {                                                                                              \
        section, key, KIND_CHOICE, FIELD(field), 0, 0, choices, fallback, NULL, 0                  \
    }
#define FLAG(section, key, field, fallback)                                                        \
    {                                                                                              \
        section, key, KIND_YES_NO, FIELD(field), 0, 0, NULL, fallback, NULL, 0                     \
    }
#define INTEGER(section, key, field, from, to, fallback)                                           \
    {                                                                                              \
        section, key, KIND_INTEGER, FIELD(field), from, to, NULL, fallback, NULL, 0                \
    }
#define NUMBER(section, key, field, from, to, fallback)                                            \
    {                                                                                              \
        section, key, KIND_NUMBER, FIELD(field), from, to, NULL, fallback, NULL, 0                 \
    }

static const struct key keys[] = {
    {"data", "dir", KIND_TEXT, SET(dir), 0, 0, NULL, "", NULL, 0},
    {"data", "train", KIND_TEXT, SET(train), 0, 0, NULL, "", NULL, 0},
    {"data", "valid", KIND_TEXT, SET(valid), 0, 0, NULL, "", NULL, 0},
    {"data", "teacher", KIND_TEXT, SET(teacher), 0, 0, NULL, "", NULL, 0},
    TEXT("classes", "aliases", aliases, ""),
    TEXT("classes", "labels", labels, ""),
    TEXT("classes", "leave_out", leave_out, ""),
    FLAG("classes", "skip_unknown", skip_unknown, "no"),
    FLAG("classes", "keep_unlabelled", keep_unlabelled, "no"),
    FLAG("classes", "keep_going", keep_going, "no"),
    CHOICE("network", "kind", kind, "focalnet vit", "focalnet"),
    TEXT("network", "from", from, ""),
    TEXT("network", "config", config, ""),
    INTEGER("network", "image", image, 0, 1024, "0"),
    INTEGER("network", "patch", patch, 1, 64, "4"),
    INTEGER("network", "embed_dim", embed_dim, 4, 1024, "32"),
    TEXT("network", "depths", depths, "1,1,3,1"),
    TEXT("network", "focal_levels", focal_levels, "2,2,2,2"),
    TEXT("network", "focal_windows", focal_windows, "3,3,3,3"),
    FLAG("network", "conv_embed", conv_embed, "yes"),
    INTEGER("network", "hidden_size", hidden_size, 8, 4096, "192"),
    INTEGER("network", "layers", layers, 1, 64, "6"),
    INTEGER("network", "heads", heads, 1, 64, "3"),
    INTEGER("network", "head_dim", head_dim, 1, 4096, "192"),
    NUMBER("network", "drop_path", drop_path, 0, 0.99, "0"),
    INTEGER("network", "freeze", freeze, 0, 1000, "0"),
    NUMBER("network", "layer_decay", layer_decay, 0.01, 1, "1"),
    CHOICE("network", "antialias", antialias, "auto yes no", "auto"),
    FLAG("network", "float16", half, "no"),
    NUMBER("network", "scale", scale, 1, 1000, "15"),
    TEXT("network", "reject", reject, ""),
    CHOICE("network", "interpreter", interpreter, "none piq", "none"),
    INTEGER("piq", "keys", keys, 2, 1 << 20, "1024"),
    INTEGER("piq", "shared_keys", shared_keys, 0, 1 << 20, "0"),
    FLAG("piq", "adapter", adapter, "yes"),
    FLAG("piq", "reduce", reduce, "yes"),
    NUMBER("piq", "threshold", threshold, 0, 1, "0.35"),
    CHOICE("loss", "kind", loss, "am aam ce", "am"),
    NUMBER("loss", "margin", margin, 0, 1, "0.1"),
    NUMBER("loss", "scale", loss_scale, 0.1, 1000, "15"),
    NUMBER("loss", "smoothing", smoothing, 0, 0.9, "0"),
    NUMBER("loss", "class_gradient", class_gradient, 0, 1, "1"),
    NUMBER("teacher", "embedding_weight", embedding_weight, 0, 1000, "5"),
    NUMBER("teacher", "scores_weight", scores_weight, 0, 1000, "10"),
    FLAG("teacher", "standardise", standardise, "no"),
    CHOICE("optimizer", "kind", optimizer, "adam adamw", "adamw"),
    CHOICE("optimizer", "schedule", schedule, "cyclic cosine constant plateau", "cosine"),
    NUMBER("optimizer", "rate", rate, 0, 1, "6e-4"),
    NUMBER("optimizer", "base_rate", base_rate, 0, 1, "1e-6"),
    INTEGER("optimizer", "step_size", step_size, 1, 100000000, "65000"),
    FLAG("optimizer", "schedule_validation", schedule_validation, "no"),
    NUMBER("optimizer", "warmup_epochs", warmup_epochs, 0, 1000, "3"),
    NUMBER("optimizer", "weight_decay", weight_decay, 0, 10, "0.05"),
    FLAG("optimizer", "decay_norms", decay_norms, "no"),
    NUMBER("optimizer", "max_norm", max_norm, 0, 1e6, "5"),
    NUMBER("optimizer", "beta2", beta2, 0, 0.99999, "0.999"),
    NUMBER("optimizer", "average", average, 0, 0.99999, "0.998"),
    NUMBER("augment", "drop_probability", drop_probability, 0, 1, "0.5"),
    INTEGER("augment", "chunks_low", chunks_low, 0, 100000, "1"),
    INTEGER("augment", "chunks_high", chunks_high, 0, 100000, "3"),
    INTEGER("augment", "chunk_samples_low", chunk_samples_low, 1, 80000, "1000"),
    INTEGER("augment", "chunk_samples_high", chunk_samples_high, 1, 80000, "4000"),
    INTEGER("augment", "notches_low", notches_low, 0, AUGMENT_MAX_NOTCHES, "1"),
    INTEGER("augment", "notches_high", notches_high, 0, AUGMENT_MAX_NOTCHES, "3"),
    NUMBER("augment", "shift", shift_s, 0, 5, "2.5"),
    FLAG("augment", "shift_circular", shift_circular, "yes"),
    NUMBER("augment", "gain_db", gain_db, 0, 60, "6"),
    NUMBER("augment", "equalizer_db", equalizer_db, 0, 60, "0"),
    NUMBER("augment", "stretch_time", stretch_time, 0, 3, "0"),
    NUMBER("augment", "stretch_pitch", stretch_pitch, 0, 3, "0"),
    NUMBER("augment", "background_probability", background_probability, 0, 1, "0"),
    NUMBER("augment", "background_low_db", background_low_db, -60, 100, "5"),
    NUMBER("augment", "background_high_db", background_high_db, -60, 100, "20"),
    NUMBER("augment", "mixup_probability", mixup_probability, 0, 1, "0.5"),
    NUMBER("augment", "mixup_alpha", mixup_alpha, 0.01, 100, "0.4"),
    INTEGER("masking", "time_bands", time_bands, 0, 100, "1"),
    INTEGER("masking", "time_frames", time_frames, 0, 1024, "16"),
    INTEGER("masking", "frequency_bands", frequency_bands, 0, 100, "1"),
    INTEGER("masking", "frequency_bins", frequency_bins, 0, 1024, "16"),
    NUMBER("masking", "keep_probability", keep_probability, 0, 1, "0"),
    NUMBER("masking", "remove_probability", remove_probability, 0, 1, "0"),
    NUMBER("masking", "share_low", share_low, 0, 1, "0.1"),
    NUMBER("masking", "share_high", share_high, 0, 1, "0.3"),
    NUMBER("masking", "roughness", roughness, 0, 10, "0.2"),
    NUMBER("masking", "own_probability", own_probability, 0, 1, "0"),
    NUMBER("masking", "own_share", own_share, 0.01, 0.99, "0.1"),
    NUMBER("masking", "own_keep", own_keep, 0, 1, "0.5"),
    INTEGER("run", "epochs", epochs, 1, 100000, "100"),
    INTEGER("run", "batch", batch, 1, 1024, "16"),
    INTEGER("run", "seed", seed, 0, 1 << 30, "1"),
    INTEGER("run", "threads", threads, 0, 256, "0"),
    INTEGER("run", "workers", workers, 1, 64, "1"),
    INTEGER("run", "valid_every", valid_every, 1, 100000, "1"),
    INTEGER("run", "explain_every", explain_every, 0, 100000, "5"),
    NUMBER("run", "quantile", quantile, 0, 1, "0.9"),
    NUMBER("run", "fidelity_weight", fidelity_weight, 0, 1, "0"),
    FLAG("run", "checkpoint_activations", checkpoint_activations, "no"),
    CHOICE("run", "backend", backend, "auto cpu cuda ref", "auto"),
    CHOICE("run", "precision", precision, "auto float32 tf32 bfloat16 float16", "auto"),
    CHOICE("run", "depthwise", depthwise, "auto cudnn kernels", "kernels"),
};

/* Keys that a run may be older than: it is the same run while they have their defaults. */
static bool is_younger(const struct key *k)
{
    static const char *const younger[][2] = {{"classes", "leave_out"},
                                             {"network", "reject"},
                                             {"run", "precision"},
                                             {"run", "depthwise"}};
    for (size_t i = 0; i < ARRAY_LEN(younger); i++)
        if (strcmp(k->section, younger[i][0]) == 0 && strcmp(k->key, younger[i][1]) == 0)
            return true;
    return false;
}

static bool is_set_key(const struct key *k)
{
    return strcmp(k->section, "data") == 0;
}

void train_config_default(struct train_config *ret)
{
    memset(ret, 0, sizeof *ret);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (!is_set_key(&keys[i]))
            key_set(&keys[i], ret, keys[i].fallback);
}

/* Setting */

static int get_set(struct train_config *c, const char *name, const char *where, void **ret,
                   struct error *error)
{
    for (int i = 0; i < c->n_sets; i++)
        if (strcmp(c->sets[i].name, name) == 0) {
            *ret = &c->sets[i];
            return 0;
        }
    if (name[0] == '\0' || strlen(name) >= sizeof c->sets[0].name)
        return error_set(error, EINVAL, "%s: a set needs a name: [data NAME]", where);
    if (c->n_sets == TRAIN_MAX_SETS)
        return error_set(error, EINVAL, "%s: more than %d sets", where, TRAIN_MAX_SETS);
    struct train_config_set *set = &c->sets[c->n_sets++];
    memset(set, 0, sizeof *set);
    snprintf(set->name, sizeof set->name, "%s", name);
    *ret = set;
    return 0;
}

int train_config_set(struct train_config *c, const char *where, const char *section,
                     const char *key, const char *value, struct error *error)
{
    void *base = c;
    const char *plain = section;
    char allowed[160];
    if (strncmp(section, "data", 4) == 0 && (section[4] == ' ' || section[4] == '\0')) {
        int r = get_set(c, section + 4 + strspn(section + 4, " \t"), where, &base, error);
        if (r < 0)
            return r;
        plain = "data";
    }
    const struct key *k = key_find(keys, ARRAY_LEN(keys), plain, key);
    if (k == NULL)
        return key_unknown(keys, ARRAY_LEN(keys), "focald-train(1)", where, plain, key, error);
    if (key_set(k, base, value))
        return 0;
    key_allowed(k, allowed, sizeof allowed);
    return error_set(error, EINVAL, "%s: %s = \"%s\" in [%s]; allowed: %s", where, key, value,
                     section, allowed);
}

static int take_key(void *config, const char *where, const char *section, const char *key,
                    const char *value, struct error *error)
{
    return train_config_set(config, where, section, key, value, error);
}

int train_config_read(struct train_config *config, const char *path, struct error *error)
{
    return inifile_read(path, take_key, config, error);
}

struct setting {
    const char *section, *key, *value;
};

/* Paper §3.4 and SpeechBrain recipes/ESC50/classification/hparams/focalnet.yaml. */
static const struct setting paper[] = {
    {"network", "image", "224"},
    {"network", "embed_dim", "128"},
    {"network", "depths", "2,2,18,2"},
    {"network", "conv_embed", "no"},
    {"network", "drop_path", "0.1"},
    {"network", "scale", "30"},
    {"loss", "kind", "am"},
    {"loss", "margin", "0.2"},
    {"loss", "scale", "30"},
    {"loss", "smoothing", "0"},
    {"loss", "class_gradient", "1"},
    {"optimizer", "kind", "adam"},
    {"optimizer", "schedule", "cyclic"},
    {"optimizer", "rate", "2e-4"},
    {"optimizer", "base_rate", "1e-8"},
    {"optimizer", "step_size", "65000"},
    {"optimizer", "schedule_validation", "yes"},
    {"optimizer", "weight_decay", "2e-6"},
    {"optimizer", "decay_norms", "yes"},
    {"optimizer", "max_norm", "5"},
    {"optimizer", "beta2", "0.999"},
    {"optimizer", "average", "0"},
    {"augment", "drop_probability", "0.75"},
    {"augment", "chunks_low", "1000"},
    {"augment", "chunks_high", "2000"},
    {"augment", "chunk_samples_low", "1"},
    {"augment", "chunk_samples_high", "5"},
    {"augment", "notches_low", "1"},
    {"augment", "notches_high", "3"},
    {"augment", "shift", "0"},
    {"augment", "gain_db", "0"},
    {"augment", "equalizer_db", "0"},
    {"augment", "stretch_time", "0"},
    {"augment", "stretch_pitch", "0"},
    {"augment", "background_probability", "0"},
    {"augment", "mixup_probability", "0"},
    {"masking", "time_bands", "0"},
    {"masking", "frequency_bands", "0"},
    {"masking", "keep_probability", "0"},
    {"masking", "remove_probability", "0"},
    {"masking", "own_probability", "0"},
    {"run", "epochs", "100"},
    {"run", "batch", "16"},
    {"run", "fidelity_weight", "0"},
};

/* SpeechBrain recipes/ESC50/interpret/hparams/piq_focalnet.yaml and piq_vit.yaml, train_piq.py; its
 * rate could only fall after epoch 100, which is the last. */
static const struct setting piq[] = {
    {"network", "interpreter", "piq"},
    {"piq", "keys", "1024"},
    {"piq", "shared_keys", "0"},
    {"piq", "adapter", "yes"},
    {"piq", "reduce", "yes"},
    {"piq", "threshold", "0.35"},
    {"optimizer", "kind", "adam"},
    {"optimizer", "schedule", "plateau"},
    {"optimizer", "rate", "2e-4"},
    {"optimizer", "base_rate", "1e-8"},
    {"optimizer", "weight_decay", "2e-6"},
    {"optimizer", "decay_norms", "yes"},
    {"optimizer", "max_norm", "5"},
    {"optimizer", "beta2", "0.999"},
    {"optimizer", "average", "0"},
    {"augment", "drop_probability", "0"},
    {"augment", "shift", "0"},
    {"augment", "gain_db", "0"},
    {"augment", "background_probability", "0"},
    {"augment", "mixup_probability", "0"},
    {"run", "epochs", "100"},
    {"run", "batch", "6"},
    {"run", "valid_every", "1"},
    {"run", "explain_every", "1"},
};

/* From scratch on little data, small enough for two cores, and interpretable: what the network
 * marks is shown to it alone, and everything but it. */
static const struct setting home[] = {
    {"network", "float16", "yes"},
    {"network", "embed_dim", "40"},
    {"network", "depths", "1,1,4,1"},
    {"augment", "equalizer_db", "4"},
    {"augment", "stretch_time", "0.12"},
    {"augment", "stretch_pitch", "0.06"},
    {"augment", "mixup_probability", "0.4"},
    {"masking", "keep_probability", "0.1"},
    {"masking", "remove_probability", "0.05"},
    {"masking", "own_probability", "0.25"},
    {"masking", "own_keep", "0.6"},
    {"run", "epochs", "140"},
    {"run", "valid_every", "5"},
    {"run", "explain_every", "5"},
    {"run", "fidelity_weight", "0.05"},
};

static const struct {
    const char *name;
    const struct setting *settings;
    size_t n;
} recipes[] = {{"paper", paper, ARRAY_LEN(paper)},
               {"piq", piq, ARRAY_LEN(piq)},
               {"home", home, ARRAY_LEN(home)}};

int train_config_recipe(struct train_config *config, const char *name, struct error *error)
{
    for (size_t i = 0; i < ARRAY_LEN(recipes); i++) {
        if (strcmp(recipes[i].name, name) != 0)
            continue;
        int r = 0;
        for (size_t k = 0; k < recipes[i].n && r == 0; k++)
            r = train_config_set(config, "--recipe", recipes[i].settings[k].section,
                                 recipes[i].settings[k].key, recipes[i].settings[k].value, error);
        return r;
    }
    return error_set(error, EINVAL, "--recipe %.60s: allowed: paper, piq, home", name);
}

bool train_config_interpreter(const struct train_config *c)
{
    return strcmp(c->interpreter, "piq") == 0;
}

/* Texts */

static char *make_text(const struct train_config *c, bool younger)
{
    char *text = NULL, value[PATH_MAX + 16];
    size_t size;
    FILE *to = open_memstream(&text, &size);
    const char *section = "";
    if (to == NULL)
        return NULL;
    for (int s = 0; s < c->n_sets; s++) {
        fprintf(to, "[data %s]\n", c->sets[s].name);
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            if (is_set_key(&keys[i])) {
                key_text(&keys[i], &c->sets[s], value, sizeof value);
                fprintf(to, "%s = %s\n", keys[i].key, value);
            }
    }
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (is_set_key(&keys[i]))
            continue;
        if (strcmp(section, keys[i].section) != 0)
            fprintf(to, "\n[%s]\n", keys[i].section);
        section = keys[i].section;
        key_text(&keys[i], c, value, sizeof value);
        if (!younger && is_younger(&keys[i]) && strcmp(value, keys[i].fallback) == 0)
            continue;
        fprintf(to, "%s = %s\n", keys[i].key, value);
    }
    bool whole = ferror(to) == 0;
    if (fclose(to) != 0 || !whole) {
        free(text);
        return NULL;
    }
    return text;
}

char *train_config_text(const struct train_config *c)
{
    return make_text(c, true);
}

char *train_config_identity(const struct train_config *c)
{
    return make_text(c, false);
}

/* Where the two texts differ first: its section and its line. */
static void find_difference(const char *a, const char *b, const char **ret_section,
                            const char **ret_line)
{
    *ret_section = *ret_line = a;
    for (; *a != '\0' && *a == *b; a++, b++)
        if (a[0] == '\n') {
            *ret_line = a + 1;
            *ret_section = a[1] == '[' ? a + 1 : *ret_section;
        }
}

int train_config_check(const struct train_config *c, struct error *error)
{
    struct train_config *back = malloc(sizeof *back);
    char *text = train_config_text(c), *again = NULL;
    const char *section, *line;
    int r = 0;
    if (back != NULL && text != NULL) {
        train_config_default(back);
        inifile_read_text("train.conf", text, take_key, back, error);
        again = train_config_text(back);
    }
    if (again == NULL) {
        r = error_set(error, ENOMEM, "out of memory");
    } else if (strcmp(text, again) != 0) {
        find_difference(text, again, &section, &line);
        const int of_section = (int)strcspn(section, "\n"), of_key = (int)strcspn(line, " =\n");
        r = error_set(
            error, EINVAL,
            "%.*s %.*s: train.conf could not give this again; allowed: one line, "
            "without \" ;\" or \" #\" and without spaces at its ends; for a set's name, up to 40 "
            "characters and no ]",
            of_section, section, line != section ? of_key : 0, line);
    }
    free(back);
    free(text);
    free(again);
    return r;
}

/* "2,2,18,2" */
static json_t *numbers(const char *text)
{
    json_t *list = json_array();
    for (const char *at = text; list != NULL && *at != '\0';) {
        char *end;
        long n = strtol(at, &end, 10);
        if (end == at)
            break;
        json_array_append_new(list, json_integer(n));
        at = end + strspn(end, ", \t");
    }
    return list;
}

void train_config_geometry_keys(const struct train_config *c, char *ret, size_t size)
{
    static const char *const names[] = {
        "kind",          "patch",      "embed_dim",   "depths", "focal_levels",
        "focal_windows", "conv_embed", "hidden_size", "layers", "heads"};
    char value[PATH_MAX];
    size_t n = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(names) && n < size; i++) {
        const struct key *k = key_find(keys, ARRAY_LEN(keys), "network", names[i]);
        key_text(k, c, value, sizeof value);
        if (strcmp(value, k->fallback) != 0)
            n += (size_t)snprintf(ret + n, size - n, "%s%s", n > 0 ? ", " : "", names[i]);
    }
}

static int image_size(const struct train_config *c)
{
    return c->image > 0 ? c->image : 112;
}

static json_t *focalnet_object(const struct train_config *c)
{
    return json_pack(
        "{s:s, s:[s], s:i, s:i, s:i, s:i, s:b, s:o, s:o, s:o, s:s, s:f, s:b, s:b, s:b, s:b, s:f}",
        "model_type", "focalnet", "architectures", "FocalNetBackbone", "image_size", image_size(c),
        "patch_size", c->patch, "num_channels", 3, "embed_dim", c->embed_dim, "use_conv_embed",
        c->conv_embed, "depths", numbers(c->depths), "focal_levels", numbers(c->focal_levels),
        "focal_windows", numbers(c->focal_windows), "hidden_act", "gelu", "mlp_ratio", 4.0,
        "use_layerscale", 0, "use_post_layernorm", 0, "use_post_layernorm_in_modulation", 0,
        "normalize_modulator", 0, "layer_norm_eps", 1e-5);
}

static json_t *vit_object(const struct train_config *c)
{
    return json_pack("{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b}", "model_type",
                     "vit", "architectures", "ViTModel", "image_size", image_size(c), "patch_size",
                     c->patch, "num_channels", 3, "hidden_size", c->hidden_size,
                     "num_hidden_layers", c->layers, "num_attention_heads", c->heads,
                     "intermediate_size", 4 * c->hidden_size, "hidden_act", "gelu",
                     "layer_norm_eps", 1e-12, "qkv_bias", 1);
}

static char *dumped(json_t *object)
{
    char *text = json_dumps(object, JSON_INDENT(1)), *line = NULL;
    json_decref(object);
    if (text != NULL && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    return line;
}

char *train_config_geometry(const struct train_config *c)
{
    return dumped(strcmp(c->kind, "vit") == 0 ? vit_object(c) : focalnet_object(c));
}

/* "cosine 0.5" as preprocess.json has it; what is no number is left for its check to refuse. */
static json_t *reject_object(const char *text)
{
    const int n = (int)strcspn(text, " \t");
    const char *number = text + n + strspn(text + n, " \t");
    char *end;
    const double below = strtod(number, &end);
    const bool good = end != number && *end == '\0';
    return json_pack("{s:o, s:o}", "score", json_stringn(text, (size_t)n), "below",
                     good ? json_real(below) : json_string(number));
}

char *train_config_preprocess(const struct train_config *c, bool antialias)
{
    if (strcmp(c->antialias, "auto") != 0)
        antialias = strcmp(c->antialias, "yes") == 0;
    json_t *o = json_pack("{s:i, s:f, s:i, s:i, s:i, s:s, s:s, s:b, s:s, s:f}", "sample_rate",
                          16000, "window_s", 5.0, "n_fft", 1024, "win_length", 372, "hop_length",
                          186, "normalize", "max", "resize", "bilinear", "antialias", antialias,
                          "head", "cosine", "scale", c->scale);
    if (c->reject[0] != '\0') {
        json_t *reject = reject_object(c->reject);
        json_object_set_new(o, "reject", reject != NULL ? reject : json_string("not UTF-8"));
    }
    return dumped(o);
}

/* What the parts take */

uint64_t train_config_step(const struct train_config *c, const struct train_config_steps *steps,
                           int epoch, uint64_t batch)
{
    const uint64_t before = (uint64_t)epoch - 1, validations = before / (uint64_t)c->valid_every;
    return before * steps->trained + batch +
           (c->schedule_validation ? validations * steps->validated : 0);
}

int train_config_options(const struct train_config *c, const struct train_config_steps *steps,
                         struct loss_options *loss, struct optimizer_options *optimizer,
                         struct schedule_options *schedule, struct error *error)
{
    *loss = (struct loss_options){
        .margin = c->margin, .scale = c->loss_scale, .smoothing = c->smoothing};
    loss_by_name(c->loss, &loss->kind);
    *optimizer = (struct optimizer_options){
        .kind = strcmp(c->optimizer, "adam") == 0 ? OPTIMIZER_ADAM : OPTIMIZER_ADAMW,
        .beta1 = 0.9,
        .beta2 = c->beta2,
        .epsilon = 1e-8,
        .weight_decay = c->weight_decay,
        .max_norm = c->max_norm};
    *schedule =
        (struct schedule_options){.base = c->base_rate,
                                  .max = c->rate,
                                  .step_size = (uint64_t)c->step_size,
                                  .total = train_config_step(c, steps, c->epochs, steps->trained),
                                  .factor = 0.5,
                                  .patience = 3,
                                  .hold_epochs = 100};
    schedule->warmup = (uint64_t)(c->warmup_epochs * (double)steps->trained);
    if (schedule->warmup > schedule->total)
        schedule->warmup = schedule->total;
    schedule_by_name(c->schedule, &schedule->kind);
    return schedule_check(schedule, error);
}

int train_config_changes(const struct train_config *c, struct augment_settings *augment,
                         struct masking_settings *masking, struct error *error)
{
    *augment = (struct augment_settings){.drop_probability = c->drop_probability,
                                         .notches_low = c->notches_low,
                                         .notches_high = c->notches_high,
                                         .frequency_low = 0,
                                         .frequency_high = 1,
                                         .chunks_low = c->chunks_low,
                                         .chunks_high = c->chunks_high,
                                         .chunk_samples_low = c->chunk_samples_low,
                                         .chunk_samples_high = c->chunk_samples_high,
                                         .shift_samples = (int)(c->shift_s * 16000),
                                         .shift_circular = c->shift_circular,
                                         .gain_db = c->gain_db,
                                         .equalizer_db = c->equalizer_db};
    *masking = (struct masking_settings){
        .time_bands = c->time_bands,
        .time_frames = c->time_frames,
        .frequency_bands = c->frequency_bands,
        .frequency_bins = c->frequency_bins,
        .keep_probability = c->keep_probability,
        .remove_probability = c->remove_probability,
        .share_low = c->share_low,
        .share_high = c->share_high,
        .region = {.grid_rows = 7, .grid_cols = 7, .roughness = c->roughness}};
    int r = augment_check(augment, error);
    return r == 0 ? masking_check(masking, error) : r;
}
