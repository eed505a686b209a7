/* SPDX-License-Identifier: Apache-2.0 */
#include "base/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int newfile_begin(struct newfile *ret, const char *path, struct error *error)
{
    ret->fd = -1;
    const char *slash = strrchr(path, '/');
    int dir = slash != NULL ? (int)(slash + 1 - path) : 0;
    int n = snprintf(ret->path, sizeof ret->path, "%s", path);
    int m = snprintf(ret->temporary, sizeof ret->temporary, "%.*s.focald-XXXXXX", dir, path);
    if (n < 0 || (size_t)n >= sizeof ret->path || m < 0 || (size_t)m >= sizeof ret->temporary)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long", path);
    ret->fd = mkostemp(ret->temporary, O_CLOEXEC);
    if (ret->fd < 0)
        return error_set(error, errno, "%s: cannot be written: %s", path, strerror(errno));
    return 0;
}

/* mkostemp makes files for their owner only; what people ask for gets the usual permissions. */
static int allow_as_usual(int fd)
{
    mode_t mask = umask(0);
    umask(mask);
    return fchmod(fd, 0666 & ~mask);
}

int newfile_commit(struct newfile *file, struct error *error)
{
    int r = allow_as_usual(file->fd);
    int closed = close(file->fd); /* network file systems tell of a full disk here */
    file->fd = -1;
    if (r < 0 || closed < 0 || rename(file->temporary, file->path) < 0) {
        int code = errno;
        unlink(file->temporary);
        return error_set(error, code, "%s: cannot be written: %s", file->path, strerror(code));
    }
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
