/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/viewers.h"

#include <string.h>

static const int64_t stuck_us = 30000000;
static const double commands_rate = 20, commands_most = 60;

static void push(struct viewer *v, struct packet *packet, int64_t extra_us)
{
    int64_t now_us = monotonic_us();
    if (v->queue.n == 0)
        v->wrote_us = now_us;
    queue_push(&v->queue, packet, now_us, extra_us);
    lws_callback_on_writable(v->wsi);
}

void viewer_send(struct viewer *viewer, struct packet *packet)
{
    push(viewer, packet, 0);
}

static void send_first(void *user, struct packet *packet, enum audience audience, int stream)
{
    (void)audience;
    (void)stream;
    push(user, packet, 10000000);
}

void viewers_deliver(void *user, struct packet *packet, enum audience audience, int stream)
{
    struct web *web = user;
    for (struct viewer *v = web->viewers; v != NULL; v = v->next)
        if (audience == EVERYBODY || (audience == WATCHERS && (v->watched >> stream & 1) != 0) ||
            (audience == LISTENERS && v->listened == stream))
            viewer_send(v, packet);
}

void viewers_update(struct web *web)
{
    bool watched = false;
    uint64_t listened = 0;
    for (struct viewer *v = web->viewers; v != NULL; v = v->next) {
        uint64_t before = v->watched;
        v->watched = v->watches_all ? UINT64_MAX : 0;
        for (const char *name = v->watched_names; *name != '\0'; name += strlen(name) + 1) {
            int at = hub_find(web->hub, name);
            v->watched |= at >= 0 ? (uint64_t)1 << at : 0;
        }
        v->listened = v->listened_name[0] != '\0' ? hub_find(web->hub, v->listened_name) : -1;
        hub_replay(web->hub, v->watched & ~before, send_first, v);
        watched = watched || v->watched != 0;
        listened |= v->listened >= 0 ? (uint64_t)1 << v->listened : 0;
    }
    hub_want(web->hub, watched, listened);
}

void viewers_tick(struct web *web)
{
    int64_t now_us = monotonic_us();
    for (struct viewer *v = web->viewers; v != NULL; v = v->next)
        if (v->queue.n > 0 && now_us - v->wrote_us > stuck_us)
            lws_set_timeout(v->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
}

void viewers_dismiss(struct web *web)
{
    for (struct viewer *v = web->viewers; v != NULL; v = v->next)
        lws_set_timeout(v->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
}

/* Its page is told what it may do before anything else. */
static void greet(struct web *web, struct viewer *v)
{
    char text[256];
    snprintf(text, sizeof text,
             "{\"topic\":\"web\",\"kind\":\"hello\",\"version\":\"%s\",\"knobs\":%s,"
             "\"history\":%s,\"password\":%s}",
             FOCALD_VERSION, web->settings->knobs ? "true" : "false",
             web->history ? "true" : "false", web->gate.password != NULL ? "true" : "false");
    struct packet *p = packet_create(PACKET_TEXT, text, 0, NULL);
    if (p != NULL)
        viewer_send(v, p);
    packet_unref(p);
    hub_greet(web->hub, send_first, v);
}

static int begin(struct web *web, struct viewer *v, struct lws *wsi)
{
    memset(v, 0, sizeof *v);
    queue_init(&v->queue);
    v->wsi = wsi;
    v->id = ++web->last_viewer_id;
    v->listened = -1;
    v->wrote_us = monotonic_us();
    v->next = web->viewers;
    web->viewers = v;
    web->n_viewers++;
    greet(web, v);
    return 0;
}

static void finish(struct web *web, struct viewer *v)
{
    struct viewer **at = &web->viewers;
    while (*at != NULL && *at != v)
        at = &(*at)->next;
    if (*at == NULL) /* it never began */
        return;
    *at = v->next;
    web->n_viewers--;
    queue_finish(&v->queue);
    viewers_update(web);
}

static int dismiss(struct viewer *v, enum lws_close_status status, const char *why)
{
    lws_close_reason(v->wsi, status, (unsigned char *)why, strlen(why));
    return -1;
}

static int receive(struct web *web, struct viewer *v, const char *in, size_t len)
{
    if (v->text_bytes + len >= sizeof v->text || lws_frame_is_binary(v->wsi)) {
        char why[64];
        snprintf(why, sizeof why, "a command is text of at most %d bytes", COMMAND_BYTES - 1);
        return dismiss(v, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, why);
    }
    memcpy(v->text + v->text_bytes, in, len);
    v->text_bytes += len;
    if (!lws_is_final_fragment(v->wsi))
        return 0;
    v->text[v->text_bytes] = '\0';
    if (!bucket_take(&v->commands, commands_rate, commands_most, monotonic_us()))
        return dismiss(v, LWS_CLOSE_STATUS_POLICY_VIOLATION, "too many commands");
    if (!viewer_command(web, v))
        return dismiss(v, LWS_CLOSE_STATUS_POLICY_VIOLATION, "no object with a \"cmd\"");
    v->text_bytes = 0;
    return 0;
}

static int write_next(struct viewer *v)
{
    int64_t now_us = monotonic_us();
    struct packet *p = queue_pop(&v->queue, now_us);
    v->wrote_us = now_us;
    if (p == NULL)
        return 0;
    int n = lws_write(v->wsi, p->data, p->bytes, LWS_WRITE_BINARY);
    bool ok = n >= (int)p->bytes;
    packet_unref(p);
    if (ok && v->queue.n > 0)
        lws_callback_on_writable(v->wsi);
    return ok ? 0 : -1;
}

int viewers_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    struct web *web = web_of(wsi);
    struct viewer *v = user;
    switch (reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        if (web_check(wsi) != GATE_OPEN) {
            lws_return_http_status(wsi, HTTP_STATUS_FORBIDDEN, "not from here");
            return 1;
        }
        if (web->n_viewers >= web->settings->max_viewers) {
            lws_return_http_status(wsi, HTTP_STATUS_SERVICE_UNAVAILABLE, "too many viewers");
            return 1;
        }
        return 0;
    case LWS_CALLBACK_ESTABLISHED:
        return begin(web, v, wsi);
    case LWS_CALLBACK_RECEIVE:
        return receive(web, v, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return write_next(v);
    case LWS_CALLBACK_CLOSED:
        finish(web, v);
        return 0;
    default:
        return 0;
    }
}
