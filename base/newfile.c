/* SPDX-License-Identifier: Apache-2.0 */
#include "base/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static int not_written(const char *path, int code, struct error *error)
{
    return error_set(error, code, "%s: cannot be written: %s", path, strerror(code));
}

static int too_long(const char *path, struct error *error)
{
    return error_set(error, ENAMETOOLONG, "%s: the path is too long", path);
}

static int keep_path(struct newfile *ret, const char *path, struct error *error)
{
    ret->fd = -1;
    int n = snprintf(ret->path, sizeof ret->path, "%s", path);
    return n < 0 || (size_t)n >= sizeof ret->path ? too_long(path, error) : 0;
}

static void make(struct newfile *file)
{
    file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

int newfile_begin(struct newfile *ret, const char *path, struct error *error)
{
    enum { ATTEMPTS = 100 };
    const char *slash = strrchr(path, '/');
    const int dir = slash != NULL ? (int)(slash + 1 - path) : 0;
    int r = keep_path(ret, path, error);
    for (int i = 0; i < ATTEMPTS && r == 0 && ret->fd < 0; i++) {
        uint32_t number;
        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
            return not_written(path, errno, error);
        int n = snprintf(ret->temporary, sizeof ret->temporary, "%.*s.focald-%08x", dir, path,
                         (unsigned)number);
        if (n < 0 || (size_t)n >= sizeof ret->temporary)
            return too_long(path, error);
        make(ret);
        if (ret->fd < 0 && errno != EEXIST)
            r = not_written(path, errno, error);
    }
    return r == 0 && ret->fd < 0 ? not_written(path, EEXIST, error) : r;
}

int newfile_begin_alone(struct newfile *ret, const char *path, struct error *error)
{
    int r = keep_path(ret, path, error);
    if (r < 0)
        return r;
    int n = snprintf(ret->temporary, sizeof ret->temporary, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof ret->temporary)
        return too_long(path, error);
    unlink(ret->temporary);
    make(ret);
    return ret->fd < 0 ? not_written(path, errno, error) : 0;
}

/* Best effort: without it a crash of the machine may bring the old file back, which is whole. */
static void sync_directory_of(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int n = slash == path   ? snprintf(dir, sizeof dir, "/")
            : slash != NULL ? snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path)
                            : snprintf(dir, sizeof dir, ".");
    int fd = n > 0 && (size_t)n < sizeof dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    (void)!fsync(fd);
    close(fd);
}

int newfile_commit(struct newfile *file, struct error *error)
{
    int code = fsync(file->fd) < 0 ? errno : 0;
    if (close(file->fd) < 0 && code == 0) /* network file systems tell of a full disk here */
        code = errno;
    file->fd = -1;
    if (code == 0 && rename(file->temporary, file->path) < 0)
        code = errno;
    if (code != 0) {
        unlink(file->temporary);
        return not_written(file->path, code, error);
    }
    sync_directory_of(file->path);
    return 0;
}

void newfile_abandon(struct newfile *file)
{
    if (file->fd < 0)
        return;
    close(file->fd);
    file->fd = -1;
    unlink(file->temporary);
}
