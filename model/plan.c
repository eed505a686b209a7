/* SPDX-License-Identifier: Apache-2.0 */
#include "model/plan.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/plan_internal.h"

static const unsigned char guard_byte = 0xa5;

/* Steps and weights */

/* The step that computes the value of s the first time and has its weights packed, or NULL. */
static const struct plan_step *step_before(const struct plan *p, const struct plan_step *s)
{
    const int first = p->graph.nodes[s->node].again_of - 1;
    for (const struct plan_step *t = p->steps; first >= 0 && t < s; t++)
        if (t->node == first)
            return t;
    return NULL;
}

static int create_steps(struct plan *p, struct error *error)
{
    for (int k = 0; k < p->n_steps; k++) {
        struct plan_step *s = &p->steps[k];
        const struct graph_node *node = &p->graph.nodes[s->node];
        struct step_spec spec = {.node = node,
                                 .weights = p->graph.weights,
                                 .out = p->graph.nodes[s->value].shape,
                                 .out_type = p->values[s->value].type,
                                 .gelu = s->gelu,
                                 .relu = s->relu,
                                 .residual = s->residual >= 0,
                                 .scaled = p->config.ops->device != NULL && s->scale >= 0,
                                 .weights_too = s->weights >= 0};
        for (int i = 0; i < node->n_in; i++) {
            const struct graph_node *in = &p->graph.nodes[node->in[i]];
            spec.in[i] = in->shape;
            spec.in_type[i] = p->values[node->in[i]].type;
            spec.in_stride[i] = (size_t)in->shape.c;
            if (in->op == GRAPH_SLICE)
                spec.in_stride[i] = (size_t)p->graph.nodes[in->in[0]].shape.c;
        }
        const struct plan_step *before = step_before(p, s);
        const struct step *like = p->config.like != NULL ? p->config.like->steps[k].step
                                  : before != NULL       ? before->step
                                                         : NULL;
        int r = p->config.ops->step_create(p->config.backend, &spec, like, &s->step, error);
        if (r < 0)
            return error_prefix(error, r, "%s", graph_op_name(node->op));
        s->packed_offset = before != NULL ? before->packed_offset : p->packed_bytes;
        if (before != NULL)
            continue;
        p->packed_bytes += (s->step->packed_bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    }
    return 0;
}

const float *plan_weight(struct plan *p, int index, struct error *error)
{
    const struct graph_weight *w = &p->graph.weights[index];
    return weights_get(p->config.weights, w->name, w->rank, w->shape, error);
}

/* Layer scale: gamma * (W x + b) = (gamma W) x + gamma b. Copies into *ret, to be freed. */
static int scaled_weights(struct plan *p, const struct plan_step *s, const float **weights,
                          float **ret, struct error *error)
{
    const struct graph_node *node = &p->graph.nodes[s->node];
    size_t out = (size_t)node->shape.c, in = (size_t)p->graph.nodes[node->in[0]].shape.c;
    const float *gamma = plan_weight(p, p->graph.nodes[s->scale].weights[0], error);
    if (gamma == NULL)
        return -EINVAL;
    float *copy = memory_zeroed(out * (in + 1), sizeof(float));
    if (copy == NULL)
        return error_set(error, ENOMEM, "plan: out of memory");
    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < in; i++)
            copy[o * in + i] = weights[0][o * in + i] * gamma[o];
        copy[out * in + o] = weights[1][o] * gamma[o];
    }
    weights[0] = copy;
    weights[1] = copy + out * in;
    *ret = copy;
    return 0;
}

static int pack_step(struct plan *p, const struct plan_step *s, struct error *error)
{
    const struct graph_node *node = &p->graph.nodes[s->node];
    const float *weights[GRAPH_MAX_NODE_WEIGHTS];
    float *copy = NULL;
    int r = 0;
    for (int i = 0; i < node->n_weights && r == 0; i++) {
        weights[i] = plan_weight(p, node->weights[i], error);
        r = weights[i] == NULL ? -EINVAL : 0;
    }
    if (r == 0 && s->scale >= 0)
        r = scaled_weights(p, s, weights, &copy, error);
    if (r == 0)
        r = p->config.ops->step_pack(s->step, weights, (char *)p->packed + s->packed_offset, error);
    free(copy);
    return r;
}

