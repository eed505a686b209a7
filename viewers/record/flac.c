/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/flac.h"

#include <errno.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>

enum { RATE_HZ = 16000 };

static sf_count_t get_length(void *user)
{
    return (sf_count_t)((struct blob *)user)->size;
}

static sf_count_t seek(sf_count_t offset, int whence, void *user)
{
    struct blob *b = user;
    sf_count_t from = whence == SEEK_CUR   ? (sf_count_t)b->at
                      : whence == SEEK_END ? (sf_count_t)b->size
                                           : 0;
    if (from + offset < 0)
        return -1;
    b->at = (size_t)(from + offset);
    return (sf_count_t)b->at;
}

static sf_count_t read_bytes(void *data, sf_count_t count, void *user)
{
    struct blob *b = user;
    size_t left = b->at < b->size ? b->size - b->at : 0;
    size_t n = (size_t)count < left ? (size_t)count : left;
    memcpy(data, b->data + b->at, n);
    b->at += n;
    return (sf_count_t)n;
}

static sf_count_t write_bytes(const void *data, sf_count_t count, void *user)
{
    return blob_write(user, data, (size_t)count) == 0 ? count : 0;
}

static sf_count_t tell(void *user)
{
    return (sf_count_t)((struct blob *)user)->at;
}

int flac_encode(struct blob *ret, const float *samples, size_t n, int bits, const char *title,
                struct error *error)
{
    SF_VIRTUAL_IO io = {get_length, seek, read_bytes, write_bytes, tell};
    SF_INFO info = {.samplerate = RATE_HZ,
                    .channels = 1,
                    .format = SF_FORMAT_FLAC | (bits == 24 ? SF_FORMAT_PCM_24 : SF_FORMAT_PCM_16)};
    SNDFILE *file = sf_open_virtual(&io, SFM_WRITE, &info, ret);
    if (file == NULL)
        return error_set(error, EIO, "FLAC: %s", sf_strerror(NULL));
    sf_command(file, SFC_SET_CLIPPING, NULL, SF_TRUE);
    sf_set_string(file, SF_STR_TITLE, title);
    sf_set_string(file, SF_STR_SOFTWARE, "focal-record");
    sf_count_t written = sf_writef_float(file, samples, (sf_count_t)n);
    int closed = sf_close(file);
    if (written != (sf_count_t)n || closed != 0)
        return error_set(error, EIO, "FLAC: %s",
                         closed != 0 ? sf_error_number(closed) : "out of memory");
    return 0;
}

int flac_check(const char *path, size_t n, struct error *error)
{
    SF_INFO info = {.format = 0};
    float block[4096];
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (file == NULL)
        return error_set(error, EIO, "%s: %s", path, sf_strerror(NULL));
    size_t total = 0;
    for (sf_count_t m; (m = sf_readf_float(file, block, 4096)) > 0;)
        total += (size_t)m;
    int bad = sf_error(file);
    sf_close(file);
    if (bad != 0)
        return error_set(error, EIO, "%s: %s", path, sf_error_number(bad));
    if (info.channels != 1 || info.samplerate != RATE_HZ || total != n)
        return error_set(error, EIO, "%s: holds %zu samples of %d channels at %d Hz, not %zu", path,
                         total, info.channels, info.samplerate, n);
    return 0;
}
