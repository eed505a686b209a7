/* SPDX-License-Identifier: Apache-2.0 */
#include "model/plan.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { GUARD_BYTES = 64 };
static const unsigned char guard_byte = 0xa5;

struct storage { /* a stretch of the arena; several values may be views of it */
    size_t bytes, offset;
    int first, last; /* steps between which it is in use */
};

struct value {
    int storage;
    size_t from, stride; /* floats */
    float *place;        /* instead of a storage, or NULL */
};

struct plan_step {
    int node;     /* the operator */
    int value;    /* it produces this one: its own, or the last of those fused into it */
    int scale;    /* CHANNEL_SCALE node folded into the weights, or -1 */
    int residual; /* value it is added to, or -1 */
    int weights;  /* …_GRAD: the …_GRAD_WEIGHTS node whose value it produces too, or -1 */
    bool gelu, relu;
    struct step *step;
    size_t packed_offset;
    int scratch; /* storage, or -1 */
};

struct plan {
    struct graph graph;
    struct plan_config config;
    struct value *values;    /* [n_nodes] */
    int *consumers;          /* [n_nodes] how many nodes read the value */
    int *reader;             /* [n_nodes] one of them */
    struct plan_step *steps; /* [n_steps] */
    int n_steps;
    struct storage *storages; /* [n_storages] */
    int n_storages;
    size_t arena_bytes, packed_bytes;
    void *packed; /* owned unless like */
    char *arena;  /* bound */
};

/* Fusing */

static void count_consumers(struct plan *p)
{
    for (int i = 0; i < p->graph.n_nodes; i++)
        for (int k = 0; k < p->graph.nodes[i].n_in; k++) {
            p->consumers[p->graph.nodes[i].in[k]]++;
            p->reader[p->graph.nodes[i].in[k]] = i;
        }
}

/* The one node that reads value i and nobody else does, if it is of this kind; else -1. */
static int only_reader(const struct plan *p, int i, enum graph_op op)
{
    const struct graph_node *node = &p->graph.nodes[i];
    if (node->output || p->consumers[i] != 1 || p->graph.nodes[p->reader[i]].op != op)
        return -1;
    return p->reader[i];
}

/* The sum of an earlier value and of `last`, which only it reads, becomes part of the step. */
static bool fuse_add(struct plan *p, struct plan_step *s, int last, bool *done)
{
    int add = only_reader(p, last, GRAPH_ADD);
    if (add < 0 || p->graph.nodes[add].in[1] != last || p->graph.nodes[add].in[0] > s->node ||
        p->graph.nodes[p->graph.nodes[add].in[0]].op == GRAPH_SLICE) /* its rows are not dense */
        return false;
    s->residual = p->graph.nodes[add].in[0];
    s->value = add;
    done[add] = true;
    return true;
}

/* linear → gelu, linear → [channel scale →] add become one step. done marks what is taken. */
static void fuse_linear(struct plan *p, struct plan_step *s, bool *done)
{
    int gelu = only_reader(p, s->node, GRAPH_GELU);
    const bool twice = p->graph.nodes[s->node].again || p->graph.nodes[s->node].again_of > 0;
    if (gelu >= 0 && !twice) { /* the other's readers are not these: both must give the same bits */
        s->gelu = true;
        s->value = gelu;
        done[gelu] = true;
        return;
    }
    int scale = twice ? -1 : only_reader(p, s->node, GRAPH_CHANNEL_SCALE);
    if (fuse_add(p, s, scale >= 0 ? scale : s->node, done) && scale >= 0) {
        s->scale = scale;
        done[scale] = true;
    }
}

/* The gradients of an operator's input and of its weights become one step, and the sum with what
 * the input's gradient was before. */
