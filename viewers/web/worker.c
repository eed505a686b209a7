/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/worker.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WAITING = 64 };

struct jobs {
    struct job *first, **end;
    int n;
};

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    /* immutable after start */
    void *tools, *user;
    void (*wake)(void *user);
    /* under lock */
    struct jobs waiting, finished;
    bool ends;
};

static void append(struct jobs *jobs, struct job *job)
{
    job->next = NULL;
    *jobs->end = job;
    jobs->end = &job->next;
    jobs->n++;
}

static struct job *take(struct jobs *jobs)
{
    struct job *job = jobs->first;
    if (job == NULL)
        return NULL;
    jobs->first = job->next;
    if (jobs->first == NULL)
        jobs->end = &jobs->first;
    jobs->n--;
    return job;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->ends) {
        struct job *job = take(&w->waiting);
        if (job == NULL) {
            pthread_cond_wait(&w->more, &w->lock);
            continue;
        }
        pthread_mutex_unlock(&w->lock);
        job->work(job, w->tools);
        pthread_mutex_lock(&w->lock);
        append(&w->finished, job);
        w->wake(w->user);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int worker_create(struct worker **ret, void *tools, void (*wake)(void *user), void *user,
                  struct error *error)
{
    struct worker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return error_set(error, ENOMEM, "out of memory");
    *w = (struct worker){.tools = tools, .wake = wake, .user = user};
    w->waiting.end = &w->waiting.first;
    w->finished.end = &w->finished.first;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    int code = pthread_create(&w->thread, NULL, work, w);
    if (code != 0) {
        pthread_cond_destroy(&w->more);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return error_set(error, code, "no thread: %s", strerror(code));
    }
    *ret = w;
    return 0;
}

void worker_destroy(struct worker *worker)
{
    if (worker == NULL)
        return;
    pthread_mutex_lock(&worker->lock);
    worker->ends = true;
    pthread_cond_signal(&worker->more);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->thread, NULL);
    for (struct job *job; (job = take(&worker->finished)) != NULL;)
        job->done(job);
    for (struct job *job; (job = take(&worker->waiting)) != NULL;)
        job->done(job);
    pthread_cond_destroy(&worker->more);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
}

static bool give(struct worker *worker, struct job *job, int most)
{
    pthread_mutex_lock(&worker->lock);
    bool room = worker->waiting.n < most;
    if (room)
        append(&worker->waiting, job);
    pthread_cond_signal(&worker->more);
    pthread_mutex_unlock(&worker->lock);
    return room;
}

bool worker_give(struct worker *worker, struct job *job)
{
    return give(worker, job, MOST_WAITING);
}

void worker_continue(struct worker *worker, struct job *job)
{
    give(worker, job, INT_MAX);
}

void worker_collect(struct worker *worker)
{
    while (worker != NULL) {
        pthread_mutex_lock(&worker->lock);
        struct job *job = take(&worker->finished);
        pthread_mutex_unlock(&worker->lock);
        if (job == NULL)
            return;
        job->done(job);
    }
}
