/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

struct worker {
    pthread_t thread;
    struct eval_pool *pool;
    struct eval_maker *maker;
    bool started;
};

struct eval_pool {
    struct worker *workers; /* [n] */
    int n;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    /* under the lock */
    struct eval_range *urgent, *ahead; /* with indices that have not begun */
    bool end;
};

int eval_pool_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

/* Under the lock: the range whose next index is to run, or NULL. A range leaves its list with its
 * last index. */
static struct eval_range *take(struct eval_pool *pool, size_t *ret_index)
{
    struct eval_range **list = pool->urgent != NULL ? &pool->urgent : &pool->ahead;
    struct eval_range *range = *list;
    if (range == NULL)
        return NULL;
    *ret_index = range->next++;
    range->running++;
    if (range->next == range->end)
        *list = range->later;
    return range;
}

static void *work(void *user)
{
    struct worker *w = user;
    struct eval_pool *pool = w->pool;
    pthread_mutex_lock(&pool->lock);
    while (!pool->end) {
        size_t index;
        struct eval_range *range = take(pool, &index);
        if (range == NULL) {
            pthread_cond_wait(&pool->work, &pool->lock);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        range->run(w->maker, range->user, index);
        pthread_mutex_lock(&pool->lock);
        range->running--;
        if (range->next == range->end && range->running == 0)
            pthread_cond_broadcast(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are for the thread that began the evaluation. */
static int start(struct worker *w, struct error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        return error_set(error, code, "eval: cannot start a thread");
    w->started = true;
    return 0;
}

int eval_pool_create(struct eval_pool **ret, const struct model_info *info,
                     enum eval_resampler resampler, int threads, struct error *error)
{
    struct eval_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return error_set(error, ENOMEM, "eval: out of memory");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    int r = pool->workers == NULL ? error_set(error, ENOMEM, "eval: out of memory") : 0;
    for (int i = 0; i < threads && r == 0; i++) {
        pool->workers[i].pool = pool;
        pool->n++;
        r = eval_maker_create(&pool->workers[i].maker, info, resampler, error);
        if (r == 0)
            r = start(&pool->workers[i], error);
    }
    if (r < 0) {
        eval_pool_destroy(pool);
        return r;
    }
    *ret = pool;
    return 0;
}

void eval_pool_destroy(struct eval_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->end = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->n; i++) {
        if (pool->workers[i].started)
            pthread_join(pool->workers[i].thread, NULL);
        eval_maker_destroy(pool->workers[i].maker);
    }
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

void eval_pool_begin(struct eval_pool *pool, struct eval_range *range, bool urgent, eval_task run,
                     void *user, size_t n)
{
    *range = (struct eval_range){.run = run, .user = user, .end = n};
    if (n == 0)
        return;
    pthread_mutex_lock(&pool->lock);
    struct eval_range **last = urgent ? &pool->urgent : &pool->ahead;
    while (*last != NULL)
        last = &(*last)->later;
    *last = range;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

void eval_pool_wait(struct eval_pool *pool, struct eval_range *range)
{
    pthread_mutex_lock(&pool->lock);
    while (range->next < range->end || range->running > 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}
