/* SPDX-License-Identifier: Apache-2.0 */
#include "model/nets/drop_path.h"

#include "model/graph.h"

void drop_path_begin(struct drop_path *ret, struct graph *g, int n, float rate, int layers)
{
    *ret = (struct drop_path){rate, layers, -1};
    if (rate > 0 && layers > 1)
        ret->scales =
            graph_input(g, (struct tensor_shape){n, 1, 1, DROP_PATH_BRANCHES * (layers - 1)});
}

int drop_path_branch(const struct drop_path *d, struct graph *g, int y, int layer, int branch)
{
    if (d->scales < 0 || layer == 0)
        return y;
    int at = DROP_PATH_BRANCHES * (layer - 1) + branch;
    return graph_sample_scale(g, y, graph_slice(g, d->scales, at, 1));
}

double drop_path_probability(double rate, int i, int branches)
{
    return rate * (1 + i / DROP_PATH_BRANCHES) / (branches / DROP_PATH_BRANCHES);
}
