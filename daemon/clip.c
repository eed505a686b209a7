/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/clip.h"

#include <errno.h>
#include <fcntl.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "dsp/sample.h"

enum { BLOCK_FRAMES = 4096 };

struct reader {
    SNDFILE *file;
    SF_INFO info;
    struct resampler *resampler;
    float *block; /* [BLOCK_FRAMES][channels] */
    float *pcm;   /* [resampler_out_max] */
    size_t capacity;
};

static int open_file(struct reader *r, const char *path, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return error_set(error, code, "%s: cannot be opened: %s", path, strerror(code));
    }
    if (S_ISDIR(st.st_mode)) {
        close(fd);
        return error_set(error, EISDIR, "%s: is a directory; name the sound files in it", path);
    }
    r->file = sf_open_fd(fd, SFM_READ, &r->info, SF_TRUE);
    if (r->file == NULL) /* libsndfile has closed fd */
        return error_set(error, EINVAL, "%s: is not a sound file that libsndfile can read (%s)",
                         path, sf_strerror(NULL));
    return 0;
}

/* *rate_hz 0 becomes the file's. */
static int open_reader(struct reader *r, const char *path, int *rate_hz,
                       enum resampler_quality quality, struct error *error)
{
    int code = open_file(r, path, error);
    if (code < 0)
        return code;
    if (*rate_hz == 0)
        *rate_hz = r->info.samplerate;
    code = resampler_create(&r->resampler, r->info.samplerate, r->info.channels, *rate_hz, quality,
                            BLOCK_FRAMES, error);
    if (code < 0)
        return error_prefix(error, code, "%s", path);
    r->block = memory_zeroed(BLOCK_FRAMES * (size_t)r->info.channels, sizeof(float));
    r->pcm = memory_zeroed(resampler_out_max(r->resampler), sizeof(float));
    if (r->block == NULL || r->pcm == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", path);
    return 0;
}

static void close_reader(struct reader *r)
{
    if (r->file != NULL)
        sf_close(r->file);
    resampler_destroy(r->resampler);
    free(r->block);
    free(r->pcm);
}

/* Appends r->pcm: [n]. The room grows with what is really there: a header may promise anything. */
static int append(struct reader *r, struct clip *clip, size_t n)
{
    if (n == 0)
        return 0;
    if (clip->n + n > r->capacity) {
        size_t capacity = 2 * r->capacity + n;
        float *samples = realloc(clip->samples, capacity * sizeof *samples);
        if (samples == NULL)
            return -ENOMEM;
        clip->samples = samples;
        r->capacity = capacity;
    }
    memcpy(clip->samples + clip->n, r->pcm, n * sizeof(float));
    clip->n += n;
    return 0;
}

static uint64_t count_bad(const float *x, size_t n)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < n; i++)
        bad += sample_is_bad(x[i]);
    return bad;
}

static int read_all(struct reader *r, struct clip *clip, const char *path, struct error *error)
{
    sf_count_t got;
    while ((got = sf_readf_float(r->file, r->block, BLOCK_FRAMES)) > 0) {
        clip->bad += count_bad(r->block, (size_t)got * (size_t)r->info.channels);
        clip->file_frames += (uint64_t)got;
        ssize_t n = resampler_push(r->resampler, r->block, (size_t)got, r->pcm);
        if (n < 0)
            return error_set(error, EIO, "%s: resampling from %d Hz failed", path,
                             r->info.samplerate);
        if (append(r, clip, (size_t)n) < 0)
            return error_set(error, ENOMEM, "%s: out of memory after %zu s", path,
                             clip->n / (size_t)clip->rate_hz);
        if (clip->n / (size_t)clip->rate_hz >= CLIP_MAX_S)
            return error_set(error, EFBIG,
                             "%s: longer than %d hours; cut it, or hear it through "
                             "`focald run --source file:...`",
                             path, CLIP_MAX_S / 3600);
    }
    if (sf_error(r->file) != SF_ERR_NO_ERROR)
        return error_set(error, EINVAL, "%s: damaged after %llu frames (%s)", path,
                         (unsigned long long)clip->file_frames, sf_strerror(r->file));
    if (clip->file_frames == 0)
        return error_set(error, EINVAL, "%s: has no audio frames, nothing to classify", path);
    ssize_t n = resampler_flush(r->resampler, r->pcm);
    if (n < 0 || append(r, clip, (size_t)n) < 0)
        return error_set(error, ENOMEM, "%s: out of memory", path);
    if (clip->n == 0)
        return error_set(error, EINVAL, "%s: %llu frame(s) at %d Hz are less than one at %d Hz",
                         path, (unsigned long long)clip->file_frames, r->info.samplerate,
                         clip->rate_hz);
    return 0;
}

int clip_read(struct clip *ret, const char *path, int rate_hz, enum resampler_quality quality,
              struct error *error)
{
    struct reader r = {0};
    struct clip clip = {.rate_hz = rate_hz};
    int code = open_reader(&r, path, &clip.rate_hz, quality, error);
    if (code == 0) {
        clip.file_rate_hz = r.info.samplerate;
        clip.file_channels = r.info.channels;
        code = read_all(&r, &clip, path, error);
    }
    close_reader(&r);
    if (code < 0) {
        clip_finish(&clip);
        return code;
    }
    *ret = clip;
    return 0;
}

void clip_finish(struct clip *clip)
{
    free(clip->samples);
    clip->samples = NULL;
    clip->n = 0;
}
