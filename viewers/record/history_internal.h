/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FOCAL_RECORD_HISTORY_INTERNAL_H
#define FOCAL_RECORD_HISTORY_INTERNAL_H

#include "viewers/record/history.h"
#include "viewers/record/sql.h"

struct history {
    sqlite3 *db;
    char dir[1024], path[1100];
};

#endif
