/* SPDX-License-Identifier: Apache-2.0
 * Operators that become one step. */
#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"
#include "model/plan_internal.h"

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
    if (add < 0 || p->values[p->graph.nodes[add].in[0]].type != p->values[add].type ||
        p->graph.nodes[add].in[1] != last || p->graph.nodes[add].in[0] > s->node ||
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

/* The first node after the step's of that kind, for the same weights and of the same inputs,
 * becomes a part of the step. */
static void fuse_weights(struct plan *p, struct plan_step *s, enum graph_op op, bool *done)
{
    const struct graph_node *node = &p->graph.nodes[s->node];
    for (int i = s->node + 1; i < p->graph.n_nodes && s->weights < 0; i++) {
        const struct graph_node *other = &p->graph.nodes[i];
        bool same = other->op == op && other->weights[0] == node->weights[0];
        for (int k = 0; k < node->n_in; k++)
            same = same && other->in[k] == node->in[k];
        if (same)
            s->weights = i;
    }
    if (s->weights >= 0)
        done[s->weights] = true;
}

/* The gradients of an operator's input and of its weights become one step, and the sum with what
 * the input's gradient was before. */
static void fuse_grad(struct plan *p, struct plan_step *s, bool *done)
{
    const enum graph_op op = p->graph.nodes[s->node].op;
    fuse_weights(p, s,
                 op == GRAPH_FOCAL_GRAD ? GRAPH_FOCAL_GRAD_WEIGHTS : GRAPH_LAYER_NORM_GRAD_WEIGHTS,
                 done);
    if (op == GRAPH_LAYER_NORM_GRAD)
        fuse_add(p, s, s->node, done);
}

/* By the batch's own statistics, which are shared with nobody: with them, or with the gradients of
 * its weights. */
static void fuse_batch_norm(struct plan *p, struct plan_step *s, bool *done)
{
    const struct graph_node *node = &p->graph.nodes[s->node];
    if (node->train && node->ranks == 0)
        fuse_weights(p, s,
                     node->op == GRAPH_BATCH_NORM ? GRAPH_BATCH_STATISTICS
                                                  : GRAPH_BATCH_NORM_GRAD_WEIGHTS,
                     done);
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

int plan_make_steps(struct plan *p, struct error *error)
{
    bool *done = memory_zeroed((size_t)p->graph.n_nodes, sizeof *done);
    if (done == NULL)
        return error_set(error, ENOMEM, "plan: out of memory");
    count_consumers(p);
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
        if (p->config.ops->joins_batch_norm &&
            (op == GRAPH_BATCH_NORM || op == GRAPH_BATCH_NORM_GRAD))
            fuse_batch_norm(p, s, done);
    }
    free(done);
    return 0;
}
