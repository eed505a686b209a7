/* SPDX-License-Identifier: Apache-2.0
 * Every value's place in one arena, by its lifetime. */
#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"
#include "model/plan_internal.h"

static int add_storage(struct plan *p, size_t bytes, int first, int last)
{
    bytes = (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    p->storages[p->n_storages] = (struct storage){bytes, 0, first, last};
    return p->n_storages++;
}

/* A value that lies where it was asked for has no storage of ours. */
static void use(struct plan *p, int value, int step)
{
    const int storage = p->values[value].storage;
    if (storage >= 0 && step > p->storages[storage].last)
        p->storages[storage].last = step;
}

bool plan_is_view(const struct plan *p, int value)
{
    return p->graph.nodes[value].op == GRAPH_SLICE;
}

/* The value whose memory this one is. */
int plan_whole_of(const struct plan *p, int value)
{
    return plan_is_view(p, value) ? p->graph.nodes[value].in[0] : value;
}

/* A residual that nobody needs from this step on, the step's own operator included, is added to in
 * place. */
static bool add_in_place(const struct plan *p, const struct plan_step *s)
{
    int residual = s->residual;
    if (p->config.isolate || p->graph.nodes[residual].output ||
        p->values[residual].type != p->values[s->value].type)
        return false;
    for (int i = s->node; i < p->graph.n_nodes; i++)
        for (int k = 0; k < p->graph.nodes[i].n_in && i != s->value; k++)
            if (plan_whole_of(p, p->graph.nodes[i].in[k]) == residual)
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
    return cell_by_cell && !s->step->apart && !p->config.isolate && !plan_is_view(p, in) &&
           p->consumers[in] == 1 && !p->graph.nodes[in].output &&
           p->values[in].type == p->values[s->value].type;
}

void plan_assign_types(struct plan *p)
{
    const struct backend_device *device = p->config.ops->device;
    for (int i = 0; i < p->graph.n_nodes && device != NULL; i++)
        p->values[i].type = plan_is_view(p, i)
                                ? p->values[plan_whole_of(p, i)].type
                                : device->cell_type(p->config.backend, &p->graph.nodes[i]);
}

static size_t value_bytes(const struct plan *p, int value)
{
    return tensor_cells(p->graph.nodes[value].shape) * cell_bytes(p->values[value].type);
}

static void place_value(struct plan *p, int value, int storage)
{
    struct value *v = &p->values[value];
    v->storage = storage;
    v->from = 0;
    v->stride = (size_t)p->graph.nodes[value].shape.c;
}

/* In a storage of its own, or where it was asked for. */
static void place_new(struct plan *p, int value, int first, int last)
{
    float *place = p->config.places != NULL ? p->config.places[value] : NULL;
    place_value(p, value, place != NULL ? -1 : add_storage(p, value_bytes(p, value), first, last));
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
            place_value(p, i, add_storage(p, value_bytes(p, i), 0, end));
    for (int k = 0; k < p->n_steps; k++) {
        struct plan_step *s = &p->steps[k];
        const struct graph_node *node = &p->graph.nodes[s->node];
        for (int i = 0; i < node->n_in; i++) {
            int in = node->in[i];
            if (plan_is_view(p, in)) {
                int whole = p->graph.nodes[in].in[0];
                p->values[in].storage = p->values[whole].storage;
                p->values[in].from = (size_t)p->graph.nodes[in].from;
                p->values[in].stride = (size_t)p->graph.nodes[whole].shape.c;
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
    size_t guard = p->config.isolate ? PLAN_GUARD_BYTES : 0;
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

int plan_assign_places(struct plan *p, struct error *error)
{
    assign_storages(p);
    return lay_out(p, error);
}

void *plan_data(const struct plan *p, int value)
{
    const struct value *v = &p->values[value];
    if (v->place != NULL)
        return v->place;
    return p->arena + p->storages[v->storage].offset + v->from * cell_bytes(v->type);
}
