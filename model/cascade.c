/* SPDX-License-Identifier: Apache-2.0 */
#include "model/cascade.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model_internal.h"

static int levels_of(const struct net_config *net)
{
    return net->kind == NET_VIT ? net->vit.num_hidden_layers : net->focalnet.n_stages;
}

int cascade_parts(const struct model *model)
{
    return levels_of(model_net(model)) + 2;
}

void cascade_name(const struct model *model, int part, char *ret, size_t size)
{
    const struct net_config *net = model_net(model);
    int levels = levels_of(net);
    if (part == 0)
        snprintf(ret, size, "classifier");
    else if (part <= levels)
        snprintf(ret, size, "%s %d", net->kind == NET_VIT ? "layer" : "stage", levels + 1 - part);
    else
        snprintf(ret, size, "embeddings");
}

/* The part a weight lies in, or -1. Names may have their network's name in front. */
static int part_of(const struct net_config *net, const char *weight)
{
    const char *within = net->kind == NET_VIT ? "encoder.layer." : "encoder.stages.";
    int levels = levels_of(net);
    if (strncmp(weight, "psi.", 4) == 0)
        return -1;
    const char *level = strstr(weight, within);
    if (level != NULL)
        return levels - atoi(level + strlen(within));
    if (strstr(weight, "embeddings.") != NULL)
        return levels + 1;
    return 0; /* the classifier, and the norm before it */
}

bool cascade_holds(const struct model *model, int n, const char *weight)
{
    int part = part_of(model_net(model), weight);
    return part >= 0 && part < n;
}
