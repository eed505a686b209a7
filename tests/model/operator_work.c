/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/model/operator_work.h"

#include <errno.h>
#include <math.h>
#include <string.h>

int operator_work_open(struct operator_work *w, const struct backend_ops *ops,
                       const struct backend_config *config, struct error *error)
{
    *w = (struct operator_work){.ops = ops};
    int r = weights_hashed(&w->weights, error);
    if (r == 0 && (r = ops->open(&w->backend, config, error)) < 0)
        w->backend = NULL;
    return r;
}

int operator_work_plan(struct operator_work *w, const struct operator_case *c, bool backward,
                       struct error *error)
{
    const struct graph_wanted wanted = {.inputs = true};
    struct graph graph;
    int r = 0;
    graph_init(&graph);
    w->output = graph_output(&graph, operator_build(&graph, c, w->inputs));
    w->backward = (struct graph_backward){0};
    if (backward)
        r = graph_grad(&graph, &w->output, 1, &wanted, &w->seed, &w->backward, error);
    if (r < 0) {
        graph_finish(&graph);
        return r;
    }
    const struct plan_config config = {.ops = w->ops, .backend = w->backend, .weights = w->weights};
    r = plan_create(&w->plan, &graph, &config, error);
    if (r < 0) {
        w->plan = NULL;
        return r;
    }
    w->arena = backend_memory(w->ops, w->backend, plan_arena_bytes(w->plan), error);
    return w->arena == NULL ? -ENOMEM : plan_bind(w->plan, w->arena, error);
}

static void fill(struct plan *plan, int value)
{
    struct tensor_shape shape;
    float *x = plan_value(plan, value, &shape);
    for (size_t i = 0; i < tensor_cells(shape); i++)
        x[i] = sinf((float)(i + 1));
}

struct kept {
    float *cells;
    size_t n, most;
};

/* Appends the value's cells. */
static int keep(struct kept *to, struct plan *plan, int value, struct error *error)
{
    struct tensor_shape shape;
    const float *x = plan_value(plan, value, &shape);
    const size_t cells = tensor_cells(shape);
    if (to->n + cells > to->most)
        return error_set(error, E2BIG, "more than the %zu cells that a test keeps", to->most);
    memcpy(to->cells + to->n, x, cells * sizeof *x);
    to->n += cells;
    return 0;
}

int operator_work_run(struct operator_work *w, float *ret, size_t most, struct error *error)
{
    struct kept to = {ret, 0, most};
    const struct graph_backward *back = &w->backward;
    int r = 0;
    for (int i = 0; i < 2 && w->inputs[i] >= 0; i++)
        fill(w->plan, w->inputs[i]);
    if (back->n_values > 0)
        fill(w->plan, w->seed);
    for (int i = 0; i < 3 && r == 0; i++)
        r = plan_run(w->plan, error);
    if (r == 0)
        r = keep(&to, w->plan, w->output, error);
    if (r == 0 && back->n_values > 0)
        r = keep(&to, w->plan, back->values[w->inputs[0]], error);
    for (int i = 0; i < back->n_weights && r == 0; i++)
        if (back->weights[i].value >= 0 && back->weights[i].from == 0)
            r = keep(&to, w->plan, back->weights[i].value, error);
    return r < 0 ? r : (int)to.n;
}

void operator_work_unplan(struct operator_work *w)
{
    graph_backward_finish(&w->backward);
    plan_destroy(w->plan);
    if (w->backend != NULL)
        backend_memory_free(w->ops, w->backend, w->arena);
    w->backward = (struct graph_backward){0};
    w->plan = NULL;
    w->arena = NULL;
}

void operator_work_close(struct operator_work *w)
{
    operator_work_unplan(w);
    if (w->backend != NULL)
        w->ops->close(w->backend);
    weights_destroy(w->weights);
    *w = (struct operator_work){0};
}