static void fuse_grad(struct plan *p, struct plan_step *s, bool *done)
{
    const struct graph_node *node = &p->graph.nodes[s->node];
    const enum graph_op weights =
        node->op == GRAPH_FOCAL_GRAD ? GRAPH_FOCAL_GRAD_WEIGHTS : GRAPH_LAYER_NORM_GRAD_WEIGHTS;
    for (int i = s->node + 1; i < p->graph.n_nodes && s->weights < 0; i++) {
        const struct graph_node *other = &p->graph.nodes[i];
        if (other->op == weights && other->in[0] == node->in[0] && other->in[1] == node->in[1] &&
            other->weights[0] == node->weights[0])
            s->weights = i;
    }
    if (s->weights >= 0)
        done[s->weights] = true;
    if (node->op == GRAPH_LAYER_NORM_GRAD)
        fuse_add(p, s, s->node, done);
}

static void fuse_relu(struct plan *p, struct plan_step *s, bool *done)
{
    int relu = only_reader(p, s->node, GRAPH_RELU);
    if (relu < 0)
        return;
    s->relu = true;
    s->value = relu;
    done[relu] = true;
}

static int make_steps(struct plan *p, struct error *error)
{
    bool *done = memory_zeroed((size_t)p->graph.n_nodes, sizeof *done);
    if (done == NULL)
        return error_set(error, ENOMEM, "plan: out of memory");
    for (int i = 0; i < p->graph.n_nodes; i++) {
        enum graph_op op = p->graph.nodes[i].op;
        if (done[i] || op == GRAPH_INPUT || op == GRAPH_SLICE)
            continue;
        struct plan_step *s = &p->steps[p->n_steps++];
        *s = (struct plan_step){
            .node = i, .value = i, .scale = -1, .residual = -1, .weights = -1, .scratch = -1};
        if (op == GRAPH_LINEAR)
            fuse_linear(p, s, done);
        if (op == GRAPH_CONV_TRANSPOSED)
            fuse_relu(p, s, done);
        if (p->config.ops->joins_backward &&
            (op == GRAPH_LAYER_NORM_GRAD || op == GRAPH_FOCAL_GRAD))
            fuse_grad(p, s, done);
    }
    free(done);
    return 0;
}

/* Places */

