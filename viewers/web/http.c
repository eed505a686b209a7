/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/http.h"

#include <errno.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "viewers/web/asset.h"
#include "viewers/web/http_job.h"
#include "viewers/web/query.h"
#include "viewers/web/respond.h"

static const double requests_rate = 50, requests_most = 300;

static void copy_header(struct lws *wsi, enum lws_token_indexes token, char *ret, size_t size)
{
    if (lws_hdr_copy(wsi, ret, (int)size, token) < 0)
        ret[0] = '\0';
}

enum gate_verdict web_check(struct lws *wsi)
{
    char host[256] = "", origin[256] = "", site[32] = "", cookie[2048] = "";
    struct web *web = web_of(wsi);
    /* what does not fit is treated as foreign, not as absent */
    if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) >= (int)sizeof origin ||
        lws_hdr_total_length(wsi, WSI_TOKEN_HOST) >= (int)sizeof host || guest_of(wsi) == NULL)
        return GATE_FOREIGN;
    copy_header(wsi, WSI_TOKEN_HOST, host, sizeof host);
    copy_header(wsi, WSI_TOKEN_ORIGIN, origin, sizeof origin);
    copy_header(wsi, WSI_TOKEN_HTTP_COOKIE, cookie, sizeof cookie);
    if (lws_hdr_custom_copy(wsi, site, sizeof site, "sec-fetch-site:", 15) < 0)
        site[0] = '\0';
    const struct credentials credentials = {host, origin, site, cookie};
    return gate_check(&web->gate, guest_of(wsi), &credentials, time(NULL));
}

/* libwebsockets gives the parts decoded; encoded again, an & within one cannot be taken for
 * another's. */
static void copy_query(struct lws *wsi, char ret[QUERY_BYTES])
{
    char part[QUERY_BYTES];
    size_t n = 0;
    for (int i = 0; lws_hdr_copy_fragment(wsi, part, sizeof part, WSI_TOKEN_HTTP_URI_ARGS, i) > 0;
         i++) {
        bool named = false;
        if (n + 4 < QUERY_BYTES && i > 0)
            ret[n++] = '&';
        for (const char *c = part; *c != '\0' && n + 4 < QUERY_BYTES; c++) {
            bool plain = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                         (*c >= 'A' && *c <= 'Z') || (*c == '=' && !named);
            named = named || *c == '=';
            n += (size_t)snprintf(ret + n, QUERY_BYTES - n, plain ? "%c" : "%%%02x",
                                  (unsigned char)*c);
        }
    }
    ret[n] = '\0';
}

static int redirect(struct exchange *x, const char *where, const char *cookie)
{
    const struct response r = {
        .status = 303, .type = "text/plain", .location = where, .set_cookie = cookie};
    return respond_memory(x, &r, "", 0, false);
}

static int serve_asset(struct exchange *x, const struct asset *asset)
{
    char accepted[256] = "", known[64] = "";
    copy_header(x->wsi, WSI_TOKEN_HTTP_ACCEPT_ENCODING, accepted, sizeof accepted);
    copy_header(x->wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, known, sizeof known);
    bool gzip = strstr(accepted, "gzip") != NULL;
    struct response r = {.status = 200,
                         .type = asset->type,
                         .etag = asset->etag,
                         .cache = "no-cache",
                         .encoding = gzip ? "gzip" : NULL};
    if (strcmp(known, asset->etag) == 0) {
        r.status = 304;
        r.encoding = NULL;
        return respond_memory(x, &r, "", 0, false);
    }
    return respond_memory(x, &r, gzip ? asset->gzip : asset->plain,
                          gzip ? asset->gzip_bytes : asset->plain_bytes, false);
}

static bool is_public(const char *path)
{
    return strcmp(path, "/login") == 0 || strcmp(path, "/style.css") == 0 ||
           strcmp(path, "/icon.svg") == 0;
}

static int get(struct exchange *x)
{
    struct web *web = web_of(x->wsi);
    char query[QUERY_BYTES];
    enum gate_verdict verdict = web_check(x->wsi);
    if (strcmp(x->path, "/healthz") == 0)
        return respond_text(x, 200, "ok\n");
    if (verdict == GATE_FOREIGN)
        return respond_text(x, 403,
                            "focal-web does not answer to this address or page; if it is yours, "
                            "name it in origins of focal-web.conf\n");
    if (strcmp(x->path, "/login") == 0 && verdict == GATE_OPEN)
        return redirect(x, "/", NULL);
    const struct asset *asset = asset_find(x->path);
    if (verdict == GATE_LOGIN && !is_public(x->path))
        return strcmp(x->path, "/") == 0 ? redirect(x, "/login", NULL)
                                         : respond_error(x, 401, "the password is needed");
    if (asset != NULL)
        return serve_asset(x, asset);
    copy_query(x->wsi, query);
    copy_header(x->wsi, WSI_TOKEN_HTTP_RANGE, x->range, sizeof x->range);
    int code = http_job_history(web, x, query);
    return code == -ENOENT ? respond_error(x, 404, "there is no such page") : code;
}

