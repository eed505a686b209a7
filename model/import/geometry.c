/* SPDX-License-Identifier: Apache-2.0 */
#include "model/import/geometry.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/graph.h"

enum { HEAD_CHANNELS = 64, FOCALNET_IMAGE = 224, CONV_STEM = 7, CONV_STEM_STRIDE = 4 };

/* Sizes up to which a network can be built at all: see focalnet_check and vit_check. */
enum { MAX_SIZE = 1 << 20, MAX_LAYERS = 256 };

struct derive {
    const struct named_tensor *tensors;
    size_t n;
    const char *where;
    struct error *error;
    int r; /* the first mistake */
};

static const struct checkpoint_tensor *find(const struct derive *d, const char *name)
{
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->tensors[i].name, name) == 0)
            return d->tensors[i].from;
    return NULL;
}

/* Dimension `dim` of a tensor that must be there with that rank; 1 after a mistake. */
static int size_of(struct derive *d, const char *name, int rank, int dim)
{
    if (d->r < 0)
        return 1;
    const struct checkpoint_tensor *t = find(d, name);
    if (t == NULL) {
        d->r = error_set(d->error, EINVAL,
                         "%s has no tensor %s, which would tell the network's geometry; is "
                         "config.json missing?",
                         d->where, name);
        return 1;
    }
    if (t->rank != rank || t->shape[dim] < 1 || t->shape[dim] > MAX_SIZE) {
        char shape[128];
        safetensors_shape_text(t->rank, t->shape, shape, sizeof shape);
        d->r = error_set(d->error, EINVAL, "%s: tensor %s is %s; expected: %d dimensions", t->path,
                         name, shape, rank);
        return 1;
    }
    return (int)t->shape[dim];
}

/* How many i from 0 on have a tensor of the format's name, which holds one %d. */
__attribute__((format(printf, 2, 0))) static int count(const struct derive *d, const char *format,
                                                       int prefix)
{
    char name[GRAPH_WEIGHT_NAME];
    int n = 0;
    for (; n < MAX_LAYERS; n++) {
        if (prefix >= 0)
            snprintf(name, sizeof name, format, prefix, n);
        else
            snprintf(name, sizeof name, format, n);
        if (find(d, name) == NULL)
            break;
    }
    return n;
}

static json_t *image_size(int rows, int cols)
{
    return rows == cols ? json_integer(rows) : json_pack("[i, i]", rows, cols);
}

/* FocalNet */

/* The shortest decimal by which c channels become h: what config.json most likely had. The seventh
 * digit surely tells two of them apart. */
static double ratio_of(int h, int c)
{
    for (int64_t scale = 1; scale <= 10 * MAX_SIZE; scale *= 10) {
        const int64_t least = (h * scale + c - 1) / c;
        for (int64_t n = least; n <= least + 1; n++) /* c times the least may be rounded down */
            if ((int)(c * ((double)n / (double)scale)) == h)
                return (double)n / (double)scale;
    }
    return (double)h / c;
}

static void focalnet_stages(struct derive *d, json_t *o, int embed_dim, int n_stages)
{
    json_t *depths = json_array(), *levels = json_array(), *windows = json_array();
    json_t *sizes = json_array();
    for (int s = 0; s < n_stages; s++) {
        char name[GRAPH_WEIGHT_NAME];
        snprintf(name, sizeof name,
                 "focalnet.encoder.stages.%d.layers.0.modulation.focal_layers.0.0.weight", s);
        json_array_append_new(
            depths, json_integer(count(d, "focalnet.encoder.stages.%d.layers.%d.norm1.weight", s)));
        json_array_append_new(levels,
                              json_integer(count(d,
                                                 "focalnet.encoder.stages.%d.layers.0.modulation."
                                                 "focal_layers.%d.0.weight",
                                                 s)));
        json_array_append_new(windows, json_integer(size_of(d, name, 4, 2)));
        /* as Hugging Face has them: behind each stage's downsampling */
        json_array_append_new(
            sizes, json_integer((json_int_t)embed_dim << (s + 1 < n_stages ? s + 1 : s)));
    }
    json_object_set_new(o, "hidden_sizes", sizes);
    json_object_set_new(o, "depths", depths);
    json_object_set_new(o, "focal_levels", levels);
    json_object_set_new(o, "focal_windows", windows);
}

