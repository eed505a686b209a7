/* SPDX-License-Identifier: Apache-2.0
 * config.json, which says which network it is and its geometry (Hugging Face's keys). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "model/json_values.h"
#include "model/model_internal.h"

/* A string key that has one allowed value. */
static int expect_string(const json_t *o, const char *key, const char *value, const char *where,
                         struct error *error)
{
    const json_t *v = json_object_get(o, key);
    char allowed[64];
    if (v == NULL || (json_is_string(v) && strcmp(json_string_value(v), value) == 0))
        return 0;
    snprintf(allowed, sizeof allowed, "\"%s\"", value);
    return json_wrong(where, key, v, allowed, error);
}

/* FocalNet unless model_type or the architectures say ViT. */
static int parse_kind(const json_t *o, enum net_kind *ret, const char *where, struct error *error)
{
    static const struct {
        const char *type, *architecture;
    } kinds[] = {[NET_FOCALNET] = {"focalnet", "FocalNet"}, [NET_VIT] = {"vit", "ViT"}};
    const json_t *type = json_object_get(o, "model_type");
    const json_t *list = json_object_get(o, "architectures");
    const char *name = json_string_value(type);
    size_t n = json_array_size(list), found = ARRAY_LEN(kinds);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        bool fits = type == NULL || (name != NULL && strcmp(name, kinds[k].type) == 0);
        for (size_t i = 0; i < n && fits; i++) {
            const char *a = json_string_value(json_array_get(list, i));
            fits =
                a != NULL && strncmp(a, kinds[k].architecture, strlen(kinds[k].architecture)) == 0;
        }
        if (fits && found == ARRAY_LEN(kinds))
            found = k;
    }
    if (found == ARRAY_LEN(kinds)) {
        bool known = name != NULL && (strcmp(name, "focalnet") == 0 || strcmp(name, "vit") == 0);
        if (type != NULL && !known)
            return json_wrong(where, "model_type", type, "\"focalnet\" or \"vit\"", error);
        return json_wrong(where, "architectures", list, "FocalNet ones or ViT ones, as model_type",
                          error);
    }
    *ret = (enum net_kind)found;
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

static int parse_stages(const json_t *o, struct focalnet_config *c, const char *where,
                        struct error *error)
{
    int n = json_get_ints(o, "depths", c->depths, 0, FOCALNET_MAX_STAGES, where, error);
    if (n < 0)
        return n;
    if (n > 0)
        c->n_stages = n;
    n = json_get_ints(o, "focal_levels", c->focal_levels, c->n_stages, FOCALNET_MAX_STAGES, where,
                      error);
    if (n >= 0)
        n = json_get_ints(o, "focal_windows", c->focal_windows, c->n_stages, FOCALNET_MAX_STAGES,
                          where, error);
    return n < 0 ? n : 0;
}

static int parse_focalnet(const json_t *o, struct focalnet_config *c, const char *where,
                          struct error *error)
{
    int r = json_get_size(o, "image_size", &c->image_rows, &c->image_cols, where, error);
    if (r == 0)
        r = json_get_int(o, "patch_size", &c->patch_size, where, error);
    if (r == 0)
        r = json_get_int(o, "num_channels", &c->num_channels, where, error);
    if (r == 0)
        r = json_get_int(o, "embed_dim", &c->embed_dim, where, error);
    if (r == 0)
        r = parse_stages(o, c, where, error);
    if (r == 0)
        r = json_get_number(o, "mlp_ratio", &c->mlp_ratio, where, error);
    if (r == 0)
        r = json_get_float(o, "layer_norm_eps", &c->layer_norm_eps, where, error);
    static const char *const flags[] = {"use_conv_embed", "use_layerscale", "use_post_layernorm",
                                        "use_post_layernorm_in_modulation", "normalize_modulator"};
    bool *const values[] = {&c->use_conv_embed, &c->use_layerscale, &c->use_post_layernorm,
                            &c->use_post_layernorm_in_modulation, &c->normalize_modulator};
    for (size_t i = 0; i < ARRAY_LEN(flags) && r == 0; i++)
        r = json_get_bool(o, flags[i], values[i], where, error);
    if (r == 0) {
        r = focalnet_check(c, error);
        if (r < 0)
            error_prefix(error, r, "%s", where);
    }
    if (r == 0 && c->embed_dim * c->mlp_ratio < 1)
        r = error_set(error, EINVAL, "%s: mlp_ratio is %g; allowed: at least 1 / embed_dim %d",
                      where, c->mlp_ratio, c->embed_dim);
    return r;
}

/* ViT */

static void vit_default(struct vit_config *c)
{
    *c = (struct vit_config){
        .image_rows = 224,
        .image_cols = 224,
        .patch_size = 16,
        .num_channels = 3,
        .hidden_size = 768,
        .num_hidden_layers = 12,
        .num_attention_heads = 12,
        .intermediate_size = 3072,
        .layer_norm_eps = 1e-12f,
    };
}

static int parse_vit(const json_t *o, struct vit_config *c, const char *where, struct error *error)
{
    const struct {
        const char *key;
        int *value;
    } integers[] = {
        {"patch_size", &c->patch_size},
        {"num_channels", &c->num_channels},
        {"hidden_size", &c->hidden_size},
        {"num_hidden_layers", &c->num_hidden_layers},
        {"num_attention_heads", &c->num_attention_heads},
        {"intermediate_size", &c->intermediate_size},
    };
    bool qkv_bias = true;
    int r = json_get_size(o, "image_size", &c->image_rows, &c->image_cols, where, error);
    for (size_t i = 0; i < ARRAY_LEN(integers) && r == 0; i++)
        r = json_get_int(o, integers[i].key, integers[i].value, where, error);
    if (r == 0)
        r = json_get_float(o, "layer_norm_eps", &c->layer_norm_eps, where, error);
    if (r == 0)
        r = json_get_bool(o, "qkv_bias", &qkv_bias, where, error);
    if (r == 0 && !qkv_bias)
        r = json_wrong(where, "qkv_bias", json_object_get(o, "qkv_bias"), "true", error);
    if (r == 0) {
        r = vit_check(c, error);
        if (r < 0)
            error_prefix(error, r, "%s", where);
    }
    return r;
}

/* What the weights tell is left alone. */
int net_config_parse(struct net_config *ret, const char *text, size_t length, const char *where,
                     struct error *error)
{
    json_t *o;
    struct head_config head = *net_head(ret);
    struct net_config c = {.piq = ret->piq};
    int r = json_parse_object(&o, text, length, where, error);
    if (r < 0)
        return r;
    r = parse_kind(o, &c.kind, where, error);
    if (r == 0)
        r = expect_string(o, "hidden_act", "gelu", where, error);
    if (r == 0 && c.kind == NET_VIT) {
        vit_default(&c.vit);
        r = parse_vit(o, &c.vit, where, error);
    } else if (r == 0) {
        focalnet_default(&c.focalnet);
        r = parse_focalnet(o, &c.focalnet, where, error);
    }
    if (r == 0)
        r = json_get_int(o, "piq_shared_keys", &c.piq.shared_keys, where, error);
    if (r == 0 && c.piq.shared_keys < 0)
        r = json_wrong(where, "piq_shared_keys", json_object_get(o, "piq_shared_keys"), "0 or more",
                       error);
    json_decref(o);
    *net_head(&c) = head;
    if (r == 0)
        *ret = c;
    return r;
}
