/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/gate.h"

#include <netinet/in.h>
#include <string.h>
#include <strings.h>

/* The host without its port; brackets of IPv6 go too. */
static void strip_port(const char *host, char ret[256])
{
    size_t n = strcspn(host, ":");
    if (host[0] == '[') {
        host++;
        n = strcspn(host, "]");
    }
    if (n > 255)
        n = 255;
    memcpy(ret, host, n);
    ret[n] = '\0';
}

static const char *host_of_origin(const char *origin)
{
    const char *at = strstr(origin, "://");
    return at != NULL ? at + 3 : "";
}

static bool host_is_listed(const struct settings *s, const char *host)
{
    for (int i = 0; i < s->n_origins; i++)
        if (strcasecmp(host_of_origin(s->origin_list[i]), host) == 0)
            return true;
    return false;
}

static bool host_is_ours(const struct settings *s, const char *host)
{
    char name[256];
    strip_port(host, name);
    return strcasecmp(name, "localhost") == 0 || strcmp(name, "127.0.0.1") == 0 ||
           strcmp(name, "::1") == 0 || strcasecmp(name, s->host) == 0 || host_is_listed(s, host);
}

static bool origin_is_ours(const struct settings *s, const struct credentials *c)
{
    if (c->origin[0] == '\0') /* no browser's cross-site request comes without one */
        return strcmp(c->fetch_site, "cross-site") != 0;
    for (int i = 0; i < s->n_origins; i++)
        if (strcasecmp(s->origin_list[i], c->origin) == 0)
            return true;
    const char *host = host_of_origin(c->origin);
    return host[0] != '\0' && strcasecmp(host, c->host) == 0;
}

static bool has_session(const struct password *password, const char *cookie, int64_t now_s)
{
    static const char name[] = SESSION_COOKIE "=";
    for (const char *at = cookie; at != NULL && *at != '\0';) {
        at += strspn(at, "; ");
        if (strncmp(at, name, sizeof name - 1) == 0) {
            char value[SESSION_TEXT_BYTES];
            size_t n = strcspn(at + sizeof name - 1, "; ");
            if (n < sizeof value) {
                memcpy(value, at + sizeof name - 1, n);
                value[n] = '\0';
                if (session_is_good(password, now_s, value))
                    return true;
            }
        }
        at = strchr(at, ';');
    }
    return false;
}

enum gate_verdict gate_check(const struct gate *gate, const struct guest *guest,
                             const struct credentials *credentials, int64_t now_s)
{
    const struct settings *s = gate->settings;
    if (!origin_is_ours(s, credentials))
        return GATE_FOREIGN;
    if (gate->password != NULL && !guest->is_proxy)
        return has_session(gate->password, credentials->cookie, now_s) ? GATE_OPEN : GATE_LOGIN;
    if (!s->is_loopback && !guest->is_proxy)
        return GATE_FOREIGN;
    return host_is_ours(s, credentials->host) ? GATE_OPEN : GATE_FOREIGN;
}

bool gate_knows_proxy(const struct gate *gate, const struct sockaddr *address)
{
    for (int i = 0; i < gate->settings->n_proxies; i++) {
        const struct sockaddr *proxy = (const struct sockaddr *)&gate->settings->proxies[i];
        if (proxy->sa_family == address->sa_family && address->sa_family == AF_INET &&
            ((const struct sockaddr_in *)proxy)->sin_addr.s_addr ==
                ((const struct sockaddr_in *)address)->sin_addr.s_addr)
            return true;
        if (address->sa_family != AF_INET6)
            continue;
        const struct in6_addr *a = &((const struct sockaddr_in6 *)address)->sin6_addr;
        if (proxy->sa_family == AF_INET6 &&
            memcmp(a, &((const struct sockaddr_in6 *)proxy)->sin6_addr, sizeof *a) == 0)
            return true;
        if (proxy->sa_family == AF_INET && IN6_IS_ADDR_V4MAPPED(a) &&
            memcmp(a->s6_addr + 12, &((const struct sockaddr_in *)proxy)->sin_addr, 4) == 0)
            return true;
    }
    return false;
}