int plan_repack(struct plan *p, struct error *error)
{
    for (int k = 0; k < p->n_steps; k++) {
        const struct plan_step *s = &p->steps[k];
        if (step_before(p, s) != NULL || p->graph.nodes[s->node].n_weights == 0)
            continue;
        int r = p->device != NULL ? plan_device_pack(p, s, error) : pack_step(p, s, error);
        if (r < 0)
            return r;
        weights_done(p->config.weights);
    }
    return 0;
}

static int pack_weights(struct plan *p, struct error *error)
{
    p->packed = backend_memory(p->config.ops, p->config.backend, p->packed_bytes, error);
    if (p->packed == NULL)
        return error_prefix(error, -ENOMEM, "plan: %zu MB of weights", p->packed_bytes >> 20);
    return plan_repack(p, error);
}

/* Life */

static int allocate(struct plan *p, struct error *error)
{
    size_t n = (size_t)p->graph.n_nodes;
    p->values = calloc(n, sizeof *p->values);
    p->consumers = calloc(n, sizeof *p->consumers);
    p->reader = calloc(n, sizeof *p->reader);
    p->steps = calloc(n, sizeof *p->steps);
    p->storages = calloc(2 * n, sizeof *p->storages);
    if (p->values == NULL || p->consumers == NULL || p->reader == NULL || p->steps == NULL ||
        p->storages == NULL)
        return error_set(error, ENOMEM, "plan: out of memory");
    return 0;
}

int plan_create(struct plan **ret, struct graph *graph, const struct plan_config *config,
                struct error *error)
{
    struct plan *p = calloc(1, sizeof *p);
    if (p == NULL) {
        graph_finish(graph);
        return error_set(error, ENOMEM, "plan: out of memory");
    }
    p->graph = *graph;
    graph_init(graph);
    p->config = *config;
    int r = graph_check(&p->graph, error);
    if (r == 0 && p->graph.n_nodes < 1)
        r = error_set(error, EINVAL, "plan: the graph is empty");
    if (r == 0)
        r = allocate(p, error);
    if (r == 0) {
        plan_assign_types(p);
        r = plan_make_steps(p, error);
    }
    if (r == 0)
        r = create_steps(p, error);
    if (r == 0)
        r = plan_assign_places(p, error);
    if (r == 0 && config->ops->device != NULL)
        r = plan_device_create(p, error);
    if (r == 0 && config->like == NULL)
        r = pack_weights(p, error);
    if (r < 0) {
        plan_destroy(p);
        return r;
    }
    *ret = p;
    return 0;
}

void plan_destroy(struct plan *p)
{
    if (p == NULL)
        return;
    for (int k = 0; k < p->n_steps; k++)
        p->config.ops->step_destroy(p->steps[k].step);
    plan_device_destroy(p);
    graph_finish(&p->graph);
    free(p->values);
    free(p->consumers);
    free(p->reader);
    free(p->steps);
    free(p->storages);
    backend_memory_free(p->config.ops, p->config.backend, p->packed);
    free(p);
}

size_t plan_arena_bytes(const struct plan *p)
{
    return p->arena_bytes;
}

size_t plan_kept_bytes(const struct plan *p, int node)
{
    size_t bytes = 0;
    int first = 0; /* step from the node on */
    while (first < p->n_steps && p->steps[first].node < node)
        first++;
    for (int i = 0; i < p->n_storages; i++)
        if (p->storages[i].first < first && p->storages[i].last >= first)
            bytes += p->storages[i].bytes;
    return bytes;
}

