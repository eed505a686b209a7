/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "viewers/record/history.h"
#include "viewers/web/query.h"

enum { ROWS_MOST = 200, SCORES = 10 };

struct archive {
    char dir[4096];
    struct history *history; /* NULL while there is none */
    dev_t dev;               /* of its database */
    ino_t ino;
};

int archive_create(struct archive **ret, const char *dir, struct error *error)
{
    struct archive *a = calloc(1, sizeof *a);
    if (a == NULL)
        return error_set(error, ENOMEM, "out of memory");
    int code = 0;
    if (dir[0] == '\0')
        code = history_default_dir(a->dir, sizeof a->dir, error);
    else if (strlen(dir) >= sizeof a->dir)
        code = error_set(error, ENAMETOOLONG, "[history] dir = %s: too long", dir);
    else
        strcpy(a->dir, dir);
    if (code < 0) {
        free(a);
        return code;
    }
    *ret = a;
    return 0;
}

void archive_destroy(struct archive *archive)
{
    if (archive == NULL)
        return;
    history_close(archive->history);
    free(archive);
}

const char *archive_dir(const struct archive *archive)
{
    return archive->dir;
}

/* A recorder may come, or begin a new history, while we serve: the old one, moved away or deleted,
 * answers still. */
static int ready(struct archive *a, struct error *error)
{
    char path[sizeof a->dir + 16];
    struct stat st = {.st_ino = 0};
    snprintf(path, sizeof path, "%s/history.db", a->dir);
    stat(path, &st); /* before it is opened: what comes in between is seen next time */
    if (a->history != NULL && st.st_dev == a->dev && st.st_ino == a->ino)
        return 0;
    history_close(a->history);
    a->history = NULL;
    a->dev = st.st_dev;
    a->ino = st.st_ino;
    return history_open(&a->history, a->dir, error);
}

/* After a failure that is not the question's: look for the history anew next time. */
static int done(struct archive *a, int code)
{
    if (code < 0 && code != -EINVAL && code != -ENOENT) {
        history_close(a->history);
        a->history = NULL;
    }
    return code;
}

static int dump(json_t *object, char **ret, struct error *error)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text == NULL)
        return error_set(error, ENOMEM, "out of memory");
    *ret = text;
    return 0;
}

/* The strings of a filter, and where they lie. */
struct asked {
    struct history_filter filter;
    char label[256], stream[64], text[256], kind[16];
    int64_t from_ms, to_ms, limit;
};

/* From midnight to midnight where this program runs, as history_counts tells days apart. */
static bool read_day(const char *query, struct history_filter *ret)
{
    char text[16];
    struct tm tm = {.tm_isdst = -1};
    if (!query_has(query, "day"))
        return true;
    if (!query_text(query, "day", text, sizeof text))
        return false;
    if (text[0] == '\0')
        return true;
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end == NULL || *end != '\0' || tm.tm_year < 70 || tm.tm_year > 199)
        return false;
    const int mday = tm.tm_mday;
    struct tm next = tm;
    next.tm_mday++;
    ret->from_ns = (int64_t)mktime(&tm) * 1000000000;
    ret->to_ns = (int64_t)mktime(&next) * 1000000000;
    return tm.tm_mday == mday; /* or it was the 31st of a short month */
}

static int read_query(struct asked *q, const char *query, struct error *error)
{
    const int64_t far_ms = 4102444800000; /* 2100 */
    memset(q, 0, sizeof *q);
    q->limit = 60;
    int64_t favourites = 0;
    if (!query_integer(query, "from", 0, far_ms, &q->from_ms) ||
        !query_integer(query, "to", 0, far_ms, &q->to_ms) ||
        !query_integer(query, "limit", 1, ROWS_MOST, &q->limit) ||
        !query_integer(query, "before", 0, INT64_MAX, &q->filter.before_id) ||
        !query_integer(query, "favourites", 0, 1, &favourites) ||
        !query_number(query, "p", 0, 1, &q->filter.p_min))
        return error_set(error, EINVAL,
                         "from and to are ms since 1970, limit is 1 to %d, before is an id, "
                         "favourites 0 or 1, p 0 to 1",
                         ROWS_MOST);
    q->filter.from_ns = q->from_ms * 1000000;
    q->filter.to_ns = q->to_ms * 1000000;
    if (!read_day(query, &q->filter))
        return error_set(error, EINVAL, "day is one like 2026-11-28");
    q->filter.limit = (int)q->limit;
    q->filter.favourites = favourites != 0;
    if (query_text(query, "label", q->label, sizeof q->label) && q->label[0] != '\0')
        q->filter.label = q->label;
    if (query_text(query, "stream", q->stream, sizeof q->stream) && q->stream[0] != '\0')
        q->filter.stream = q->stream;
    if (query_text(query, "text", q->text, sizeof q->text) && q->text[0] != '\0')
        q->filter.text = q->text;
    return 0;
}

