/* SPDX-License-Identifier: Apache-2.0
 * What the parts of focal-web that libwebsockets calls share. All of it belongs to the event loop's
 * thread. */
#ifndef FOCAL_WEB_WEB_H
#define FOCAL_WEB_WEB_H

#include <libwebsockets.h>

#include "viewers/web/gate.h"
#include "viewers/web/guests.h"
#include "viewers/web/hub.h"
#include "viewers/web/settings.h"
#include "viewers/web/worker.h"

struct viewer;

/* What the thread that asks focald has. It asks the daemon that the hub heard when the question
 * came: what turns its knobs shows what it hears, also while a daemon is started anew. */
struct asker {
    struct focal_options options;
    struct focal *focal; /* of options.data; NULL before the first question */
    char where[512];
};

struct web {
    const struct settings *settings;
    struct gate gate;
    struct guests guests;
    struct hub *hub;
    struct worker *asker;  /* asks focald; its tools: struct asker */
    struct worker *reader; /* reads the history and checks passwords; its tools: struct archive */
    bool history;
    struct bucket logins; /* of all addresses together */

    struct lws_context *context;
    struct lws_vhost *vhost;
    struct viewer *viewers;
    int n_viewers;
    uint64_t last_viewer_id;
};

static inline struct web *web_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/* Who is at the other end: noted when the connection was accepted. */
static inline struct guest *guest_of(struct lws *wsi)
{
    return lws_get_opaque_user_data(wsi);
}

/* The headers of a request that the gate looks at, and what it says. */
enum gate_verdict web_check(struct lws *wsi);

#endif
