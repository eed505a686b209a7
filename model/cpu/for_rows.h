/* SPDX-License-Identifier: Apache-2.0
 * Rows shared by threads. */
#ifndef FOCALD_MODEL_CPU_FOR_ROWS_H
#define FOCALD_MODEL_CPU_FOR_ROWS_H

#include <stddef.h>

/* Below this many floats, waking the other threads costs more than they save. */
static const size_t parallel_floats = 1 << 14;

/* Rows shared by the threads where that pays. Not the clause `if`: libgomp would take memory for a
 * team of one. */
#define FOR_ROWS(r, rows, c, statement)                                                            \
    do {                                                                                           \
        if ((rows) > 1 && (rows) * (c) > parallel_floats) {                                        \
            _Pragma("omp parallel for") for (size_t r = 0; r < (rows); r++) statement;             \
        } else {                                                                                   \
            for (size_t r = 0; r < (rows); r++)                                                    \
                statement;                                                                         \
        }                                                                                          \
    } while (0)

#endif
