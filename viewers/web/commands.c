/* SPDX-License-Identifier: Apache-2.0
 * What a page asks through its WebSocket: which streams it watches and listens to, and what goes on
 * to focald's control socket. docs/web.md lists the commands. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ipc/libfocal/focal.h"
#include "viewers/web/viewers.h"

enum { ASK_TIMEOUT_MS = 3000 };

/* One question to focald on its way there and back. */
struct question {
    struct job job;
    struct web *web;
    uint64_t viewer_id;
    double id; /* the page's */
    bool is_change;
    char where[512]; /* focald's data endpoint */
    char *request, *reply;
    char error[512];
};

static void send_json(struct viewer *v, json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    struct packet *p = text != NULL ? packet_create(PACKET_TEXT, text, 0, NULL) : NULL;
    if (p != NULL)
        viewer_send(v, p);
    packet_unref(p);
    free(text);
    json_decref(object);
}

static void refuse(struct viewer *v, double id, const char *error)
{
    send_json(v,
              json_pack("{s:s,s:f,s:b,s:s}", "topic", "reply", "id", id, "ok", 0, "error", error));
}

static int go_where(struct asker *a, const char *where)
{
    if (a->focal != NULL && strcmp(a->where, where) == 0)
        return 0;
    focal_close(a->focal);
    snprintf(a->where, sizeof a->where, "%s", where);
    a->options.data = a->where;
    return focal_open(&a->focal, &a->options);
}

static void ask(struct job *job, void *tools)
{
    struct question *q = (struct question *)job;
    struct asker *a = tools;
    if (go_where(a, q->where) != 0)
        snprintf(q->error, sizeof q->error, "%s", focal_last_error());
    else if (focal_request(a->focal, q->request, &q->reply, ASK_TIMEOUT_MS) != 0)
        snprintf(q->error, sizeof q->error, "%s", focal_error(a->focal));
}

/* All pages show a changed value at once. */
static void tell_values(struct web *web, json_t *values)
{
    json_t *object = json_pack("{s:s,s:s,s:O}", "topic", "web", "kind", "values", "values", values);
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    struct packet *p = text != NULL ? packet_create(PACKET_TEXT, text, 0, NULL) : NULL;
    if (p != NULL)
        viewers_deliver(web, p, EVERYBODY, -1);
    packet_unref(p);
    free(text);
    json_decref(object);
}

static struct viewer *find(struct web *web, uint64_t id)
{
    struct viewer *v = web->viewers;
    while (v != NULL && v->id != id)
        v = v->next;
    return v;
}

static void answer(struct job *job)
{
    struct question *q = (struct question *)job;
    struct viewer *v = find(q->web, q->viewer_id);
    json_t *reply = q->reply != NULL ? json_loads(q->reply, 0, NULL) : NULL;
    json_t *values = json_object_get(reply, "values");
    if (q->is_change && json_is_true(json_object_get(reply, "ok")) && values != NULL)
        tell_values(q->web, values);
    if (v != NULL && json_is_object(reply)) {
        json_object_set_new(reply, "topic", json_string("reply"));
        json_object_set_new(reply, "id", json_real(q->id));
        send_json(v, json_incref(reply));
    } else if (v != NULL)
        refuse(v, q->id, q->error[0] != '\0' ? q->error : "focald does not answer");
    json_decref(reply);
    free(q->request);
    free(q->reply);
    free(q);
}

static void pass_on(struct web *web, struct viewer *v, double id, json_t *request, bool is_change)
{
    struct question *q = calloc(1, sizeof *q);
    char *text = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (q != NULL && text != NULL) {
        *q = (struct question){.job = {.work = ask, .done = answer},
                               .web = web,
                               .viewer_id = v->id,
                               .id = id,
                               .is_change = is_change,
                               .request = text};
        snprintf(q->where, sizeof q->where, "%s", hub_where(web->hub));
        if (worker_give(web->asker, &q->job))
            return;
    }
    refuse(v, id, "focal-web is busy; try again");
    free(text);
    free(q);
}

static void watch(struct web *web, struct viewer *v, const json_t *streams)
{
    size_t used = 0;
    memset(v->watched_names, 0, sizeof v->watched_names);
    for (size_t i = 0; i < json_array_size(streams); i++) {
        const char *name = json_string_value(json_array_get(streams, i));
        if (name == NULL || name[0] == '\0' || used + strlen(name) + 2 > sizeof v->watched_names)
            continue;
        strcpy(v->watched_names + used, name);
        used += strlen(name) + 1;
    }
    v->watches_all = !json_is_array(streams);
    viewers_update(web);
}

static void listen_to(struct web *web, struct viewer *v, const json_t *stream)
{
    const char *name = json_string_value(stream);
    snprintf(v->listened_name, sizeof v->listened_name, "%s", name != NULL ? name : "");
    viewers_update(web);
}

static void tell_time(struct viewer *v, double id)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    send_json(v, json_pack("{s:s,s:f,s:b,s:f,s:I}", "topic", "reply", "id", id, "ok", 1, "t_ms",
                           (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6, "thinned",
                           (json_int_t)v->queue.thinned));
}

static void change(struct web *web, struct viewer *v, double id, const json_t *command)
{
    json_t *key = json_object_get(command, "key"), *value = json_object_get(command, "value");
    if (!web->settings->knobs)
        refuse(v, id, "focal-web was told not to change anything (knobs = no)");
    else if (!json_is_string(key) || (!json_is_string(value) && !json_is_number(value)))
        refuse(v, id, "set needs a key, and a value that is a string or a number");
    else
        pass_on(web, v, id, json_pack("{s:s,s:O,s:O}", "cmd", "set", "key", key, "value", value),
                true);
}

bool viewer_command(struct web *web, struct viewer *viewer)
{
    json_t *command = json_loadb(viewer->text, viewer->text_bytes, 0, NULL);
    const char *cmd = json_string_value(json_object_get(command, "cmd"));
    double id = json_number_value(json_object_get(command, "id"));
    if (cmd == NULL) {
        json_decref(command);
        return false;
    }
    if (!isfinite(id))
        id = 0;
    if (strcmp(cmd, "watch") == 0)
        watch(web, viewer, json_object_get(command, "streams"));
    else if (strcmp(cmd, "listen") == 0)
        listen_to(web, viewer, json_object_get(command, "stream"));
    else if (strcmp(cmd, "time") == 0)
        tell_time(viewer, id);
    else if (strcmp(cmd, "get") == 0 || strcmp(cmd, "status") == 0)
        pass_on(web, viewer, id, json_pack("{s:s}", "cmd", cmd), false);
    else if (strcmp(cmd, "set") == 0)
        change(web, viewer, id, command);
    else
        refuse(viewer, id, "allowed: watch, listen, time, get, status, set");
    json_decref(command);
    return true;
}
