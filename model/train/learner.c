/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/learner.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/graph_grad.h"
#include "model/plan.h"

struct learner {
    struct store store; /* ops NULL: not open */
    struct graph graph; /* a copy of its weights' names and of the nodes; the plan has its own */
    struct graph_backward backward;
    int seeds[LEARNER_MAX_OUTPUTS], n_seeds;
    float scale; /* of the seeds, and of all gradients until they are wanted */
    bool inputs; /* their gradients are wanted */
    int n_nodes;
    size_t *from; /* [n_weights + 1] of each weight among the parameters */
    float *parameters, *gradients;
    float **places; /* [n_nodes] values of gradients that lie among the gradients, or NULL */
    struct weights_array *arrays; /* [n_weights] */
    struct weights *weights;      /* of them */
    struct plan *plan;
    void *arena;
    const struct trainer_ranks *ranks; /* or NULL */
    float *shared;                     /* [ranks][…] the largest value that they share */
};

/* The plan takes the graph over; ours keeps what is asked for later. */
static int copy_graph(struct graph *ret, const struct graph *from, struct error *error)
{
    *ret = *from;
    ret->nodes = malloc(((size_t)from->n_nodes + 1) * sizeof *ret->nodes);
    ret->weights = malloc(((size_t)from->n_weights + 1) * sizeof *ret->weights);
    if (ret->nodes == NULL || ret->weights == NULL)
        return error_set(error, ENOMEM, "learner: out of memory");
    memcpy(ret->nodes, from->nodes, (size_t)from->n_nodes * sizeof *ret->nodes);
    memcpy(ret->weights, from->weights, (size_t)from->n_weights * sizeof *ret->weights);
    return 0;
}

/* Parameters are put into the store one weight after the other: the host need not hold all. */
static int copy_parameters(struct learner *l, struct weights *weights, struct error *error)
{
    const int n = l->graph.n_weights;
    l->from = calloc((size_t)n + 1, sizeof *l->from);
    l->arrays = calloc((size_t)n + 1, sizeof *l->arrays);
    if (l->from == NULL || l->arrays == NULL)
        return error_set(error, ENOMEM, "learner: out of memory");
    for (int i = 0; i < n; i++)
        l->from[i + 1] = l->from[i] + graph_weight_cells(&l->graph.weights[i]);
    l->parameters = store_floats(&l->store, l->from[n], error);
    if (l->parameters != NULL)
        l->gradients = store_floats(&l->store, l->from[n], error);
    if (l->gradients == NULL)
        return error_prefix(error, -ENOMEM, "learner");
    for (int i = 0; i < n; i++) {
        const struct graph_weight *w = &l->graph.weights[i];
        const float *data = weights_get(weights, w->name, w->rank, w->shape, error);
        if (data == NULL)
            return -EINVAL;
        int r =
            store_put(&l->store, l->parameters + l->from[i], data, graph_weight_cells(w), error);
        weights_done(weights);
        if (r < 0)
            return r;
        l->arrays[i] =
            (struct weights_array){w->name, w->rank, w->shape, l->parameters + l->from[i]};
    }
    return weights_from_arrays(&l->weights, l->arrays, n, error);
}

static int add_backward(struct learner *l, struct graph *graph, const int *outputs, int n,
                        const struct learner_config *config, struct error *error)
{
    bool *frozen = memory_zeroed((size_t)graph->n_weights + 1, sizeof *frozen);
    if (frozen == NULL)
        return error_set(error, ENOMEM, "learner: out of memory");
    for (int i = 0; i < graph->n_weights; i++)
        frozen[i] = config->frozen != NULL && config->frozen(config->user, graph->weights[i].name);
    const struct graph_wanted wanted = {
        .frozen = frozen, .inputs = config->inputs, .checkpoint = config->checkpoint_activations};
    int r = graph_grad(graph, outputs, n, &wanted, l->seeds, &l->backward, error);
    free(frozen);
    l->n_seeds = n;
    l->scale = 1;
    l->inputs = config->inputs;
    return r;
}

