/* SPDX-License-Identifier: Apache-2.0
 * Opening and making, and what is added. Deleting is in store_delete.c. */
#include "viewers/record/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewers/record/schema.h"
#include "viewers/record/store_internal.h"

static const char *const texts[STORE_STATEMENTS] = {
    [STORE_INSERT_EVENT] =
        "INSERT INTO event (kind, stream, run, event, label, label_index, p_peak, t_onset_ns,"
        " onset, t_end_ns, \"end\", t_first_ns, first, count, cut, model_hash, t_scores_ns, scores,"
        " input_file, audio_file, picture_file, thumb_file, bytes, lost) VALUES"
        " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,"
        " ?20, ?21, ?22, ?23, ?24)",
    [STORE_INSERT_GAP] = "INSERT INTO gap VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [STORE_INSERT_LOSS] =
        "INSERT INTO loss (t_ns, stream, run, topic, messages, first) VALUES (?1,?2,?3,?4,?5,?6)",
    [STORE_GROW_LISTENING] =
        "INSERT INTO listening (stream, run, t_from_ns, t_to_ns) VALUES (?1, ?2, ?3, ?4)"
        " ON CONFLICT (stream, t_from_ns) DO UPDATE SET t_to_ns = excluded.t_to_ns",
    [STORE_ADD_TALLY] =
        "INSERT INTO tally VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
        " ON CONFLICT (hour, stream, label) DO UPDATE SET heard = heard + excluded.heard,"
        " kept = kept + excluded.kept, private = private + excluded.private,"
        " ruled_out = ruled_out + excluded.ruled_out, dropped = dropped + excluded.dropped",
    [STORE_INSERT_MODEL] = "INSERT OR REPLACE INTO model VALUES (?1, ?2, ?3, ?4, ?5)",
    [STORE_END_EVENT] = "UPDATE event SET t_end_ns = ?1, \"end\" = ?2, p_peak = max(p_peak, ?3)"
                        " WHERE stream = ?4 AND run = ?5 AND event = ?6 AND t_end_ns IS NULL"
                        " AND t_onset_ns <= ?1",
    [STORE_PICK_OLDEST] =
        "SELECT id, bytes, input_file, audio_file, picture_file, thumb_file FROM event"
        " WHERE favourite = 0 AND (?1 = 0 OR t_first_ns < ?1) ORDER BY t_first_ns LIMIT ?2",
    [STORE_PICK_ONE] = "SELECT id, bytes, input_file, audio_file, picture_file, thumb_file FROM "
                       "event WHERE id = ?1",
    [STORE_DELETE_EVENT] = "DELETE FROM event WHERE id = ?1",
    [STORE_SET_FAVOURITE] = "UPDATE event SET favourite = ?2 WHERE id = ?1",
    [STORE_SET_NOTE] = "UPDATE event SET note = ?2 WHERE id = ?1",
    [STORE_FORGET_LOSSES] = "DELETE FROM loss WHERE t_ns < ?1",
};

