/* SPDX-License-Identifier: Apache-2.0 */
#include "base/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static int not_written(const char *path, int code, struct error *error)
{
    return error_set(error, code, "%s: cannot be written: %s", path, strerror(code));
}

static int too_long(const char *path, struct error *error)
{
    return error_set(error, ENAMETOOLONG, "%s: the path is too long", path);
}

/* In a directory where anybody may put a link, one that is neither ours nor the directory's owner's
 * is a trap (proc(5), protected_symlinks). */
static int check_link(const char *path, const char *named, struct error *error)
{
    char dir[PATH_MAX];
    struct stat link, holder;
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s.", slash != NULL ? (int)(slash + 1 - path) : 0, path);
    if (lstat(path, &link) < 0 || stat(dir, &holder) < 0)
        return not_written(named, errno, error);
    const bool anybodys = (holder.st_mode & (S_ISVTX | S_IWOTH)) == (S_ISVTX | S_IWOTH);
    if (!anybodys || link.st_uid == geteuid() || link.st_uid == holder.st_uid)
        return 0;
    return error_set(error, EACCES,
                     "%s: is a link of another user's in a directory where anybody may make one, "
                     "and is not followed; remove it, or name where it leads",
                     path);
}

/* The file that is to be replaced: links are kept, and where they lead gets the new file. */
static int follow_links(char path[PATH_MAX], const char *named, struct error *error)
{
    enum { LINKS = 40 }; /* as in the kernel */
    char link[PATH_MAX], next[2 * PATH_MAX];
    for (int i = 0; i < LINKS; i++) {
        const ssize_t n = readlink(path, link, sizeof link - 1);
        if (n < 0)
            return 0;
        link[n] = '\0';
        int r = check_link(path, named, error);
        if (r < 0)
            return r;
        const char *slash = link[0] == '/' ? NULL : strrchr(path, '/');
        snprintf(next, sizeof next, "%.*s%s", slash != NULL ? (int)(slash + 1 - path) : 0, path,
                 link);
        if (strlen(next) >= PATH_MAX)
            return too_long(named, error);
        memcpy(path, next, strlen(next) + 1);
    }
    return not_written(named, ELOOP, error);
}

/* The number in a name of a descriptor that the caller has open, or -1. Opened anew by that name, a
 * file would be written from its beginning on, over what came before. */
static int descriptor_named(const char *path)
{
    int fd = -1, length = 0;
    if (strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0)
        return STDERR_FILENO;
    if (sscanf(path, "/dev/fd/%9d%n", &fd, &length) == 1 && path[length] == '\0')
        return fd;
    if (sscanf(path, "/proc/self/fd/%9d%n", &fd, &length) == 1 && path[length] == '\0')
        return fd;
    return -1;
}

/* Opens what is no file that could be replaced: a device, a FIFO, a descriptor of the caller's.
 * Leaves ret->fd at -1 for all others. */
static int open_there(struct newfile *ret, struct error *error)
{
    struct stat st;
    const int named = descriptor_named(ret->path);
    ret->temporary[0] = '\0';
    if (named >= 0)
        ret->fd = fcntl(named, F_DUPFD_CLOEXEC, 0);
    else if (stat(ret->path, &st) < 0 || S_ISREG(st.st_mode))
        return 0;
    else
        ret->fd = open(ret->path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    return ret->fd < 0 ? not_written(ret->path, errno, error) : 0;
}

/* ret->path, and ret->fd where that is written to as it is. */
static int begin(struct newfile *ret, const char *path, struct error *error)
{
    ret->fd = -1;
    int n = snprintf(ret->path, sizeof ret->path, "%s", path);
    int r = n < 0 || (size_t)n >= sizeof ret->path ? too_long(path, error) : 0;
    if (r == 0)
        r = open_there(ret, error);
    return r == 0 && ret->fd < 0 ? follow_links(ret->path, path, error) : r;
}

/* Whom the file is for stays as it was: its owner where we may, else its group, which else loses
 * what it may. */
static void keep_owner_and_mode(const struct newfile *file)
{
    struct stat st;
    if (stat(file->path, &st) < 0)
        return;
    mode_t mode = st.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
    if (fchown(file->fd, st.st_uid, st.st_gid) < 0 && fchown(file->fd, (uid_t)-1, st.st_gid) < 0)
        mode &= ~(mode_t)S_IRWXG;
    (void)!fchmod(file->fd, mode);
}

static void make(struct newfile *file)
{
    file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd >= 0)
        keep_owner_and_mode(file);
}

int newfile_begin(struct newfile *ret, const char *path, struct error *error)
{
    enum { ATTEMPTS = 100 };
    int r = begin(ret, path, error);
    if (r < 0 || ret->fd >= 0)
        return r;
    const char *slash = strrchr(ret->path, '/');
    const int dir = slash != NULL ? (int)(slash + 1 - ret->path) : 0;
    for (int i = 0; i < ATTEMPTS && r == 0 && ret->fd < 0; i++) {
        uint32_t number;
        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
            return not_written(path, errno, error);
        int n = snprintf(ret->temporary, sizeof ret->temporary, "%.*s.focald-%08x", dir, ret->path,
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
    int r = begin(ret, path, error);
    if (r < 0 || ret->fd >= 0)
        return r;
    int n = snprintf(ret->temporary, sizeof ret->temporary, "%s.new", ret->path);
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
    const bool there = file->temporary[0] == '\0';
    /* neither a terminal nor a pipe can be synced */
    int code = !there && fsync(file->fd) < 0 ? errno : 0;
    if (close(file->fd) < 0 && code == 0) /* network file systems tell of a full disk here */
        code = errno;
    file->fd = -1;
    if (code == 0 && !there && rename(file->temporary, file->path) < 0)
        code = errno;
    if (code != 0) {
        if (!there)
            unlink(file->temporary);
        return not_written(file->path, code, error);
    }
    if (!there)
        sync_directory_of(file->path);
    return 0;
}

void newfile_abandon(struct newfile *file)
{
    if (file->fd < 0)
        return;
    close(file->fd);
    file->fd = -1;
    if (file->temporary[0] != '\0')
        unlink(file->temporary);
}