/* The gradients of an operator's weights lie where all gradients do, if theirs lie there one after
 * the other. */
static int place_gradients(struct learner *l, const struct graph *graph, struct error *error)
{
    l->places = calloc((size_t)graph->n_nodes, sizeof *l->places);
    if (l->places == NULL)
        return error_set(error, ENOMEM, "learner: out of memory");
    for (int i = l->backward.first; i < graph->n_nodes; i++) {
        size_t covered = 0, begin = SIZE_MAX;
        for (int w = 0; w < graph->n_weights; w++)
            if (l->backward.weights[w].value == i && learner_range(l, w).trained) {
                size_t at = l->from[w] - l->backward.weights[w].from;
                bool fits =
                    l->from[w] >= l->backward.weights[w].from && (begin == SIZE_MAX || begin == at);
                begin = at;
                covered += fits ? l->from[w + 1] - l->from[w] : 0;
            }
        if (covered > 0 && covered == tensor_cells(graph->nodes[i].shape))
            l->places[i] = l->gradients + begin;
    }
    return 0;
}

static int make_plan(struct learner *l, struct graph *graph, struct error *error)
{
    l->n_nodes = graph->n_nodes;
    int r = place_gradients(l, graph, error);
    if (r < 0)
        return r;
    struct plan_config plan = {.ops = l->store.ops,
                               .backend = l->store.backend,
                               .weights = l->weights,
                               .places = l->places,
                               .weights_there = true,
                               .gradients_stay = true};
    r = plan_create(&l->plan, graph, &plan, error);
    if (r < 0)
        return r;
    l->arena = backend_memory(l->store.ops, l->store.backend, plan_arena_bytes(l->plan), error);
    if (l->arena == NULL)
        return error_prefix(error, -ENOMEM, "activations");
    return plan_bind(l->plan, l->arena, error);
}

static int open_store(struct learner *l, const struct learner_config *config, struct error *error)
{
    const struct backend_config backend = {config->threads, config->precision, config->depthwise};
    int r = config->ops->open(&l->store.backend, &backend, error);
    if (r == 0)
        l->store.ops = config->ops;
    return r;
}

/* Statistics, or sums over g, of this process's part of a batch. */
static bool is_shared(const struct graph_node *node)
{
    return node->ranks > 0 &&
           (node->op == GRAPH_BATCH_STATISTICS || node->op == GRAPH_BATCH_NORM_GRAD_WEIGHTS);
}

static int make_shared(struct learner *l, const struct learner_config *config, struct error *error)
{
    size_t largest = 0;
    for (int i = 0; i < l->graph.n_nodes; i++)
        if (is_shared(&l->graph.nodes[i]) && tensor_cells(l->graph.nodes[i].shape) > largest)
            largest = tensor_cells(l->graph.nodes[i].shape);
    if (config->ranks == NULL || largest == 0)
        return 0;
    if (config->ops->device != NULL)
        return error_set(error, ENOTSUP,
                         "several processes share batch norms on the CPU only, not on %s; ask for "
                         "the backend cpu, or for one process",
                         config->ops->name);
    l->ranks = config->ranks;
    l->shared = calloc((size_t)config->ranks->ranks * largest, sizeof *l->shared);
    return l->shared != NULL ? 0 : error_set(error, ENOMEM, "learner: out of memory");
}

int learner_create(struct learner **ret, struct graph *graph, const int *outputs, int n,
                   struct weights *weights, const struct learner_config *config,
                   struct error *error)
{
    struct learner *l = calloc(1, sizeof *l);
    int r = l == NULL || n > LEARNER_MAX_OUTPUTS
                ? error_set(error, ENOMEM, "learner: out of memory")
                : add_backward(l, graph, outputs, n, config, error);
    if (r == 0)
        r = copy_graph(&l->graph, graph, error);
    if (r == 0)
        r = make_shared(l, config, error);
    if (r == 0)
        r = open_store(l, config, error);
    if (r == 0)
        r = copy_parameters(l, weights, error);
    if (r == 0)
        r = make_plan(l, graph, error);
    graph_finish(graph);
    if (r < 0) {
        learner_destroy(l);
        return r;
    }
    *ret = l;
    return 0;
}