static json_t *derive_focalnet(struct derive *d, const struct geometry_options *options, char *said,
                               size_t said_size)
{
    static const char stem[] = "focalnet.embeddings.patch_embeddings.projection.weight";
    static const char first[] = "focalnet.encoder.stages.0.layers.0.";
    char fc1[128], gamma[128], norm[128];
    snprintf(gamma, sizeof gamma, "%sgamma_1", first);
    snprintf(norm, sizeof norm, "%smodulation.layernorm.weight", first);
    int embed_dim = size_of(d, stem, 4, 0), kernel = size_of(d, stem, 4, 2);
    int n_stages = count(d, "focalnet.encoder.stages.%d.layers.0.norm1.weight", -1);
    /* of the last stage, the widest: it tells the ratio of the others too */
    snprintf(fc1, sizeof fc1, "focalnet.encoder.stages.%d.layers.0.mlp.fc1.weight", n_stages - 1);
    bool conv = kernel == CONV_STEM;
    /* The published networks with convolutions for embeddings have all three. */
    bool layerscale = find(d, gamma) != NULL;
    bool post_norm = conv && layerscale;
    int rows = options->image_rows > 0 ? options->image_rows : FOCALNET_IMAGE;
    int cols = options->image_rows > 0 ? options->image_cols : FOCALNET_IMAGE;
    if (d->r == 0 && (n_stages < 1 || n_stages > FOCALNET_MAX_STAGES))
        d->r = error_set(d->error, EINVAL, "%s has %d stages; allowed: 1 to %d", d->where, n_stages,
                         FOCALNET_MAX_STAGES);
    if (d->r < 0)
        return NULL;
    json_t *o = json_pack("{s:s, s:[s], s:o, s:i, s:i, s:i, s:b}", "model_type", "focalnet",
                          "architectures", "FocalNetBackbone", "image_size", image_size(rows, cols),
                          "patch_size", conv ? CONV_STEM_STRIDE : kernel, "num_channels",
                          size_of(d, stem, 4, 1), "embed_dim", embed_dim, "use_conv_embed", conv);
    focalnet_stages(d, o, embed_dim, n_stages);
    json_t *rest =
        json_pack("{s:s, s:f, s:b, s:b, s:b, s:b, s:f}", "hidden_act", "gelu", "mlp_ratio",
                  ratio_of(size_of(d, fc1, 2, 0), size_of(d, fc1, 2, 1)), "use_layerscale",
                  layerscale, "use_post_layernorm", post_norm, "use_post_layernorm_in_modulation",
                  find(d, norm) != NULL, "normalize_modulator", 0, "layer_norm_eps", 1e-5);
    json_object_update(o, rest);
    json_decref(rest);
    snprintf(said, said_size,
             "geometry from the tensors' shapes; taken for granted: images of %d x %d%s, layer "
             "norms %s, normalize_modulator false",
             rows, cols, options->image_rows > 0 ? "" : " (--image-size)",
             post_norm ? "behind (as in FocalNet large)" : "before");
    return o;
}

/* ViT */

/* Rows and columns: as asked for, or of a square. */
static void vit_image(struct derive *d, const struct geometry_options *options, int patch,
                      int *ret_rows, int *ret_cols)
{
    int cells = size_of(d, "embeddings.position_embeddings", 3, 1) - 1;
    int side = (int)lround(sqrt(cells > 0 ? (double)cells : 0));
    *ret_rows = options->image_rows > 0 ? options->image_rows : side * patch;
    *ret_cols = options->image_rows > 0 ? options->image_cols : side * patch;
    if (d->r == 0 && options->image_rows == 0 && (side < 1 || side * side != cells))
        d->r = error_set(d->error, EINVAL,
                         "%s: %d position embeddings make no square of patches; give --image-size "
                         "ROWSxCOLUMNS",
                         d->where, cells);
}

static json_t *derive_vit(struct derive *d, const struct geometry_options *options, char *said,
                          size_t said_size)
{
    static const char stem[] = "embeddings.patch_embeddings.projection.weight";
    int hidden = size_of(d, stem, 4, 0), patch = size_of(d, stem, 4, 2), rows, cols;
    int layers = count(d, "encoder.layer.%d.layernorm_before.weight", -1);
    int heads = options->heads > 0 ? options->heads : hidden / HEAD_CHANNELS;
    vit_image(d, options, patch, &rows, &cols);
    if (d->r == 0 && options->heads == 0 && hidden % HEAD_CHANNELS != 0)
        d->r = error_set(d->error, EINVAL,
                         "%s: hidden_size %d is no multiple of the usual %d channels a head; give "
                         "--heads N",
                         d->where, hidden, HEAD_CHANNELS);
    if (d->r < 0)
        return NULL;
    json_t *o = json_pack("{s:s, s:[s], s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:b, s:f}",
                          "model_type", "vit", "architectures", "ViTModel", "image_size",
                          image_size(rows, cols), "patch_size", patch, "num_channels",
                          size_of(d, stem, 4, 1), "hidden_size", hidden, "num_hidden_layers",
                          layers, "num_attention_heads", heads, "intermediate_size",
                          size_of(d, "encoder.layer.0.intermediate.dense.weight", 2, 0),
                          "hidden_act", "gelu", "qkv_bias", 1, "layer_norm_eps", 1e-12);
    snprintf(said, said_size,
             "geometry from the tensors' shapes; taken for granted: %d attention heads%s", heads,
             options->heads > 0 ? "" : " (64 channels each; --heads)");
    return o;
}

int geometry_derive(json_t **ret, enum net_kind kind, const struct named_tensor *tensors, size_t n,
                    const struct geometry_options *options, const char *where, char *said,
                    size_t said_size, struct error *error)
{
    struct derive d = {tensors, n, where, error, 0};
    json_t *o = kind == NET_VIT ? derive_vit(&d, options, said, said_size)
                                : derive_focalnet(&d, options, said, said_size);
    if (d.r < 0)
        json_decref(o);
    else if (o == NULL)
        d.r = error_set(error, ENOMEM, "%s: out of memory", where);
    else
        *ret = o;
    return d.r;
}
