/* SPDX-License-Identifier: Apache-2.0
 * Threads that make an evaluation's windows beside the network, each with a maker of its own. Work
 * comes as a range of indices; what is urgent goes first. */
#ifndef FOCALD_DAEMON_EVAL_POOL_H
#define FOCALD_DAEMON_EVAL_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "daemon/eval_window.h"

struct eval_pool;

/* Called by a thread of the pool, once for each index, in no order that may be relied on. */
typedef void (*eval_task)(struct eval_maker *maker, void *user, size_t index);

struct eval_range { /* the caller's; it must live until it was waited for, or the pool destroyed */
    eval_task run;
    void *user;
    size_t next, end; /* not begun */
    size_t running;
    struct eval_range *later;
};

int eval_pool_create(struct eval_pool **ret, const struct model_info *info,
                     enum eval_resampler resampler, int threads, struct error *error);
/* Takes NULL. What has not begun never runs. */
void eval_pool_destroy(struct eval_pool *pool);

void eval_pool_begin(struct eval_pool *pool, struct eval_range *range, bool urgent, eval_task run,
                     void *user, size_t n);
/* Until every index is done. */
void eval_pool_wait(struct eval_pool *pool, struct eval_range *range);

/* Cores that this process may use. */
int eval_pool_cores(void);

#endif
