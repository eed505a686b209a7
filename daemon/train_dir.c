/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/newfile.h"
#include "model/import/newdir.h"
#include "model/text_file.h"
#include "model/train/cache.h"
#include "model/weights/safetensors_write.h"

void train_dir_file(const struct train_dir *dir, const char *name, char *ret)
{
    snprintf(ret, PATH_MAX, "%s/%s", dir->path, name);
}

/* Two runs in one directory would write over each other. */
static int lock(struct train_dir *dir, struct error *error)
{
    char path[PATH_MAX];
    train_dir_file(dir, "lock", path);
    dir->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (dir->lock < 0)
        return error_set(error, errno, "%s: cannot be written: %s", path, strerror(errno));
    if (flock(dir->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    const int code = errno;
    train_dir_release(dir);
    if (code != EWOULDBLOCK)
        return error_set(error, code, "%s: cannot be locked: %s", path, strerror(code));
    return error_set(error, EBUSY,
                     "%s: another focald trains in this directory; wait for it, "
                     "or give another directory",
                     dir->path);
}

/* What is there already */

static int in_the_way(const struct train_dir *dir, const char *name, const char *what,
                      struct error *error)
{
    return error_set(error, EEXIST,
                     "%s/%s is there and no %s, which a run writes there; move it away, or give "
                     "another directory",
                     dir->path, name, what);
}

/* What a run replaces must have been a run's. */
static int check_replaced(const struct train_dir *dir, struct error *error)
{
    static const char *const models[] = {"best", "last"};
    char path[PATH_MAX];
    train_dir_file(dir, "cache", path);
    if (!cache_replaces(path))
        return in_the_way(dir, "cache", "clip cache", error);
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        train_dir_file(dir, models[i], path);
        if (!newdir_replaces(path))
            return in_the_way(dir, models[i], "model", error);
    }
    return 0;
}

/* The epoch that the state was not yet written of has a line; where there are more, it is lost. */
static int check_log(const struct train_dir *dir, struct error *error)
{
    char path[PATH_MAX], *text;
    size_t length;
    int lines = 0;
    train_dir_file(dir, "state.safetensors", path);
    if (access(path, F_OK) == 0)
        return 0;
    train_dir_file(dir, "log.jsonl", path);
    int r = text_file_read(path, &text, &length, error);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    free(text);
    if (lines <= 1)
        return 0;
    return error_set(
        error, EEXIST,
        "%s tells of %d epochs, and state.safetensors beside it, from which the run "
        "would go on, is missing; put it back, or begin a new run in another directory",
        path, lines);
}

/* text: of the new run's. */
static int check_configuration(const struct train_dir *dir, const char *text, struct error *error)
{
    char path[PATH_MAX], *found;
    size_t length;
    train_dir_file(dir, "train.conf", path);
    int r = text_file_read(path, &found, &length, error);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    const bool same = strcmp(found, text) == 0;
    free(found);
    if (same)
        return 0;
    return error_set(error, EEXIST,
                     "%s is another than this run's, which would take its place; move it away, or "
                     "give another directory",
                     path);
}

/* A new run may lie beside other files, and over what a run leaves that was stopped in its first
 * epoch: its curves come after its state. */
static int check_new(const struct train_dir *dir, const char *text, struct error *error)
{
    char path[PATH_MAX];
    train_dir_file(dir, "state.safetensors", path);
    if (access(path, F_OK) == 0)
        return error_set(error, EEXIST,
                         "%s holds a run already; go on with --resume %s, or give another "
                         "directory",
                         dir->path, dir->path);
    train_dir_file(dir, "curves.png", path);
    if (access(path, F_OK) == 0)
        return in_the_way(dir, "curves.png", "curves of this run", error);
    return check_configuration(dir, text, error);
}

static int check(const struct train_dir *dir, const char *text, struct error *error)
{
    int r = text != NULL ? check_new(dir, text, error) : 0;
    if (r == 0)
        r = check_log(dir, error);
    return r == 0 ? check_replaced(dir, error) : r;
}

/* The interface */

int train_dir_take(struct train_dir *dir, const char *text, struct error *error)
{
    char path[PATH_MAX];
    if (strlen(dir->path) > PATH_MAX - 64)
        return error_set(error, ENAMETOOLONG, "%.100s…: the path is too long", dir->path);
    if (text != NULL) {
        dir->made = mkdir(dir->path, 0777) == 0;
        if (!dir->made && errno != EEXIST)
            return error_set(error, errno, "%s: cannot be made: %s", dir->path, strerror(errno));
    }
    int r = check(dir, text, error);
    if (r == 0)
        r = lock(dir, error);
    if (r == 0) /* once more: another may have had it meanwhile */
        r = check(dir, text, error);
    if (r < 0)
        return r;
    newdir_sweep(dir->path);
    train_dir_file(dir, "state.safetensors.new", path);
    unlink(path);
    return 0;
}

void train_dir_give_up(struct train_dir *dir)
{
    char path[PATH_MAX];
    int others = 0;
    DIR *d = dir->made && dir->lock >= 0 ? opendir(dir->path) : NULL;
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        others += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
                  strcmp(e->d_name, "lock") != 0;
    closedir(d);
    if (others > 0)
        return;
    train_dir_file(dir, "lock", path);
    unlink(path);
    rmdir(dir->path);
}

void train_dir_release(struct train_dir *dir)
{
    if (dir->lock >= 0)
        close(dir->lock);
    dir->lock = -1;
}

int train_dir_write(const struct train_dir *dir, const char *name, const char *text,
                    struct error *error)
{
    char path[PATH_MAX];
    struct newfile file;
    train_dir_file(dir, name, path);
    int r = newfile_begin(&file, path, error);
    if (r == 0)
        r = write_fully(file.fd, path, text, strlen(text), error);
    if (r == 0)
        r = newfile_commit(&file, error);
    newfile_abandon(&file);
    return r;
}