static json_t *text_or_null(const char *text)
{
    json_t *value = text != NULL ? json_string(text) : NULL;
    return value != NULL ? value : json_null();
}

static json_t *row_json(const struct history_row *row)
{
    json_t *o = json_pack(
        "{s:I,s:s,s:o,s:o,s:f,s:f,s:f,s:f,s:b,s:b,s:o,s:b,s:b,s:b,s:b,s:I,s:I}", "id",
        (json_int_t)row->id, "kind", row->kind == HISTORY_CONTINUOUS ? "continuous" : "event",
        "stream", text_or_null(row->stream), "label", text_or_null(row->label), "onset_ms",
        (double)row->t_onset_ns * 1e-6, "end_ms", (double)row->t_end_ns * 1e-6, "first_ms",
        (double)row->t_first_ns * 1e-6, "seconds", (double)row->count / 16000, "cut", row->cut,
        "favourite", row->favourite, "note", text_or_null(row->note), "input",
        row->input_file != NULL, "audio", row->audio_file != NULL, "picture",
        row->picture_file != NULL, "thumb", row->thumb_file != NULL, "bytes",
        (json_int_t)row->bytes, "lost", (json_int_t)row->lost);
    if (o != NULL)
        json_object_set_new(o, "p", isfinite(row->p_peak) ? json_real(row->p_peak) : json_null());
    return o;
}

static int add_row(void *user, const struct history_row *row)
{
    return json_array_append_new(user, row_json(row)) == 0 ? 0 : -ENOMEM;
}

int archive_events(struct archive *archive, const char *query, char **ret, struct error *error)
{
    struct asked q;
    int code = read_query(&q, query, error);
    if (code == 0)
        code = ready(archive, error);
    if (code < 0)
        return code;
    json_t *rows = json_array();
    code = done(archive, history_query(archive->history, &q.filter, add_row, rows, error));
    if (code < 0) {
        json_decref(rows);
        return code;
    }
    return dump(json_pack("{s:o}", "events", rows), ret, error);
}

static int add_score(void *user, const struct history_score *score)
{
    json_t *o = json_pack("{s:o,s:i,s:f}", "label", text_or_null(score->label), "index",
                          score->index, "p", score->p);
    return json_array_append_new(user, o) == 0 ? 0 : -ENOMEM;
}

static int add_gap(void *user, const struct history_gap *gap)
{
    json_t *o = json_pack("{s:s,s:s,s:I,s:I,s:I}", "topic", gap->topic, "kind", gap->kind, "first",
                          (json_int_t)gap->first, "count", (json_int_t)gap->count, "messages",
                          (json_int_t)gap->messages);
    return json_array_append_new(user, o) == 0 ? 0 : -ENOMEM;
}

int archive_event(struct archive *archive, int64_t id, char **ret, struct error *error)
{
    int code = ready(archive, error);
    if (code < 0)
        return code;
    json_t *rows = json_array(), *scores = json_array(), *gaps = json_array();
    code = history_get(archive->history, id, add_row, rows, error);
    if (code == 0)
        code = history_scores(archive->history, id, SCORES, add_score, scores, error);
    if (code == 0)
        code = history_gaps(archive->history, id, add_gap, gaps, error);
    code = done(archive, code);
    json_t *o = json_incref(json_array_get(rows, 0));
    json_decref(rows);
    if (code < 0 || o == NULL) {
        json_decref(scores);
        json_decref(gaps);
        json_decref(o);
        return code < 0 ? code
                        : error_set(error, ENOENT, "there is no snippet %lld", (long long)id);
    }
    json_object_set_new(o, "scores", scores);
    json_object_set_new(o, "gaps", gaps);
    return dump(o, ret, error);
}

