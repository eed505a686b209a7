/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/newfile.h"
#include "model/text_file.h"
#include "model/weights/safetensors_write.h"

struct train_log {
    char path[PATH_MAX];
    int fd;     /* -1: not open */
    off_t size; /* up to the end of the last whole line */
    struct train_epoch *epochs;
    int n, capacity;
};

/* A line's numbers, in its order. */
static const struct {
    const char *key;
    size_t at;
} figures[] = {
#define FIGURE(name)                                                                               \
    {                                                                                              \
#name, offsetof(struct train_epoch, name)                                                  \
    }
    FIGURE(seconds),
    FIGURE(clips_per_s),
    FIGURE(rate),
    FIGURE(loss_scale),
    FIGURE(skipped_steps),
    FIGURE(loss),
    FIGURE(class_loss),
    FIGURE(teacher_loss),
    FIGURE(rec_loss),
    FIGURE(vq_loss),
    FIGURE(accuracy),
    FIGURE(valid_loss),
    FIGURE(valid_rec_loss),
    FIGURE(valid_vq_loss),
    FIGURE(valid_accuracy),
    FIGURE(valid_class_accuracy),
    FIGURE(fid_i),
    FIGURE(fa),
    FIGURE(ff),
    FIGURE(ai),
    FIGURE(ad),
    FIGURE(ag),
    FIGURE(empty),
    FIGURE(score),
#undef FIGURE
};

static double *figure(struct train_epoch *epoch, size_t i)
{
    return (double *)(void *)((char *)epoch + figures[i].at);
}

static int not_written(const struct train_log *log, int code, struct error *error)
{
    return error_set(error, code, "%s: cannot be written: %s", log->path, strerror(code));
}

/* A line of the file */

static json_t *to_json(struct train_epoch e)
{
    json_t *o = json_pack("{s:i, s:I}", "epoch", e.epoch, "step", (json_int_t)e.step);
    for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
        double value = *figure(&e, i);
        json_object_set_new(o, figures[i].key, isfinite(value) ? json_real(value) : json_null());
    }
    json_object_set_new(o, "best", json_boolean(e.best));
    if (e.backend[0] != '\0')
        json_object_set_new(o, "backend", json_string(e.backend));
    return o;
}

/* What is wrong with it, or NULL. Keys that are missing were not measured, others are not ours. */
static const char *from_json(const json_t *o, struct train_epoch *ret)
{
    const json_t *epoch = json_object_get(o, "epoch"), *step = json_object_get(o, "step");
    const json_t *best = json_object_get(o, "best");
    if (!json_is_integer(epoch) || json_integer_value(epoch) < 1 ||
        json_integer_value(epoch) > INT_MAX)
        return "\"epoch\" is no number from 1 on";
    if (!json_is_integer(step) || json_integer_value(step) < 0)
        return "\"step\" is no number from 0 on";
    if (best != NULL && !json_is_boolean(best))
        return "\"best\" is neither true nor false";
    *ret = (struct train_epoch){.epoch = (int)json_integer_value(epoch),
                                .step = (uint64_t)json_integer_value(step),
                                .best = json_is_true(best)};
    const char *backend = json_string_value(json_object_get(o, "backend"));
    snprintf(ret->backend, sizeof ret->backend, "%s", backend != NULL ? backend : "");
    for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
        const json_t *value = json_object_get(o, figures[i].key);
        if (value != NULL && !json_is_null(value) && !json_is_number(value))
            return "a figure is neither a number nor null";
        *figure(ret, i) = json_is_number(value) ? json_number_value(value) : (double)NAN;
    }
    return NULL;
}

/* Reading */

static int keep(struct train_log *log, const struct train_epoch *epoch, struct error *error)
{
    if (log->n == log->capacity) {
        int capacity = log->capacity > 0 ? 2 * log->capacity : 64;
        struct train_epoch *more = realloc(log->epochs, (size_t)capacity * sizeof *more);
        if (more == NULL)
            return error_set(error, ENOMEM, "%s: out of memory", log->path);
        log->epochs = more;
        log->capacity = capacity;
    }
    log->epochs[log->n++] = *epoch;
    return 0;
}

static int last_epoch(const struct train_log *log)
{
    return log->n > 0 ? log->epochs[log->n - 1].epoch : 0;
}

