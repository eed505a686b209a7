/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/newfile.h"
#include "model/weights/safetensors.h"
#include "model/weights/safetensors_write.h"

/* A file without a loss scale is of version 1, which knows none. */
enum { UNSCALED = 1, VERSION = 2, HASH_BYTES = 32, FINGERPRINT = 64 };

/* The file's tensors, wide types first. */
enum field {
    FIELD_VERSION,
    FIELD_OPTIMIZER_STEP,
    FIELD_EPOCH,
    FIELD_BEST_EPOCH,
    FIELD_BEST_SCORE,
    FIELD_RATE,
    FIELD_ANCHOR,
    FIELD_BAD,
    FIELD_SCALE,
    FIELD_SCALE_GOOD,
    FIELD_WEIGHTS,
    FIELD_M,
    FIELD_V,
    FIELD_AVERAGE,
    FIELD_FINGERPRINT,
    FIELD_HASH, /* of all before it */
    FIELDS
};

static const struct {
    const char *name;
    enum safetensors_dtype dtype;
    size_t cells; /* 0: one for each parameter */
} fields[FIELDS] = {
    [FIELD_VERSION] = {"version", DTYPE_I64, 1},
    [FIELD_OPTIMIZER_STEP] = {"optimizer.step", DTYPE_I64, 1},
    [FIELD_EPOCH] = {"epoch", DTYPE_I64, 1},
    [FIELD_BEST_EPOCH] = {"best.epoch", DTYPE_I64, 1},
    [FIELD_BEST_SCORE] = {"best.score", DTYPE_F64, 1},
    [FIELD_RATE] = {"schedule.rate", DTYPE_F64, 1},
    [FIELD_ANCHOR] = {"schedule.anchor", DTYPE_F64, 1},
    [FIELD_BAD] = {"schedule.bad", DTYPE_I64, 1},
    [FIELD_SCALE] = {"scale.factor", DTYPE_F64, 1},
    [FIELD_SCALE_GOOD] = {"scale.good", DTYPE_I64, 1},
    [FIELD_WEIGHTS] = {"weights", DTYPE_F32, 0},
    [FIELD_M] = {"optimizer.m", DTYPE_F32, 0},
    [FIELD_V] = {"optimizer.v", DTYPE_F32, 0},
    [FIELD_AVERAGE] = {"average", DTYPE_F32, 0},
    [FIELD_FINGERPRINT] = {"fingerprint", DTYPE_U8, FINGERPRINT},
    [FIELD_HASH] = {"hash", DTYPE_U8, HASH_BYTES},
};

/* The single numbers as the file has them. */
struct numbers {
    int64_t version, optimizer_step, epoch, best_epoch, bad, scale_good;
    double best_score, rate, anchor, scale;
};

struct content {
    const void *data[FIELDS]; /* not aligned in general */
    size_t parameters;
    bool scaled;
};

static bool has_field(const struct content *content, enum field f)
{
    return content->scaled || (f != FIELD_SCALE && f != FIELD_SCALE_GOOD);
}

static size_t count_fields(const struct content *content)
{
    size_t n = 0;
    for (enum field f = 0; f < FIELDS; f++)
        n += has_field(content, f);
    return n;
}

static size_t field_cells(enum field f, size_t parameters)
{
    return fields[f].cells > 0 ? fields[f].cells : parameters;
}

static size_t field_bytes(enum field f, size_t parameters)
{
    return field_cells(f, parameters) * dtype_size(fields[f].dtype);
}

/* Names and types are hashed as well: data under another's name is not the same state. */
static void hash_content(const struct content *content, uint8_t *ret)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
    for (enum field f = 0; f < FIELD_HASH; f++) {
        if (!has_field(content, f))
            continue;
        uint64_t head[2] = {fields[f].dtype, field_cells(f, content->parameters)};
        const unsigned char *bytes = content->data[f];
        size_t n = field_bytes(f, content->parameters);
        crypto_generichash_update(&state, (const unsigned char *)fields[f].name,
                                  strlen(fields[f].name) + 1);
        crypto_generichash_update(&state, (const unsigned char *)head, sizeof head);
        if (n > 0)
            crypto_generichash_update(&state, bytes, n);
    }
    crypto_generichash_final(&state, ret, HASH_BYTES);
}

static bool is_fingerprint(const char *text)
{
    return strnlen(text, FINGERPRINT + 1) == FINGERPRINT &&
           strspn(text, "0123456789abcdef") == FINGERPRINT;
}

/* The first that is not finite, or n. */
static size_t first_not_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return i;
    return n;
}

/* Writing */

static int check_finite(const char *path, const struct train_state *state, struct error *error)
{
    const struct {
        const char *what;
        const float *x;
    } arrays[] = {{"weight", state->weights},
                  {"first moment", state->m},
                  {"second moment", state->v},
                  {"average", state->average}};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
        size_t i = first_not_finite(arrays[k].x, state->parameters);
        if (i < state->parameters)
            return error_set(error, EDOM,
                             "%s: not written, and what was there before is kept: %s %zu of %zu is "
                             "%g after epoch %u; a lower learning rate may help",
                             path, arrays[k].what, i, state->parameters, (double)arrays[k].x[i],
                             (unsigned)state->epoch);
    }
    return 0;
}

