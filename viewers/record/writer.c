/* SPDX-License-Identifier: Apache-2.0
 * The queue and its thread. How a snippet is written is in keep.c. */
#include "viewers/record/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "viewers/record/keep.h"
#include "viewers/record/retention.h"

enum {
    QUEUE_BYTES = 384 << 20, /* of snippets that wait; more are dropped */
    QUEUE_SMALL = 20000,     /* other work that waits */
    TALLIES_MAX = 4096,      /* that a full disk keeps from being written */
    CHORES_S = 30,
};

/* What may have a problem: each tells when it is over. */
enum part { PART_SNIPPETS, PART_SMALL, PART_CHORES, PARTS };

enum work_kind { WORK_SNIPPET, WORK_LOSS, WORK_LISTENING, WORK_MODEL, WORK_END };

struct work {
    struct work *next;
    enum work_kind kind;
    union {
        struct snippet *snippet;
        struct store_loss loss;
        struct store_listening listening;
        struct store_model model;
        struct writer_end end;
    };
};

struct writer {
    const struct settings *settings;
    struct place place;
    struct store *store;
    struct retention retention;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* under lock */
    struct work *first, **last;
    size_t waiting_bytes, n_snippets;
    size_t n_small; /* with those that the thread holds until they are written */
    struct store_tally tallies[TALLIES_MAX]; /* not written yet */
    size_t n_tallies;
    bool ended;
    uint64_t kept, dropped, refused, unwritten;
    char refusal[WRITER_PROBLEM_BYTES];
    char problems[PARTS][WRITER_PROBLEM_BYTES];
};

/* Tallies */

static void add_tally(struct writer *w, const struct store_tally *t)
{
    for (size_t i = 0; i < w->n_tallies; i++) {
        struct store_tally *known = &w->tallies[i];
        if (known->hour != t->hour || strcmp(known->label, t->label) != 0 ||
            strcmp(known->stream, t->stream) != 0)
            continue;
        for (int k = 0; k < 4; k++)
            known->n[k] += t->n[k];
        return;
    }
    if (w->n_tallies < TALLIES_MAX)
        w->tallies[w->n_tallies++] = *t;
}