static int add_storage(struct plan *p, size_t bytes, int first, int last)
{
    bytes = (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    p->storages[p->n_storages] = (struct storage){bytes, 0, first, last};
    return p->n_storages++;
}

static void use(struct plan *p, int value, int step)
{
    struct storage *s = &p->storages[p->values[value].storage];
    if (step > s->last)
        s->last = step;
}

static bool is_view(const struct plan *p, int value)
{
    return p->graph.nodes[value].op == GRAPH_SLICE;
}

/* The value whose memory this one is. */
static int whole_of(const struct plan *p, int value)
{
    return is_view(p, value) ? p->graph.nodes[value].in[0] : value;
}

/* A residual that nobody needs from this step on, the step's own operator included, is added to in
 * place. */
static bool add_in_place(const struct plan *p, const struct plan_step *s)
{
    int residual = s->residual;
    if (p->config.isolate || p->graph.nodes[residual].output)
        return false;
    for (int i = s->node; i < p->graph.n_nodes; i++)
        for (int k = 0; k < p->graph.nodes[i].n_in && i != s->value; k++)
            if (whole_of(p, p->graph.nodes[i].in[k]) == residual)
                return false;
    return true;
}

/* An operator that goes cell by cell takes the place of what only it reads. */
static bool works_in_place(const struct plan *p, const struct plan_step *s)
{
    const struct graph_node *node = &p->graph.nodes[s->node];
    const int in = node->in[0];
    bool cell_by_cell = node->op == GRAPH_BATCH_NORM || node->op == GRAPH_RELU ||
                        node->op == GRAPH_SIGMOID || node->op == GRAPH_GELU ||
                        node->op == GRAPH_SAMPLE_SCALE;
    return cell_by_cell && !p->config.isolate && !is_view(p, in) && p->consumers[in] == 1 &&
           !p->graph.nodes[in].output;
}

static void place_value(struct plan *p, int value, int storage)
{
    p->values[value] = (struct value){storage, 0, (size_t)p->graph.nodes[value].shape.c, NULL};
}

/* In a storage of its own, or where it was asked for. */
static void place_new(struct plan *p, int value, int first, int last)
{
    float *place = p->config.places != NULL ? p->config.places[value] : NULL;
    size_t bytes = tensor_cells(p->graph.nodes[value].shape) * sizeof(float);
    place_value(p, value, place != NULL ? -1 : add_storage(p, bytes, first, last));
    p->values[value].place = place;
}

/* Gives every value a storage and every storage its lifetime, in steps. */
static void assign_storages(struct plan *p)
{
    int end = p->n_steps;
    for (int i = 0; i < p->graph.n_nodes; i++)
        p->values[i].storage = -1;
    for (int i = 0; i < p->graph.n_nodes; i++)
        if (p->graph.nodes[i].op == GRAPH_INPUT)
            place_value(p, i, add_storage(p, tensor_cells(p->graph.nodes[i].shape) * 4, 0, end));
    for (int k = 0; k < p->n_steps; k++) {
        struct plan_step *s = &p->steps[k];
        const struct graph_node *node = &p->graph.nodes[s->node];
        for (int i = 0; i < node->n_in; i++) {
            int in = node->in[i];
            if (is_view(p, in)) {
                int whole = p->graph.nodes[in].in[0];
                p->values[in] =
                    (struct value){p->values[whole].storage, (size_t)p->graph.nodes[in].from,
                                   (size_t)p->graph.nodes[whole].shape.c, NULL};
            }
            use(p, in, k);
        }
        if (s->residual >= 0)
            use(p, s->residual, k);
        bool output = p->graph.nodes[s->value].output;
        int replaced = s->residual >= 0 && add_in_place(p, s) ? s->residual
                       : works_in_place(p, s)                 ? node->in[0]
                                                              : -1;
        if (replaced >= 0) {
            place_value(p, s->value, p->values[replaced].storage);
            use(p, s->value, output ? end : k);
        } else {
            place_new(p, s->value, k, output ? end : k);
        }
        if (s->weights >= 0)
            place_new(p, s->weights, k, end);
        if (s->step->scratch_bytes > 0)
            s->scratch = add_storage(p, s->step->scratch_bytes, k, k);
    }
}

static bool conflict(const struct plan *p, const struct storage *a, const struct storage *b)
{
    return p->config.isolate || (a->first <= b->last && b->first <= a->last);
}

/* The lowest offset where `s` meets no placed storage that lives at the same time. */
static size_t lowest_offset(const struct plan *p, struct storage *const *placed, int n,
                            const struct storage *s, size_t guard)
{
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < n; i++) {
            const struct storage *o = placed[i];
            if (conflict(p, s, o) && offset < o->offset + o->bytes + guard &&
                o->offset < offset + s->bytes + guard) {
                offset = o->offset + o->bytes + guard;
                moved = true;
            }
        }
    }
    return offset;
}

static int larger_first(const void *a, const void *b)
{
    size_t x = (*(struct storage *const *)a)->bytes, y = (*(struct storage *const *)b)->bytes;
    return (x < y) - (x > y);
}