static int read_field(void *context, size_t i, void *ret, size_t size, struct error *error)
{
    const struct content *content = context;
    enum field f = 0;
    (void)error;
    for (size_t before = 0; before < i || !has_field(content, f); f++)
        before += has_field(content, f);
    memcpy(ret, content->data[f], size);
    return 0;
}

static int write_content(int fd, const char *path, struct content *content, struct error *error)
{
    struct safetensors_entry entries[FIELDS];
    size_t n = 0;
    for (enum field f = 0; f < FIELDS; f++)
        if (has_field(content, f))
            entries[n++] =
                (struct safetensors_entry){.name = fields[f].name,
                                           .dtype = fields[f].dtype,
                                           .rank = 1,
                                           .shape = {(int64_t)field_cells(f, content->parameters)}};
    return safetensors_write(fd, path, entries, n, read_field, content, error);
}

static int replace_file(const char *path, struct content *content, struct error *error)
{
    struct newfile file;
    int r = newfile_begin_alone(&file, path, error);
    if (r == 0)
        r = write_content(file.fd, path, content, error);
    if (r == 0)
        r = newfile_commit(&file, error);
    newfile_abandon(&file);
    return r;
}

int train_state_write(const char *path, const struct train_state *state, struct error *error)
{
    uint8_t hash[HASH_BYTES];
    if (!is_fingerprint(state->fingerprint))
        return error_set(error, EINVAL, "%s: the run's fingerprint is not a SHA-256 in hex digits",
                         path);
    int r = check_finite(path, state, error);
    if (r < 0)
        return r;
    if (sodium_init() < 0)
        return error_set(error, EIO, "%s: libsodium cannot be started", path);
    const bool scaled = state->scale.factor > 0;
    struct numbers numbers = {.version = scaled ? VERSION : UNSCALED,
                              .epoch = state->epoch,
                              .best_epoch = state->best_epoch,
                              .bad = state->schedule.bad,
                              .best_score = state->best_score,
                              .rate = state->schedule.rate,
                              .anchor = state->schedule.anchor,
                              .scale = state->scale.factor,
                              .scale_good = state->scale.good};
    memcpy(&numbers.optimizer_step, &state->optimizer_step, sizeof numbers.optimizer_step);
    struct content content = {.data = {[FIELD_VERSION] = &numbers.version,
                                       [FIELD_OPTIMIZER_STEP] = &numbers.optimizer_step,
                                       [FIELD_EPOCH] = &numbers.epoch,
                                       [FIELD_BEST_EPOCH] = &numbers.best_epoch,
                                       [FIELD_BEST_SCORE] = &numbers.best_score,
                                       [FIELD_RATE] = &numbers.rate,
                                       [FIELD_ANCHOR] = &numbers.anchor,
                                       [FIELD_BAD] = &numbers.bad,
                                       [FIELD_SCALE] = &numbers.scale,
                                       [FIELD_SCALE_GOOD] = &numbers.scale_good,
                                       [FIELD_WEIGHTS] = state->weights,
                                       [FIELD_M] = state->m,
                                       [FIELD_V] = state->v,
                                       [FIELD_AVERAGE] = state->average,
                                       [FIELD_FINGERPRINT] = state->fingerprint,
                                       [FIELD_HASH] = hash},
                              .parameters = state->parameters,
                              .scaled = scaled};
    hash_content(&content, hash);
    return replace_file(path, &content, error);
}

/* Reading */

static int damaged(const char *path, struct error *error, const char *what)
{
    return error_set(error, EBADMSG,
                     "%s: the run's state is damaged: %s; the run cannot be resumed from it", path,
                     what);
}

static int open_file(struct safetensors **ret, const char *path, struct error *error)
{
    struct error said = {""};
    int r = safetensors_open(ret, path, &said);
    if (r == -EINVAL)
        return error_set(error, EBADMSG,
                         "%s; the run's state is damaged: it cannot be resumed from", said.text);
    if (r == -ENOENT)
        return error_set(error, ENOENT, "%s: there is no run's state to resume from", path);
    return r < 0 ? error_set(error, -r, "%s", said.text) : 0;
}

static const struct safetensors_tensor *find_field(const struct safetensors *file, enum field f)
{
    const struct safetensors_tensor *t = safetensors_find(file, fields[f].name);
    return t != NULL && t->dtype == fields[f].dtype && t->rank == 1 &&
                   (fields[f].cells == 0 || t->cells == fields[f].cells)
               ? t
               : NULL;
}

/* A later version may have other fields, so its number is looked at first; but a version that a
 * damage made is a damage. */
