/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/history_json.h"

#include <errno.h>
#include <math.h>

#include "viewers/record/times.h"

static void set_text(json_t *object, const char *key, const char *text)
{
    json_t *value = text != NULL ? json_string(text) : NULL;
    json_object_set_new(object, key, value != NULL ? value : json_null());
}

static void set_time(json_t *object, const char *key, const char *text_key, int64_t t_ns)
{
    char text[64];
    time_iso(t_ns, text, sizeof text);
    json_object_set_new(object, key, t_ns != 0 ? json_integer(t_ns) : json_null());
    set_text(object, text_key, t_ns != 0 ? text : NULL);
}

static void set_number(json_t *object, const char *key, double x)
{
    json_object_set_new(object, key, isfinite(x) ? json_real(x) : json_null());
}

json_t *history_row_json(const struct history_row *r)
{
    json_t *o = json_object();
    if (o == NULL)
        return NULL;
    json_object_set_new(o, "id", json_integer(r->id));
    set_text(o, "kind", r->kind == HISTORY_CONTINUOUS ? "continuous" : "event");
    set_text(o, "stream", r->stream);
    set_text(o, "label", r->label);
    json_object_set_new(o, "run", json_integer(r->run));
    json_object_set_new(o, "event", r->event >= 0 ? json_integer(r->event) : json_null());
    json_object_set_new(o, "label_index",
                        r->label_index >= 0 ? json_integer(r->label_index) : json_null());
    set_number(o, "p_peak", r->p_peak);
    set_time(o, "t_onset_ns", "t_onset", r->t_onset_ns);
    set_time(o, "t_end_ns", "t_end", r->t_end_ns);
    set_time(o, "t_first_ns", "t_first", r->t_first_ns);
    json_object_set_new(o, "first", json_integer(r->first));
    json_object_set_new(o, "count", json_integer(r->count));
    json_object_set_new(o, "cut", json_boolean(r->cut));
    json_object_set_new(o, "favourite", json_boolean(r->favourite));
    set_text(o, "model_hash", r->model_hash);
    set_text(o, "note", r->note);
    set_text(o, "input_file", r->input_file);
    set_text(o, "audio_file", r->audio_file);
    set_text(o, "picture_file", r->picture_file);
    set_text(o, "thumb_file", r->thumb_file);
    json_object_set_new(o, "bytes", json_integer(r->bytes));
    json_object_set_new(o, "lost", json_integer(r->lost));
    return o;
}

static int keep_row(void *user, const struct history_row *row)
{
    *(json_t **)user = history_row_json(row);
    return 0;
}

static int add_score(void *user, const struct history_score *s)
{
    json_t *o = json_object();
    set_text(o, "label", s->label);
    json_object_set_new(o, "index", json_integer(s->index));
    set_number(o, "p", s->p);
    set_number(o, "p_paper", s->p_paper);
    set_number(o, "cosine", s->cosine);
    return json_array_append_new(user, o) == 0 ? 0 : -ENOMEM;
}

static int add_gap(void *user, const struct history_gap *g)
{
    json_t *o = json_object();
    set_text(o, "topic", g->topic);
    set_text(o, "kind", g->kind);
    json_object_set_new(o, "first", json_integer(g->first));
    json_object_set_new(o, "count", json_integer(g->count));
    json_object_set_new(o, "messages", json_integer(g->messages));
    return json_array_append_new(user, o) == 0 ? 0 : -ENOMEM;
}

int history_whole_json(struct history *h, int64_t id, int most, json_t **ret, struct error *error)
{
    json_t *row = NULL, *scores = json_array(), *gaps = json_array();
    int code = history_get(h, id, keep_row, &row, error);
    if (code == 0 && (row == NULL || scores == NULL || gaps == NULL))
        code = error_set(error, ENOMEM, "history: out of memory");
    if (code == 0)
        code = history_scores(h, id, most, add_score, scores, error);
    if (code == 0)
        code = history_gaps(h, id, add_gap, gaps, error);
    if (code == 0) {
        json_object_set(row, "scores", scores);
        json_object_set(row, "gaps", gaps);
        *ret = json_incref(row);
    }
    json_decref(scores);
    json_decref(gaps);
    json_decref(row);
    return code;
}

json_t *history_count_json(const struct history_count *c)
{
    json_t *o = json_object();
    if (o == NULL)
        return NULL;
    if (c->day != NULL)
        set_text(o, "day", c->day);
    if (c->hour >= 0)
        json_object_set_new(o, "hour", json_integer(c->hour));
    if (c->label != NULL)
        set_text(o, "label", c->label);
    if (c->stream != NULL)
        set_text(o, "stream", c->stream);
    json_object_set_new(o, "heard", json_integer(c->heard));
    json_object_set_new(o, "kept", json_integer(c->kept));
    json_object_set_new(o, "private", json_integer(c->private));
    json_object_set_new(o, "ruled_out", json_integer(c->ruled_out));
    json_object_set_new(o, "dropped", json_integer(c->dropped));
    return o;
}
