/* SPDX-License-Identifier: Apache-2.0
 * What is deleted, changed by hand, and mended after a kill. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "viewers/record/store_internal.h"

enum { FILES = 4 };

struct victim {
    sqlite3_int64 id, bytes;
    char *files[FILES];
};

static void free_victims(struct victim *v, int n)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < FILES; k++)
            free(v[i].files[k]);
    free(v);
}

/* The rows that the statement gives out, `most` at most. Returns how many. */
static int pick(struct store *s, sqlite3_stmt *q, struct victim *v, int most, struct error *error)
{
    int n = 0, step = SQLITE_DONE;
    while (n < most && (step = sqlite3_step(q)) == SQLITE_ROW) {
        v[n].id = sqlite3_column_int64(q, 0);
        v[n].bytes = sqlite3_column_int64(q, 1);
        for (int k = 0; k < FILES; k++) {
            const char *file = (const char *)sqlite3_column_text(q, 2 + k);
            v[n].files[k] = file != NULL ? strdup(file) : NULL;
        }
        n++;
    }
    int code = step == SQLITE_ROW || step == SQLITE_DONE ? n : sql_failed(s->db, s->path, error);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return code;
}

/* Rows first: a kill leaves files without rows, which the next start removes. They are picked in
 * the transaction: until it has begun somebody may make one a favourite. Returns how many went. */
static int delete_rows(struct store *s, sqlite3_stmt *q, struct victim *v, int most,
                       struct error *error)
{
    sqlite3_stmt *forget = s->statements[STORE_DELETE_EVENT];
    int code = store_begin(s, error);
    if (code < 0)
        return code;
    int n = pick(s, q, v, most, error);
    code = n < 0 ? n : 0;
    for (int i = 0; i < n && code == 0; i++) {
        sqlite3_bind_int64(forget, 1, v[i].id);
        code = sql_run(s->db, s->path, forget, error);
    }
    if (code == 0)
        code = store_end(s, error);
    else
        store_undo(s);
    return code < 0 ? code : n;
}

/* Deletes the rows that the statement gives out, `most` at most, and their files. */
static int delete_whole(struct store *s, sqlite3_stmt *q, int most, int64_t *ret_bytes,
                        struct error *error)
{
    struct victim *v = calloc((size_t)most, sizeof *v);
    if (v == NULL)
        return error_set(error, ENOMEM, "history: out of memory");
    int code = place_commit_begin(s->place, 1, error);
    int n = code == 0 ? delete_rows(s, q, v, most, error) : code;
    *ret_bytes = 0;
    for (int i = 0; i < n; i++) {
        *ret_bytes += v[i].bytes;
        for (int k = 0; k < FILES; k++)
            if (v[i].files[k] != NULL)
                place_remove(s->place, v[i].files[k]);
    }
    if (s->files_bytes >= 0)
        s->files_bytes -= *ret_bytes;
    if (code == 0)
        place_commit_end(s->place);
    free_victims(v, most);
    return n;
}

int store_delete_oldest(struct store *s, int most, int64_t before_ns, int64_t *ret_bytes,
                        struct error *error)
{
    sqlite3_stmt *q = s->statements[STORE_PICK_OLDEST];
    sqlite3_bind_int64(q, 1, before_ns);
    sqlite3_bind_int(q, 2, most);
    return delete_whole(s, q, most, ret_bytes, error);
}

int store_delete(struct store *s, int64_t id, struct error *error)
{
    sqlite3_stmt *q = s->statements[STORE_PICK_ONE];
    int64_t bytes;
    sqlite3_bind_int64(q, 1, id);
    int n = delete_whole(s, q, 1, &bytes, error);
    if (n == 0)
        return error_set(error, ENOENT, "%lld: no such snippet; focal-record query lists them",
                         (long long)id);
    return n < 0 ? n : 0;
}

static int change(struct store *s, sqlite3_stmt *q, int64_t id, struct error *error)
{
    sqlite3_bind_int64(q, 1, id);
    int code = sql_run(s->db, s->path, q, error);
    if (code == 0 && sqlite3_changes(s->db) == 0)
        return error_set(error, ENOENT, "%lld: no such snippet; focal-record query lists them",
                         (long long)id);
    return code;
}

int store_set_favourite(struct store *s, int64_t id, int favourite, struct error *error)
{
    sqlite3_bind_int(s->statements[STORE_SET_FAVOURITE], 2, favourite != 0);
    return change(s, s->statements[STORE_SET_FAVOURITE], id, error);
}

int store_set_note(struct store *s, int64_t id, const char *note, struct error *error)
{
    sql_bind_text(s->statements[STORE_SET_NOTE], 2, note);
    return change(s, s->statements[STORE_SET_NOTE], id, error);
}

int store_forget_losses(struct store *s, int64_t before_ns, struct error *error)
{
    sqlite3_bind_int64(s->statements[STORE_FORGET_LOSSES], 1, before_ns);
    return sql_run(s->db, s->path, s->statements[STORE_FORGET_LOSSES], error);
}

/* After a kill */

struct recovery {
    struct store *store;
    sqlite3_stmt *known;
    int files;
};

