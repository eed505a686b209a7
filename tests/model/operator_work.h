/* SPDX-License-Identifier: Apache-2.0
 * An operator, or it and its gradient, planned and run on a backend step by step, each of which may
 * fail: 0 or more, or a negative errno with one line. Close takes what any of them left. */
#ifndef FOCALD_TESTS_MODEL_OPERATOR_WORK_H
#define FOCALD_TESTS_MODEL_OPERATOR_WORK_H

#include <stddef.h>

#include "model/graph_grad.h"
#include "model/plan.h"
#include "tests/model/operator_cases.h"

struct operator_work {
    const struct backend_ops *ops;
    struct backend *backend;
    struct weights *weights;
    struct graph_backward backward; /* empty without a gradient */
    struct plan *plan;
    void *arena;
    int inputs[2], output, seed;
};

/* The backend, and weights that names decide. */
int operator_work_open(struct operator_work *w, const struct backend_ops *ops,
                       const struct backend_config *config, struct error *error);
int operator_work_plan(struct operator_work *w, const struct operator_case *c, bool backward,
                       struct error *error);
/* Three times: the first one, recorded, replayed. Writes the result, the first input's gradient and
 * those of weights into ret and gives how many cells that is, at most `most`. */
int operator_work_run(struct operator_work *w, float *ret, size_t most, struct error *error);
void operator_work_unplan(struct operator_work *w);
void operator_work_close(struct operator_work *w);

#endif
