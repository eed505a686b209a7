/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/classify_files.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/newfile.h"

int classify_out_dir(const char *dir, struct error *error)
{
    struct stat st;
    if (mkdir(dir, 0777) < 0 && errno != EEXIST)
        return error_set(error, errno, "--out %s: cannot be made: %s", dir, strerror(errno));
    if (stat(dir, &st) < 0)
        return error_set(error, errno, "--out %s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return error_set(error, ENOTDIR, "--out %s: is not a directory", dir);
    if (access(dir, W_OK | X_OK) < 0)
        return error_set(error, errno, "--out %s: cannot be written: %s", dir, strerror(errno));
    return 0;
}

/* Names */

/* Inputs by device and inode, as keys of an object: a set with quick look-up. */
static void identity(const struct stat *st, char *ret, size_t size)
{
    snprintf(ret, size, "%llx:%llx", (unsigned long long)st->st_dev,
             (unsigned long long)st->st_ino);
}

static json_t *inputs_of(char *const *files, int n)
{
    json_t *inputs = json_object();
    for (int i = 0; inputs != NULL && i < n; i++) {
        struct stat st;
        char key[64];
        if (stat(files[i], &st) < 0)
            continue;
        identity(&st, key, sizeof key);
        json_object_set_new(inputs, key, json_true());
    }
    return inputs;
}

static bool is_input(const json_t *inputs, const char *dir, const char *stem, const char *ending)
{
    char path[PATH_MAX], key[64];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s.%s", dir, stem, ending);
    if (n < 0 || (size_t)n >= sizeof path || stat(path, &st) < 0)
        return false;
    identity(&st, key, sizeof key);
    return json_object_get(inputs, key) != NULL;
}

/* The file's name without directories and its ending, or with a number when that is taken. */
static char *free_stem(const char *dir, const char *file, const json_t *inputs, json_t *taken)
{
    const char *slash = strrchr(file, '/'), *name = slash != NULL ? slash + 1 : file;
    const char *dot = strrchr(name, '.');
    int length = dot != NULL && dot != name ? (int)(dot - name) : (int)strlen(name);
    char *stem = NULL;
    for (int number = 1;; number++) {
        free(stem);
        int r = number == 1 ? asprintf(&stem, "%.*s", length, name)
                            : asprintf(&stem, "%.*s-%d", length, name, number);
        if (r < 0)
            return NULL;
        if (json_object_get(taken, stem) == NULL && !is_input(inputs, dir, stem, "wav") &&
            !is_input(inputs, dir, stem, "png"))
            break;
    }
    /* a file name may be any bytes: nocheck */
    if (json_object_set_new_nocheck(taken, stem, json_true()) < 0) {
        free(stem);
        return NULL;
    }
    return stem;
}

int classify_stems(const char *dir, char *const *files, int n, char ***ret, struct error *error)
{
    char **stems = calloc((size_t)n + 1, sizeof *stems);
    json_t *inputs = inputs_of(files, n), *taken = json_object();
    int r = stems == NULL || inputs == NULL || taken == NULL ? -ENOMEM : 0;
    for (int i = 0; i < n && r == 0; i++) {
        stems[i] = free_stem(dir, files[i], inputs, taken);
        if (stems[i] == NULL)
            r = -ENOMEM;
    }
    json_decref(inputs);
    json_decref(taken);
    if (r < 0) {
        classify_stems_free(stems, n);
        return error_set(error, ENOMEM, "classify: out of memory");
    }
    *ret = stems;
    return 0;
}

void classify_stems_free(char **stems, int n)
{
    for (int i = 0; stems != NULL && i < n; i++)
        free(stems[i]);
    free(stems);
}

/* Sound */

int classify_write_wav(const char *path, const float *samples, size_t n, int rate_hz,
                       struct error *error)
{
    struct newfile file;
    int r = newfile_begin(&file, path, error);
    if (r < 0)
        return r;
    SF_INFO info = {
        .samplerate = rate_hz, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    SNDFILE *sound = sf_open_fd(file.fd, SFM_WRITE, &info, SF_FALSE);
    bool good = sound != NULL;
    errno = 0;
    if (good) {
        /* the PEAK chunk would hold the time of day: the same clip gives the same file */
        sf_command(sound, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE);
        good = sf_writef_float(sound, samples, (sf_count_t)n) == (sf_count_t)n;
        good = sf_close(sound) == 0 && good;
    }
    if (good)
        r = newfile_commit(&file, error);
    else
        r = error_set(error, errno != 0 ? errno : EIO, "%s: cannot be written: %s", path,
                      errno != 0 ? strerror(errno) : sf_strerror(NULL));
    newfile_abandon(&file);
    return r;
}
