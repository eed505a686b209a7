/* SPDX-License-Identifier: Apache-2.0 */
#include "model/import/newdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

/* Checks */

/* True when the directory `inner` is `outer` or lies in it; both as realpath gives them. */
static bool lies_in(const char *inner, const char *outer)
{
    size_t n = strlen(outer);
    return strcmp(outer, "/") == 0 ||
           (strncmp(inner, outer, n) == 0 && (inner[n] == '/' || inner[n] == '\0'));
}

/* Empty, or a model and nothing but files beside it. */
static bool is_model(const char *path)
{
    bool flat = true, empty = true, weights = false, config = false;
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        empty = false;
        weights = weights || strcmp(e->d_name, "model.safetensors") == 0;
        config = config || strcmp(e->d_name, "config.json") == 0;
        flat = flat && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               !S_ISDIR(st.st_mode);
    }
    if (d == NULL)
        return false;
    closedir(d);
    return empty || (flat && weights && config);
}

static int check_replaceable(const char *path, bool replace, struct error *error)
{
    struct stat st;
    if (lstat(path, &st) < 0 && errno == ENOENT)
        return 0;
    if (lstat(path, &st) < 0)
        return error_set(error, errno, "%s: cannot be written: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return error_set(error, ENOTDIR, "%s is there and no directory; give another name", path);
    if (!replace)
        return error_set(error, EEXIST,
                         "%s is there already; give another name, or --force to replace it", path);
    if (!is_model(path))
        return error_set(error, EEXIST,
                         "%s holds other things than a model, which --force does not replace; give "
                         "another name",
                         path);
    return 0;
}

static int check_apart(const char *path, const char *parent, const char *source,
                       struct error *error)
{
    struct stat st;
    char *from = realpath(source, NULL), *above = realpath(parent, NULL),
         *to = realpath(path, NULL); /* NULL when it is not there yet */
    int r = 0;
    bool dir = stat(source, &st) == 0 && S_ISDIR(st.st_mode);
    if (from != NULL && above != NULL && dir && lies_in(above, from))
        r = error_set(error, EINVAL, "%s lies in %s, which is read; give a place outside of it",
                      path, source);
    else if (from != NULL && to != NULL && lies_in(from, to))
        r = error_set(error, EINVAL, "%s holds %s, which is read; give another place", path,
                      source);
    free(from);
    free(above);
    free(to);
    return r;
}

/* Removing */

/* The directory and the files in it; one that holds directories stays. */
static void remove_flat(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d != NULL)
        closedir(d);
    rmdir(path);
}

void newdir_sweep(const char *parent)
{
    char path[PATH_MAX + 256];
    DIR *d = opendir(parent);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        if (strncmp(e->d_name, ".focald-", 8) == 0) {
            snprintf(path, sizeof path, "%s/%s", parent, e->d_name);
            if (unlink(path) < 0)
                remove_flat(path);
        }
    if (d != NULL)
        closedir(d);
}

/* The interface */

bool newdir_replaces(const char *path)
{
    struct stat st;
    return lstat(path, &st) < 0 ? errno == ENOENT : S_ISDIR(st.st_mode) && is_model(path);
}

/* Without slashes at its end, and what it lies in; both: [PATH_MAX]. */
static int split(const char *path, char *ret_path, char *ret_parent, struct error *error)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n == 0 || n + 16 >= PATH_MAX)
        return error_set(error, EINVAL, "the new directory's name is empty or too long");
    snprintf(ret_path, PATH_MAX, "%.*s", (int)n, path);
    const char *slash = strrchr(ret_path, '/');
    int above = slash == NULL || slash == ret_path ? 1 : (int)(slash - ret_path);
    snprintf(ret_parent, PATH_MAX, "%.*s", above, slash != NULL ? ret_path : ".");
    return 0;
}

int newdir_apart(const char *path, const char *source, struct error *error)
{
    char plain[PATH_MAX], parent[PATH_MAX];
    int r = split(path, plain, parent, error);
    return r == 0 ? check_apart(plain, parent, source, error) : r;
}

int newdir_begin(struct newdir *ret, const char *path, const char *source, bool replace,
                 struct error *error)
{
    char parent[PATH_MAX];
    ret->replace = replace;
    int r = split(path, ret->path, parent, error);
    if (r < 0)
        return r;
    const char *slash = strrchr(ret->path, '/'), *last = slash != NULL ? slash + 1 : ret->path;
    if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return error_set(error, EINVAL, "%s: give the name of a new directory", path);
    r = check_replaceable(ret->path, replace, error);
    if (r == 0 && source != NULL)
        r = check_apart(ret->path, parent, source, error);
    if (r < 0)
        return r;
    snprintf(ret->temporary, sizeof ret->temporary, "%.*s/.focald-XXXXXX", PATH_MAX - 20, parent);
    if (mkdtemp(ret->temporary) == NULL)
        return error_set(error, errno, "%s: cannot be made: %s", ret->path, strerror(errno));
    return 0;
}

/* mkdtemp makes it for its owner only; what people ask for gets the usual permissions. */
static int allow_as_usual(const char *path)
{
    mode_t mask = umask(0);
    umask(mask);
    return chmod(path, 0777 & ~mask);
}

static void sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* With what was there before under the temporary name afterwards, where there was something. Not
 * every file system can exchange; where it cannot, the name is free for a moment. */
static int put_in_place(const struct newdir *d, bool *ret_old)
{
    char aside[PATH_MAX + 8];
    *ret_old = false;
    if (renameat2(AT_FDCWD, d->temporary, AT_FDCWD, d->path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EEXIST && errno != EINVAL && errno != ENOSYS)
        return -1;
    if (errno == EEXIST && !d->replace)
        return -1;
    if (!d->replace)
        return access(d->path, F_OK) == 0 ? (errno = EEXIST, -1) : rename(d->temporary, d->path);
    if (renameat2(AT_FDCWD, d->temporary, AT_FDCWD, d->path, RENAME_EXCHANGE) == 0) {
        *ret_old = true;
        return 0;
    }
    if (errno == ENOENT)
        return rename(d->temporary, d->path);
    snprintf(aside, sizeof aside, "%s.old", d->temporary);
    if (rename(d->path, aside) < 0)
        return -1;
    if (rename(d->temporary, d->path) < 0) {
        int code = errno;
        rename(aside, d->path);
        errno = code;
        return -1;
    }
    *ret_old = rename(aside, d->temporary) == 0;
    return 0;
}

static int commit(const struct newdir *d, struct error *error)
{
    char parent[PATH_MAX];
    bool old = false;
    sync_directory(d->temporary);
    if (allow_as_usual(d->temporary) < 0 || put_in_place(d, &old) < 0)
        return error_set(error, errno, "%s: cannot be written: %s", d->path, strerror(errno));
    if (old)
        remove_flat(d->temporary);
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(d->temporary, '/') + 1 - d->temporary),
             d->temporary);
    sync_directory(parent);
    return 0;
}

/* People are told the name they gave. */
static void name_path(const struct newdir *d, struct error *error)
{
    struct error named = *error;
    const char *at = strstr(named.text, d->temporary);
    if (at != NULL)
        error_set(error, EIO, "%.*s%s%s", (int)(at - named.text), named.text, d->path,
                  at + strlen(d->temporary));
}

int newdir_end(const struct newdir *d, int r, struct error *error)
{
    if (r < 0)
        name_path(d, error);
    else
        r = commit(d, error);
    if (r < 0)
        remove_flat(d->temporary);
    return r;
}