static int post(struct exchange *x)
{
    struct web *web = web_of(x->wsi);
    struct guest *guest = guest_of(x->wsi);
    char password[PASSWORD_MOST + 1] = "";
    int64_t now_us = monotonic_us();
    if (!x->awaits_body)
        return -1; /* bytes behind a request that is being answered end the connection */
    x->awaits_body = false;
    enum gate_verdict verdict = web_check(x->wsi);
    x->form[x->form_bytes] = '\0';
    if (verdict == GATE_FOREIGN)
        return respond_error(x, 403, "not from this page");
    if (strcmp(x->path, "/logout") == 0)
        return redirect(x, "/login", SESSION_COOKIE "=; Path=/; HttpOnly; Max-Age=0");
    if (strcmp(x->path, "/login") != 0 || web->gate.password == NULL)
        return respond_error(x, 405, "nothing is posted here");
    if (!bucket_take(&guest->logins, 1.0 / 12, 5, now_us) ||
        !bucket_take(&web->logins, 1, 10, now_us))
        return respond_error(x, 429, "too many attempts; wait a minute");
    if (!query_text(x->form, "password", password, sizeof password))
        return redirect(x, "/login?wrong", NULL);
    return http_job_login(web, x, password);
}

/* The request's line and headers are here. */
static int begin(struct lws *wsi, struct exchange *x, const char *path, size_t len)
{
    char *uri;
    int uri_bytes;
    struct guest *guest = guest_of(wsi);
    if (x->job != NULL)
        return -1; /* its end would find another in its place */
    if (x->wsi == NULL)
        x->fd = -1;
    x->wsi = wsi;
    respond_finish(x);
    int method = lws_http_get_uri_and_method(wsi, &uri, &uri_bytes);
    x->is_head = method == LWSHUMETH_HEAD;
    x->awaits_body = false;
    x->form_bytes = 0;
    x->range[0] = '\0';
    if (len >= sizeof x->path)
        return respond_error(x, 414, "too long an address");
    memcpy(x->path, path, len);
    x->path[len] = '\0';
    if (guest == NULL || (!guest->is_proxy && !bucket_take(&guest->requests, requests_rate,
                                                           requests_most, monotonic_us())))
        return respond_error(x, 429, "too many requests; wait a moment");
    if (method == LWSHUMETH_POST) {
        x->awaits_body = true;
        return 0;
    }
    if (method != LWSHUMETH_GET && method != LWSHUMETH_HEAD)
        return respond_error(x, 405, "allowed: GET, HEAD, and POST for the login");
    return get(x);
}

static int take_body(struct exchange *x, const char *in, size_t len)
{
    if (!x->awaits_body || x->form_bytes + len >= sizeof x->form)
        return -1; /* only a POST has a body here, and no form of ours is so long */
    memcpy(x->form + x->form_bytes, in, len);
    x->form_bytes += len;
    return 0;
}

/* A WebSocket is wanted. 0: it may be; 1: refused and said so. */
static int confirm_upgrade(struct lws *wsi, const char *to)
{
    struct web *web = web_of(wsi);
    char protocol[64] = "";
    copy_header(wsi, WSI_TOKEN_PROTOCOL, protocol, sizeof protocol);
    unsigned status = 0;
    const char *line = "";
    enum gate_verdict verdict = web_check(wsi);
    if (strcmp(to, "websocket") != 0 || strcmp(protocol, "focal") != 0) {
        status = HTTP_STATUS_BAD_REQUEST;
        line = "the WebSocket's protocol is \"focal\"";
    } else if (verdict != GATE_OPEN) {
        status = verdict == GATE_LOGIN ? HTTP_STATUS_UNAUTHORIZED : HTTP_STATUS_FORBIDDEN;
        line = "not from here";
    } else if (web->n_viewers >= web->settings->max_viewers) {
        status = HTTP_STATUS_SERVICE_UNAVAILABLE;
        line = "too many viewers";
    }
    if (status == 0)
        return 0;
    lws_return_http_status(wsi, status, line);
    return 1;
}

static int writeable(struct exchange *x)
{
    struct http_job *job = x->job;
    if (job == NULL)
        return respond_waits_for_piece(x) ? http_job_piece(web_of(x->wsi), x) : respond_more(x);
    if (!http_job_is_done(job))
        return 0;
    x->job = NULL;
    return http_job_respond(job, x);
}

int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    struct exchange *x = user;
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return begin(wsi, x, in, len);
    case LWS_CALLBACK_HTTP_BODY:
        return take_body(x, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return post(x);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return writeable(x);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return confirm_upgrade(wsi, in);
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
        if (x != NULL && x->wsi != NULL) {
            respond_finish(x);
            http_job_abandon(x->job);
            x->job = NULL;
        }
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        worker_collect(web_of(wsi)->asker);
        worker_collect(web_of(wsi)->reader);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        guests_leave(&web_of(wsi)->guests, guest_of(wsi));
        return 0;
    default:
        return 0;
    }
}