static int find_all(const struct safetensors *file, const char *path, struct content *ret,
                    struct error *error)
{
    const struct safetensors_tensor *version = find_field(file, FIELD_VERSION);
    const struct safetensors_tensor *weights = find_field(file, FIELD_WEIGHTS);
    int64_t number;
    if (version == NULL || weights == NULL)
        return damaged(path, error, "it does not hold what a run's state holds");
    memcpy(&number, version->data, sizeof number);
    ret->parameters = weights->cells;
    ret->scaled = find_field(file, FIELD_SCALE) != NULL;
    bool whole = safetensors_count(file) == count_fields(ret);
    for (enum field f = 0; f < FIELDS; f++) {
        const struct safetensors_tensor *t = find_field(file, f);
        if (!has_field(ret, f))
            continue;
        whole = whole && t != NULL && t->cells == field_cells(f, weights->cells);
        ret->data[f] = t != NULL ? t->data : NULL;
    }
    uint8_t hash[HASH_BYTES];
    bool same = false;
    if (whole) {
        hash_content(ret, hash);
        same = memcmp(hash, ret->data[FIELD_HASH], sizeof hash) == 0;
    }
    const bool known = number == UNSCALED || number == VERSION;
    if (!known && (same || !whole))
        return error_set(
            error, ESTALE,
            "%s: the run's state is of version %lld; this focald reads versions up to %d", path,
            (long long)number, VERSION);
    if (!whole || (known && number != (ret->scaled ? VERSION : UNSCALED)))
        return damaged(path, error, "it does not hold what a run's state holds");
    return same ? 0 : damaged(path, error, "what it holds is not what was written");
}

static void get_numbers(const struct content *content, struct numbers *ret)
{
    memcpy(&ret->optimizer_step, content->data[FIELD_OPTIMIZER_STEP], sizeof ret->optimizer_step);
    memcpy(&ret->epoch, content->data[FIELD_EPOCH], sizeof ret->epoch);
    memcpy(&ret->best_epoch, content->data[FIELD_BEST_EPOCH], sizeof ret->best_epoch);
    memcpy(&ret->bad, content->data[FIELD_BAD], sizeof ret->bad);
    memcpy(&ret->best_score, content->data[FIELD_BEST_SCORE], sizeof ret->best_score);
    memcpy(&ret->rate, content->data[FIELD_RATE], sizeof ret->rate);
    memcpy(&ret->anchor, content->data[FIELD_ANCHOR], sizeof ret->anchor);
    if (!content->scaled)
        return;
    memcpy(&ret->scale, content->data[FIELD_SCALE], sizeof ret->scale);
    memcpy(&ret->scale_good, content->data[FIELD_SCALE_GOOD], sizeof ret->scale_good);
}

/* What the hash cannot tell: that it was written by train_state_write. */
static int take(const char *path, const struct content *content, struct train_state *state,
                struct error *error)
{
    struct numbers n = {.scale = 0};
    char fingerprint[FINGERPRINT + 1] = "";
    get_numbers(content, &n);
    memcpy(fingerprint, content->data[FIELD_FINGERPRINT], FINGERPRINT);
    if (content->parameters != state->parameters)
        return error_set(error, ESTALE,
                         "%s: the run's state has %zu parameters and the network %zu; it is of a "
                         "run with another network",
                         path, content->parameters, state->parameters);
    const struct loss_scale scale = {n.scale, (uint32_t)n.scale_good};
    if (!is_fingerprint(fingerprint) || !loss_scale_is_valid(&scale) ||
        n.scale_good != scale.good || n.epoch < 0 || n.epoch > UINT32_MAX || n.best_epoch < 0 ||
        n.best_epoch > UINT32_MAX || n.bad < INT32_MIN || n.bad > INT32_MAX)
        return damaged(path, error, "a number in it is out of range");
    size_t bytes = state->parameters * sizeof(float);
    if (bytes > 0) {
        memcpy(state->weights, content->data[FIELD_WEIGHTS], bytes);
        memcpy(state->m, content->data[FIELD_M], bytes);
        memcpy(state->v, content->data[FIELD_V], bytes);
        memcpy(state->average, content->data[FIELD_AVERAGE], bytes);
    }
    memcpy(&state->optimizer_step, &n.optimizer_step, sizeof state->optimizer_step);
    state->schedule =
        (struct schedule_state){.rate = n.rate, .anchor = n.anchor, .bad = (int32_t)n.bad};
    state->scale = scale;
    state->epoch = (uint32_t)n.epoch;
    state->best_score = n.best_score;
    state->best_epoch = (uint32_t)n.best_epoch;
    memcpy(state->fingerprint, fingerprint, sizeof fingerprint);
    return 0;
}

int train_state_read(const char *path, struct train_state *state, struct error *error)
{
    struct safetensors *file = NULL;
    struct content content = {.parameters = 0};
    if (sodium_init() < 0)
        return error_set(error, EIO, "%s: libsodium cannot be started", path);
    int r = open_file(&file, path, error);
    if (r == 0)
        r = find_all(file, path, &content, error);
    if (r == 0)
        r = take(path, &content, state, error);
    safetensors_close(file);
    return r;
}
