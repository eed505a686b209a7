/* SPDX-License-Identifier: Apache-2.0
 * Who may come in. A page of another site must not reach focal-web through its visitor's browser:
 * the Origin must be our own address, and without a password the Host must be one of our names
 * (else a name that its owner points at 127.0.0.1 would be let in). With a password, a session's
 * cookie is asked for. */
#ifndef FOCAL_WEB_GATE_H
#define FOCAL_WEB_GATE_H

#include "viewers/web/guests.h"
#include "viewers/web/password.h"
#include "viewers/web/settings.h"

struct gate {
    const struct settings *settings;
    const struct password *password; /* NULL: none is asked for */
};

/* Headers of a request; "" for what it has not. */
struct credentials {
    const char *host, *origin, *fetch_site, *cookie;
};

enum gate_verdict {
    GATE_OPEN,
    GATE_LOGIN,  /* a password is needed: only the login page is served */
    GATE_FOREIGN /* refused */
};

enum gate_verdict gate_check(const struct gate *gate, const struct guest *guest,
                             const struct credentials *credentials, int64_t now_s);
bool gate_knows_proxy(const struct gate *gate, const struct sockaddr *address);

#define SESSION_COOKIE "focal_session"

#endif
