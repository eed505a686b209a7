/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_network.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/json_values.h"
#include "model/model_internal.h"
#include "model/text_file.h"

static int no_memory(struct error *error)
{
    return error_set(error, ENOMEM, "out of memory");
}

/* One number of the model's config.json. */
static int set_geometry(struct train_network *n, const char *key, int value, struct error *error)
{
    json_t *o;
    int r = json_parse_object(&o, n->geometry, strlen(n->geometry), n->config->from, error);
    if (r < 0)
        return r;
    json_object_set_new(o, key, json_integer(value));
    char *text = json_dumps(o, JSON_INDENT(2)), *line = NULL;
    json_decref(o);
    if (text == NULL || asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    if (line == NULL)
        return no_memory(error);
    free(n->geometry);
    n->geometry = line;
    return 0;
}

/* A classifier: by a config.json, the model that it begins with and its image's size by the
 * configuration where that says one, or the configuration's keys. What the weights have learnt to
 * see, antialiased or not, stays as it is where nothing else is asked for. */
static int read_classifier(struct train_network *n, struct error *error)
{
    const struct train_config *c = n->config;
    char path[PATH_MAX + 16] = "";
    size_t length;
    int r = 0;
    if (c->config[0] != '\0')
        snprintf(path, sizeof path, "%s", c->config);
    else if (c->from[0] != '\0')
        snprintf(path, sizeof path, "%s/config.json", c->from);
    if (path[0] != '\0')
        r = text_file_read(path, &n->geometry, &length, error);
    else
        n->geometry = train_config_geometry(c);
    if (r == 0 && c->config[0] == '\0' && c->from[0] != '\0' && c->image > 0)
        r = set_geometry(n, "image_size", c->image, error);
    n->preprocess =
        train_config_preprocess(c, n->from == NULL || model_info(n->from)->preprocess.antialias);
    if (r < 0)
        return r;
    if (n->geometry == NULL || n->preprocess == NULL)
        return no_memory(error);
    r = net_config_parse(&n->net, n->geometry, strlen(n->geometry),
                         path[0] != '\0' ? path : "[network]", error);
    if (r == 0)
        r = preprocess_parse(&n->info.preprocess, n->preprocess, strlen(n->preprocess), "[network]",
                             error);
    n->net.piq = (struct piq_config){0};
    return r;
}

/* An interpreter: the model's own files, and in config.json how many keys all classes share. */

static int read_model_text(const struct train_network *n, const char *name, char **ret,
                           struct error *error)
{
    char path[PATH_MAX + 32];
    size_t length;
    snprintf(path, sizeof path, "%s/%s", n->config->from, name);
    return text_file_read(path, ret, &length, error);
}

static int check_interpreter(const struct train_config *c, struct error *error)
{
    if (c->from[0] == '\0')
        return error_set(error, EINVAL,
                         "[network] interpreter = piq: needs a classifier that is trained already; "
                         "name its model with --from");
    const char *given = c->config[0] != '\0'      ? "[network] config"
                        : c->labels[0] != '\0'    ? "[classes] labels"
                        : c->leave_out[0] != '\0' ? "[classes] leave_out"
                                                  : NULL;
    if (given == NULL)
        return 0;
    return error_set(error, EINVAL,
                     "[network] interpreter = piq: %s does not go with it; geometry and "
                     "classes are those of the model %.200s",
                     given, c->from);
}

static int read_interpreter(struct train_network *n, struct error *error)
{
    const struct train_config *c = n->config;
    const struct model_info *info = model_info(n->from);
    int r = read_model_text(n, "config.json", &n->geometry, error);
    if (r == 0)
        r = set_geometry(n, "piq_shared_keys", n->config->shared_keys, error);
    if (r == 0)
        r = read_model_text(n, "preprocess.json", &n->preprocess, error);
    if (r == -ENOENT) { /* all as usual */
        n->preprocess = strdup("{}\n");
        r = n->preprocess != NULL ? 0 : no_memory(error);
    }
    if (r < 0)
        return r;
    n->net = *model_net(n->from);
    n->net.piq = (struct piq_config){.keys = c->keys,
                                     .shared_keys = c->shared_keys,
                                     .adapter = c->adapter,
                                     .reduce = c->adapter && c->reduce};
    n->info.preprocess = info->preprocess;
    n->info.n_classes = info->n_classes;
    n->info.labels = info->labels;
    if (c->keys - c->shared_keys < info->n_classes)
        return error_set(error, EINVAL,
                         "[piq] keys = %d, %d of them shared, for the %d classes of %.200s; "
                         "allowed: one for each class or more",
                         c->keys, c->shared_keys, info->n_classes, c->from);
    if (!preprocess_fits_piq(&info->preprocess))
        return error_set(error, EINVAL,
                         "[network] interpreter = piq: makes masks of %d x %d; the windows of "
                         "%.200s/preprocess.json have another size",
                         PIQ_FRAMES, PIQ_BINS, c->from);
    return 0;
}

/* Parts of a network from the input on: embeddings 0, FocalNet's stages (each with the downsampling
 * behind it) or ViT's layers from 1, the head last. */
static int part_of(const struct net_config *net, const char *name)
{
    const char *at;
    const int parts =
        1 + (net->kind == NET_VIT ? net->vit.num_hidden_layers : net->focalnet.n_stages);
    if (strncmp(name, "classifier.", 11) == 0 || strncmp(name, "teacher.", 8) == 0)
        return parts;
    if ((at = strstr(name, "encoder.stages.")) != NULL)
        return 1 + atoi(at + strlen("encoder.stages."));
    if ((at = strstr(name, "encoder.layer.")) != NULL)
        return 1 + atoi(at + strlen("encoder.layer."));
    return strstr(name, "embeddings") != NULL ? 0 : parts - 1;
}

/* Something must be left to train: the head at the least. */
static int check_freeze(const struct train_network *n, struct error *error)
{
    const int parts = part_of(&n->net, "classifier.");
    if (n->config->freeze <= parts)
        return 0;
    return error_set(error, EINVAL,
                     "[network] freeze = %d: nothing would be left to train; allowed: 0 to %d, the "
                     "embeddings and %d %s%s",
                     n->config->freeze, parts, parts - 1,
                     n->net.kind == NET_VIT ? "layer" : "stage", parts == 2 ? "" : "s");
}

static int check_stretch(const struct train_network *n, struct error *error)
{
    const struct train_config *c = n->config;
    if (!(c->stretch_time > 0 || c->stretch_pitch > 0) || n->info.preprocess.antialias)
        return 0;
    return error_set(error, EINVAL,
                     "[augment] stretch_time, stretch_pitch: what is stretched is antialiased, "
                     "and what the model is to hear is not; make them 0, or [network] "
                     "antialias yes");
}

int train_network_check(const struct train_network *n, struct error *error)
{
    if (train_config_interpreter(n->config))
        return 0;
    int r = check_stretch(n, error);
    return r == 0 ? check_freeze(n, error) : r;
}

int train_network_read(struct train_network *ret, const struct train_config *c, struct error *error)
{
    const bool interpreter = train_config_interpreter(c);
    struct train_network n = {.config = c};
    int r = interpreter ? check_interpreter(c, error) : 0;
    if (r == 0 && c->from[0] != '\0') {
        r = model_open(&n.from, c->from, error);
        if (r == 0)
            r = model_weights(n.from, &n.weights, error);
    }
    if (r == 0)
        r = interpreter ? read_interpreter(&n, error) : read_classifier(&n, error);
    if (r < 0) {
        train_network_finish(&n);
        return r;
    }
    net_image_size(&n.net, &n.info.image_rows, &n.info.image_cols);
    *ret = n;
    return 0;
}

void train_network_finish(struct train_network *n)
{
    weights_destroy(n->weights);
    model_close(n->from);
    free(n->geometry);
    free(n->preprocess);
    *n = (struct train_network){0};
}

void train_network_classes(struct train_network *n, int classes)
{
    if (train_config_interpreter(n->config))
        return;
    *net_head(&n->net) = (struct head_config){n->config->head_dim, classes, false};
    *net_drop_path(&n->net) = (float)n->config->drop_path;
}

struct trainer_rule train_network_rule(const void *network, const char *name, int rank)
{
    const struct train_network *n = network;
    if (train_config_interpreter(n->config))
        return (struct trainer_rule){1, false, n->config->decay_norms || rank > 1};
    const int part = part_of(&n->net, name), last = part_of(&n->net, "classifier.");
    return (struct trainer_rule){.rate = pow(n->config->layer_decay, last - part),
                                 .frozen = part < n->config->freeze,
                                 .decay = n->config->decay_norms || rank > 1};
}