static int make_tables(struct store *s, struct error *error)
{
    char text[160];
    snprintf(text, sizeof text, "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             SCHEMA_APPLICATION, SCHEMA_VERSION);
    int code = store_begin(s, error);
    if (code == 0)
        code = sql_do(s->db, s->path, SCHEMA_TABLES, error);
    if (code == 0)
        code = sql_do(s->db, s->path, text, error);
    if (code == 0)
        return store_end(s, error);
    store_undo(s);
    return code;
}

/* FULL: what was committed is there after a power cut too. */
static const char modes[] =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
    "PRAGMA journal_size_limit = 4194304;";

static int open_all(struct store *s, int make, struct error *error)
{
    int empty = 0;
    s->files_bytes = -1;
    int flags = SQLITE_OPEN_READWRITE | (make ? SQLITE_OPEN_CREATE : 0);
    if ((size_t)snprintf(s->path, sizeof s->path, "%s/history.db", s->place->dir) >= sizeof s->path)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long", s->place->dir);
    int code = sql_open(&s->db, s->path, flags, make ? &empty : NULL, error);
    if (code == 0)
        code = sql_do(s->db, s->path, modes, error);
    if (code == 0 && empty)
        code = make_tables(s, error);
    for (int i = 0; i < STORE_STATEMENTS && code == 0; i++)
        code = sql_prepare(s->db, s->path, texts[i], &s->statements[i], error);
    return code;
}

int store_open(struct store **ret, struct place *place, int make, struct error *error)
{
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ENOMEM, "history: out of memory");
    s->place = place;
    int code = open_all(s, make, error);
    if (code < 0) {
        store_close(s);
        return code;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < STORE_STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    free(s);
}

int store_begin(struct store *s, struct error *error)
{
    return sql_do(s->db, s->path, "BEGIN IMMEDIATE", error);
}

int store_end(struct store *s, struct error *error)
{
    int code = sql_do(s->db, s->path, "COMMIT", error);
    if (code < 0)
        store_undo(s);
    return code;
}

void store_undo(struct store *s)
{
    s->files_bytes = -1;
    if (!sqlite3_get_autocommit(s->db)) /* a full disk may have undone it already */
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

static int run(struct store *s, enum store_statement which, struct error *error)
{
    return sql_run(s->db, s->path, s->statements[which], error);
}

static void bind_event(sqlite3_stmt *q, const struct snippet *e)
{
    if (e->continuous)
        return;
    sqlite3_bind_int64(q, 4, (sqlite3_int64)e->event);
    sqlite3_bind_text(q, 5, e->label, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int(q, 6, e->label_index);
    sqlite3_bind_double(q, 7, e->p_peak);
}

static void bind_scores(sqlite3_stmt *q, const struct snippet *e)
{
    sql_bind_text(q, 16, e->model_hash);
    if (e->scores == NULL)
        return;
    sqlite3_bind_int64(q, 17, e->t_scores_ns);
    sqlite3_bind_blob(q, 18, e->scores, (int)(e->n_scores * sizeof(float)), SQLITE_TRANSIENT);
}

static int add_gaps(struct store *s, const struct snippet *e, sqlite3_int64 id, struct error *error)
{
    sqlite3_stmt *q = s->statements[STORE_INSERT_GAP];
    int code = 0;
    for (size_t i = 0; i < e->n_gaps && code == 0; i++) {
        const struct snippet_gap *g = &e->gaps[i];
        sqlite3_bind_int64(q, 1, id);
        sqlite3_bind_text(q, 2, g->topic, -1, SQLITE_STATIC);
        sqlite3_bind_text(q, 3, g->kind, -1, SQLITE_STATIC);
        sqlite3_bind_int64(q, 4, (sqlite3_int64)g->first);
        sqlite3_bind_int64(q, 5, (sqlite3_int64)g->count);
        sqlite3_bind_int64(q, 6, (sqlite3_int64)g->messages);
        code = run(s, STORE_INSERT_GAP, error);
    }
    return code;
}

int store_snippet(struct store *s, const struct snippet *e, const struct store_files *files,
                  struct error *error)
{
    sqlite3_stmt *q = s->statements[STORE_INSERT_EVENT];
    sqlite3_bind_text(q, 1, e->continuous ? "continuous" : "event", -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, e->stream, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(q, 3, e->run);
    bind_event(q, e);
    sqlite3_bind_int64(q, 8, e->t_onset_ns);
    sqlite3_bind_int64(q, 9, (sqlite3_int64)e->onset);
    if (e->t_end_ns != 0) {
        sqlite3_bind_int64(q, 10, e->t_end_ns);
        sqlite3_bind_int64(q, 11, (sqlite3_int64)e->end);
    }
    sqlite3_bind_int64(q, 12, e->t_first_ns);
    sqlite3_bind_int64(q, 13, (sqlite3_int64)e->first);
    sqlite3_bind_int64(q, 14, (sqlite3_int64)e->count);
    sqlite3_bind_int(q, 15, e->cut);
    bind_scores(q, e);
    sql_bind_text(q, 19, files->input);
    sql_bind_text(q, 20, files->audio);
    sql_bind_text(q, 21, files->picture);
    sql_bind_text(q, 22, files->thumb);
    sqlite3_bind_int64(q, 23, files->bytes);
    sqlite3_bind_int64(q, 24, (sqlite3_int64)e->lost);
    int code = run(s, STORE_INSERT_EVENT, error);
    if (code == 0 && s->files_bytes >= 0)
        s->files_bytes += files->bytes;
    return code < 0 ? code : add_gaps(s, e, sqlite3_last_insert_rowid(s->db), error);
}

int store_event_end(struct store *s, const char *stream, int64_t run_ns, uint64_t event,
                    uint64_t end, int64_t t_end_ns, double p_peak, struct error *error)
{
    sqlite3_stmt *q = s->statements[STORE_END_EVENT];
    sqlite3_bind_int64(q, 1, t_end_ns);
    sqlite3_bind_int64(q, 2, (sqlite3_int64)end);
    sqlite3_bind_double(q, 3, p_peak);
    sqlite3_bind_text(q, 4, stream, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(q, 5, run_ns);
    sqlite3_bind_int64(q, 6, (sqlite3_int64)event);
    return run(s, STORE_END_EVENT, error);
}

int store_tally(struct store *s, const struct store_tally *t, struct error *error)
{
    sqlite3_stmt *q = s->statements[STORE_ADD_TALLY];
    sqlite3_bind_text(q, 1, t->stream, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(q, 2, t->label, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(q, 3, t->hour);
    sqlite3_bind_int64(q, 4, t->n[0] + t->n[1] + t->n[2] + t->n[3]);
    for (int i = 0; i < 4; i++)
        sqlite3_bind_int64(q, 5 + i, t->n[i]);
    return run(s, STORE_ADD_TALLY, error);
}

int store_loss(struct store *s, const struct store_loss *l, struct error *error)
{
    sqlite3_stmt *q = s->statements[STORE_INSERT_LOSS];
    sqlite3_bind_int64(q, 1, l->t_ns);
    sqlite3_bind_text(q, 2, l->stream, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(q, 3, l->run);
    sqlite3_bind_text(q, 4, l->topic, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(q, 5, (sqlite3_int64)l->messages);
    sqlite3_bind_int64(q, 6, (sqlite3_int64)l->first);
    return run(s, STORE_INSERT_LOSS, error);
}

int store_listening(struct store *s, const struct store_listening *l, struct error *error)
{
    sqlite3_stmt *q = s->statements[STORE_GROW_LISTENING];
    sqlite3_bind_text(q, 1, l->stream, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(q, 2, l->run);
    sqlite3_bind_int64(q, 3, l->t_from_ns);
    sqlite3_bind_int64(q, 4, l->t_to_ns);
    return run(s, STORE_GROW_LISTENING, error);
}

int store_model(struct store *s, const struct store_model *m, struct error *error)
{
    sqlite3_stmt *q = s->statements[STORE_INSERT_MODEL];
    sqlite3_bind_text(q, 1, m->hash, -1, SQLITE_TRANSIENT);
    sql_bind_text(q, 2, m->name);
    sql_bind_text(q, 3, m->architecture);
    sql_bind_text(q, 4, m->interpreter);
    sql_bind_text(q, 5, m->labels);
    return run(s, STORE_INSERT_MODEL, error);
}

/* Summing up reads the whole table. */
static int count_files(struct store *s, struct error *error)
{
    sqlite3_int64 others, files;
    int code = sql_integer(s->db, s->path, "PRAGMA data_version", &others, error);
    if (code < 0 || (s->files_bytes >= 0 && s->others == others))
        return code;
    code = sql_integer(s->db, s->path, "SELECT coalesce(sum(bytes), 0) FROM event", &files, error);
    if (code < 0)
        return code;
    s->others = others;
    s->files_bytes = files;
    return 0;
}

int store_size(struct store *s, int64_t *ret_bytes, struct error *error)
{
    sqlite3_int64 pages = 0, page = 0;
    int code = count_files(s, error);
    if (code == 0)
        code = sql_integer(s->db, s->path, "PRAGMA page_count", &pages, error);
    if (code == 0)
        code = sql_integer(s->db, s->path, "PRAGMA page_size", &page, error);
    if (code == 0)
        *ret_bytes = s->files_bytes + pages * page;
    return code;
}
