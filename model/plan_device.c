/* SPDX-License-Identifier: Apache-2.0
 * A plan on a device: copies of inputs and outputs in the host's memory, weights on their way, and
 * steps that are recorded once and replayed. */
#include <errno.h>
#include <stdlib.h>

#include "model/plan_internal.h"

enum { MAX_RECORDINGS = 4 };

struct plan_device {
    int *first_reader; /* [n_nodes] of inputs: the first node that reads it, or n_nodes */
    struct {
        int from, to;                /* nodes */
        struct recording *recording; /* NULL: ran once */
    } runs[MAX_RECORDINGS];
    int n_runs;
};

/* Life */

static bool is_gradient(const struct graph_node *node)
{
    switch (node->op) {
    case GRAPH_BATCH_STATISTICS:
    case GRAPH_LINEAR_GRAD_WEIGHTS:
    case GRAPH_CONV_GRAD_WEIGHTS:
    case GRAPH_CONV_TRANSPOSED_GRAD_WEIGHTS:
    case GRAPH_LAYER_NORM_GRAD_WEIGHTS:
    case GRAPH_FOCAL_GRAD_WEIGHTS:
    case GRAPH_CHANNEL_SCALE_GRAD_WEIGHTS:
    case GRAPH_BATCH_NORM_GRAD_WEIGHTS:
    case GRAPH_COSINE_GRAD_WEIGHTS:
    case GRAPH_TOKENS_GRAD_WEIGHTS:
    case GRAPH_LOOKUP_GRAD_WEIGHTS:
        return true;
    default:
        return false;
    }
}

static size_t value_bytes(const struct plan *p, int value)
{
    return tensor_cells(p->graph.nodes[value].shape) * sizeof(float);
}

/* The host's copy of every input, and of every output that is to be read there. */
static int make_copies(struct plan *p, struct error *error)
{
    const struct backend_device *device = p->config.ops->device;
    for (int i = 0; i < p->graph.n_nodes; i++) {
        const struct graph_node *node = &p->graph.nodes[i];
        if (!node->output || p->values[i].place != NULL ||
            (p->config.gradients_stay && is_gradient(node)))
            continue;
        p->values[i].host = device->allocate_host(p->config.backend, value_bytes(p, i), error);
        if (p->values[i].host == NULL)
            return -ENOMEM;
    }
    return 0;
}

int plan_device_create(struct plan *p, struct error *error)
{
    const int n = p->graph.n_nodes;
    p->device = calloc(1, sizeof *p->device);
    if (p->device != NULL)
        p->device->first_reader = malloc((size_t)n * sizeof *p->device->first_reader);
    if (p->device == NULL || p->device->first_reader == NULL)
        return error_set(error, ENOMEM, "plan: out of memory");
    for (int i = 0; i < n; i++)
        p->device->first_reader[i] = n;
    for (int k = p->n_steps - 1; k >= 0; k--) {
        const struct plan_step *s = &p->steps[k];
        const struct graph_node *node = &p->graph.nodes[s->node];
        for (int i = 0; i < node->n_in; i++)
            p->device->first_reader[plan_whole_of(p, node->in[i])] = s->node;
        if (s->residual >= 0)
            p->device->first_reader[s->residual] = s->node;
    }
    return make_copies(p, error);
}

void plan_device_destroy(struct plan *p)
{
    if (p->device == NULL)
        return;
    const struct backend_device *device = p->config.ops->device;
    for (int i = 0; i < p->device->n_runs; i++)
        device->recording_destroy(p->config.backend, p->device->runs[i].recording);
    for (int i = 0; i < p->graph.n_nodes; i++)
        device->release_host(p->config.backend, p->values[i].host);
    free(p->device->first_reader);
    free(p->device);
}

/* Weights */

static size_t weight_bytes(const struct plan *p, int index)
{
    const size_t line = 256;
    size_t bytes = graph_weight_cells(&p->graph.weights[index]) * sizeof(float);
    return (bytes + line - 1) / line * line;
}

/* The step's weights, and the layer scale behind them. Returns how many. */
static int weights_of(const struct plan *p, const struct plan_step *s,
                      int ret[GRAPH_MAX_NODE_WEIGHTS + 1])
{
    const struct graph_node *node = &p->graph.nodes[s->node];
    int n = 0;
    while (n < node->n_weights) {
        ret[n] = node->weights[n];
        n++;
    }
    if (s->scale >= 0)
        ret[n++] = p->graph.nodes[s->scale].weights[0];
    return n;
}

