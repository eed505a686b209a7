/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "ipc/keys.h"
#include "viewers/web/archive.h"
#include "viewers/web/http.h"
#include "viewers/web/viewers.h"

enum {
    ACCEPT_AT_ONCE = 16,
    SEND_BUFFER_BYTES = 256 * 1024, /* what may lie in the kernel for a browser that is slow */
    TICK_US = 500000
};

struct server {
    struct web web;
    struct password password;
    struct stat password_file; /* as it was when it was read */
    struct asker asker;
    struct archive *archive;
    struct focal_options focald;
    char server_public[KEY_TEXT_BYTES], own_public[KEY_TEXT_BYTES], own_secret[KEY_TEXT_BYTES];
    lws_sorted_usec_list_t tick;
    bool ended;
};

static struct server *server_of(struct lws *wsi)
{
    return lws_container_of(web_of(wsi), struct server, web);
}

/* Who connects */

static void accept_one(struct web *web, int fd, const struct sockaddr *address)
{
    int send_bytes = SEND_BUFFER_BYTES;
    bool is_proxy = gate_knows_proxy(&web->gate, address);
    struct guest *guest = guests_enter(&web->guests, address, is_proxy, monotonic_us());
    if (guest == NULL) {
        close(fd);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes);
    struct lws *wsi = lws_adopt_socket_vhost(web->vhost, fd);
    if (wsi != NULL)
        lws_set_opaque_user_data(wsi, guest);
    else
        guests_leave(&web->guests, guest);
}

static int listener_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                             void *in, size_t len)
{
    if (reason != LWS_CALLBACK_RAW_RX_FILE)
        return 0;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        struct sockaddr_storage address;
        socklen_t bytes = sizeof address;
        int fd = accept4(lws_get_socket_fd(wsi), (struct sockaddr *)&address, &bytes,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            break;
        accept_one(web_of(wsi), fd, (struct sockaddr *)&address);
    }
    return 0;
}

static int open_listener(const struct settings *s, struct error *error)
{
    int family = s->address.ss_family, yes = 1, no = 0;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(error, errno, "listen = %s: %s", s->listen, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(fd, (const struct sockaddr *)&s->address, s->address_bytes) != 0 ||
        listen(fd, 128) != 0) {
        int code = errno;
        close(fd);
        return error_set(error, code, "listen = %s: %s%s", s->listen, strerror(code),
                         code == EADDRINUSE ? "; another port is free: --listen 127.0.0.1:PORT"
                                            : "");
    }
    return fd;
}

/* Signals and focald */

static int signals_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                            size_t len)
{
    if (reason == LWS_CALLBACK_RAW_RX_FILE) {
        server_of(wsi)->ended = true;
        lws_cancel_service(lws_get_context(wsi));
    }
    return 0;
}

static int focald_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                           size_t len)
{
    if (reason == LWS_CALLBACK_RAW_RX_FILE)
        hub_drain(web_of(wsi)->hub);
    return 0;
}

/* How the file is now: whether it is another than before. */
static bool password_file_changed(struct server *s)
{
    struct stat now = {0}, before = s->password_file;
    if (stat(s->web.settings->password_file, &now) != 0)
        now = (struct stat){0};
    s->password_file = now;
    return now.st_dev != before.st_dev || now.st_ino != before.st_ino ||
           now.st_ctim.tv_sec != before.st_ctim.tv_sec ||
           now.st_ctim.tv_nsec != before.st_ctim.tv_nsec;
}

/* With a new password the sessions of the old one end. */
static void refresh_password(struct server *s)
{
    struct password before = s->password;
    struct error error;
    if (s->web.gate.password == NULL || !password_file_changed(s))
        return;
    if (password_read(&s->password, s->web.settings->password_file, &error) != 0)
        fprintf(stderr, "focal-web: %s; the password before holds\n", error.text);
    else if (strcmp(s->password.hash, before.hash) != 0)
        viewers_dismiss(&s->web);
}

static void tick(lws_sorted_usec_list_t *list)
{
    struct server *s = lws_container_of(list, struct server, tick);
    hub_tick(s->web.hub);
    if (hub_streams_changed(s->web.hub))
        viewers_update(&s->web);
    viewers_tick(&s->web);
    refresh_password(s);
    sd_notify(0, "WATCHDOG=1");
    lws_sul_schedule(s->web.context, 0, &s->tick, tick, TICK_US);
}

static void wake(void *user)
{
    lws_cancel_service(((struct web *)user)->context);
}

/* Beginning and end */

static const struct lws_protocols protocols[] = {
    {"http", http_callback, sizeof(struct exchange), 0, 0, NULL, 0},
    {"focal", viewers_callback, sizeof(struct viewer), COMMAND_BYTES, 0, NULL, 0},
    {"listener", listener_callback, 0, 0, 0, NULL, 0},
    {"focald", focald_callback, 0, 0, 0, NULL, 0},
    {"signals", signals_callback, 0, 0, 0, NULL, 0},
    {0}};

static const lws_retry_bo_t alive = {.secs_since_valid_ping = 20, .secs_since_valid_hangup = 45};

static void log_line(int level, const char *line)
{
    fprintf(stderr, "focal-web: %s", line);
}

