/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/place.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"

enum { RESERVE_BYTES = 1 << 20 };

static const char reserve_name[] = "reserve";

static int path_of(const struct place *p, const char *file, char ret[PLACE_PATH_BYTES])
{
    int n = snprintf(ret, PLACE_PATH_BYTES, "%s/%s", p->dir, file);
    return n >= 0 && n < PLACE_PATH_BYTES ? 0 : -ENAMETOOLONG;
}

static int incoming_of(const struct place *p, const char *file, char ret[PLACE_PATH_BYTES])
{
    const char *slash = strrchr(file, '/');
    int n =
        snprintf(ret, PLACE_PATH_BYTES, "%s/incoming/%s", p->dir, slash != NULL ? slash + 1 : file);
    return n >= 0 && n < PLACE_PATH_BYTES ? 0 : -ENAMETOOLONG;
}

static int make_directories(const char *path, struct error *error)
{
    char part[PLACE_PATH_BYTES];
    size_t n = strlen(path);
    if (n >= sizeof part)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long", path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0750) < 0 && errno != EEXIST)
            return error_set(error, errno, "%s: cannot be made: %s", part, strerror(errno));
    }
    return 0;
}

static int open_in(const struct place *p, const char *name, int flags, struct error *error)
{
    char path[PLACE_PATH_BYTES];
    if (path_of(p, name, path) < 0)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long", p->dir);
    int fd = open(path, flags | O_CLOEXEC, 0640);
    return fd >= 0 ? fd : error_set(error, errno, "%s: %s", path, strerror(errno));
}

static int begin(struct place *p, const char *dir, struct error *error)
{
    *p = (struct place){.lock_fd = -1, .commit_fd = -1};
    if ((size_t)snprintf(p->dir, sizeof p->dir, "%s", dir) >= sizeof p->dir)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long", dir);
    return 0;
}

static void empty_incoming(const struct place *p)
{
    char path[PLACE_PATH_BYTES];
    if (path_of(p, "incoming", path) < 0)
        return;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(dir), e->d_name, 0);
    if (dir != NULL)
        closedir(dir);
}

int place_hold(struct place *p, const char *dir, struct error *error)
{
    static const char *const parts[] = {"clips", "incoming"};
    char path[PLACE_PATH_BYTES];
    int code = begin(p, dir, error);
    for (size_t i = 0; i < ARRAY_LEN(parts) && code == 0; i++)
        code = path_of(p, parts[i], path) < 0
                   ? error_set(error, ENAMETOOLONG, "%s: the path is too long", dir)
                   : make_directories(path, error);
    if (code == 0) {
        p->lock_fd = open_in(p, "lock", O_RDWR | O_CREAT, error);
        code = p->lock_fd < 0 ? p->lock_fd : 0;
    }
    if (code == 0 && flock(p->lock_fd, LOCK_EX | LOCK_NB) < 0)
        code = errno == EWOULDBLOCK
                   ? error_set(error, EBUSY,
                               "%s: another recorder writes there; stop it, or give this one "
                               "another dir",
                               dir)
                   : error_set(error, errno, "%s/lock: %s", dir, strerror(errno));
    if (code == 0) {
        p->commit_fd = open_in(p, "commit", O_RDWR | O_CREAT, error);
        code = p->commit_fd < 0 ? p->commit_fd : 0;
    }
    if (code == 0)
        empty_incoming(p);
    return code;
}

int place_look(struct place *p, const char *dir, struct error *error)
{
    int code = begin(p, dir, error);
    if (code < 0)
        return code;
    p->commit_fd = open_in(p, "commit", O_RDONLY, error);
    return p->commit_fd < 0 ? p->commit_fd : 0;
}

void place_release(struct place *p)
{
    if (p->commit_fd >= 0)
        close(p->commit_fd);
    if (p->lock_fd >= 0)
        close(p->lock_fd);
    p->commit_fd = p->lock_fd = -1;
}