/* Greedy by size: what is large finds its place first. */
static int lay_out(struct plan *p, struct error *error)
{
    struct storage **order = calloc((size_t)p->n_storages, sizeof(*order));
    if (order == NULL)
        return error_set(error, ENOMEM, "plan: out of memory");
    size_t guard = p->config.isolate ? GUARD_BYTES : 0;
    for (int i = 0; i < p->n_storages; i++)
        order[i] = &p->storages[i];
    qsort(order, (size_t)p->n_storages, sizeof(*order), larger_first);
    for (int i = 0; i < p->n_storages; i++) {
        order[i]->offset = lowest_offset(p, order, i, order[i], guard);
        size_t end = order[i]->offset + order[i]->bytes + guard;
        p->arena_bytes = end > p->arena_bytes ? end : p->arena_bytes;
    }
    free(order);
    return 0;
}

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
                                 .gelu = s->gelu,
                                 .relu = s->relu,
                                 .residual = s->residual >= 0,
                                 .weights_too = s->weights >= 0};
        for (int i = 0; i < node->n_in; i++) {
            const struct graph_node *in = &p->graph.nodes[node->in[i]];
            spec.in[i] = in->shape;
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

static const float *get_weight(struct plan *p, int index, struct error *error)
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
    const float *gamma = get_weight(p, p->graph.nodes[s->scale].weights[0], error);
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

int plan_repack(struct plan *p, struct error *error)
{
    for (int k = 0; k < p->n_steps; k++) {
        struct plan_step *s = &p->steps[k];
        const struct graph_node *node = &p->graph.nodes[s->node];
        const float *weights[GRAPH_MAX_NODE_WEIGHTS];
        float *copy = NULL;
        int r = 0;
        if (step_before(p, s) != NULL)
            continue;
        for (int i = 0; i < node->n_weights && r == 0; i++) {
            weights[i] = get_weight(p, node->weights[i], error);
            r = weights[i] == NULL ? -EINVAL : 0;
        }
        if (r == 0 && s->scale >= 0)
            r = scaled_weights(p, s, weights, &copy, error);
        if (r == 0 && node->n_weights > 0)
            r = p->config.ops->step_pack(s->step, weights, (char *)p->packed + s->packed_offset,
                                         error);
        free(copy);
        if (r < 0)
            return r;
        weights_done(p->config.weights);
    }
    return 0;
}

static int pack_weights(struct plan *p, struct error *error)
{
    p->packed = memory_large(p->packed_bytes);
    if (p->packed == NULL)
        return error_set(error, ENOMEM, "plan: out of memory for %zu MB of weights",
                         p->packed_bytes >> 20);
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
        count_consumers(p);
        r = make_steps(p, error);
    }
    if (r == 0)
        r = create_steps(p, error);
    if (r == 0) {
        assign_storages(p);
        r = lay_out(p, error);
    }
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
    graph_finish(&p->graph);
    free(p->values);
    free(p->consumers);
    free(p->reader);
    free(p->steps);
    free(p->storages);
    free(p->packed);
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

static float *value_data(const struct plan *p, int value)
{
    const struct value *v = &p->values[value];
    if (v->place != NULL)
        return v->place;
    return (float *)(void *)(p->arena + p->storages[v->storage].offset) + v->from;
}

/* NaN is what nobody has written; the guards behind each storage tell who wrote too much. */
static void poison(struct plan *p)
{
    float *arena = (float *)(void *)p->arena;
    for (size_t i = 0; i < p->arena_bytes / sizeof(float); i++)
        arena[i] = NAN;
    for (int i = 0; i < p->n_storages; i++)
        memset(p->arena + p->storages[i].offset + p->storages[i].bytes, guard_byte, GUARD_BYTES);
}

int plan_bind(struct plan *p, void *arena, struct error *error)
{
    p->arena = arena;
    if (p->config.isolate)
        poison(p);
    const struct plan *owner = p->config.like != NULL ? p->config.like : p;
    for (int k = 0; k < p->n_steps; k++) {
        struct plan_step *s = &p->steps[k];
        const struct graph_node *node = &p->graph.nodes[s->node];
        struct step_memory m = {
            .out = value_data(p, s->value),
            .packed = (char *)owner->packed + owner->steps[k].packed_offset,
        };
        for (int i = 0; i < node->n_in; i++)
            m.in[i] = value_data(p, node->in[i]);
        if (s->residual >= 0)
            m.residual = value_data(p, s->residual);
        if (s->weights >= 0)
            m.weights_out = value_data(p, s->weights);
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
    return value_data(p, value);
}

int plan_run_nodes(struct plan *p, int from, int to, struct error *error)
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

int plan_run(struct plan *p, struct error *error)
{
    return plan_run_nodes(p, 0, p->graph.n_nodes, error);
}

bool plan_guards_intact(const struct plan *p)
{
    for (int i = 0; i < p->n_storages; i++) {
        const char *guard = p->arena + p->storages[i].offset + p->storages[i].bytes;
        for (int k = 0; k < GUARD_BYTES; k++)
            if ((unsigned char)guard[k] != guard_byte)
                return false;
    }
    return true;
}

double plan_flops(const struct plan *p)
{
    return graph_flops(&p->graph);
}
