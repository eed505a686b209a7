/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_teacher.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "model/weights/safetensors.h"

enum { WIDTH_MAX = 1 << 16 };

static int check_shape(const struct safetensors_tensor *tensor, const char *path, int rows,
                       struct error *error)
{
    char shape[128];
    safetensors_shape_text(tensor->rank, tensor->shape, shape, sizeof shape);
    if (tensor->dtype != DTYPE_F16 && tensor->dtype != DTYPE_F32)
        return error_set(error, EINVAL, "--teacher %s: %s is %s; allowed: F16, F32", path,
                         tensor->name, dtype_name(tensor->dtype));
    if (tensor->rank != 2 || tensor->shape[1] < 1 || tensor->shape[1] > WIDTH_MAX)
        return error_set(error, EINVAL,
                         "--teacher %s: %s is %s; expected: [%d, 1 to %d], a row a clip", path,
                         tensor->name, shape, rows, WIDTH_MAX);
    if (tensor->shape[0] != rows)
        return error_set(
            error, EINVAL,
            "--teacher %s: %s has %lld rows and the set %d clips; it must have one for "
            "each, of all folds, in the set's order",
            path, tensor->name, (long long)tensor->shape[0], rows);
    return 0;
}

static int check_values(const float *values, int rows, int width, bool score, const char *name,
                        const char *path, struct error *error)
{
    for (size_t i = 0; i < (size_t)rows * (size_t)width; i++) {
        float x = values[i];
        bool good = score ? x >= 0 && x <= 1 : isfinite(x);
        if (!good)
            return error_set(error, EINVAL, "--teacher %s: %s: row %zu, column %zu is %g; %s", path,
                             name, i / (size_t)width, i % (size_t)width, (double)x,
                             score ? "allowed: 0 to 1" : "it must be finite");
    }
    return 0;
}

static int read_tensor(const struct safetensors *file, const char *name, int rows, bool score,
                       float **ret, int *ret_width, struct error *error)
{
    const char *path = safetensors_path(file);
    const struct safetensors_tensor *tensor = safetensors_find(file, name);
    if (tensor == NULL)
        return error_set(error, EINVAL, "--teacher %s: has no tensor %s; expected: %s", path, name,
                         "embedding and scores, a row a clip");
    int r = check_shape(tensor, path, rows, error);
    if (r < 0)
        return r;
    *ret_width = (int)tensor->shape[1];
    *ret = memory_zeroed(tensor->cells, sizeof **ret);
    if (*ret == NULL)
        return error_set(error, ENOMEM, "--teacher %s: out of memory", path);
    safetensors_float(tensor, *ret);
    return check_values(*ret, rows, *ret_width, score, name, path, error);
}

int train_teacher_read(struct train_teacher *ret, const char *path, int rows, struct error *error)
{
    struct train_teacher t = {.rows = rows};
    struct safetensors *file = NULL;
    int r = safetensors_open(&file, path, error);
    if (r < 0)
        return error_prefix(error, r, "--teacher");
    r = read_tensor(file, "embedding", rows, false, &t.embedding, &t.embedding_width, error);
    if (r == 0)
        r = read_tensor(file, "scores", rows, true, &t.scores, &t.scores_width, error);
    safetensors_close(file);
    if (r < 0) {
        train_teacher_finish(&t);
        return r;
    }
    *ret = t;
    return 0;
}

void train_teacher_standardise(float *embeddings, const bool *taught, int rows, int width)
{
    const size_t w = (size_t)width;
    for (size_t k = 0; k < w; k++) {
        double sum = 0, squares = 0;
        int n = 0;
        for (size_t i = 0; i < (size_t)rows; i++)
            if (taught[i]) {
                sum += (double)embeddings[i * w + k];
                n++;
            }
        const double mean = n > 0 ? sum / n : 0;
        for (size_t i = 0; i < (size_t)rows; i++)
            if (taught[i])
                squares += pow((double)embeddings[i * w + k] - mean, 2);
        const double deviation = n > 0 ? sqrt(squares / n) : 0;
        for (size_t i = 0; i < (size_t)rows; i++)
            if (taught[i])
                embeddings[i * w + k] =
                    deviation > 0 ? (float)(((double)embeddings[i * w + k] - mean) / deviation) : 0;
    }
}

void train_teacher_finish(struct train_teacher *teacher)
{
    free(teacher->embedding);
    free(teacher->scores);
    *teacher = (struct train_teacher){0};
}
