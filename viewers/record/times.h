/* SPDX-License-Identifier: Apache-2.0
 * Times as people write and read them, in the local time zone. */
#ifndef FOCAL_RECORD_TIMES_H
#define FOCAL_RECORD_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "2026-11-28", "2026-11-28 14:22[:33]" (or with T, or Z at the end for UTC), "14:22" (today),
 * "today", "yesterday", or how long ago: "90 s", "15 min", "2 h", "7 days". */
bool time_parse(const char *text, int64_t now_ns, int64_t *ret_ns);

/* "2026-11-28 14:22:33" */
void time_text(int64_t t_ns, char *ret, size_t size);
/* "2026-11-28T14:22:33.417Z" */
void time_iso(int64_t t_ns, char *ret, size_t size);

int64_t time_now_ns(void);

#endif
