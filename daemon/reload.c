/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "daemon/log.h"
#include "daemon/open_model.h"
#include "daemon/timeline.h"

/* The same weights, labels and numbers before the network. */
static bool same_model(const struct model_info *a, const struct model_info *b)
{
    const struct model_preprocess *p = &a->preprocess, *q = &b->preprocess;
    if (strcmp(a->hash, b->hash) != 0 || a->interpreter != b->interpreter ||
        strcmp(a->name, b->name) != 0 || a->n_classes != b->n_classes ||
        a->image_rows != b->image_rows || a->image_cols != b->image_cols ||
        p->sample_rate != q->sample_rate || p->window_samples != q->window_samples ||
        p->n_fft != q->n_fft || p->win_length != q->win_length || p->hop_length != q->hop_length ||
        p->antialias != q->antialias || p->scale != q->scale ||
        p->reject.score != q->reject.score || p->reject.below != q->reject.below)
        return false;
    for (int i = 0; i < a->n_classes; i++)
        if (strcmp(a->labels[i], b->labels[i]) != 0)
            return false;
    return true;
}

struct taking {
    struct daemon *daemon;
    struct model *model;
};

static void tell_taken(void *user)
{
    const struct taking *t = user;
    pthread_mutex_lock(&t->daemon->lock);
    t->daemon->model = t->model;
    daemon_tell_info(t->daemon);
    pthread_mutex_unlock(&t->daemon->lock);
}

/* *ret: the model to take instead of the one in use; NULL when that is the same. */
static int open_other_model(const struct daemon *d, const struct config *config, struct model **ret,
                            struct error *error)
{
    int r = open_model(ret, config, error);
    if (r < 0 || !same_model(model_info(*ret), model_info(d->model)))
        return r;
    model_close(*ret);
    *ret = NULL;
    return 0;
}

static int take_model(struct daemon *d, struct model *model, struct error *error)
{
    struct model *old = d->model;
    struct taking taking = {d, model};
    int r = pipeline_set_model(d->pipeline, model, tell_taken, &taking, error);
    if (r < 0) {
        model_close(model);
        return r;
    }
    log_line(LOG_LEVEL_INFO, "reload: model %s (%s)", model_info(model)->name,
             model_info(model)->hash);
    model_close(old);
    return 0;
}

/* Takes what the file says. ret_changed: its keys that differ are appended. */
static void take_config(struct daemon *d, const struct config *config, json_t *ret_changed)
{
    const char *key;
    pthread_mutex_lock(&d->lock);
    for (int i = 0; (key = config_difference(&d->config, config, i)) != NULL; i++) {
        json_array_append_new(ret_changed, json_string(key));
        log_line(LOG_LEVEL_INFO, "reload: %s%s", key,
                 config_key_needs_restart(key) ? " changed: takes effect after a restart"
                                               : " changed");
    }
    d->config.live = config->live;
    snprintf(d->config.model_dir, sizeof d->config.model_dir, "%s", config->model_dir);
    snprintf(d->config.interpreter, sizeof d->config.interpreter, "%s", config->interpreter);
    pipeline_set_live(d->pipeline, &d->config.live);
    snprintf(d->config.log_level, sizeof d->config.log_level, "%s", config->log_level);
    log_set_level(config->log_level);
    daemon_tell_info(d);
    pthread_mutex_unlock(&d->lock);
}

/* Everything is read and checked before anything is taken; a mistake leaves all as it was.
 * ret_changed: what was taken. */
static int read_again(struct daemon *d, json_t *ret_changed, struct error *error)
{
    struct model *model = NULL;
    struct config *config = malloc(sizeof *config);
    int r = config == NULL ? error_set(error, ENOMEM, "out of memory")
                           : config_load(config, d->config_path, d->options, d->n_options, error);
    if (r == 0)
        r = open_other_model(d, config, &model, error);
    if (r == 0 && model != NULL)
        r = take_model(d, model, error);
    if (r == 0)
        take_config(d, config, ret_changed);
    if (r == 0 && model != NULL)
        json_array_append_new(ret_changed, json_string("model"));
    free(config);
    return r;
}

void reload_run(struct daemon *d)
{
    uint64_t tickets[DAEMON_RELOADS_MAX];
    struct error error = {"out of memory for the answer; the log says what was done"};
    json_t *changed = json_array();
    pthread_mutex_lock(&d->lock);
    atomic_store(&d->reload_wanted, false); /* whoever asked until now is answered by this one */
    const int n = d->n_reloads;
    memcpy(tickets, d->reloads, sizeof tickets);
    d->n_reloads = 0;
    pthread_mutex_unlock(&d->lock);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(monotonic_ns() / 1000));
    int r = read_again(d, changed, &error);
    if (r < 0)
        log_line(LOG_LEVEL_ERROR, "reload: %s; everything stays as it was", error.text);
    else
        log_line(LOG_LEVEL_INFO, "reload: done");
    for (int i = 0; i < n; i++)
        publisher_answer(d->publisher, tickets[i],
                         r == 0 ? json_pack("{s:O}", "changed", changed) : NULL, &error);
    json_decref(changed);
    sd_notify(0, "READY=1");
}

void reload_refuse(struct daemon *d)
{
    struct error error;
    error_set(&error, EAGAIN, "focald is stopping");
    for (int i = 0; i < d->n_reloads; i++)
        publisher_answer(d->publisher, d->reloads[i], NULL, &error);
    d->n_reloads = 0;
}
