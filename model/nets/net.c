/* SPDX-License-Identifier: Apache-2.0 */
#include "model/nets/net.h"

#include "model/graph.h"

const char *net_name(enum net_kind kind)
{
    return kind == NET_VIT ? "vit" : "focalnet";
}

struct head_config *net_head(struct net_config *c)
{
    return c->kind == NET_VIT ? &c->vit.head : &c->focalnet.head;
}

float *net_drop_path(struct net_config *c)
{
    return c->kind == NET_VIT ? &c->vit.drop_path : &c->focalnet.drop_path;
}

void net_image_size(const struct net_config *c, int *ret_rows, int *ret_cols)
{
    *ret_rows = c->kind == NET_VIT ? c->vit.image_rows : c->focalnet.image_rows;
    *ret_cols = c->kind == NET_VIT ? c->vit.image_cols : c->focalnet.image_cols;
}

int net_maps(const struct net_config *c, bool piq)
{
    return (c->kind == NET_VIT ? 1 : c->focalnet.n_stages) + (piq ? 1 : 0);
}

void net_map_size(const struct net_config *c, int i, int *ret_rows, int *ret_cols)
{
    if (i == net_maps(c, false)) {
        *ret_rows = PIQ_FRAMES;
        *ret_cols = PIQ_BINS;
    } else if (c->kind == NET_VIT) {
        vit_grid_size(&c->vit, ret_rows, ret_cols);
    } else {
        focalnet_stage_size(&c->focalnet, i, ret_rows, ret_cols);
    }
}

/* The backbone and its head; *ret_features: what PIQ takes. */
static int build_backbone(const struct net_config *c, int n, bool one_plane, bool piq,
                          struct graph *g, struct net_values *ret, int *ret_features,
                          struct error *error)
{
    if (c->kind == NET_VIT) {
        struct vit_values v;
        int r = vit_build(&c->vit, n, one_plane, piq, false, g, &v, error);
        if (r < 0)
            return r;
        *ret = (struct net_values){v.input, {v.map}, v.embedding, v.cosines, -1, -1, v.drops};
        *ret_features = v.features;
        return 0;
    }
    struct focalnet_values v;
    int r = focalnet_build(&c->focalnet, n, one_plane, false, g, &v, error);
    if (r < 0)
        return r;
    *ret = (struct net_values){v.input, {-1}, v.embedding, v.cosines, -1, -1, v.drops};
    for (int s = 0; s < c->focalnet.n_stages; s++)
        ret->map[s] = v.map[s];
    *ret_features = v.features;
    return 0;
}

int net_build(const struct net_config *c, int n, bool one_plane, bool piq, struct graph *g,
              struct net_values *ret, struct error *error)
{
    int features, r = build_backbone(c, n, one_plane, piq, g, ret, &features, error);
    if (r < 0 || !piq)
        return r;
    struct piq_values values;
    r = piq_build(&c->piq, "psi.", features, ret->cosines, false, g, &values, error);
    if (r < 0)
        return r;
    ret->map[net_maps(c, false)] = values.mask;
    ret->hcat = values.hcat;
    ret->z_q_x = values.z_q_x;
    return 0;
}

double net_flops(const struct net_config *c, bool piq)
{
    struct graph g;
    struct net_values values;
    graph_init(&g);
    double flops = net_build(c, 1, true, piq, &g, &values, NULL) == 0 ? graph_flops(&g) : 0;
    graph_finish(&g);
    return flops;
}

size_t net_parameters(const struct net_config *c)
{
    struct graph g;
    struct net_values values;
    graph_init(&g);
    size_t parameters = 0;
    if (net_build(c, 1, false, c->piq.keys > 0, &g, &values, NULL) == 0)
        parameters = graph_parameters(&g);
    graph_finish(&g);
    return parameters;
}
