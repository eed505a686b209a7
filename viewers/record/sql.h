/* SPDX-License-Identifier: Apache-2.0
 * SQLite's codes as errnos and lines, for the modules that speak it. */
#ifndef FOCAL_RECORD_SQL_H
#define FOCAL_RECORD_SQL_H

#include <sqlite3.h>

#include "base/error.h"

/* The database's last failure. path: of the database. */
int sql_failed(sqlite3 *db, const char *path, struct error *error);
/* Prepares a statement, or fails. */
int sql_prepare(sqlite3 *db, const char *path, const char *text, sqlite3_stmt **ret,
                struct error *error);
/* Runs a statement without rows to its end, and makes it ready for the next time. */
int sql_run(sqlite3 *db, const char *path, sqlite3_stmt *statement, struct error *error);
int sql_do(sqlite3 *db, const char *path, const char *text, struct error *error);
/* One integer. */
int sql_integer(sqlite3 *db, const char *path, const char *text, sqlite3_int64 *ret,
                struct error *error);
/* NULL for an empty text too. */
void sql_bind_text(sqlite3_stmt *statement, int at, const char *text);

/* Opens it, waiting while it is busy. flags: of sqlite3_open_v2. -ENOENT: there is none; -EPROTO:
 * it is not a history, or one of another version. *ret_empty (may be NULL): it has no tables yet,
 * which is an error otherwise. */
int sql_open(sqlite3 **ret, const char *path, int flags, int *ret_empty, struct error *error);

#endif
