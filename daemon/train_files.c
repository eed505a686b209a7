/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/clip.h"
#include "daemon/stop.h"

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

static int check_length(const char *path, double frames, int file_rate_hz, int rate_hz,
                        size_t least, struct error *error)
{
    const double samples = frames * rate_hz / file_rate_hz;
    if (samples >= (double)least)
        return 0;
    return error_set(error, EINVAL,
                     "%s: has %.0f samples at %d Hz; a clip needs %zu, one frame of its "
                     "spectrogram",
                     path, samples, rate_hz, least);
}

static int check_file(const char *path, int rate_hz, size_t least, bool whole, struct error *error)
{
    SNDFILE *file;
    SF_INFO info;
    struct clip clip;
    int r = open_sound(path, &file, &info, error);
    if (r < 0)
        return r;
    sf_close(file);
    r = check_length(path, (double)info.frames, info.samplerate, rate_hz, least, error);
    if (r < 0 || !whole)
        return r;
    r = clip_read(&clip, path, 0, RESAMPLER_BEST, error);
    if (r < 0)
        return r;
    r = check_length(path, (double)clip.n, clip.rate_hz, rate_hz, least, error);
    clip_finish(&clip);
    return r;
}

int train_file_advise(int r, struct error *error)
{
    const struct error what = *error;
    return error_set(error, -r, "%.400s; remove it, or " TRAIN_KEEP_GOING " leaves it out",
                     what.text);
}

int train_file_check(const char *path, int rate_hz, size_t least, bool whole, struct error *error)
{
    int r = check_file(path, rate_hz, least, whole, error);
    return r < 0 && r != -ENOMEM ? train_file_advise(r, error) : r;
}

/* The machine's trouble, and not a clip's: with it none is left out. */
static bool is_shortage(int code)
{
    return code == -ENOMEM || code == -EMFILE || code == -ENFILE;
}

/* ret: [data->n], on all threads, since it may decode them all. */
static void check_all(const struct eval_data *data, int rate_hz, size_t least, bool whole,
                      int *ret_codes)
{
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < data->n; i++) {
        struct error ignored;
        if (stop_signal == 0)
            ret_codes[i] = train_file_check(data->clips[i].path, rate_hz, least, whole, &ignored);
    }
}

int train_files_check(struct eval_data *data, int rate_hz, size_t least, bool whole,
                      bool keep_going, int *ret_left_out, struct error *error)
{
    int *codes = calloc((size_t)data->n + 1, sizeof *codes);
    int kept = 0, r = 0;
    if (codes == NULL)
        return error_set(error, ENOMEM, "out of memory");
    check_all(data, rate_hz, least, whole, codes);
    if (stop_signal != 0)
        r = error_set(error, EINTR, "train: interrupted while the clips were read");
    for (int i = 0; i < data->n && r == 0; i++)
        if (codes[i] < 0 && (!keep_going || is_shortage(codes[i]))) /* once more, for its line */
            r = train_file_check(data->clips[i].path, rate_hz, least, whole, error);
    for (int i = 0; i < data->n && r == 0; i++)
        if (codes[i] < 0 && keep_going && !is_shortage(codes[i]))
            free(data->clips[i].path);
        else
            data->clips[kept++] = data->clips[i];
    free(codes);
    if (r < 0)
        return r; /* data is as it was */
    *ret_left_out += data->n - kept;
    data->n = kept;
    return 0;
}

int train_files_longer(const struct eval_data *data, int rate_hz, size_t samples)
{
    int longer = 0;
#pragma omp parallel for schedule(dynamic, 1) reduction(+ : longer)
    for (int i = 0; i < data->n; i++) {
        SNDFILE *file;
        SF_INFO info;
        struct error ignored;
        if (open_sound(data->clips[i].path, &file, &info, &ignored) < 0)
            continue;
        sf_close(file);
        longer += (double)info.frames * rate_hz / info.samplerate > (double)samples;
    }
    return longer;
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
