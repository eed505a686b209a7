/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/newfile.h"
#include "model/import/newdir.h"
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
    if (flock(dir->lock, LOCK_EX | LOCK_NB) < 0)
        return error_set(error, EBUSY,
                         "%s: another focald trains in this directory; wait for it, "
                         "or give another directory",
                         dir->path);
    return 0;
}

int train_dir_take(struct train_dir *dir, bool resume, struct error *error)
{
    char path[PATH_MAX];
    if (strlen(dir->path) > PATH_MAX - 64)
        return error_set(error, ENAMETOOLONG, "%.100s…: the path is too long", dir->path);
    if (!resume && mkdir(dir->path, 0777) < 0 && errno != EEXIST)
        return error_set(error, errno, "%s: cannot be made: %s", dir->path, strerror(errno));
    int r = lock(dir, error);
    if (r < 0)
        return r;
    newdir_sweep(dir->path);
    train_dir_file(dir, "state.safetensors.new", path);
    unlink(path);
    train_dir_file(dir, "state.safetensors", path);
    if (!resume && access(path, F_OK) == 0)
        return error_set(error, EEXIST,
                         "%s holds a run already; go on with --resume %s, or give another "
                         "directory",
                         dir->path, dir->path);
    return 0;
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
