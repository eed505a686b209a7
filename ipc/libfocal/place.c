/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/libfocal/place.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc/libfocal/focal.h"

int place_fit(char *ret, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(ret, size, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < size)
        return 0;
    if (size > 0)
        ret[0] = '\0';
    return -ENAMETOOLONG;
}

bool place_is_there(const char *endpoint)
{
    return access(endpoint + strlen("ipc://"), F_OK) == 0;
}

/* A daemon that was killed leaves its sockets, and nobody listens. */
static bool is_stale(const char *endpoint)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool stale = false;
    if (fd >= 0 && place_fit(address.sun_path, sizeof address.sun_path, "%s", endpoint + 6) == 0)
        stale =
            connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

int place_beside(char *ret, size_t size, const char *data)
{
    const char *slash = strrchr(data, '/');
    if (strncmp(data, "ipc://", 6) != 0 || strcmp(slash, "/data") != 0)
        return place_fit(ret, size, "%s", "");
    return place_fit(ret, size, "%.*s/control", (int)(slash - data), data);
}

int place_of_user(char *ret, size_t size, const char *name, const char *socket)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime == NULL || runtime[0] == '\0')
        return place_fit(ret, size, "%s", "");
    return place_fit(ret, size, "ipc://%s/%s/%s", runtime, name, socket);
}

int focal_endpoint(char *ret, size_t size, const char *name, const char *socket)
{
    const bool data = strcmp(socket, "data") == 0;
    const char *said = getenv(data ? "FOCALD_DATA" : "FOCALD_CONTROL");
    if (size > 0)
        ret[0] = '\0';
    if (!data && strcmp(socket, "control") != 0)
        return -EINVAL;
    if (name != NULL && (name[0] == '\0' || strchr(name, '/') != NULL))
        return -EINVAL;
    if (name == NULL && said != NULL && said[0] != '\0')
        return place_fit(ret, size, "%s", said);
    const char *beside = getenv("FOCALD_DATA");
    if (name == NULL && !data && beside != NULL) {
        int code = place_beside(ret, size, beside);
        if (code < 0 || ret[0] != '\0')
            return code;
    }
    if (name == NULL)
        name = "focald";
    char users[PLACE_BYTES], systems[PLACE_BYTES];
    int code = place_of_user(users, sizeof users, name, socket);
    if (code == 0)
        code = place_fit(systems, sizeof systems, "ipc:///run/%s/%s", name, socket);
    if (code < 0 || users[0] == '\0')
        return code < 0 ? code : place_fit(ret, size, "%s", systems);
    const bool user = place_is_there(users), system = place_is_there(systems);
    if (user && (!system || !is_stale(users)))
        return place_fit(ret, size, "%s", users);
    return place_fit(ret, size, "%s", system || geteuid() == 0 ? systems : users);
}

bool place_is_gone(const char *endpoint)
{
    return !place_is_there(endpoint) || is_stale(endpoint);
}
