/* SPDX-License-Identifier: Apache-2.0
 * Audio files as if they were live: one file, or all of a directory by name; once or in a loop;
 * paced as live, or as fast as the pipeline takes them. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/sources/common.h"
#include "daemon/timeline.h"
#include "dsp/resampler.h"

static const int64_t retry_ns = 1000 * 1000 * 1000; /* for files that are away */

enum { BLOCKS_PER_SECOND = 100, FAST_BLOCK_FRAMES = 4096 };

struct played {
    char *path;
    bool told;   /* that it plays, in a round before */
    bool failed; /* in the round before */
};

struct file_source {
    struct source_common common;
    pthread_t thread;
    bool started, loop, fast;
    bool away; /* what played has gone: nothing of the last round could be played */
    struct played *files;
    int n_files;
    size_t ring_bytes; /* of the empty ring */
    int64_t next_ns;   /* when the next block is due (paced) */
    float *block;      /* [block_frames][channels] */
};

/* Which files */

static int add_path(struct file_source *f, const char *path, struct error *error)
{
    struct played *files = realloc(f->files, ((size_t)f->n_files + 1) * sizeof *files);
    char *copy = strdup(path);
    if (files != NULL)
        f->files = files;
    if (files == NULL || copy == NULL) {
        free(copy);
        return error_set(error, ENOMEM, "source file: out of memory");
    }
    f->files[f->n_files++] = (struct played){.path = copy};
    return 0;
}

static bool is_audio(const char *path)
{
    SF_INFO info = {0};
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (file != NULL)
        sf_close(file);
    return file != NULL;
}

static int add_directory(struct file_source *f, const char *dir, struct error *error)
{
    struct dirent **entries;
    char path[4096];
    int r = 0, n = scandir(dir, &entries, NULL, alphasort);
    if (n < 0)
        return error_set(error, errno, "source file: %s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        struct stat st;
        const char *slash = dir[strlen(dir) - 1] == '/' ? "" : "/";
        snprintf(path, sizeof path, "%s%s%s", dir, slash, entries[i]->d_name);
        if (r == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode) && is_audio(path))
            r = add_path(f, path, error);
        free(entries[i]);
    }
    free(entries);
    if (r == 0 && f->n_files == 0)
        r = error_set(error, ENOENT, "source file: no audio file in the directory %s", dir);
    return r;
}

/* A file that can be played; NULL with the reason when it cannot. */
static SNDFILE *open_file(const char *path, SF_INFO *ret, struct error *why)
{
    struct stat st;
    *ret = (SF_INFO){0};
    if (stat(path, &st) < 0) {
        error_set(why, errno, "%s", strerror(errno));
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) { /* to open a pipe may take for ever */
        error_set(why, EINVAL,
                  "it is no regular file; what a pipe brings, stdin:RATE:CHANNELS takes");
        return NULL;
    }
    SNDFILE *file = sf_open(path, SFM_READ, ret);
    if (file == NULL) {
        error_set(why, EINVAL, "%s", sf_strerror(NULL));
    } else if (ret->samplerate < RESAMPLER_MIN_HZ || ret->samplerate > RESAMPLER_MAX_HZ ||
               ret->channels > RESAMPLER_MAX_CHANNELS) {
        error_set(why, EINVAL,
                  "it has %d Hz and %d channels; allowed: %d to %d Hz, up to %d channels",
                  ret->samplerate, ret->channels, RESAMPLER_MIN_HZ, RESAMPLER_MAX_HZ,
                  RESAMPLER_MAX_CHANNELS);
        sf_close(file);
        file = NULL;
    }
    return file;
}

static int check_file(const char *path, struct error *error)
{
    SF_INFO info;
    struct error why;
    SNDFILE *file = open_file(path, &info, &why);
    if (file == NULL)
        return error_set(error, EINVAL, "source file: %s: %s", path, why.text);
    sf_close(file);
    if (info.frames == 0)
        return error_set(error, EINVAL, "source file: %s has no frames", path);
    return 0;
}

