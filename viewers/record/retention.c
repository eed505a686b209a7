/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/retention.h"

#include <errno.h>

enum { BATCH = 16 };

int retention_count(struct retention *r, struct error *error)
{
    uint64_t free_bytes;
    int code = store_size(r->store, &r->size_bytes, error);
    if (code == 0)
        code = place_free(r->place, &free_bytes, error);
    if (code == 0)
        r->room_bytes = r->size_bytes + (int64_t)free_bytes;
    if (code == 0)
        r->freed_bytes = 0;
    return code;
}

static void note_deleted(struct retention *r, int n, int64_t bytes)
{
    r->deleted += (uint64_t)n;
    r->size_bytes -= bytes;
    r->freed_bytes += bytes;
}

int retention_age(struct retention *r, int64_t now_ns, struct error *error)
{
    if (r->settings->max_age_s <= 0)
        return 0;
    int64_t before = now_ns - (int64_t)(r->settings->max_age_s * 1e9), bytes;
    if (before <= 0)
        return 0;
    int n;
    do {
        n = store_delete_oldest(r->store, BATCH, before, &bytes, error);
        if (n > 0)
            note_deleted(r, n, bytes);
    } while (n == BATCH);
    return n < 0 ? n : store_forget_losses(r->store, before, error);
}

/* What is free, or will be once the file system has freed what was deleted since the last count:
 * some take their time, and it must not cost the whole history that the number stands still. */
static int free_soon(const struct retention *r, double *ret, struct error *error)
{
    uint64_t now;
    int code = place_free(r->place, &now, error);
    if (code < 0)
        return code;
    const double then = (double)(r->room_bytes - r->size_bytes);
    const double freed = (double)now + (double)r->freed_bytes;
    const double soon = then < freed ? then : freed; /* others may have filled it since */
    *ret = (double)now > soon ? (double)now : soon;
    return 0;
}

/* Bytes that are still to go, 0 when there is room; *ret_what: which limit it is. */
static int missing(const struct retention *r, int64_t more, double *ret, const char **ret_what,
                   struct error *error)
{
    double free_bytes;
    int code = free_soon(r, &free_bytes, error);
    if (code < 0)
        return code;
    double over = r->settings->max_size_bytes > 0
                      ? (double)(r->size_bytes + more) - r->settings->max_size_bytes
                      : 0;
    double least = r->settings->min_free_bytes + (double)more - free_bytes;
    *ret_what = least > over ? "min_free" : "max_size";
    *ret = least > over ? least : over;
    return 0;
}

int retention_make_room(struct retention *r, int64_t more, struct error *error)
{
    for (;;) {
        double bytes;
        const char *what;
        int64_t gone;
        int code = missing(r, more, &bytes, &what, error);
        if (code < 0 || bytes <= 0)
            return code;
        /* one by one where little is missing, so that no more goes than must */
        int n = store_delete_oldest(r->store, bytes > 64e6 ? BATCH : 1, 0, &gone, error);
        if (n == -ENOSPC) {
            place_relieve(r->place); /* deleting needs room too */
            n = store_delete_oldest(r->store, 1, 0, &gone, error);
        }
        if (n < 0)
            return n;
        if (n == 0)
            return error_set(error, ENOSPC,
                             "%s: no room for a snippet within %s, and nothing left to delete but "
                             "favourites; free the disk or change [retention]",
                             r->place->dir, what);
        note_deleted(r, n, gone);
    }
}
