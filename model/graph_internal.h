/* SPDX-License-Identifier: Apache-2.0
 * What graph.c and the operators' builders share. */
#ifndef FOCALD_MODEL_GRAPH_INTERNAL_H
#define FOCALD_MODEL_GRAPH_INTERNAL_H

#include "model/graph.h"

/* Keeps the first mistake. Returns -1, the value that is none. */
int graph_mistake(struct graph *graph, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Returns the node's number, or -1 after a mistake. */
int graph_add_node(struct graph *graph, const struct graph_node *node);

/* The shape of value x, or zeros after a mistake. */
struct tensor_shape graph_shape_of(struct graph *graph, int x);

#endif