static int add_count(void *user, const struct history_count *c)
{
    json_t *o = json_pack("{s:o,s:i,s:o,s:o,s:I,s:I,s:I,s:I,s:I}", "day", text_or_null(c->day),
                          "hour", c->hour, "label", text_or_null(c->label), "stream",
                          text_or_null(c->stream), "heard", (json_int_t)c->heard, "kept",
                          (json_int_t)c->kept, "private", (json_int_t)c->private, "ruled_out",
                          (json_int_t)c->ruled_out, "dropped", (json_int_t)c->dropped);
    return json_array_append_new(user, o) == 0 ? 0 : -ENOMEM;
}

int archive_counts(struct archive *archive, const char *query, char **ret, struct error *error)
{
    static const struct {
        const char *name;
        enum history_by by;
    } ways[] = {{"day", HISTORY_BY_DAY},
                {"hour", HISTORY_BY_DAY_HOUR},
                {"label", HISTORY_BY_LABEL},
                {"stream", HISTORY_BY_STREAM}};
    struct asked q;
    char by[16] = "day";
    size_t way = 0;
    int code = read_query(&q, query, error);
    query_text(query, "by", by, sizeof by);
    while (way < 4 && strcmp(ways[way].name, by) != 0)
        way++;
    if (code == 0 && way == 4)
        code = error_set(error, EINVAL, "by is day, hour, label or stream");
    if (code == 0)
        code = ready(archive, error);
    if (code < 0)
        return code;
    json_t *counts = json_array();
    code = done(archive, history_counts(archive->history, ways[way].by, &q.filter, add_count,
                                        counts, error));
    if (code < 0) {
        json_decref(counts);
        return code;
    }
    return dump(json_pack("{s:o}", "counts", counts), ret, error);
}

static int add_span(void *user, const struct history_span *span)
{
    json_t *o = json_pack("{s:s,s:f,s:f}", "stream", span->stream, "from_ms",
                          (double)span->t_from_ns * 1e-6, "to_ms", (double)span->t_to_ns * 1e-6);
    return json_array_append_new(user, o) == 0 ? 0 : -ENOMEM;
}

int archive_listening(struct archive *archive, const char *query, char **ret, struct error *error)
{
    struct asked q;
    int code = read_query(&q, query, error);
    if (code == 0)
        code = ready(archive, error);
    if (code < 0)
        return code;
    json_t *spans = json_array();
    code = done(archive, history_listening(archive->history, &q.filter, add_span, spans, error));
    if (code < 0) {
        json_decref(spans);
        return code;
    }
    return dump(json_pack("{s:o}", "spans", spans), ret, error);
}

struct wanted_file {
    struct history *history;
    enum archive_file which;
    char path[4096];
    struct error *error;
    bool found;
};

static int take_file(void *user, const struct history_row *row)
{
    struct wanted_file *w = user;
    const char *const files[] = {[ARCHIVE_INPUT] = row->input_file,
                                 [ARCHIVE_AUDIO] = row->audio_file,
                                 [ARCHIVE_PICTURE] = row->picture_file,
                                 [ARCHIVE_THUMB] = row->thumb_file};
    if (files[w->which] == NULL)
        return error_set(w->error, ENOENT, "it was not kept");
    w->found = true;
    return history_path(w->history, files[w->which], w->path, sizeof w->path, w->error);
}

int archive_open_file(struct archive *archive, int64_t id, enum archive_file which, int *ret_fd,
                      int64_t *ret_size, struct error *error)
{
    int code = ready(archive, error);
    if (code < 0)
        return code;
    struct wanted_file w = {archive->history, which, "", error, false};
    code = done(archive, history_get(archive->history, id, take_file, &w, error));
    if (code < 0 || !w.found)
        return code < 0 ? code
                        : error_set(error, ENOENT, "there is no snippet %lld", (long long)id);
    struct stat st;
    int fd = open(w.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return error_set(error, ENOENT, "it is gone");
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(error, ENOENT, "it is no file");
    }
    *ret_fd = fd;
    *ret_size = st.st_size;
    return 0;
}