static int find_files(struct file_source *f, const char *spec, struct error *error)
{
    struct stat st;
    if (spec[0] == '\0')
        return error_set(error, EINVAL, "source file: needs a path, as in file:clip.wav");
    if (stat(spec, &st) < 0)
        return error_set(error, errno, "source file: %s: %s", spec, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return add_directory(f, spec, error);
    int r = check_file(spec, error);
    return r < 0 ? r : add_path(f, spec, error);
}

/* Playing */

static bool write_block(struct file_source *f, uint32_t frames, const SF_INFO *info)
{
    struct source_common *c = &f->common;
    uint32_t channels = (uint32_t)info->channels, rate = (uint32_t)info->samplerate;
    int64_t t_ns = 0;
    if (f->fast) {
        if (!source_wait_room(c, frames, channels))
            return false;
    } else {
        int64_t duration = (int64_t)frames * 1000000000 / rate;
        int64_t now = monotonic_ns();
        if (now > f->next_ns + 1000000000) /* a stopped process goes on from here */
            f->next_ns = now;
        t_ns = f->next_ns;
        f->next_ns += duration;
        if (!source_sleep_until(c, f->next_ns)) /* a block is there when its last frame is */
            return false;
    }
    float *to = ring_reserve(c->ring, frames, channels);
    if (to == NULL)
        return true; /* counted as lost */
    memcpy(to, f->block, (size_t)frames * channels * sizeof(float));
    ring_commit(c->ring, frames, rate, t_ns, 0);
    return true;
}

/* The decoder has given its last frame. Returns false, and says so, when that was not the file's.
 */
static bool tell_end(struct file_source *f, const struct played *p, SNDFILE *file,
                     const SF_INFO *info, sf_count_t position)
{
    const bool length_known = info->seekable && info->frames < SF_COUNT_MAX;
    const char *reason = NULL;
    if (sf_error(file) != SF_ERR_NO_ERROR)
        reason = sf_strerror(file);
    else if (position == 0)
        reason = "it has no frames";
    else if (length_known && position < info->frames)
        reason = "it is damaged or cut short";
    if (reason == NULL)
        return true;
    if (f->away && position == 0)
        return false;
    source_set_again(&f->common, p->failed);
    source_set_state(&f->common, SOURCE_RUNNING, "%s cannot be decoded at %.2f s (frame %lld): %s",
                     p->path, (double)position / info->samplerate, (long long)position, reason);
    return false;
}

/* Returns false when stopping. *ret_frames: how many were played; *ret_ok: to the file's end. */
static bool play_file(struct file_source *f, struct played *p, int64_t *ret_frames, bool *ret_ok)
{
    struct source_common *c = &f->common;
    SF_INFO info;
    struct error why;
    SNDFILE *file = open_file(p->path, &info, &why);
    *ret_frames = 0;
    *ret_ok = false;
    if (file == NULL) {
        source_set_again(c, p->failed);
        if (!f->away)
            source_set_state(c, SOURCE_RUNNING, "%s cannot be played: %s", p->path, why.text);
        return true;
    }
    uint32_t frames = f->fast ? FAST_BLOCK_FRAMES : (uint32_t)info.samplerate / BLOCKS_PER_SECOND;
    frames = frames < 1 ? 1 : frames > FAST_BLOCK_FRAMES ? FAST_BLOCK_FRAMES : frames;
    frames = source_block_frames(f->ring_bytes, (uint32_t)info.channels, frames);
    bool going = true;
    sf_count_t position = 0, got = sf_readf_float(file, f->block, frames);
    if (got > 0) {
        source_set_format(c, (uint32_t)info.samplerate, (uint32_t)info.channels);
        source_set_again(c, p->told && !f->away);
        source_set_state(c, SOURCE_RUNNING, "playing %s", p->path);
        p->told = true;
    }
    for (; going && got > 0; got = sf_readf_float(file, f->block, frames)) {
        going = write_block(f, (uint32_t)got, &info);
        position += got;
    }
    *ret_frames = position;
    *ret_ok = going && tell_end(f, p, file, &info, position);
    sf_close(file);
    return going;
}

/* A file that is moved, or whose disk is away, may come back. Returns false when stopping. */
static bool wait_for_files(struct file_source *f)
{
    f->away = true;
    source_set_again(&f->common, false);
    source_set_state(&f->common, SOURCE_WAITING, "waiting for %s, looking again every second",
                     f->n_files == 1 ? f->files[0].path : "the files, none of which can be played");
    return source_sleep(&f->common, retry_ns);
}

static void *file_main(void *arg)
{
    struct file_source *f = arg;
    struct source_common *c = &f->common;
    bool any_ok, ever = false; /* a loop over what never plays must end */
    int64_t played;            /* frames in a round */
    f->next_ns = monotonic_ns();
    do {
        any_ok = false;
        played = 0;
        for (int i = 0; i < f->n_files; i++) {
            bool ok;
            int64_t frames;
            if (!play_file(f, &f->files[i], &frames, &ok))
                return NULL;
            f->files[i].failed = !ok;
            any_ok |= ok;
            played += frames;
        }
        ever |= played > 0;
        f->away = false;
        if (f->loop && ever && played == 0 && !wait_for_files(f))
            return NULL;
    } while (f->loop && ever);
    if (any_ok)
        source_set_state(c, SOURCE_ENDED, "%s is at its end",
                         f->n_files == 1 ? f->files[0].path : "the last file");
    else
        source_set_state(c, SOURCE_FAILED, NULL); /* the text names the file and the place */
    source_write_end(c);
    return NULL;
}

/* The table */

static void free_all(struct file_source *f)
{
    for (int i = 0; i < f->n_files; i++)
        free(f->files[i].path);
    free(f->files);
    free(f->block);
    free(f);
}

static int file_check(const struct source_config *config, struct error *error)
{
    struct file_source *f = calloc(1, sizeof *f);
    if (f == NULL)
        return error_set(error, ENOMEM, "source file: out of memory");
    int r = find_files(f, config->spec, error);
    free_all(f);
    return r;
}

static void file_stop(struct source *source)
{
    struct file_source *f = (struct file_source *)source;
    if (f == NULL)
        return;
    source_common_stop(&f->common);
    if (f->started)
        pthread_join(f->thread, NULL);
    source_common_finish(&f->common);
    free_all(f);
}

static int file_start(struct source **ret, const struct source_config *config, struct error *error)
{
    struct file_source *f = calloc(1, sizeof *f);
    if (f == NULL)
        return error_set(error, ENOMEM, "source file: out of memory");
    int r = source_common_init(&f->common, &source_file, config, error);
    f->loop = config->loop;
    f->fast = config->fast;
    f->ring_bytes = ring_writable(config->ring);
    f->block = calloc((size_t)FAST_BLOCK_FRAMES * RESAMPLER_MAX_CHANNELS, sizeof(float));
    if (r == 0 && f->block == NULL)
        r = error_set(error, ENOMEM, "source file: out of memory");
    if (r == 0)
        r = find_files(f, config->spec, error);
    if (r == 0) {
        int code = pthread_create(&f->thread, NULL, file_main, f);
        f->started = code == 0;
        if (code != 0)
            r = error_set(error, code, "source file: cannot start its thread: %s", strerror(code));
    }
    if (r < 0) {
        file_stop(&f->common.source);
        return r;
    }
    *ret = &f->common.source;
    return 0;
}

const struct source_ops source_file = {
    .name = "file",
    .help = "file:PATH      an audio file, or the audio files of a directory (--loop, --fast)",
    .check = file_check,
    .start = file_start,
    .stop = file_stop,
    .status = source_common_status,
};
