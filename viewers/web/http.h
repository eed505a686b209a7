/* SPDX-License-Identifier: Apache-2.0
 * Everything that is asked over plain HTTP: the page, the login, the history. */
#ifndef FOCAL_WEB_HTTP_H
#define FOCAL_WEB_HTTP_H

#include "viewers/web/web.h"

enum { FORM_BYTES = 1024, QUERY_BYTES = 1024, RANGE_BYTES = 64, PATH_BYTES = 256 };

struct http_job;

/* One request and its response; libwebsockets keeps it with the connection. */
struct exchange {
    struct lws *wsi;
    struct http_job *job; /* at work for it, or NULL */
    bool is_head;
    bool awaits_body; /* a POST of which nothing was decided yet */
    char path[PATH_BYTES];
    char range[RANGE_BYTES];
    char form[FORM_BYTES]; /* of a POST */
    size_t form_bytes;

    /* what is still to be sent: from memory, and of a file a piece at a time through memory */
    int64_t left;
    const unsigned char *memory; /* at its next byte */
    size_t memory_bytes;         /* from there on */
    unsigned char *owned;        /* to be freed */
    int fd;                      /* -1: none, or at work in job */
    int64_t offset;              /* of the file's next piece */
};

/* The callback of the first protocol. */
int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len);

#endif
