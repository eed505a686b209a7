/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

bool endpoint_is_loopback(const char *tcp)
{
    char host[256];
    if (strncmp(tcp, "tcp://", 6) != 0)
        return false;
    const char *start = tcp + 6, *end = strrchr(start, ':');
    if (end == NULL)
        return false;
    if (end - start >= 2 && *start == '[' && end[-1] == ']') {
        start++;
        end--;
    }
    size_t n = (size_t)(end - start);
    if (n == 0 || n >= sizeof host)
        return false;
    memcpy(host, start, n);
    host[n] = '\0';

    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    return strcmp(host, "localhost") == 0 || strcmp(host, "lo") == 0;
}

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int set_limits(void *socket, const struct endpoint_config *config)
{
    int64_t max_bytes = config->max_bytes;
    int failed = 0;
    failed |= set_int(socket, ZMQ_LINGER, 200);
    failed |= set_int(socket, ZMQ_SNDHWM, config->send_hwm);
    failed |= set_int(socket, ZMQ_RCVHWM, 1000);
    failed |= zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes);
    /* a subscriber whose machine went away is noticed in about a minute */
    failed |= set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    failed |= set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, 30);
    failed |= set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, 10);
    failed |= set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, 3);
    if (config->type == ZMQ_XPUB) /* every subscription is told, so that info answers each */
        failed |= set_int(socket, ZMQ_XPUB_VERBOSE, 1);
    return failed;
}

static int bind_ipc(void *socket, const char *path, struct error *error)
{
    char endpoint[160];
    snprintf(endpoint, sizeof endpoint, "ipc://%s", path);
    if (zmq_bind(socket, endpoint) != 0)
        return error_set(error, zmq_errno(), "%s: cannot be bound: %s", endpoint,
                         zmq_strerror(zmq_errno()));
    if (chmod(path, 0660) != 0)
        return error_set(error, errno, "%s: cannot be given its mode: %s", endpoint,
                         strerror(errno));
    return 0;
}

int endpoint_check(const char *tcp, bool has_key, struct error *error)
{
    if (strncmp(tcp, "tcp://", 6) != 0 || strrchr(tcp + 6, ':') == NULL)
        return error_set(error, EINVAL,
                         "%s: not a TCP endpoint; write tcp://ADDRESS:PORT, for example "
                         "tcp://127.0.0.1:5560",
                         tcp);
    if (!has_key && !endpoint_is_loopback(tcp))
        return error_set(error, EPERM,
                         "%s: reachable from other machines, which needs CURVE; make a key with "
                         "`focalctl keygen FILE` and name it as curve_secret_key, or listen on "
                         "tcp://127.0.0.1:PORT",
                         tcp);
    return 0;
}

static int bind_tcp(void *socket, const struct endpoint_config *config, char *ret_tcp,
                    struct error *error)
{
    const char *tcp = config->tcp;
    int r = endpoint_check(tcp, config->secret_key != NULL, error);
    if (r < 0)
        return r;
    /* an IPv4 address is bound as such, and not as one mapped into IPv6 */
    set_int(socket, ZMQ_IPV6, strspn(tcp + 6, "0123456789.") != strcspn(tcp + 6, ":"));
    if (config->secret_key != NULL) {
        /* set after the ipc bind: the ipc side stays open to whoever may enter the directory */
        if (set_int(socket, ZMQ_CURVE_SERVER, 1) != 0 ||
            zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, config->secret_key,
                           strlen(config->secret_key)) != 0 ||
            (config->ask_zap && zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "focald", 6) != 0))
            return error_set(error, zmq_errno(), "%s: CURVE cannot be set up: %s", tcp,
                             zmq_strerror(zmq_errno()));
    }
    if (zmq_bind(socket, tcp) != 0) {
        int code = zmq_errno();
        const char *why = code == ENODEV ? "this machine has no such address" : zmq_strerror(code);
        const char *mend = code == EADDRINUSE ? "; stop what uses it or choose another port" : "";
        return error_set(error, code, "%s: cannot be bound: %s%s", tcp, why, mend);
    }
    size_t size = 256;
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, ret_tcp, &size) != 0)
        ret_tcp[0] = '\0';
    return 0;
}

int endpoint_open(void **ret, void *context, const struct endpoint_config *config,
                  char ret_tcp[256], struct error *error)
{
    void *socket = zmq_socket(context, config->type);
    if (socket == NULL || set_limits(socket, config) != 0) {
        int code = error_set(error, zmq_errno(), "%s: no ZeroMQ socket: %s", config->ipc_path,
                             zmq_strerror(zmq_errno()));
        if (socket != NULL)
            zmq_close(socket);
        return code;
    }
    ret_tcp[0] = '\0';
    int code = bind_ipc(socket, config->ipc_path, error);
    if (code == 0 && config->tcp != NULL)
        code = bind_tcp(socket, config, ret_tcp, error);
    if (code != 0) {
        set_int(socket, ZMQ_LINGER, 0);
        zmq_close(socket);
        return code;
    }
    *ret = socket;
    return 0;
}