void learner_destroy(struct learner *l)
{
    if (l == NULL)
        return;
    plan_destroy(l->plan);
    if (l->store.ops != NULL) {
        backend_memory_free(l->store.ops, l->store.backend, l->arena);
        store_free(&l->store, l->parameters);
        store_free(&l->store, l->gradients);
        l->store.ops->close(l->store.backend);
    }
    weights_destroy(l->weights);
    graph_backward_finish(&l->backward);
    graph_finish(&l->graph);
    free(l->from);
    free(l->places);
    free(l->arrays);
    free(l->shared);
    free(l);
}

float *learner_value(const struct learner *l, int value, struct tensor_shape *ret_shape)
{
    return plan_value(l->plan, value, ret_shape);
}

float *learner_seed(const struct learner *l, int i)
{
    return plan_value(l->plan, l->seeds[i], NULL);
}

void learner_scale(struct learner *l, double factor)
{
    l->scale = (float)factor;
}

const float *learner_input_gradient(const struct learner *l, int input)
{
    return plan_value(l->plan, l->backward.values[input], NULL);
}

static void enter(const struct learner *l)
{
    l->store.ops->enter(l->store.backend);
}

/* x: [2][c] mean and biased variance of a part, become those of all parts, which are as large.
 * The variance is the mean of theirs and the variance of their means. */
static int share_statistics(const struct learner *l, float *x, size_t c, struct error *error)
{
    const size_t n = (size_t)l->ranks->ranks;
    int r = l->ranks->gather(l->ranks->user, x, 2 * c, l->shared, error);
    for (size_t i = 0; i < c && r == 0; i++) {
        double mean = 0, variance = 0;
        for (size_t k = 0; k < n; k++)
            mean += (double)l->shared[k * 2 * c + i] / (double)n;
        for (size_t k = 0; k < n; k++) {
            const double off = (double)l->shared[k * 2 * c + i] - mean;
            variance += ((double)l->shared[k * 2 * c + c + i] + off * off) / (double)n;
        }
        x[i] = (float)mean;
        x[c + i] = (float)variance;
    }
    return r;
}

static int share(const struct learner *l, int i, struct error *error)
{
    const struct graph_node *node = &l->graph.nodes[i];
    const size_t cells = tensor_cells(node->shape);
    float *x = plan_memory(l->plan, i);
    if (node->op == GRAPH_BATCH_STATISTICS)
        return share_statistics(l, x, cells / 2, error);
    return l->ranks->sum(l->ranks->user, x, cells, error);
}

/* Nodes [from, to); at each that is shared the processes meet. */
static int run_nodes(const struct learner *l, int from, int to, struct error *error)
{
    int r = 0;
    enter(l);
    for (int i = from; i < to && r == 0; i++)
        if (l->ranks != NULL && is_shared(&l->graph.nodes[i])) {
            r = plan_run_nodes(l->plan, from, i + 1, error);
            if (r == 0)
                r = share(l, i, error);
            from = i + 1;
        }
    return r == 0 ? plan_run_nodes(l->plan, from, to, error) : r;
}

int learner_forward(struct learner *l, struct error *error)
{
    return run_nodes(l, 0, l->backward.first, error);
}

/* What the gradient `at` is, among the values. */
static const float *gradient_value(const struct learner *l, struct graph_gradient at)
{
    return (const float *)plan_memory(l->plan, at.value) + at.from;
}

/* A value in the host's memory, times a factor. */
static void multiply(const struct learner *l, int value, float factor)
{
    struct tensor_shape s;
    float *x = plan_value(l->plan, value, &s);
    for (size_t i = 0; i < tensor_cells(s); i++)
        x[i] *= factor;
}

