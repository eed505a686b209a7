/* SPDX-License-Identifier: Apache-2.0
 * Rows, scores and gaps. Counts are in history_counts.c. */
#include "viewers/record/history.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "viewers/record/history_internal.h"

int history_default_dir(char *ret, size_t size, struct error *error)
{
    const char *state = getenv("STATE_DIRECTORY"), *data = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    int n;
    if (state != NULL && state[0] == '/')
        n = snprintf(ret, size, "%.*s", (int)strcspn(state, ":"), state);
    else if (geteuid() == 0)
        n = snprintf(ret, size, "/var/lib/focald/record");
    else if (data != NULL && data[0] == '/')
        n = snprintf(ret, size, "%s/focald/record", data);
    else if (home != NULL && home[0] == '/')
        n = snprintf(ret, size, "%s/.local/share/focald/record", home);
    else
        return error_set(error, ENOENT,
                         "no place for the history: HOME is not set; name one with dir in [record] "
                         "or --dir");
    return n >= 0 && (size_t)n < size ? 0
                                      : error_set(error, ENAMETOOLONG,
                                                  "the history's path is too "
                                                  "long");
}

int history_open(struct history **ret, const char *dir, struct error *error)
{
    struct history *h = calloc(1, sizeof *h);
    if (h == NULL)
        return error_set(error, ENOMEM, "history: out of memory");
    int n = snprintf(h->dir, sizeof h->dir, "%s", dir);
    int m = snprintf(h->path, sizeof h->path, "%s/history.db", dir);
    int code = n < 0 || (size_t)n >= sizeof h->dir || m < 0 || (size_t)m >= sizeof h->path
                   ? error_set(error, ENAMETOOLONG, "%s: the path is too long", dir)
                   : sql_open(&h->db, h->path, SQLITE_OPEN_READONLY, NULL, error);
    if (code < 0) {
        history_close(h);
        return code;
    }
    *ret = h;
    return 0;
}

void history_close(struct history *h)
{
    if (h == NULL)
        return;
    sqlite3_close(h->db);
    free(h);
}

static const char *text_at(sqlite3_stmt *q, int column)
{
    return (const char *)sqlite3_column_text(q, column);
}

/* Rows */

#define COLUMNS                                                                                    \
    "SELECT id, kind, stream, label, run, event, label_index, p_peak, t_onset_ns, t_end_ns,"       \
    " t_first_ns, first, count, cut, favourite, model_hash, note, input_file, audio_file,"         \
    " picture_file, thumb_file, bytes, lost FROM event"

static void read_row(sqlite3_stmt *q, struct history_row *ret)
{
    const char *kind = text_at(q, 1);
    bool none = sqlite3_column_type(q, 7) == SQLITE_NULL;
    *ret = (struct history_row){
        .id = sqlite3_column_int64(q, 0),
        .kind =
            kind != NULL && strcmp(kind, "continuous") == 0 ? HISTORY_CONTINUOUS : HISTORY_EVENT,
        .stream = text_at(q, 2),
        .label = text_at(q, 3),
        .run = sqlite3_column_int64(q, 4),
        .event = none ? -1 : sqlite3_column_int64(q, 5),
        .label_index = none ? -1 : sqlite3_column_int(q, 6),
        .p_peak = none ? (double)NAN : sqlite3_column_double(q, 7),
        .t_onset_ns = sqlite3_column_int64(q, 8),
        .t_end_ns = sqlite3_column_int64(q, 9),
        .t_first_ns = sqlite3_column_int64(q, 10),
        .first = sqlite3_column_int64(q, 11),
        .count = sqlite3_column_int64(q, 12),
        .cut = sqlite3_column_int(q, 13) != 0,
        .favourite = sqlite3_column_int(q, 14) != 0,
        .model_hash = text_at(q, 15),
        .note = text_at(q, 16),
        .input_file = text_at(q, 17),
        .audio_file = text_at(q, 18),
        .picture_file = text_at(q, 19),
        .thumb_file = text_at(q, 20),
        .bytes = sqlite3_column_int64(q, 21),
        .lost = sqlite3_column_int64(q, 22),
    };
}

static int give_rows(struct history *h, sqlite3_stmt *q, history_take_row *take, void *user,
                     int *ret_n, struct error *error)
{
    int step, code = 0;
    *ret_n = 0;
    while (code == 0 && (step = sqlite3_step(q)) != SQLITE_DONE) {
        struct history_row row;
        if (step != SQLITE_ROW)
            return sql_failed(h->db, h->path, error);
        read_row(q, &row);
        code = take(user, &row);
        ++*ret_n;
    }
    return code;
}

