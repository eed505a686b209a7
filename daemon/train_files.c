/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opening must not wait for the other end of a pipe. */
static int open_sound(const char *path, SNDFILE **ret, SF_INFO *info, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return error_set(error, code, "%s: cannot be opened: %s", path, strerror(code));
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(error, EINVAL, "%s: is not a file", path);
    }
    *info = (SF_INFO){0};
    *ret = sf_open_fd(fd, SFM_READ, info, SF_TRUE);
    if (*ret == NULL) /* libsndfile has closed fd */
        return error_set(error, EINVAL, "%s: is not a sound file that libsndfile can read (%s)",
                         path, sf_strerror(NULL));
    return 0;
}

int train_file_check(const char *path, int rate_hz, size_t least, struct error *error)
{
    SNDFILE *file;
    SF_INFO info;
    int r = open_sound(path, &file, &info, error);
    if (r < 0)
        return r;
    sf_close(file);
    double samples = (double)info.frames * rate_hz / info.samplerate;
    if (samples < (double)least)
        return error_set(error, EINVAL,
                         "%s: has %.0f samples at %d Hz; a clip needs %zu, one frame of its "
                         "spectrogram; remove it, or --keep-going leaves it out",
                         path, samples, rate_hz, least);
    return 0;
}

int train_files_check(struct eval_data *data, int rate_hz, size_t least, bool keep_going,
                      int *ret_left_out, struct error *error)
{
    int kept = 0;
    for (int i = 0; i < data->n; i++) {
        struct eval_clip clip = data->clips[i];
        int r = train_file_check(clip.path, rate_hz, least, error);
        if (r < 0 && !keep_going)
            return r; /* data is as it was: clips before i are all kept */
        if (r < 0)
            free(clip.path);
        else
            data->clips[kept++] = clip;
    }
    *ret_left_out += data->n - kept;
    data->n = kept;
    return 0;
}

/* What a file is, whatever it is called */

struct file_id {
    dev_t device;
    ino_t inode;
    const char *path;
};

static int compare_files(const void *a, const void *b)
{
    const struct file_id *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static bool identify(const char *path, struct file_id *ret)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return false;
    *ret = (struct file_id){.device = st.st_dev, .inode = st.st_ino, .path = path};
    return true;
}

int train_files_overlap(const struct eval_data *train, const struct eval_data *valid, int n,
                        struct error *error)
{
    size_t all = 0, there = 0;
    for (int s = 0; s < n; s++)
        all += (size_t)train[s].n;
    struct file_id *files = calloc(all + 1, sizeof *files);
    if (files == NULL)
        return error_set(error, ENOMEM, "out of memory");
    for (int s = 0; s < n; s++)
        for (int i = 0; i < train[s].n; i++)
            there += identify(train[s].clips[i].path, &files[there]);
    qsort(files, there, sizeof *files, compare_files);
    int r = 0;
    for (int s = 0; s < n && r == 0; s++)
        for (int i = 0; i < valid[s].n && r == 0; i++) {
            struct file_id file;
            if (!identify(valid[s].clips[i].path, &file))
                continue;
            const struct file_id *same = bsearch(&file, files, there, sizeof *files, compare_files);
            if (same != NULL)
                r = error_set(error, EINVAL,
                              "%.200s is a training clip and, as %.200s, one that validates; give "
                              "the sets folds that share no file",
                              same->path, file.path);
        }
    free(files);
    return r;
}