static int create_context(struct server *s, struct error *error)
{
    const struct settings *settings = s->web.settings;
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .user = &s->web,
        .vhost_name = "focal-web",
        .max_http_header_data = 8192,
        .max_http_header_pool =
            (unsigned short)(settings->max_connections < 256 ? settings->max_connections : 256),
        .keepalive_timeout = 30,
        .timeout_secs = 15,
        .retry_and_idle_policy = &alive,
        .pt_serv_buf_size = 65536,
    };
    if (settings->certificate[0] != '\0') {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = settings->certificate;
        info.ssl_private_key_filepath = settings->private_key;
        info.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
        info.alpn = "http/1.1"; /* WebSockets need it */
    }
    lws_set_log_level(LLL_ERR, log_line);
    s->web.context = lws_create_context(&info);
    if (s->web.context == NULL)
        return error_set(error, EINVAL, "libwebsockets does not start%s",
                         settings->certificate[0] != '\0'
                             ? "; do certificate and private_key belong together?"
                             : "");
    s->web.vhost = lws_get_vhost_by_name(s->web.context, "focal-web");
    return 0;
}

/* fd goes to libwebsockets, which closes it. */
static int adopt(struct server *s, int fd, const char *protocol, struct error *error)
{
    lws_sock_file_fd_type descriptor = {.filefd = fd};
    if (fd >= 0 && lws_adopt_descriptor_vhost(s->web.vhost, LWS_ADOPT_RAW_FILE_DESC, descriptor,
                                              protocol, NULL) != NULL)
        return 0;
    return error_set(error, EIO, "the event loop does not take the %s", protocol);
}

static int read_keys(struct server *s, struct error *error)
{
    const struct settings *settings = s->web.settings;
    int code = 0;
    if (settings->server_key[0] != '\0') {
        code = key_read_public(settings->server_key, s->server_public, error);
        s->focald.curve_server_public_key = s->server_public;
    }
    if (code == 0 && settings->client_key[0] != '\0') {
        code = key_read_secret(settings->client_key, s->own_secret, s->own_public, error);
        s->focald.curve_public_key = s->own_public;
        s->focald.curve_secret_key = s->own_secret;
    }
    return code;
}

static const char *said(const char *setting)
{
    return setting[0] != '\0' ? setting : NULL;
}

static int start_parts(struct server *s, struct error *error)
{
    const struct settings *settings = s->web.settings;
    int code = 0;
    if (settings->password_file[0] != '\0') {
        password_file_changed(s);
        code = password_read(&s->password, settings->password_file, error);
        s->web.gate.password = &s->password;
    }
    s->focald.data = said(settings->data);
    s->focald.control = said(settings->control);
    s->focald.name = said(settings->name);
    if (code == 0)
        code = read_keys(s, error);
    s->asker.options = s->focald;
    s->web.history = strcmp(settings->history, "none") != 0;
    if (code == 0 && s->web.history)
        code = archive_create(&s->archive, settings->history, error);
    if (code == 0)
        code = hub_create(&s->web.hub, &s->focald, viewers_deliver, &s->web, error);
    if (code == 0)
        code = create_context(s, error);
    if (code == 0)
        code = worker_create(&s->web.asker, &s->asker, wake, &s->web, error);
    if (code == 0)
        code = worker_create(&s->web.reader, s->archive, wake, &s->web, error);
    return code;
}

static void say_where(const struct settings *s, int listener)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof address;
    int port = 0;
    if (getsockname(listener, (struct sockaddr *)&address, &bytes) == 0)
        port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                   : ((struct sockaddr_in *)&address)->sin_port);
    bool is_v6 = strchr(s->host, ':') != NULL;
    printf("focal-web: %s://%s%s%s:%d\n", s->certificate[0] != '\0' ? "https" : "http",
           is_v6 ? "[" : "", s->host, is_v6 ? "]" : "", port);
    fflush(stdout);
    sd_notify(0, "READY=1");
}

static int serve(struct server *s, const sigset_t *signals, struct error *error)
{
    int listener = open_listener(s->web.settings, error);
    if (listener < 0)
        return listener;
    int focald = fcntl(hub_fd(s->web.hub), F_DUPFD_CLOEXEC, 3); /* ZeroMQ closes its own */
    int code = adopt(s, listener, "listener", error);
    if (code == 0)
        code = adopt(s, focald, "focald", error);
    if (code == 0)
        code = adopt(s, signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK), "signals", error);
    if (code != 0)
        return code;
    say_where(s->web.settings, listener);
    lws_sul_schedule(s->web.context, 0, &s->tick, tick, TICK_US);
    hub_drain(s->web.hub);
    while (!s->ended && code >= 0)
        code = lws_service(s->web.context, 0);
    sd_notify(0, "STOPPING=1");
    return s->ended ? 0 : error_set(error, EIO, "the event loop ended");
}

static void destroy(struct server *s)
{
    /* workers first: what they have finished still finds its connection */
    worker_destroy(s->web.asker);
    worker_destroy(s->web.reader);
    s->web.asker = s->web.reader = NULL;
    if (s->web.context != NULL)
        lws_context_destroy(s->web.context);
    hub_destroy(s->web.hub);
    archive_destroy(s->archive);
    focal_close(s->asker.focal);
    free(s);
}

int server_run(const struct settings *settings, struct error *error)
{
    sigset_t signals;
    struct server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ENOMEM, "out of memory");
    s->web.settings = settings;
    s->web.gate.settings = settings;
    s->web.guests.most = settings->max_connections;
    s->web.guests.most_each = settings->max_connections_each;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* threads inherit it */
    signal(SIGPIPE, SIG_IGN);
    int code = start_parts(s, error);
    if (code == 0)
        code = serve(s, &signals, error);
    destroy(s);
    return code;
}