size_t plan_packed_bytes(const struct plan *p)
{
    return p->config.like == NULL ? p->packed_bytes : 0;
}

/* NaN, of any type, is what nobody has written; the guards behind each storage tell who wrote too
 * much. */
static int poison(struct plan *p, struct error *error)
{
    const bool here = p->device == NULL;
    char *image = here ? p->arena : malloc(p->arena_bytes);
    if (image == NULL)
        return error_set(error, ENOMEM, "plan: out of memory");
    memset(image, 0xff, p->arena_bytes);
    for (int i = 0; i < p->n_storages; i++)
        memset(image + p->storages[i].offset + p->storages[i].bytes, guard_byte, PLAN_GUARD_BYTES);
    if (here)
        return 0;
    int r = p->config.ops->device->copy(p->config.backend, p->arena, image, p->arena_bytes, error);
    free(image);
    return r;
}

int plan_bind(struct plan *p, void *arena, struct error *error)
{
    p->arena = arena;
    int code = p->config.isolate ? poison(p, error) : 0;
    if (code < 0)
        return code;
    const struct plan *owner = p->config.like != NULL ? p->config.like : p;
    for (int k = 0; k < p->n_steps; k++) {
        struct plan_step *s = &p->steps[k];
        const struct graph_node *node = &p->graph.nodes[s->node];
        struct step_memory m = {
            .out = plan_data(p, s->value),
            .packed = (char *)owner->packed + owner->steps[k].packed_offset,
        };
        for (int i = 0; i < node->n_in; i++)
            m.in[i] = plan_data(p, node->in[i]);
        if (s->residual >= 0)
            m.residual = plan_data(p, s->residual);
        if (s->weights >= 0)
            m.weights_out = plan_data(p, s->weights);
        if (s->scratch >= 0)
            m.scratch = p->arena + p->storages[s->scratch].offset;
        int r = p->config.ops->step_bind(s->step, &m, error);
        if (r < 0)
            return error_prefix(error, r, "%s", graph_op_name(node->op));
    }
    return 0;
}

float *plan_value(const struct plan *p, int value, struct tensor_shape *ret_shape)
{
    if (ret_shape != NULL)
        *ret_shape = p->graph.nodes[value].shape;
    return p->device != NULL ? p->values[value].host : plan_data(p, value);
}

void *plan_memory(const struct plan *p, int value)
{
    return plan_data(p, value);
}

int plan_run_steps(struct plan *p, int from, int to, struct error *error)
{
    for (int k = 0; k < p->n_steps; k++) {
        const int node = p->steps[k].node;
        if (node < from || node >= to)
            continue;
        int r = p->config.ops->step_run(p->steps[k].step, error);
        if (r < 0)
            return error_prefix(error, r, "%s", graph_op_name(p->graph.nodes[node].op));
    }
    return 0;
}

int plan_run_nodes(struct plan *p, int from, int to, struct error *error)
{
    return p->device != NULL ? plan_device_run(p, from, to, error)
                             : plan_run_steps(p, from, to, error);
}

int plan_run(struct plan *p, struct error *error)
{
    return plan_run_nodes(p, 0, p->graph.n_nodes, error);
}

bool plan_guards_intact(const struct plan *p)
{
    char *image = p->device == NULL ? p->arena : malloc(p->arena_bytes);
    bool intact = image != NULL && (p->device == NULL ||
                                    p->config.ops->device->copy(p->config.backend, image, p->arena,
                                                                p->arena_bytes, NULL) == 0);
    for (int i = 0; i < p->n_storages && intact; i++) {
        const char *guard = image + p->storages[i].offset + p->storages[i].bytes;
        for (int k = 0; k < PLAN_GUARD_BYTES; k++)
            intact = intact && (unsigned char)guard[k] == guard_byte;
    }
    if (p->device != NULL)
        free(image);
    return intact;
}

double plan_flops(const struct plan *p)
{
    return graph_flops(&p->graph);
}
