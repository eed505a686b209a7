/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/settings_check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewers/web/guests.h"

static bool parse_address(const char *text, int port, struct sockaddr_storage *ret,
                          socklen_t *ret_bytes)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *ret_bytes = sizeof *v4;
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *ret_bytes = sizeof *v6;
        return true;
    }
    return false;
}

static int check_listen(struct settings *s, struct error *error)
{
    char text[SETTING_BYTES];
    strcpy(text, s->listen);
    char *colon = strrchr(text, ':'), *end, *host = text;
    if (colon == NULL)
        goto bad;
    *colon = '\0';
    errno = 0;
    long port = strtol(colon + 1, &end, 10);
    if (end == colon + 1 || *end != '\0' || errno != 0 || port < 0 || port > 65535)
        goto bad;
    if (host[0] == '[' && strlen(host) > 2 && host[strlen(host) - 1] == ']') {
        host[strlen(host) - 1] = '\0';
        host++;
    } else if (strchr(host, ':') != NULL)
        goto bad;
    if (strcmp(host, "localhost") == 0)
        strcpy(host, "127.0.0.1");
    if (strcmp(host, "*") == 0)
        strcpy(host, "::");
    if (strlen(host) >= sizeof s->host ||
        !parse_address(host, (int)port, &s->address, &s->address_bytes))
        goto bad;
    strcpy(s->host, host);
    s->is_loopback = address_is_loopback((struct sockaddr *)&s->address);
    return 0;
bad:
    return error_set(error, EINVAL,
                     "listen = %s: must be ADDRESS:PORT with an address in numbers, as in "
                     "127.0.0.1:8080, [::1]:8080 or *:8443",
                     s->listen);
}

static int check_proxies(struct settings *s, struct error *error)
{
    char text[SETTING_BYTES], *save;
    socklen_t bytes;
    strcpy(text, s->trusted_proxy);
    for (char *word = strtok_r(text, ", \t", &save); word != NULL;
         word = strtok_r(NULL, ", \t", &save)) {
        if (s->n_proxies == SETTINGS_LIST)
            return error_set(error, EINVAL, "trusted_proxy: more than %d addresses", SETTINGS_LIST);
        if (!parse_address(word, 0, &s->proxies[s->n_proxies], &bytes))
            return error_set(error, EINVAL,
                             "trusted_proxy = %s: must be addresses in numbers, as in 10.0.0.2",
                             word);
        s->n_proxies++;
    }
    return 0;
}

static bool is_origin(const char *text)
{
    const char *host = NULL;
    if (strncmp(text, "http://", 7) == 0)
        host = text + 7;
    else if (strncmp(text, "https://", 8) == 0)
        host = text + 8;
    return host != NULL && host[0] != '\0' && strpbrk(host, "/?#@* ") == NULL;
}

static int check_origins(struct settings *s, struct error *error)
{
    char *save;
    strcpy(s->origin_text, s->origins);
    for (char *word = strtok_r(s->origin_text, ", \t", &save); word != NULL;
         word = strtok_r(NULL, ", \t", &save)) {
        if (s->n_origins == SETTINGS_LIST)
            return error_set(error, EINVAL, "origins: more than %d", SETTINGS_LIST);
        if (!is_origin(word))
            return error_set(error, EINVAL,
                             "origins = %s: must be SCHEME://HOST[:PORT] without a path, as in "
                             "https://home.example",
                             word);
        s->origin_list[s->n_origins++] = word;
    }
    return 0;
}

static int check_readable(const char *key, const char *path, struct error *error)
{
    if (path[0] != '\0' && access(path, R_OK) != 0)
        return error_set(error, errno, "%s = %s: %s", key, path, strerror(errno));
    return 0;
}

static int check_exposure(const struct settings *s, struct error *error)
{
    bool tls = s->certificate[0] != '\0', password = s->password_file[0] != '\0';
    if (tls != (s->private_key[0] != '\0'))
        return error_set(error, EINVAL, "TLS needs both: certificate and private_key");
    if (s->n_proxies > 0 && s->n_origins == 0)
        return error_set(error, EINVAL,
                         "trusted_proxy needs origins: the address that browsers see, as in "
                         "origins = https://home.example");
    if (s->is_loopback || s->n_proxies > 0 || (tls && password))
        return 0;
    return error_set(error, EINVAL,
                     "listen = %s: other machines could listen in; beyond 127.0.0.1 this needs "
                     "certificate, private_key and password_file, or trusted_proxy (focal-web(1))",
                     s->listen);
}

static int check_name(const char *name, struct error *error)
{
    if (strchr(name, '/') != NULL)
        return error_set(error, EINVAL, "name = %s: must be a name without /", name);
    return 0;
}

int settings_check(struct settings *settings, struct error *error)
{
    int code = check_listen(settings, error);
    if (code == 0)
        code = check_proxies(settings, error);
    if (code == 0)
        code = check_origins(settings, error);
    if (code == 0)
        code = check_exposure(settings, error);
    if (code == 0)
        code = check_name(settings->name, error);
    if (code == 0)
        code = check_readable("certificate", settings->certificate, error);
    if (code == 0)
        code = check_readable("private_key", settings->private_key, error);
    return code;
}
