/* SPDX-License-Identifier: Apache-2.0
 * What store.c and store_delete.c share. */
#ifndef FOCAL_RECORD_STORE_INTERNAL_H
#define FOCAL_RECORD_STORE_INTERNAL_H

#include "viewers/record/sql.h"
#include "viewers/record/store.h"

enum store_statement {
    STORE_INSERT_EVENT,
    STORE_INSERT_GAP,
    STORE_INSERT_LOSS,
    STORE_GROW_LISTENING,
    STORE_ADD_TALLY,
    STORE_INSERT_MODEL,
    STORE_END_EVENT,
    STORE_PICK_OLDEST,
    STORE_PICK_ONE,
    STORE_DELETE_EVENT,
    STORE_SET_FAVOURITE,
    STORE_SET_NOTE,
    STORE_FORGET_LOSSES,
    STORE_STATEMENTS
};

struct store {
    struct place *place;
    sqlite3 *db;
    sqlite3_stmt *statements[STORE_STATEMENTS];
    int64_t files_bytes;  /* of all rows; -1: to be summed up */
    sqlite3_int64 others; /* data_version then: changes when somebody else commits */
    char path[PLACE_PATH_BYTES];
};

#endif