static void count(struct writer *w, const struct store_tally *tally)
{
    pthread_mutex_lock(&w->lock);
    add_tally(w, tally);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void writer_tally(struct writer *w, const char *stream, const char *label, int64_t t_onset_ns,
                  enum store_outcome outcome)
{
    struct store_tally t = {.hour = t_onset_ns / 3600000000000 * 3600};
    snprintf(t.stream, sizeof t.stream, "%s", stream);
    snprintf(t.label, sizeof t.label, "%s", label);
    t.n[outcome] = 1;
    count(w, &t);
}

/* The queue */

static void free_work(struct work *work)
{
    if (work->kind == WORK_SNIPPET)
        snippet_destroy(work->snippet);
    if (work->kind == WORK_MODEL)
        free(work->model.labels);
    free(work);
}

static void free_list(struct work *list)
{
    for (struct work *next; list != NULL; list = next) {
        next = list->next;
        free_work(list);
    }
}

static void drop_snippet(struct writer *w, const struct snippet *s)
{
    pthread_mutex_lock(&w->lock);
    w->dropped++;
    pthread_mutex_unlock(&w->lock);
    struct store_tally tally = keep_tally(s, STORE_DROPPED);
    if (!s->continuous)
        count(w, &tally);
}

/* False: too much waits. */
static bool push(struct writer *w, const struct work *work, size_t bytes)
{
    struct work *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return false;
    *copy = *work;
    copy->next = NULL;
    pthread_mutex_lock(&w->lock);
    bool room = bytes > 0 ? w->waiting_bytes + bytes <= QUEUE_BYTES : w->n_small < QUEUE_SMALL;
    if (room) {
        *w->last = copy;
        w->last = &copy->next;
        w->waiting_bytes += bytes;
        w->n_snippets += bytes > 0;
        w->n_small += bytes == 0;
        pthread_cond_signal(&w->wake);
    } else if (bytes > 0) {
        snprintf(w->problems[PART_SNIPPETS], sizeof w->problems[PART_SNIPPETS],
                 "the disk or this processor is too slow: snippets are dropped");
    }
    pthread_mutex_unlock(&w->lock);
    if (!room)
        free(copy);
    return room;
}

void writer_snippet(struct writer *w, struct snippet *snippet)
{
    if (push(w, &(struct work){.kind = WORK_SNIPPET, .snippet = snippet}, snippet->size_bytes))
        return;
    drop_snippet(w, snippet);
    snippet_destroy(snippet);
}

void writer_loss(struct writer *w, const struct store_loss *loss)
{
    push(w, &(struct work){.kind = WORK_LOSS, .loss = *loss}, 0);
}

void writer_listening(struct writer *w, const struct store_listening *span)
{
    push(w, &(struct work){.kind = WORK_LISTENING, .listening = *span}, 0);
}

void writer_model(struct writer *w, const struct store_model *model)
{
    if (!push(w, &(struct work){.kind = WORK_MODEL, .model = *model}, 0))
        free(model->labels);
}

void writer_event_end(struct writer *w, const struct writer_end *end)
{
    push(w, &(struct work){.kind = WORK_END, .end = *end}, 0);
}

void writer_state(struct writer *w, struct writer_state *ret)
{
    pthread_mutex_lock(&w->lock);
    *ret = (struct writer_state){.kept = w->kept,
                                 .dropped = w->dropped,
                                 .waiting = w->n_snippets,
                                 .refused = w->refused,
                                 .unwritten = w->unwritten};
    memcpy(ret->refusal, w->refusal, sizeof ret->refusal);
    for (int i = 0; i < PARTS && ret->problem[0] == '\0'; i++)
        memcpy(ret->problem, w->problems[i], sizeof ret->problem);
    pthread_mutex_unlock(&w->lock);
}

/* The thread */

/* error: NULL when there is none (any more). */
static void tell_problem(struct writer *w, enum part part, const struct error *error)
{
    pthread_mutex_lock(&w->lock);
    snprintf(w->problems[part], sizeof w->problems[part], "%.299s",
             error != NULL ? error->text : "");
    pthread_mutex_unlock(&w->lock);
}

static void keep(struct writer *w, const struct snippet *s)
{
    struct keep keep = {w->settings, &w->place, w->store, &w->retention};
    struct error error;
    int code = keep_snippet(&keep, s, &error);
    tell_problem(w, PART_SNIPPETS, code < 0 ? &error : NULL);
    if (code < 0) {
        drop_snippet(w, s);
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->kept++;
    pthread_mutex_unlock(&w->lock);
}

static int do_small(struct writer *w, const struct work *work, struct error *error)
{
    switch (work->kind) {
    case WORK_LOSS:
        return store_loss(w->store, &work->loss, error);
    case WORK_LISTENING:
        return store_listening(w->store, &work->listening, error);
    case WORK_MODEL:
        return store_model(w->store, &work->model, error);
    case WORK_END:
        return store_event_end(w->store, work->end.stream, work->end.run, work->end.event,
                               work->end.end, work->end.t_end_ns, work->end.p_peak, error);
    case WORK_SNIPPET:
        break;
    }
    return 0;
}

/* What waits before the next snippet, and the tallies, in one transaction. *ret_failed: what of the
 * list failed, or NULL. */
static int write_small(struct writer *w, struct work *list, const struct store_tally *tallies,
                       size_t n_tallies, struct work **ret_failed, struct error *error)
{
    *ret_failed = NULL;
    int code = store_begin(w->store, error);
    for (struct work *at = list; at != NULL && code == 0; at = at->next) {
        code = do_small(w, at, error);
        *ret_failed = code < 0 ? at : NULL;
    }
    for (size_t i = 0; i < n_tallies && code == 0; i++)
        code = store_tally(w->store, &tallies[i], error);
    if (code == 0)
        return store_end(w->store, error);
    store_undo(w->store);
    return code;
}

/* What the database refuses for what it says would be refused for ever, and all behind it with it.
 */
static void leave_out(struct writer *w, struct work **list, struct work *refused,
                      const struct error *error)
{
    while (*list != refused)
        list = &(*list)->next;
    *list = refused->next;
    free_work(refused);
    pthread_mutex_lock(&w->lock);
    w->n_small--;
    w->refused++;
    snprintf(w->refusal, sizeof w->refusal, "%.299s", error->text);
    pthread_mutex_unlock(&w->lock);
}

/* Empties the list. What cannot be written stays for better times: nobody tells a model or the end
 * of an event twice. */
static void do_all_small(struct writer *w, struct work **list, const struct store_tally *tallies,
                         size_t n_tallies)
{
    struct error error;
    struct work *failed;
    int code;
    if (*list == NULL && n_tallies == 0)
        return;
    while ((code = write_small(w, *list, tallies, n_tallies, &failed, &error)) == -EINVAL &&
           failed != NULL)
        leave_out(w, list, failed, &error);
    tell_problem(w, PART_SMALL, code < 0 ? &error : NULL);
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < n_tallies && code < 0; i++)
        add_tally(w, &tallies[i]);
    for (const struct work *at = *list; at != NULL && code == 0; at = at->next)
        w->n_small--;
    pthread_mutex_unlock(&w->lock);
    if (code < 0)
        return;
    free_list(*list);
    *list = NULL;
}

static int64_t wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void do_chores(struct writer *w)
{
    struct error error;
    place_reserve(&w->place);
    int code = retention_count(&w->retention, &error);
    if (code == 0)
        code = retention_age(&w->retention, wall_ns(), &error);
    if (code == 0)
        code = retention_make_room(&w->retention, 0, &error);
    tell_problem(w, PART_CHORES, code < 0 ? &error : NULL);
}

static void unqueue(struct writer *w, struct work **end)
{
    struct work *work = w->first;
    w->first = work->next;
    if (w->first == NULL)
        w->last = &w->first;
    work->next = NULL;
    *end = work;
}

/* All small work before the first snippet, behind what the list has already, or where there is none
 * that snippet. */
static void take_first(struct writer *w, struct work **small, struct work **ret_snippet)
{
    *ret_snippet = NULL;
    if (w->first == NULL)
        return;
    if (w->first->kind == WORK_SNIPPET) {
        unqueue(w, ret_snippet);
        w->n_snippets--;
        w->waiting_bytes -= (*ret_snippet)->snippet->size_bytes;
        return;
    }
    while (*small != NULL)
        small = &(*small)->next;
    for (; w->first != NULL && w->first->kind != WORK_SNIPPET; small = &(*small)->next)
        unqueue(w, small);
}

/* Until there is work, for a second at most; the whole second when the last try failed, unless
 * there is a snippet. */
static void wait_for_work(struct writer *w, bool failed)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    while ((failed ? w->n_snippets == 0 : w->first == NULL) && !w->ended)
        if (pthread_cond_timedwait(&w->wake, &w->lock, &until) != 0 || !failed)
            return;
}

