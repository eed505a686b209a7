/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char *const socket_names[] = {"data", "control"};

static void path_in(const struct directory *d, const char *name, char *ret, size_t size)
{
    snprintf(ret, size, "%s/%s", d->path, name);
}

static int make(struct directory *d, struct error *error)
{
    if (mkdir(d->path, 0750) == 0) {
        d->made = true;
        return 0;
    }
    int code = errno;
    struct stat st;
    if (stat(d->path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return 0;
        return error_set(error, ENOTDIR,
                         "ipc directory %s: is not a directory; move it away or choose another",
                         d->path);
    }
    return error_set(error, code,
                     "ipc directory %s: cannot be made: %s; make it, or choose one in a directory "
                     "that this user may write",
                     d->path, strerror(code));
}

static int busy(const struct directory *d, int fd, struct error *error)
{
    char pid[24] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? n : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    return error_set(error, EADDRINUSE,
                     "ipc directory %s: in use by another focald%s%s; stop that one, or give this "
                     "one another ipc name",
                     d->path, pid[0] != '\0' ? ", process " : "", pid);
}

/* Takes the lock. The file may be removed by its last owner between open and flock, so the locked
 * file must still be the one that has the name. */
static int take_lock(struct directory *d, struct error *error)
{
    char path[DIRECTORY_PATH_MAX + 16];
    path_in(d, "lock", path, sizeof path);
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (fd < 0)
            return error_set(error, errno,
                             "ipc directory %s: cannot write in it: %s; give it to this user, or "
                             "choose another",
                             d->path, strerror(errno));
        int code = 0;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0)
            code = errno == EWOULDBLOCK
                       ? busy(d, fd, error)
                       : error_set(error, errno, "%s: cannot be locked: %s", path, strerror(errno));
        if (code != 0) {
            close(fd);
            return code;
        }
        struct stat held, named;
        if (fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino &&
            held.st_dev == named.st_dev) {
            char pid[24];
            int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
            if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
                code =
                    error_set(error, ENOSPC, "%s: cannot be written; free some space there", path);
                close(fd);
                return code;
            }
            d->lock_fd = fd;
            return 0;
        }
        close(fd);
    }
}

/* A path may be bound when nothing is there or a socket that nobody listens on. */
static int check_free(const struct directory *d, const char *name, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    path_in(d, name, address.sun_path, sizeof address.sun_path);
    struct stat st;
    if (lstat(address.sun_path, &st) != 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return error_set(error, EEXIST, "%s: is there and not a socket; move it away",
                         address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(error, errno, "%s: %s", address.sun_path, strerror(errno));
    int code = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    close(fd);
    if (code == 0 || code == EAGAIN)
        return error_set(error, EADDRINUSE,
                         "%s: another program listens there; stop it, or give this daemon another "
                         "ipc name",
                         address.sun_path);
    return 0;
}

int directory_hold(struct directory *d, const char *path, struct error *error)
{
    d->lock_fd = -1;
    d->made = false;
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n == 0)
        return error_set(error, EINVAL, "ipc directory: empty; name one, such as /run/focald");
    if (n + strlen("/control") > DIRECTORY_PATH_MAX)
        return error_set(error, ENAMETOOLONG,
                         "ipc directory %s: longer than %zu characters, which a socket's path does "
                         "not hold; choose a shorter one",
                         path, DIRECTORY_PATH_MAX - strlen("/control"));
    memcpy(d->path, path, n);
    d->path[n] = '\0';

    int code = make(d, error);
    if (code == 0)
        code = take_lock(d, error);
    for (size_t i = 0; code == 0 && i < sizeof socket_names / sizeof *socket_names; i++)
        code = check_free(d, socket_names[i], error);
    if (code != 0 && d->lock_fd >= 0) {
        /* what is there is not ours: only the lock goes */
        char lock[DIRECTORY_PATH_MAX + 16];
        path_in(d, "lock", lock, sizeof lock);
        unlink(lock);
        close(d->lock_fd);
        d->lock_fd = -1;
    }
    return code;
}

void directory_release(struct directory *d)
{
    if (d->lock_fd < 0)
        return;
    char path[DIRECTORY_PATH_MAX + 16];
    for (size_t i = 0; i < sizeof socket_names / sizeof *socket_names; i++) {
        path_in(d, socket_names[i], path, sizeof path);
        unlink(path);
    }
    path_in(d, "lock", path, sizeof path);
    unlink(path);
    if (d->made)
        rmdir(d->path);
    close(d->lock_fd);
    d->lock_fd = -1;
}