int place_commit_begin(struct place *p, int exclusive, struct error *error)
{
    while (flock(p->commit_fd, exclusive ? LOCK_EX : LOCK_SH) < 0)
        if (errno != EINTR)
            return error_set(error, errno, "%s/commit: %s", p->dir, strerror(errno));
    return 0;
}

void place_commit_end(struct place *p)
{
    flock(p->commit_fd, LOCK_UN);
}

/* Names */

static void plain_name(const char *text, char *ret, size_t size)
{
    size_t n = 0;
    for (; *text != '\0' && n + 1 < size; text++)
        ret[n++] = isalnum((unsigned char)*text) && (unsigned char)*text < 128 ? *text
                   : *text == '-'                                              ? '-'
                                                                               : '_';
    ret[n] = '\0';
}

static int make_day(const struct place *p, const char *stem, struct error *error)
{
    char path[PLACE_PATH_BYTES];
    if (path_of(p, stem, path) < 0)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long", p->dir);
    *strrchr(path, '/') = '\0';
    if (mkdir(path, 0750) < 0)
        return errno == EEXIST
                   ? 0
                   : error_set(error, errno, "%s: cannot be made: %s", path, strerror(errno));
    return place_settle((struct place *)p, "clips/.", error);
}

static const char *const endings[] = {".input.flac", ".audio.flac", ".thumb.png", ".png"};

static int is_free(const struct place *p, const char *stem)
{
    char file[PLACE_FILE_BYTES + 16], path[PLACE_PATH_BYTES];
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        snprintf(file, sizeof file, "%s%s", stem, endings[i]);
        if (path_of(p, file, path) < 0 || access(path, F_OK) == 0)
            return 0;
    }
    return 1;
}

int place_stem(struct place *p, int64_t t_first_ns, const char *stream, const char *label,
               uint64_t number, char ret[PLACE_FILE_BYTES], struct error *error)
{
    char day[32], clock[32], where[64], what[64];
    time_t seconds = (time_t)(t_first_ns / 1000000000);
    struct tm tm;
    if (t_first_ns < 0 || gmtime_r(&seconds, &tm) == NULL || tm.tm_year > 8000)
        return error_set(error, EINVAL, "%s: a snippet at no time that has a date", stream);
    strftime(day, sizeof day, "%Y-%m-%d", &tm);
    strftime(clock, sizeof clock, "%Y%m%dT%H%M%S", &tm);
    plain_name(stream, where, sizeof where);
    plain_name(label, what, sizeof what);
    for (int again = 0; again < 1000; again++) {
        char more[16] = "";
        if (again > 0)
            snprintf(more, sizeof more, "_%d", again);
        snprintf(ret, PLACE_FILE_BYTES, "clips/%s/%s.%03dZ_%s_%s_%llu%s", day, clock,
                 (int)(t_first_ns / 1000000 % 1000), where, what, (unsigned long long)number, more);
        if (is_free(p, ret))
            return make_day(p, ret, error);
    }
    return error_set(error, EEXIST, "%s/%s: a thousand files of that name are there", p->dir, ret);
}

int place_is_ours(const char *file)
{
    const char *name = strrchr(file, '/');
    size_t n = strlen(file);
    name = name != NULL ? name + 1 : file;
    if (strspn(name, "0123456789") != 8 || name[8] != 'T')
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        size_t m = strlen(endings[i]);
        if (n > m && strcmp(file + n - m, endings[i]) == 0)
            return 1;
    }
    return 0;
}

/* Files */

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