/* small: what could not be written last time. *ret_more: something is left to do after this.
 * Whether the small work is to be tried: at the end once only, after all snippets, since a database
 * that somebody holds costs ten seconds a try and the service manager has not many of them. */
static bool take_work(struct writer *w, struct work **small, struct work **ret_snippet,
                      bool *ret_more)
{
    pthread_mutex_lock(&w->lock);
    wait_for_work(w, *small != NULL);
    *ret_more = w->first != NULL || !w->ended;
    bool try_small = !w->ended || !*ret_more;
    take_first(w, small, ret_snippet);
    pthread_mutex_unlock(&w->lock);
    return try_small;
}

static size_t take_tallies(struct writer *w, struct store_tally *ret)
{
    pthread_mutex_lock(&w->lock);
    size_t n = w->n_tallies;
    memcpy(ret, w->tallies, n * sizeof *ret);
    w->n_tallies = 0;
    pthread_mutex_unlock(&w->lock);
    return n;
}

static void count_unwritten(struct writer *w, const struct work *small)
{
    pthread_mutex_lock(&w->lock);
    w->unwritten = w->n_tallies;
    for (; small != NULL; small = small->next)
        w->unwritten++;
    pthread_mutex_unlock(&w->lock);
}

static void *write_all(void *user)
{
    struct writer *w = user;
    struct store_tally *tallies = malloc(TALLIES_MAX * sizeof *tallies);
    struct work *small = NULL, *snippet;
    time_t chores = 0;
    bool more = tallies != NULL;
    while (more) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (chores == 0 || now.tv_sec - chores >= CHORES_S) {
            do_chores(w);
            chores = now.tv_sec;
        }
        if (take_work(w, &small, &snippet, &more))
            do_all_small(w, &small, tallies, take_tallies(w, tallies));
        if (snippet != NULL)
            keep(w, snippet->snippet);
        free_list(snippet);
    }
    count_unwritten(w, small);
    free_list(small);
    free(tallies);
    return NULL;
}

/* Beginning and end */

static int start(struct writer *w, const char *dir, struct error *error)
{
    int files, rows;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    w->last = &w->first;
    int code = place_hold(&w->place, dir, error);
    if (code == 0)
        code = store_open(&w->store, &w->place, 1, error);
    if (code == 0)
        code = store_recover(w->store, &files, &rows, error);
    if (code < 0)
        return code;
    w->retention =
        (struct retention){.settings = w->settings, .place = &w->place, .store = w->store};
    code = pthread_create(&w->thread, NULL, write_all, w);
    if (code != 0)
        return error_set(error, code, "no thread to write with: %s", strerror(code));
    w->started = true;
    return 0;
}

int writer_create(struct writer **ret, const struct settings *settings, const char *dir,
                  struct error *error)
{
    struct writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return error_set(error, ENOMEM, "out of memory");
    w->settings = settings;
    w->place.lock_fd = w->place.commit_fd = -1;
    int code = start(w, dir, error);
    if (code < 0) {
        writer_destroy(w);
        return code;
    }
    *ret = w;
    return 0;
}

void writer_end(struct writer *w)
{
    if (!w->started)
        return;
    pthread_mutex_lock(&w->lock);
    w->ended = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    w->started = false;
}

void writer_destroy(struct writer *w)
{
    if (w == NULL)
        return;
    writer_end(w);
    store_close(w->store);
    place_release(&w->place);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
