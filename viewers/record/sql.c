/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/sql.h"

#include <errno.h>
#include <string.h>

#include "viewers/record/schema.h"

static int code_of(sqlite3 *db)
{
    switch (sqlite3_errcode(db) & 0xff) {
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return EACCES;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return EINVAL;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return EPROTO;
    case SQLITE_CANTOPEN:
        return sqlite3_system_errno(db) != 0 ? sqlite3_system_errno(db) : ENOENT;
    case SQLITE_IOERR: {
        int number = sqlite3_system_errno(db);
        return number == ENOSPC || number == EDQUOT || number == EFBIG ? ENOSPC : EIO;
    }
    default:
        return EIO;
    }
}

int sql_failed(sqlite3 *db, const char *path, struct error *error)
{
    int code = code_of(db);
    if (code == EPROTO)
        return error_set(error, code,
                         "%s: %s; move it away (with clips/) to begin a new history, or restore it",
                         path, sqlite3_errmsg(db));
    return error_set(error, code, "%s: %s", path, sqlite3_errmsg(db));
}

int sql_prepare(sqlite3 *db, const char *path, const char *text, sqlite3_stmt **ret,
                struct error *error)
{
    if (sqlite3_prepare_v2(db, text, -1, ret, NULL) != SQLITE_OK)
        return sql_failed(db, path, error);
    return 0;
}

int sql_run(sqlite3 *db, const char *path, sqlite3_stmt *statement, struct error *error)
{
    int step = sqlite3_step(statement);
    int code = step == SQLITE_DONE || step == SQLITE_ROW ? 0 : sql_failed(db, path, error);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return code;
}

int sql_do(sqlite3 *db, const char *path, const char *text, struct error *error)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        return sql_failed(db, path, error);
    return 0;
}

int sql_integer(sqlite3 *db, const char *path, const char *text, sqlite3_int64 *ret,
                struct error *error)
{
    sqlite3_stmt *statement = NULL;
    int code = sql_prepare(db, path, text, &statement, error);
    if (code == 0 && sqlite3_step(statement) == SQLITE_ROW)
        *ret = sqlite3_column_int64(statement, 0);
    else if (code == 0)
        code = sql_failed(db, path, error);
    sqlite3_finalize(statement);
    return code;
}

void sql_bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    if (text == NULL || text[0] == '\0')
        sqlite3_bind_null(statement, at);
    else
        sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT);
}

static int check(sqlite3 *db, const char *path, int *ret_empty, struct error *error)
{
    sqlite3_int64 application, version, tables;
    int code = sql_integer(db, path, "PRAGMA application_id", &application, error);
    if (code == 0)
        code = sql_integer(db, path, "PRAGMA user_version", &version, error);
    if (code == 0)
        code = sql_integer(db, path, "SELECT count(*) FROM sqlite_schema", &tables, error);
    if (code < 0)
        return code;
    if (ret_empty != NULL)
        *ret_empty = tables == 0;
    if (tables == 0)
        return ret_empty != NULL
                   ? 0
                   : error_set(error, ENOENT, "%s: is empty; was focal-record ever run?", path);
    if (application != SCHEMA_APPLICATION)
        return error_set(error, EPROTO, "%s: is not a history of focal-record; name another dir",
                         path);
    if (version != SCHEMA_VERSION)
        return error_set(error, EPROTO,
                         "%s: is of version %lld, this program knows %d; use the newer program",
                         path, (long long)version, SCHEMA_VERSION);
    return 0;
}

int sql_open(sqlite3 **ret, const char *path, int flags, int *ret_empty, struct error *error)
{
    sqlite3 *db = NULL;
    int keep = 1, code = 0;
    if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK)
        code = db == NULL ? error_set(error, ENOMEM, "%s: out of memory", path)
                          : sql_failed(db, path, error);
    if (code == -ENOENT)
        error_set(error, ENOENT,
                  "%s: no history there; was focal-record ever run, or has it another dir?", path);
    if (code == -EACCES || code == -EPERM)
        error_set(
            error, -code,
            "%s: this user may not read it; be in the group that owns it (of the system's: sudo "
            "usermod -aG focald USER, and log in anew)",
            path);
    if (code == 0) {
        sqlite3_extended_result_codes(db, 1);
        sqlite3_busy_timeout(db, SCHEMA_BUSY_MS);
        /* readers without the right to write need the files that the last writer would remove */
        sqlite3_file_control(db, NULL, SQLITE_FCNTL_PERSIST_WAL, &keep);
        code = check(db, path, ret_empty, error);
    }
    if (code == 0) {
        *ret = db;
        return 0;
    }
    sqlite3_close(db);
    return code;
}