/* Gradients as they are, of gradients times the scale. */
static int unscale(const struct learner *l, struct error *error)
{
    const float factor = 1 / l->scale;
    for (int i = 0; i < l->backward.n_values && l->inputs; i++)
        if (l->graph.nodes[i].op == GRAPH_INPUT && l->backward.values[i] >= 0)
            multiply(l, l->backward.values[i], factor);
    return store_mix(&l->store, l->gradients, l->gradients, l->from[l->graph.n_weights], 0, factor,
                     error);
}

int learner_backward(struct learner *l, struct error *error)
{
    for (int i = 0; i < l->n_seeds && l->scale != 1; i++)
        multiply(l, l->seeds[i], l->scale);
    int r = run_nodes(l, l->backward.first, l->n_nodes, error);
    for (int i = 0; i < l->graph.n_weights && r == 0; i++) {
        struct graph_gradient at = l->backward.weights[i];
        if (learner_range(l, i).trained && l->places[at.value] == NULL)
            r = store_mix(&l->store, l->gradients + l->from[i], gradient_value(l, at),
                          l->from[i + 1] - l->from[i], 0, 1, error);
    }
    return r == 0 && l->scale != 1 ? unscale(l, error) : r;
}

int learner_sum_gradients(struct learner *l, struct error *error)
{
    int r = 0;
    for (int i = 0; i < l->graph.n_weights && r == 0; i++) {
        const int value = l->backward.weights[i].value;
        if (learner_range(l, i).trained && !is_shared(&l->graph.nodes[value]))
            r = l->ranks->sum(l->ranks->user, l->gradients + l->from[i],
                              l->from[i + 1] - l->from[i], error);
    }
    return r;
}

int learner_update_statistics(struct learner *l, float momentum, struct error *error)
{
    int r = 0;
    for (int i = 0; i < l->backward.n_values && r == 0; i++) {
        const struct graph_node *node = &l->graph.nodes[i];
        if (node->op != GRAPH_BATCH_NORM || !node->train)
            continue;
        const struct tensor_shape s = l->graph.nodes[node->in[0]].shape;
        const double count = (double)s.n * s.h * s.w * (node->ranks > 0 ? node->ranks : 1);
        for (int k = 0; k < 2 && r == 0; k++) { /* mean, variance */
            int w = node->weights[2 + k];
            double unbiased = k == 1 && count > 1 ? count / (count - 1) : 1;
            r = store_mix(&l->store, l->parameters + l->from[w],
                          gradient_value(l, l->backward.weights[w]), (size_t)s.c, 1 - momentum,
                          (float)((double)momentum * unbiased), error);
        }
    }
    return r;
}

int learner_repack(struct learner *l, struct error *error)
{
    enter(l);
    return plan_repack(l->plan, error);
}

const struct store *learner_store(const struct learner *l)
{
    return &l->store;
}

float *learner_parameters(const struct learner *l, size_t *ret_n)
{
    if (ret_n != NULL)
        *ret_n = l->from[l->graph.n_weights];
    return l->parameters;
}

float *learner_gradients(const struct learner *l)
{
    return l->gradients;
}

struct learner_memory learner_memory(const struct learner *l)
{
    return (struct learner_memory){.parameters = l->from[l->graph.n_weights] * sizeof(float),
                                   .stored = plan_kept_bytes(l->plan, l->backward.first),
                                   .arena = plan_arena_bytes(l->plan),
                                   .packed = plan_packed_bytes(l->plan)};
}

int learner_ranges(const struct learner *l)
{
    return l->graph.n_weights;
}

/* Running statistics have a place for the batch's among the values, and are not trained. */
struct learner_range learner_range(const struct learner *l, int i)
{
    const struct graph_weight *w = &l->graph.weights[i];
    return (struct learner_range){w, l->from[i], l->from[i + 1] - l->from[i],
                                  l->backward.weights[i].value >= 0 &&
                                      strstr(w->name, ".running_") == NULL};
}