/* % and _ of a text mean themselves. */
static void like_pattern(const char *text, char *ret, size_t size)
{
    size_t n = 0;
    ret[n++] = '%';
    for (; *text != '\0' && n + 4 < size; text++) {
        if (strchr("%_\\", *text) != NULL)
            ret[n++] = '\\';
        ret[n++] = *text;
    }
    ret[n++] = '%';
    ret[n] = '\0';
}

static void bind_filter(sqlite3_stmt *q, const struct history_filter *f)
{
    char pattern[600];
    static const char *const kinds[] = {NULL, "event", "continuous"};
    sql_bind_text(q, 1, kinds[f->kind]);
    if (f->label != NULL)
        sqlite3_bind_text(q, 2, f->label, -1, SQLITE_TRANSIENT);
    if (f->stream != NULL)
        sqlite3_bind_text(q, 3, f->stream, -1, SQLITE_TRANSIENT);
    if (f->text != NULL) {
        like_pattern(f->text, pattern, sizeof pattern);
        sqlite3_bind_text(q, 4, pattern, -1, SQLITE_TRANSIENT);
    }
    sqlite3_bind_int64(q, 5, f->from_ns);
    sqlite3_bind_int64(q, 6, f->to_ns > 0 ? f->to_ns : INT64_MAX);
    sqlite3_bind_double(q, 7, f->p_min);
    sqlite3_bind_int(q, 8, f->favourites);
    sqlite3_bind_int64(q, 9, f->before_id);
    sqlite3_bind_int64(q, 10, f->limit > 0 ? f->limit : -1);
}

/* Only the conditions that are asked for, so that the indices are used. */
static void filter_text(const struct history_filter *f, char *ret, size_t size)
{
    const char *order = f->oldest_first ? "ASC" : "DESC";
    char page[100] = "";
    if (f->before_id > 0)
        snprintf(page, sizeof page,
                 " AND (t_onset_ns, id) %s (SELECT t_onset_ns, id FROM event WHERE id = ?9)",
                 f->oldest_first ? ">" : "<");
    snprintf(ret, size,
             COLUMNS " WHERE t_onset_ns >= ?5 AND t_onset_ns < ?6%s%s%s%s%s%s%s"
                     " ORDER BY t_onset_ns %s, id %s LIMIT ?10",
             page, f->kind != HISTORY_ANY ? " AND kind = ?1" : "",
             f->label != NULL ? " AND label = ?2 COLLATE NOCASE" : "",
             f->stream != NULL ? " AND stream = ?3" : "",
             f->text != NULL ? " AND (label LIKE ?4 ESCAPE '\\' OR note LIKE ?4 ESCAPE '\\')" : "",
             f->p_min > 0 ? " AND p_peak >= ?7" : "", f->favourites ? " AND favourite = ?8" : "",
             order, order);
}

int history_query(struct history *h, const struct history_filter *filter, history_take_row *take,
                  void *user, struct error *error)
{
    static const struct history_filter everything = {.limit = 0};
    const struct history_filter *f = filter != NULL ? filter : &everything;
    char text[1400];
    sqlite3_stmt *q;
    int n;
    filter_text(f, text, sizeof text);
    int code = sql_prepare(h->db, h->path, text, &q, error);
    if (code < 0)
        return code;
    bind_filter(q, f);
    code = give_rows(h, q, take, user, &n, error);
    sqlite3_finalize(q);
    return code;
}

int history_get(struct history *h, int64_t id, history_take_row *take, void *user,
                struct error *error)
{
    sqlite3_stmt *q;
    int n = 0, code = sql_prepare(h->db, h->path, COLUMNS " WHERE id = ?1", &q, error);
    if (code < 0)
        return code;
    sqlite3_bind_int64(q, 1, id);
    code = give_rows(h, q, take, user, &n, error);
    sqlite3_finalize(q);
    if (code == 0 && n == 0)
        return error_set(error, ENOENT, "%lld: no such snippet; focal-record query lists them",
                         (long long)id);
    return code;
}

/* Scores */

struct ranking {
    const float *p;
};

static int by_probability(const void *a, const void *b, void *user)
{
    const struct ranking *r = user;
    float x = r->p[*(const int *)a], y = r->p[*(const int *)b];
    return x < y ? 1 : x > y ? -1 : *(const int *)a - *(const int *)b;
}

static int give_scores(const float *scores, int classes, const json_t *labels, int most,
                       history_take_score *take, void *user)
{
    struct ranking ranking = {scores};
    int *order = calloc((size_t)classes, sizeof *order), code = 0;
    if (order == NULL)
        return -ENOMEM;
    for (int i = 0; i < classes; i++)
        order[i] = i;
    qsort_r(order, (size_t)classes, sizeof *order, by_probability, &ranking);
    for (int i = 0; i < classes && code == 0 && (most <= 0 || i < most); i++) {
        int k = order[i];
        struct history_score score = {json_string_value(json_array_get(labels, (size_t)k)), k,
                                      (double)scores[k], (double)scores[classes + k],
                                      (double)scores[2 * classes + k]};
        code = take(user, &score);
    }
    free(order);
    return code;
}

