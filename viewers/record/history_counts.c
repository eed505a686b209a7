/* SPDX-License-Identifier: Apache-2.0
 * How often what was heard, and when anybody listened. Days and hours are local. */
#include <stdint.h>
#include <stdio.h>

#include "base/memory.h"
#include "viewers/record/history_internal.h"

#define DAY "strftime('%Y-%m-%d', hour, 'unixepoch', 'localtime')"
#define HOUR "CAST(strftime('%H', hour, 'unixepoch', 'localtime') AS INTEGER)"

/* What is told apart: an expression, or NULL. */
static const struct {
    const char *day, *hour, *label, *stream, *order;
} kinds[] = {
    [HISTORY_BY_DAY] = {DAY, NULL, NULL, NULL, "1"},
    [HISTORY_BY_HOUR] = {DAY, HOUR, NULL, NULL, "1, 2"},
    [HISTORY_BY_DAY_HOUR] = {NULL, HOUR, NULL, NULL, "2"},
    [HISTORY_BY_LABEL] = {NULL, NULL, "label", NULL, "sum(heard) DESC, label"},
    [HISTORY_BY_STREAM] = {NULL, NULL, NULL, "stream", "stream"},
    [HISTORY_BY_HOUR_LABEL] = {NULL, HOUR, "label", NULL, "label, 2"},
};

static void count_text(enum history_by by, char *ret, size_t size)
{
    const char *day = kinds[by].day, *hour = kinds[by].hour;
    const char *label = kinds[by].label, *stream = kinds[by].stream;
    snprintf(ret, size,
             "SELECT %s, %s, %s, %s, sum(heard), sum(kept), sum(private), sum(ruled_out),"
             " sum(dropped) FROM tally WHERE hour >= ?1 AND hour < ?2"
             " AND (?3 IS NULL OR label = ?3 COLLATE NOCASE) AND (?4 IS NULL OR stream = ?4)"
             " GROUP BY 1, 2, 3, 4 ORDER BY %s",
             day != NULL ? day : "NULL", hour != NULL ? hour : "NULL",
             label != NULL ? label : "NULL", stream != NULL ? stream : "NULL", kinds[by].order);
}

static void read_count(sqlite3_stmt *q, struct history_count *ret)
{
    *ret = (struct history_count){
        .day = (const char *)sqlite3_column_text(q, 0),
        .hour = sqlite3_column_type(q, 1) != SQLITE_NULL ? sqlite3_column_int(q, 1) : -1,
        .label = (const char *)sqlite3_column_text(q, 2),
        .stream = (const char *)sqlite3_column_text(q, 3),
        .heard = sqlite3_column_int64(q, 4),
        .kept = sqlite3_column_int64(q, 5),
        .private = sqlite3_column_int64(q, 6),
        .ruled_out = sqlite3_column_int64(q, 7),
        .dropped = sqlite3_column_int64(q, 8),
    };
}

int history_counts(struct history *h, enum history_by by, const struct history_filter *filter,
                   history_take_count *take, void *user, struct error *error)
{
    char text[900];
    sqlite3_stmt *q;
    const int64_t ns = 1000000000;
    int64_t to = filter != NULL && filter->to_ns > 0 ? filter->to_ns / ns : INT64_MAX;
    int step = SQLITE_DONE;
    if ((size_t)by >= ARRAY_LEN(kinds))
        return error_set(error, 22, "counts: no such kind");
    count_text(by, text, sizeof text);
    int code = sql_prepare(h->db, h->path, text, &q, error);
    if (code < 0)
        return code;
    sqlite3_bind_int64(q, 1, filter != NULL ? filter->from_ns / ns / 3600 * 3600 : 0);
    sqlite3_bind_int64(q, 2, to);
    sql_bind_text(q, 3, filter != NULL ? filter->label : NULL);
    sql_bind_text(q, 4, filter != NULL ? filter->stream : NULL);
    while (code == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct history_count count;
        read_count(q, &count);
        code = take(user, &count);
    }
    if (code == 0 && step != SQLITE_DONE)
        code = sql_failed(h->db, h->path, error);
    sqlite3_finalize(q);
    return code;
}

int history_listening(struct history *h, const struct history_filter *filter,
                      history_take_span *take, void *user, struct error *error)
{
    sqlite3_stmt *q;
    int step = SQLITE_DONE;
    int code = sql_prepare(h->db, h->path,
                           "SELECT stream, t_from_ns, t_to_ns FROM listening WHERE t_to_ns >= ?1"
                           " AND t_from_ns < ?2 AND (?3 IS NULL OR stream = ?3) ORDER BY t_from_ns",
                           &q, error);
    if (code < 0)
        return code;
    sqlite3_bind_int64(q, 1, filter != NULL ? filter->from_ns : 0);
    sqlite3_bind_int64(q, 2, filter != NULL && filter->to_ns > 0 ? filter->to_ns : INT64_MAX);
    sql_bind_text(q, 3, filter != NULL ? filter->stream : NULL);
    while (code == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct history_span span = {(const char *)sqlite3_column_text(q, 0),
                                    sqlite3_column_int64(q, 1), sqlite3_column_int64(q, 2)};
        code = take(user, &span);
    }
    if (code == 0 && step != SQLITE_DONE)
        code = sql_failed(h->db, h->path, error);
    sqlite3_finalize(q);
    return code;
}