int place_write(struct place *p, const char *file, const void *data, size_t size,
                struct error *error)
{
    char path[PLACE_PATH_BYTES];
    if (incoming_of(p, file, path) < 0)
        return error_set(error, ENAMETOOLONG, "%s/%s: the path is too long", p->dir, file);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    int code = fd < 0 ? -errno : write_all(fd, data, size);
    if (code == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    unlink(path);
    return error_set(error, -code, "%s: cannot be written: %s", path, strerror(-code));
}

int place_flush(const struct place *p, int fd, struct error *error)
{
    int code = fsync(fd) < 0 ? errno : 0;
    if (close(fd) < 0 && code == 0)
        code = errno;
    return code == 0 ? 0
                     : error_set(error, code, "%s: cannot be written: %s", p->dir, strerror(code));
}

int place_move(struct place *p, const char *file, struct error *error)
{
    char from[PLACE_PATH_BYTES], to[PLACE_PATH_BYTES];
    if (incoming_of(p, file, from) < 0 || path_of(p, file, to) < 0)
        return error_set(error, ENAMETOOLONG, "%s/%s: the path is too long", p->dir, file);
    int moved = rename(from, to);
    if (moved < 0 && errno == ENOENT && make_day(p, file, error) == 0)
        moved = rename(from, to); /* somebody deleted the day's last file meanwhile */
    if (moved < 0)
        return error_set(error, errno, "%s: cannot be moved there: %s", to, strerror(errno));
    return 0;
}

int place_settle(struct place *p, const char *file, struct error *error)
{
    char path[PLACE_PATH_BYTES];
    if (path_of(p, file, path) < 0)
        return error_set(error, ENAMETOOLONG, "%s/%s: the path is too long", p->dir, file);
    *strrchr(path, '/') = '\0';
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), code = 0;
    if (fd < 0 || fsync(fd) < 0)
        code = error_set(error, errno, "%s: cannot be flushed: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return code;
}

void place_remove(struct place *p, const char *file)
{
    char path[PLACE_PATH_BYTES];
    if (incoming_of(p, file, path) == 0)
        unlink(path);
    if (path_of(p, file, path) < 0)
        return;
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path); /* fails while files are left, which is what we want */
}

/* Room */

void place_reserve(struct place *p)
{
    struct error ignored;
    struct stat st;
    int fd = open_in(p, reserve_name, O_WRONLY | O_CREAT, &ignored);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_size < RESERVE_BYTES &&
        posix_fallocate(fd, 0, RESERVE_BYTES) != 0)
        (void)!ftruncate(fd, 0);
    close(fd);
}

void place_relieve(struct place *p)
{
    char path[PLACE_PATH_BYTES];
    if (path_of(p, reserve_name, path) == 0)
        unlink(path);
}

int place_free(const struct place *p, uint64_t *ret, struct error *error)
{
    struct statvfs v;
    if (statvfs(p->dir, &v) < 0)
        return error_set(error, errno, "%s: %s", p->dir, strerror(errno));
    *ret = (uint64_t)v.f_bavail * v.f_frsize;
    return 0;
}

/* Walking */

static int walk_day(const struct place *p, const char *day,
                    int (*take)(void *user, const char *file, struct error *error), void *user,
                    struct error *error)
{
    char path[PLACE_PATH_BYTES], file[PLACE_FILE_BYTES + 300];
    int code = 0;
    snprintf(file, sizeof file, "clips/%s", day);
    if (path_of(p, file, path) < 0)
        return 0;
    DIR *dir = opendir(path);
    for (struct dirent *e; code == 0 && dir != NULL && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "clips/%s/%s", day, e->d_name);
        code = take(user, file, error);
    }
    if (dir != NULL)
        closedir(dir);
    return code;
}

static int no_dots(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

int place_walk(const struct place *p,
               int (*take)(void *user, const char *file, struct error *error), void *user,
               struct error *error)
{
    char path[PLACE_PATH_BYTES];
    struct dirent **days;
    if (path_of(p, "clips", path) < 0)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long", p->dir);
    int code = 0, n = scandir(path, &days, no_dots, alphasort);
    if (n < 0)
        return error_set(error, errno, "%s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (code == 0)
            code = walk_day(p, days[i]->d_name, take, user, error);
        free(days[i]);
    }
    free(days);
    return code;
}