/* Copies them to `there`, one behind the other. */
static int send_weights(struct plan *p, const int *indices, int n, char *there,
                        const float **weights, struct error *error)
{
    for (int i = 0; i < n; i++) {
        const float *here = plan_weight(p, indices[i], error);
        if (here == NULL)
            return -EINVAL;
        int r = p->config.ops->device->copy(
            p->config.backend, there, here,
            graph_weight_cells(&p->graph.weights[indices[i]]) * sizeof(float), error);
        if (r < 0)
            return r;
        weights[i] = (const float *)(const void *)there;
        there += weight_bytes(p, indices[i]);
    }
    return 0;
}

int plan_device_pack(struct plan *p, const struct plan_step *s, struct error *error)
{
    const struct backend_device *device = p->config.ops->device;
    int indices[GRAPH_MAX_NODE_WEIGHTS + 1], r = 0;
    const int n = weights_of(p, s, indices);
    const float *weights[GRAPH_MAX_NODE_WEIGHTS + 1];
    size_t bytes = 0;
    void *there = NULL;
    for (int i = 0; i < n; i++) {
        bytes += weight_bytes(p, indices[i]);
        weights[i] = p->config.weights_there ? plan_weight(p, indices[i], error) : NULL;
        if (p->config.weights_there && weights[i] == NULL)
            return -EINVAL;
    }
    if (!p->config.weights_there) {
        there = device->allocate(p->config.backend, bytes, error);
        r = there == NULL ? -ENOMEM : send_weights(p, indices, n, there, weights, error);
    }
    if (r == 0)
        r = p->config.ops->step_pack(s->step, weights, (char *)p->packed + s->packed_offset, error);
    if (there != NULL && r == 0)
        r = device->wait(p->config.backend, error);
    device->release(p->config.backend, there);
    return r;
}

/* Running */

static int enqueue(struct plan *p, int from, int to, struct error *error)
{
    const struct backend_device *device = p->config.ops->device;
    int r = 0;
    for (int i = 0; i < p->graph.n_nodes && r == 0; i++)
        if (p->graph.nodes[i].op == GRAPH_INPUT && p->device->first_reader[i] >= from &&
            p->device->first_reader[i] < to)
            r = device->upload(p->config.backend, plan_data(p, i), p->values[i].host,
                               value_bytes(p, i), error);
    if (r == 0)
        r = plan_run_steps(p, from, to, error);
    for (int k = 0; k < p->n_steps && r == 0; k++) {
        const struct plan_step *s = &p->steps[k];
        const int values[] = {s->value, s->weights};
        for (int i = 0; i < 2 && s->node >= from && s->node < to && r == 0; i++)
            if (values[i] >= 0 && p->values[values[i]].host != NULL)
                r = device->download(p->config.backend, p->values[values[i]].host,
                                     plan_data(p, values[i]), value_bytes(p, values[i]), error);
    }
    return r;
}

/* The second of equal runs is recorded: the first has had the libraries load what they need. */
static int record(struct plan *p, int run, struct error *error)
{
    const struct backend_device *device = p->config.ops->device;
    struct error end;
    int r = device->record_begin(p->config.backend, error);
    if (r < 0)
        return r;
    r = enqueue(p, p->device->runs[run].from, p->device->runs[run].to, error);
    int ended = device->record_end(p->config.backend, &p->device->runs[run].recording,
                                   r < 0 ? &end : error);
    return r < 0 ? r : ended;
}

int plan_device_run(struct plan *p, int from, int to, struct error *error)
{
    struct plan_device *d = p->device;
    const struct backend_device *device = p->config.ops->device;
    int run = 0, r;
    while (run < d->n_runs && (d->runs[run].from != from || d->runs[run].to != to))
        run++;
    if (run == d->n_runs && run < MAX_RECORDINGS) {
        d->runs[run].from = from;
        d->runs[run].to = to;
        d->n_runs++;
        r = enqueue(p, from, to, error);
    } else if (run == d->n_runs) {
        r = enqueue(p, from, to, error);
    } else {
        r = d->runs[run].recording == NULL ? record(p, run, error) : 0;
        if (r == 0)
            r = device->replay(p->config.backend, d->runs[run].recording, error);
    }
    return r == 0 ? device->wait(p->config.backend, error) : r;
}
