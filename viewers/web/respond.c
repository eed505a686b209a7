/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/respond.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewers/web/range.h"

enum { HEADER_BYTES = 4096, WRITE_BYTES = 32768, PATIENCE_S = 30 };

static const struct {
    const char *name, *value;
} always[] = {
    {"content-security-policy:",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
     "connect-src 'self'; media-src 'self' blob:; worker-src 'self'; manifest-src 'self'; "
     "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
    {"x-content-type-options:", "nosniff"},
    {"referrer-policy:", "no-referrer"},
    {"cross-origin-resource-policy:", "same-origin"},
    {"cross-origin-opener-policy:", "same-origin"},
    {"x-frame-options:", "DENY"},
};

struct writing {
    struct lws *wsi;
    unsigned char *at, *end;
    bool failed;
};

static void add(struct writing *w, const char *name, const char *value)
{
    if (value != NULL && !w->failed)
        w->failed = lws_add_http_header_by_name(w->wsi, (const unsigned char *)name,
                                                (const unsigned char *)value, (int)strlen(value),
                                                &w->at, w->end) != 0;
}

static int send_headers(struct exchange *x, const struct response *r, int64_t bytes)
{
    unsigned char buffer[LWS_PRE + HEADER_BYTES], *start = buffer + LWS_PRE;
    struct writing w = {x->wsi, start, buffer + sizeof buffer, false};
    char length[32];
    snprintf(length, sizeof length, "%lld", (long long)bytes);
    if (lws_add_http_header_status(x->wsi, r->status, &w.at, w.end) != 0)
        return -1;
    if (r->status != 304) {
        add(&w, "content-type:", r->type);
        add(&w, "content-length:", length);
    }
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        add(&w, always[i].name, always[i].value);
    add(&w, "cache-control:", r->cache != NULL ? r->cache : "no-store");
    add(&w, "etag:", r->etag);
    add(&w, "content-encoding:", r->encoding);
    add(&w, "location:", r->location);
    add(&w, "set-cookie:", r->set_cookie);
    add(&w, "retry-after:", r->retry_after);
    add(&w, "content-range:", r->content_range);
    add(&w, "accept-ranges:", r->accepts_ranges ? "bytes" : NULL);
    if (w.failed || lws_finalize_write_http_header(x->wsi, start, &w.at, w.end) != 0)
        return -1;
    return 0;
}

static int begin(struct exchange *x, const struct response *r, int64_t bytes)
{
    if (send_headers(x, r, bytes) != 0)
        return -1;
    x->left = x->is_head || r->status == 304 ? 0 : bytes;
    if (x->left == 0) {
        respond_finish(x);
        return lws_http_transaction_completed(x->wsi) ? -1 : 0;
    }
    respond_wait(x);
    lws_callback_on_writable(x->wsi);
    return 0;
}

int respond_memory(struct exchange *x, const struct response *response, const void *body,
                   size_t bytes, bool owned)
{
    respond_finish(x);
    x->memory = body;
    x->memory_bytes = bytes;
    x->owned = owned ? (unsigned char *)body : NULL;
    return begin(x, response, (int64_t)bytes);
}

int respond_file(struct exchange *x, const struct response *response, int fd, int64_t size)
{
    struct response r = *response;
    char part[96];
    int64_t from = 0, bytes = size;
    respond_finish(x);
    x->fd = fd;
    r.accepts_ranges = true;
    switch (range_parse(x->range, size, &from, &bytes)) {
    case RANGE_WHOLE:
        break;
    case RANGE_PART:
        r.status = 206;
        snprintf(part, sizeof part, "bytes %lld-%lld/%lld", (long long)from,
                 (long long)(from + bytes - 1), (long long)size);
        r.content_range = part;
        break;
    case RANGE_UNSATISFIABLE:
        r.status = 416;
        bytes = 0;
        snprintf(part, sizeof part, "bytes */%lld", (long long)size);
        r.content_range = part;
        break;
    }
    x->offset = from;
    return begin(x, &r, bytes);
}

int respond_text(struct exchange *x, unsigned status, const char *line)
{
    char *text = strdup(line);
    const struct response r = {.status = status, .type = "text/plain; charset=utf-8"};
    return text != NULL ? respond_memory(x, &r, text, strlen(text), true) : -1;
}

int respond_error(struct exchange *x, unsigned status, const char *line)
{
    json_t *object = json_pack("{s:s}", "error", line);
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    const struct response r = {.status = status,
                               .type = "application/json",
                               .retry_after = status == 429 || status == 503 ? "5" : NULL};
    json_decref(object);
    return text != NULL ? respond_memory(x, &r, text, strlen(text), true) : -1;
}

bool respond_waits_for_piece(const struct exchange *x)
{
    return x->left > 0 && x->memory_bytes == 0;
}

int respond_piece(struct exchange *x, unsigned char *piece, size_t bytes)
{
    free(x->owned);
    x->owned = piece;
    x->memory = piece;
    x->memory_bytes = bytes;
    x->offset += (int64_t)bytes;
    return respond_more(x);
}

void respond_wait(struct exchange *x)
{
    lws_set_timeout(x->wsi, PENDING_TIMEOUT_HTTP_CONTENT, PATIENCE_S);
}

int respond_more(struct exchange *x)
{
    unsigned char buffer[LWS_PRE + WRITE_BYTES], *start = buffer + LWS_PRE;
    if (x->left == 0)
        return 0;
    size_t n = x->memory_bytes < WRITE_BYTES ? x->memory_bytes : WRITE_BYTES;
    memcpy(start, x->memory, n);
    bool last = (int64_t)n == x->left;
    if (lws_write(x->wsi, start, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < (int)n)
        return -1;
    respond_wait(x);
    x->left -= (int64_t)n;
    x->memory += n;
    x->memory_bytes -= n;
    if (!last) {
        lws_callback_on_writable(x->wsi);
        return 0;
    }
    respond_finish(x);
    return lws_http_transaction_completed(x->wsi) ? -1 : 0;
}

void respond_finish(struct exchange *x)
{
    free(x->owned);
    if (x->fd >= 0)
        close(x->fd);
    x->owned = NULL;
    x->memory = NULL;
    x->memory_bytes = 0;
    x->fd = -1;
    x->left = x->offset = 0;
}