static int read_scores(sqlite3_stmt *q, int most, history_take_score *take, void *user,
                       struct error *error)
{
    size_t bytes = (size_t)sqlite3_column_bytes(q, 0);
    int classes = (int)(bytes / (3 * sizeof(float))), code = 0;
    float *scores = malloc(bytes + 1);
    json_t *labels = text_at(q, 1) != NULL ? json_loads(text_at(q, 1), 0, NULL) : NULL;
    if (scores == NULL)
        code = error_set(error, ENOMEM, "history: out of memory");
    if (code == 0 && classes > 0) {
        memcpy(scores, sqlite3_column_blob(q, 0), bytes);
        code = give_scores(scores, classes, labels, most, take, user);
    }
    json_decref(labels);
    free(scores);
    return code;
}

int history_scores(struct history *h, int64_t id, int most, history_take_score *take, void *user,
                   struct error *error)
{
    sqlite3_stmt *q;
    int code = sql_prepare(h->db, h->path,
                           "SELECT scores, labels FROM event LEFT JOIN model ON model_hash = hash"
                           " WHERE id = ?1",
                           &q, error);
    if (code < 0)
        return code;
    sqlite3_bind_int64(q, 1, id);
    int step = sqlite3_step(q);
    if (step == SQLITE_ROW)
        code = read_scores(q, most, take, user, error);
    else
        code =
            step == SQLITE_DONE
                ? error_set(error, ENOENT, "%lld: no such snippet; focal-record query lists them",
                            (long long)id)
                : sql_failed(h->db, h->path, error);
    sqlite3_finalize(q);
    return code;
}

int history_gaps(struct history *h, int64_t id, history_take_gap *take, void *user,
                 struct error *error)
{
    sqlite3_stmt *q;
    int step, code = sql_prepare(h->db, h->path,
                                 "SELECT topic, kind, first, count, messages FROM gap"
                                 " WHERE event_id = ?1 ORDER BY first",
                                 &q, error);
    if (code < 0)
        return code;
    sqlite3_bind_int64(q, 1, id);
    while (code == 0 && (step = sqlite3_step(q)) != SQLITE_DONE) {
        if (step != SQLITE_ROW) {
            code = sql_failed(h->db, h->path, error);
            break;
        }
        struct history_gap gap = {text_at(q, 0), text_at(q, 1), sqlite3_column_int64(q, 2),
                                  sqlite3_column_int64(q, 3), sqlite3_column_int64(q, 4)};
        code = take(user, &gap);
    }
    sqlite3_finalize(q);
    return code;
}

int history_path(const struct history *h, const char *file, char *ret, size_t size,
                 struct error *error)
{
    bool inside = file[0] != '/' && strcmp(file, "..") != 0 && strncmp(file, "../", 3) != 0 &&
                  strstr(file, "/../") == NULL;
    size_t n = strlen(file);
    if (!inside || n == 0 || (n > 3 && strcmp(file + n - 3, "/..") == 0))
        return error_set(error, EINVAL, "%s: leads out of the history", file);
    int m = snprintf(ret, size, "%s/%s", h->dir, file);
    return m >= 0 && (size_t)m < size
               ? 0
               : error_set(error, ENAMETOOLONG, "%s: the path is too long", file);
}

static int give_findings(struct history *h, const char *text, history_take_finding *take,
                         void *user, int *ret_n, struct error *error)
{
    sqlite3_stmt *q;
    int step = SQLITE_DONE, code = sql_prepare(h->db, h->path, text, &q, error);
    for (; code == 0 && (step = sqlite3_step(q)) == SQLITE_ROW; ++*ret_n)
        code = take(user, text_at(q, 0));
    if (code == 0 && step != SQLITE_DONE)
        code = sql_failed(h->db, h->path, error);
    sqlite3_finalize(q);
    return code;
}

int history_check(struct history *h, history_take_finding *take, void *user, struct error *error)
{
    static const char pages[] =
        "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'";
    static const char references[] =
        "SELECT 'row ' || rowid || ' of ' || \"table\" || ' is of a row of ' || parent"
        " || ' that is not there' FROM pragma_foreign_key_check";
    int n = 0;
    int code = give_findings(h, pages, take, user, &n, error);
    if (n > 0 && code == -EPROTO)
        code = 0; /* it was told, and SQLite went no further */
    if (code != 0 || n > 0)
        return code;
    return give_findings(h, references, take, user, &n, error);
}

int history_version(struct history *h, int64_t *ret, struct error *error)
{
    sqlite3_int64 version = 0;
    int code = sql_integer(h->db, h->path, "PRAGMA data_version", &version, error);
    if (code == 0)
        *ret = version;
    return code;
}
