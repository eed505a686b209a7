/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_fingerprint.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static void hash_bytes(crypto_hash_sha256_state *h, const void *bytes, size_t n)
{
    crypto_hash_sha256_update(h, bytes, n);
}

static void hash_clip(crypto_hash_sha256_state *h, const char *path, int label)
{
    hash_bytes(h, path, strlen(path) + 1);
    hash_bytes(h, &label, sizeof label);
}

static void hash_teacher(crypto_hash_sha256_state *h, const struct train_data *d)
{
    const size_t n = (size_t)d->n;
    if (d->taught == NULL)
        return;
    hash_bytes(h, d->taught, n * sizeof *d->taught);
    hash_bytes(h, d->embeddings, n * (size_t)d->embedding_width * sizeof *d->embeddings);
    hash_bytes(h, d->scores, n * (size_t)d->scores_width * sizeof *d->scores);
}

void train_fingerprint(const char *identity, int step, const struct train_data *d,
                       const struct cache *cache, char *ret)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    uint8_t samples[CACHE_HASH_BYTES];
    crypto_hash_sha256_state h;
    crypto_hash_sha256_init(&h);
    hash_clip(&h, identity, step);
    for (int i = 0; i < d->n_classes; i++)
        hash_clip(&h, d->labels[i], i);
    for (int i = 0; i < d->n; i++)
        hash_clip(&h, d->clips[i].path, d->clips[i].label);
    for (int s = 0; s < d->n_sets; s++)
        for (int i = 0; i < d->valid[s].n; i++)
            hash_clip(&h, d->valid[s].clips[i].path, d->valid[s].clips[i].label);
    if (cache != NULL) {
        cache_hash(cache, samples);
        hash_bytes(&h, samples, sizeof samples);
        hash_teacher(&h, d);
    }
    crypto_hash_sha256_final(&h, hash);
    for (size_t i = 0; i < sizeof hash; i++)
        snprintf(ret + 2 * i, 3, "%02x", hash[i]);
}