/* Every file's row is asked for through this: a table of all names, made for the recovery. */
static int list_names(struct store *s, struct error *error)
{
    return sql_do(
        s->db, s->path,
        "CREATE TEMP TABLE known (file TEXT PRIMARY KEY) WITHOUT ROWID;"
        "INSERT OR IGNORE INTO known SELECT input_file FROM event WHERE input_file IS NOT NULL"
        " UNION SELECT audio_file FROM event WHERE audio_file IS NOT NULL"
        " UNION SELECT picture_file FROM event WHERE picture_file IS NOT NULL"
        " UNION SELECT thumb_file FROM event WHERE thumb_file IS NOT NULL;",
        error);
}

static int check_file(void *user, const char *file, struct error *error)
{
    struct recovery *r = user;
    sqlite3_bind_text(r->known, 1, file, -1, SQLITE_TRANSIENT);
    int step = sqlite3_step(r->known);
    sqlite3_reset(r->known);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return sql_failed(r->store->db, r->store->path, error);
    if (step == SQLITE_ROW || !place_is_ours(file))
        return 0;
    place_remove(r->store->place, file);
    r->files++;
    return 0;
}

static int remove_strangers(struct store *s, int *ret, struct error *error)
{
    struct recovery r = {.store = s};
    int code = sql_prepare(s->db, s->path, "SELECT 1 FROM known WHERE file = ?1", &r.known, error);
    if (code == 0)
        code = place_walk(s->place, check_file, &r, error);
    sqlite3_finalize(r.known);
    *ret = r.files;
    return code;
}

/* 1: it is there, 0: it is not. What cannot be told is no reason to forget a row. */
static int look_at(const struct store *s, const char *file, int64_t *ret_bytes, struct error *error)
{
    char path[PLACE_PATH_BYTES];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", s->place->dir, file);
    if (n < 0 || (size_t)n >= sizeof path)
        return 0;
    if (stat(path, &st) < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : error_set(error, errno,
                               "%s: %s; let this user read it (chown -R of the history), or mend "
                               "the disk",
                               path, strerror(errno));
    *ret_bytes = st.st_size;
    return 1;
}

/* Those of the known files that are there, with their sizes. */
static int list_present(struct store *s, struct error *error)
{
    sqlite3_stmt *names = NULL, *add = NULL;
    int code =
        sql_do(s->db, s->path,
               "CREATE TEMP TABLE present (file TEXT PRIMARY KEY, bytes) WITHOUT ROWID", error);
    if (code == 0)
        code = sql_prepare(s->db, s->path, "INSERT INTO present VALUES (?1, ?2)", &add, error);
    if (code == 0)
        code = sql_prepare(s->db, s->path, "SELECT file FROM known", &names, error);
    int step = SQLITE_DONE;
    while (code == 0 && (step = sqlite3_step(names)) == SQLITE_ROW) {
        const char *file = (const char *)sqlite3_column_text(names, 0);
        int64_t bytes;
        int there = look_at(s, file, &bytes, error);
        code = there < 0 ? there : 0;
        if (there <= 0)
            continue;
        sqlite3_bind_text(add, 1, file, -1, SQLITE_TRANSIENT);
        sqlite3_bind_int64(add, 2, bytes);
        code = sql_run(s->db, s->path, add, error);
    }
    if (code == 0 && step != SQLITE_DONE)
        code = sql_failed(s->db, s->path, error);
    sqlite3_finalize(names);
    sqlite3_finalize(add);
    return code;
}

#define FILES_OF_IT "(input_file, audio_file, picture_file, thumb_file)"

static const char forget_rows[] =
    "DELETE FROM event WHERE bytes > 0"
    " AND NOT EXISTS (SELECT 1 FROM present WHERE file IN " FILES_OF_IT ")";

static const char forget_files[] =
    "UPDATE event SET"
    " input_file = (SELECT file FROM present WHERE file = input_file),"
    " audio_file = (SELECT file FROM present WHERE file = audio_file),"
    " picture_file = (SELECT file FROM present WHERE file = picture_file),"
    " thumb_file = (SELECT file FROM present WHERE file = thumb_file),"
    " bytes = (SELECT coalesce(sum(p.bytes), 0) FROM present p WHERE file IN " FILES_OF_IT ")"
    " WHERE (SELECT count(*) FROM known WHERE file IN " FILES_OF_IT ")"
    " > (SELECT count(*) FROM present WHERE file IN " FILES_OF_IT ")";

/* A row without any of its files goes; a column whose file somebody removed becomes NULL. */
static int forget_missing(struct store *s, int *ret, struct error *error)
{
    int code = list_present(s, error);
    if (code == 0)
        code = sql_do(s->db, s->path, forget_rows, error);
    *ret = code == 0 ? sqlite3_changes(s->db) : 0;
    return code == 0 ? sql_do(s->db, s->path, forget_files, error) : code;
}

int store_recover(struct store *s, int *ret_files, int *ret_rows, struct error *error)
{
    *ret_files = *ret_rows = 0;
    s->files_bytes = -1;
    int code = place_commit_begin(s->place, 1, error);
    if (code < 0)
        return code;
    code = list_names(s, error);
    if (code == 0)
        code = remove_strangers(s, ret_files, error);
    if (code == 0)
        code = forget_missing(s, ret_rows, error);
    place_commit_end(s->place);
    sqlite3_exec(s->db, "DROP TABLE IF EXISTS known; DROP TABLE IF EXISTS present", NULL, NULL,
                 NULL);
    return code;
}