/* Line `number` of the file, n bytes without its end. *ret_more: that another may follow. */
static int read_line(struct train_log *log, const char *line, size_t n, bool torn, int number,
                     int epochs, bool *ret_more, struct error *error)
{
    json_error_t said;
    struct train_epoch epoch;
    json_t *o = json_loadb(line, n, JSON_REJECT_DUPLICATES, &said);
    const char *wrong = !json_is_object(o) ? "is not a JSON object" : from_json(o, &epoch);
    json_decref(o);
    *ret_more = false;
    if (wrong != NULL && torn)
        return 0;
    if (wrong == NULL && epoch.epoch <= last_epoch(log))
        wrong = "its epoch is not later than that of the line before";
    if (wrong != NULL)
        return error_set(error, EBADMSG,
                         "%s:%d: %s; correct the line, or move the file away to go on without it",
                         log->path, number, wrong);
    if (epoch.epoch > epochs)
        return 0;
    *ret_more = true;
    return keep(log, &epoch, error);
}

/* bytes: [size]. *ret_kept: the beginning of it that holds the lines that are kept; the end of the
 * last line may be missing. */
static int read_lines(struct train_log *log, const char *bytes, size_t size, int epochs,
                      size_t *ret_kept, struct error *error)
{
    bool more = true;
    int r = 0;
    *ret_kept = 0;
    for (int number = 1; *ret_kept < size && more && r == 0; number++) {
        const char *line = bytes + *ret_kept;
        const char *end = memchr(line, '\n', size - *ret_kept);
        size_t n = end != NULL ? (size_t)(end - line) : size - *ret_kept;
        r = read_line(log, line, n, end == NULL, number, epochs, &more, error);
        if (more && r == 0)
            *ret_kept += n + (end != NULL);
    }
    return r;
}

/* Writing */

static int rewrite(const struct train_log *log, const char *bytes, size_t n, struct error *error)
{
    struct newfile file = {.fd = -1};
    int r = newfile_begin(&file, log->path, error);
    if (r == 0)
        r = write_fully(file.fd, log->path, bytes, n, error);
    if (r == 0 && n > 0 && bytes[n - 1] != '\n')
        r = write_fully(file.fd, log->path, "\n", 1, error);
    if (r == 0)
        r = newfile_commit(&file, error);
    newfile_abandon(&file);
    return r;
}

static int open_end(struct train_log *log, struct error *error)
{
    struct stat st;
    log->fd = open(log->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (log->fd < 0 || fstat(log->fd, &st) < 0)
        return not_written(log, errno, error);
    log->size = st.st_size;
    return 0;
}

int train_log_open(struct train_log **ret, const char *path, int epochs, struct error *error)
{
    struct train_log *log = memory_zeroed(1, sizeof *log);
    char *bytes = NULL;
    size_t size = 0, kept = 0;
    if (log == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", path);
    log->fd = -1;
    int n = snprintf(log->path, sizeof log->path, "%s", path);
    int r = n < 0 || (size_t)n >= sizeof log->path
                ? error_set(error, ENAMETOOLONG, "%s: the path is too long", path)
                : text_file_read(path, &bytes, &size, error);
    if (r == -ENOENT)
        r = 0;
    if (r == 0)
        r = read_lines(log, bytes, size, epochs, &kept, error);
    if (r == 0 && (kept < size || (kept > 0 && bytes[kept - 1] != '\n')))
        r = rewrite(log, bytes, kept, error);
    free(bytes);
    if (r == 0)
        r = open_end(log, error);
    if (r < 0)
        train_log_close(log);
    else
        *ret = log;
    return r;
}

void train_log_close(struct train_log *log)
{
    if (log == NULL)
        return;
    if (log->fd >= 0)
        close(log->fd);
    free(log->epochs);
    free(log);
}

/* The line is written by one call, so that no other process's bytes come between. */
static int write_line(struct train_log *log, const struct train_epoch *epoch, struct error *error)
{
    json_t *o = to_json(*epoch);
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    size_t n = text != NULL ? strlen(text) : 0;
    json_decref(o);
    if (text == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", log->path);
    text[n] = '\n'; /* in place of the zero */
    int r = write_fully(log->fd, log->path, text, n + 1, error);
    free(text);
    if (r == 0 && fsync(log->fd) < 0)
        r = not_written(log, errno, error);
    if (r == 0)
        log->size += (off_t)n + 1;
    else
        (void)!ftruncate(log->fd, log->size);
    return r;
}

int train_log_append(struct train_log *log, const struct train_epoch *epoch, struct error *error)
{
    if (epoch->epoch <= last_epoch(log))
        return error_set(error, EINVAL, "%s: epoch %d does not follow epoch %d", log->path,
                         epoch->epoch, last_epoch(log));
    int r = keep(log, epoch, error);
    if (r == 0) {
        r = write_line(log, epoch, error);
        log->n -= r < 0;
    }
    return r;
}

const struct train_epoch *train_log_epochs(const struct train_log *log, int *ret_n)
{
    *ret_n = log->n;
    return log->epochs;
}
