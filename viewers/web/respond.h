/* SPDX-License-Identifier: Apache-2.0
 * How a response leaves: status, headers that keep a page in its bounds, and a body from memory or
 * a file, piece by piece as the browser takes it. Each returns what the callback returns. The loop
 * does not read: pieces come from another thread (http_job_piece), since a disk may be slow. */
#ifndef FOCAL_WEB_RESPOND_H
#define FOCAL_WEB_RESPOND_H

#include "viewers/web/http.h"

struct response {
    unsigned status;
    const char *type;
    const char *etag, *cache, *encoding; /* NULL: without */
    const char *location, *set_cookie, *retry_after;
    const char *content_range;
    bool accepts_ranges;
};

/* body is taken over when `owned`, else it stays for ever. */
int respond_memory(struct exchange *x, const struct response *response, const void *body,
                   size_t bytes, bool owned);
/* Takes fd over. */
int respond_file(struct exchange *x, const struct response *response, int fd, int64_t size);
/* One line of text. */
int respond_text(struct exchange *x, unsigned status, const char *line);
/* {"error": line} */
int respond_error(struct exchange *x, unsigned status, const char *line);
/* The connection stays for so long though nothing goes out: a slow browser takes less than the
 * kernel holds for it, or a job is at work. */
void respond_wait(struct exchange *x);
/* What the browser takes next. */
int respond_more(struct exchange *x);
/* A file's next piece is wanted: respond_piece goes on with it. */
bool respond_waits_for_piece(const struct exchange *x);
/* Takes piece over, which follows what was sent. */
int respond_piece(struct exchange *x, unsigned char *piece, size_t bytes);
/* Frees what is left. */
void respond_finish(struct exchange *x);

#endif
