/* SPDX-License-Identifier: Apache-2.0
 * A graph made ready for a backend: operators fused (bias, GELU, layer scale, residual), every
 * value given a place in one arena by its lifetime, weights packed once. */
#ifndef FOCALD_MODEL_PLAN_H
#define FOCALD_MODEL_PLAN_H

#include "base/error.h"
#include "model/backend.h"
#include "model/graph.h"
#include "model/weights/provider.h"

struct plan;

struct plan_config {
    const struct backend_ops *ops;
    struct backend *backend; /* outlives the plan */
    struct weights *weights; /* read in create and repack only; not asked with `like` */
    const struct plan *like; /* the same network for another batch: its packed weights are shared;
                                outlives this one. NULL: packs its own */
    bool isolate;         /* tests: no two values share memory, all begins as NaN, guards between */
    float *const *places; /* [n_nodes] where values lie that have no place in the arena, or NULL: in
                             the backend's memory; read in create only. NULL: all lie there */
    /* Of a backend with a memory of its own: */
    bool weights_there;  /* `weights` gives pointers into that memory */
    bool gradients_stay; /* what gradients of weights and statistics of batches are is read by
                            plan_memory alone */
};

/* Takes the graph over: it is empty afterwards, also on failure. */
int plan_create(struct plan **ret, struct graph *graph, const struct plan_config *config,
                struct error *error);
void plan_destroy(struct plan *plan); /* takes NULL */

/* Bytes of the arena that plan_bind wants, 64-byte aligned. */
size_t plan_arena_bytes(const struct plan *plan);
/* Of them, bytes of what nodes before `node` leave for those from it on: with the first node of the
 * backward pass, the stored activations. */
size_t plan_kept_bytes(const struct plan *plan, int node);
/* Gives it the memory, of backend_memory. Plans that do not run at the same time may share it. */
int plan_bind(struct plan *plan, void *arena, struct error *error);

/* Bytes of packed weights (0 with `like`). */
size_t plan_packed_bytes(const struct plan *plan);

/* Where a value lies in the backend's memory: the input's and outputs' are float32. */
void *plan_memory(const struct plan *plan, int value);
/* The input or an output value in the host's memory, dense [n][h][w][c]. Of a device it is a copy:
 * an input's is taken by the run whose steps are the first to read it, an output is there when the
 * run that made it is over. */
float *plan_value(const struct plan *plan, int value, struct tensor_shape *ret_shape);

int plan_run(struct plan *plan, struct error *error);
/* Only the steps of nodes [from, to) of the graph: the forward or the backward pass of one that
 * graph_grad made longer. */
int plan_run_nodes(struct plan *plan, int from, int to, struct error *error);

/* Packs the weights anew: in training they change. `weights` must still be there. */
int plan_repack(struct plan *plan, struct error *error);

/* With isolate: true while no step wrote outside its values. */
bool plan_guards_intact(const struct plan *plan);
/* Sum of graph_node_flops. */
double plan_flops(const struct plan *plan);

#endif
