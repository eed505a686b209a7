/* SPDX-License-Identifier: Apache-2.0
 * Clips decoded and resampled once, in one file that every epoch and every later run maps: float32
 * as the decoder gave them, since what is heard in training must be what is heard live to the last
 * bit (int16 would add 1e-4 to the log-spectrogram where a clip is nearly silent).
 *
 * The file (numbers as the machine has them):
 *   header    magic, version, rate, count, length, hash of all that and of the table
 *   table     of each clip its place, samples, hash, and its source: path, size, time of change
 *   samples   clip after clip, each from a multiple of 64 bytes on
 *
 * It is written under another name and renamed when whole; while it is in use it must be replaced
 * by rename as well, never rewritten in place. */
#ifndef FOCALD_MODEL_TRAIN_CACHE_H
#define FOCALD_MODEL_TRAIN_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct cache;

enum { CACHE_HASH_BYTES = 16 };

/* What the clips are: sources[count], paths of their files in the order by which they are asked
 * for. The strings must live as long as the call. */
struct cache_list {
    const char *const *sources;
    size_t count;
    int rate_hz;
};

/* Decodes source i at the list's rate: *ret_samples from malloc, [*ret_n], which the cache frees.
 * Called on several threads at once, each i once. Errors, of which those to stop on request are
 * some, end the making. */
typedef int cache_decode_fn(void *context, size_t i, float **ret_samples, size_t *ret_n,
                            struct error *error);

/* Maps a cache and checks all of it: 0, or, with a line that says what is the matter,
 *   -ENOENT   there is none, or a source is not there (named)
 *   -ESTALE   it is of another list, rate or version, or a source has changed since (named)
 *   -EBADMSG  it is damaged (the clip is named where one is)
 *   else      a source or the cache cannot be read.
 * Reads every sample once, on all threads. */
int cache_open(struct cache **ret, const char *path, const struct cache_list *list,
               struct error *error);
/* Makes it anew, in place of any that is there; whole or not at all. -ENOMEM, the errno of writing
 * (a full disk) or of a source that is not there, or what decode returned first in the list's
 * order. Takes memory for 64 clips. */
int cache_make(const char *path, const struct cache_list *list, cache_decode_fn *decode,
               void *context, struct error *error);
/* Opens it, or else makes it and opens that. why: "" where it was there as it should be, and
 * otherwise why it was not (cache_open's line). */
int cache_ready(struct cache **ret, const char *path, const struct cache_list *list,
                cache_decode_fn *decode, void *context, struct error *why, struct error *error);
/* Whether it may be made there: there is nothing, or a cache, be it of other clips or damaged. */
bool cache_replaces(const char *path);
void cache_close(struct cache *cache); /* takes NULL */

/* Of all clips' samples, in order, whatever their files are called and of when they are. ret:
 * [CACHE_HASH_BYTES] */
void cache_hash(const struct cache *cache, uint8_t *ret);
/* Clip i < count: [*ret_n], aligned to 64 bytes, until cache_close. Any thread. */
const float *cache_clip(const struct cache *cache, size_t i, size_t *ret_n);

#endif
