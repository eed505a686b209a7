/* SPDX-License-Identifier: Apache-2.0
 * What a training reads of a teacher: its rows with the clips they are of, and every way in which
 * they can be wrong. */
#include "tests/daemon/made_sets.h"

#include <fcntl.h>
#include <math.h>

#include "base/memory.h"
#include "model/weights/safetensors_write.h"

enum { E = 3, S = 2 };

struct teacher {
    const char *names[2];
    enum safetensors_dtype dtype;
    int64_t rows, embedding_width, scores_width;
    float embedding[8 * E], scores[8 * S];
};

/* Both values lie on binary16's grid. */
static struct teacher good_teacher(int rows)
{
    struct teacher t = {{"embedding", "scores"}, DTYPE_F32, rows, E, S, {0}, {0}};
    for (int i = 0; i < rows * E; i++)
        t.embedding[i] = (float)i - 4.5f;
    for (int i = 0; i < rows * S; i++)
        t.scores[i] = (float)i / 32;
    return t;
}

/* binary16 of a value that has one, neither denormal nor beyond. */
static uint16_t half(float x)
{
    int exponent;
    float fraction = frexpf(fabsf(x), &exponent);
    if (x == 0)
        return 0;
    return (uint16_t)((x < 0) << 15 | (exponent + 14) << 10 | ((int)(fraction * 2048) & 0x3ff));
}

static int give(void *context, size_t i, void *ret, size_t size, struct error *error)
{
    const struct teacher *t = context;
    const float *values = i == 0 ? t->embedding : t->scores;
    if (t->dtype == DTYPE_F32)
        memcpy(ret, values, size);
    else
        for (size_t k = 0; k < size / 2; k++)
            ((uint16_t *)ret)[k] = half(values[k]);
    return 0;
}

static struct place write_teacher(const char *name, struct teacher *t)
{
    struct place path = in_scratch(name);
    struct error error = {""};
    const struct safetensors_entry entries[] = {
        {t->names[0], t->dtype, 2, {t->rows, t->embedding_width}},
        {t->names[1], t->dtype, 2, {t->rows, t->scores_width}}};
    int fd = open(path.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    if (safetensors_write(fd, path.path, entries, 2, give, t, &error) != 0)
        fail_msg("%s", error.text);
    close(fd);
    return path;
}

static void a_teacher_s_rows_go_with_the_clips_they_are_of(void **state)
{
    make_sets();
    for (int half = 0; half < 2; half++) {
        struct teacher t = good_teacher(5);
        t.dtype = half ? DTYPE_F16 : DTYPE_F32;
        struct place path = write_teacher("kitchen.safetensors", &t);
        const struct train_set sets[] = {{farm.path, FOLD1 | FOLD2, FOLD4, NULL},
                                         {kitchen.path, FOLD2 | 1 << 6, FOLD4, path.path}};
        const struct train_data_config config = config_of(sets, 2);
        struct train_data data = read_well(&config);
        assert_int_equal(data.embedding_width, E);
        assert_int_equal(data.scores_width, S);
        for (int i = 0; i < data.n; i++) {
            int row = data.clips[i].row, taught = data.clips[i].set == 1;
            assert_int_equal(data.taught[i], taught);
            for (int k = 0; k < E; k++)
                assert_true(data.embeddings[i * E + k] == (taught ? t.embedding[row * E + k] : 0));
            for (int k = 0; k < S; k++)
                assert_true(data.scores[i * S + k] == (taught ? t.scores[row * S + k] : 0));
        }
        train_data_finish(&data);
    }
}

/* Columns of 1, 2, 3 .. and of one value; the set without a teacher stays out of the mean. */
static void a_standardised_teacher_says_how_far_from_the_mean_each_clip_is(void **state)
{
    make_sets();
    struct teacher t = good_teacher(5);
    for (int i = 0; i < 5 * E; i++)
        t.embedding[i] = i % E == 0 ? (float)(i / E) : 7;
    struct place path = write_teacher("kitchen.safetensors", &t);
    const struct train_set sets[] = {{farm.path, FOLD1 | FOLD2, FOLD4, NULL},
                                     {kitchen.path, FOLD2 | 1 << 6, FOLD4, path.path}};
    struct train_data_config config = config_of(sets, 2);
    config.standardise = true;
    struct train_data data = read_well(&config);
    double sum = 0, squares = 0;
    int n = 0;
    for (int i = 0; i < data.n; i++)
        if (data.taught[i]) {
            sum += data.clips[i].row;
            squares += data.clips[i].row * data.clips[i].row;
            n++;
        }
    assert_true(n >= 2);
    const double mean = sum / n, deviation = sqrt(squares / n - mean * mean);
    for (int i = 0; i < data.n; i++)
        for (int k = 0; k < E; k++) {
            double want = k == 0 && data.taught[i] ? (data.clips[i].row - mean) / deviation : 0;
            assert_true(fabs((double)data.embeddings[i * E + k] - want) <= 1e-6);
        }
    train_data_finish(&data);
}

static void clips_without_a_label_train_only_where_a_teacher_speaks_of_them(void **state)
{
    make_sets();
    struct teacher t = good_teacher(5);
    struct place path = write_teacher("kitchen.safetensors", &t);
    const struct train_set sets[] = {{farm.path, FOLD1 | FOLD2, FOLD4, NULL},
                                     {kitchen.path, FOLD2 | 1 << 6, FOLD4, path.path}};
    const char *const labels[] = {"dog", "plates"};
    struct train_data_config config = config_of(sets, 2);
    config.labels = labels;
    config.n_labels = 2;
    config.keep_unlabelled = true;
    struct train_data data = read_well(&config);
    assert_int_equal(data.n, 5);
    assert_int_equal(data.n_labelled, 4);
    for (int i = 0; i < data.n; i++) /* kitchen's bird, and not farm's */
        assert_true((data.clips[i].label < 0) ==
                    (data.clips[i].set == 1 && data.clips[i].row == 1));
    assert_int_equal(data.n_valid, 2);
    train_data_finish(&data);
}

static void a_teacher_that_does_not_fit_its_set_is_refused(void **state)
{
    make_sets();
    struct train_set sets[] = {{farm.path, FOLD1 | FOLD2, FOLD4, NULL},
                               {kitchen.path, FOLD2 | 1 << 6, FOLD4, NULL}};
    const struct train_data_config config = config_of(sets, 2);
    const struct train_data_config *c = &config;
    struct place path = in_scratch("bad.safetensors");
    sets[1].teacher = path.path;
    refused(c, -ENOENT, "--teacher", "bad.safetensors", "");
    write_bytes(path.path, "not at all", 10);
    refused(c, -EINVAL, "--teacher", "bad.safetensors", "");
    struct teacher t = good_teacher(4);
    write_teacher("bad.safetensors", &t);
    refused(c, -EINVAL, "bad.safetensors", "embedding has 4 rows", "5 clips");
    t = good_teacher(5);
    t.names[1] = "logits";
    write_teacher("bad.safetensors", &t);
    refused(c, -EINVAL, "bad.safetensors", "no tensor scores", "");
    t = good_teacher(5);
    t.embedding[2 * E + 1] = NAN; /* even of a clip that is not used */
    write_teacher("bad.safetensors", &t);
    refused(c, -EINVAL, "embedding: row 2, column 1 is", "nan", "finite");
    const float scores[] = {1.0625f, -0.25f, INFINITY, NAN};
    for (size_t i = 0; i < ARRAY_LEN(scores); i++) {
        t = good_teacher(5);
        t.scores[4 * S] = scores[i];
        write_teacher("bad.safetensors", &t);
        refused(c, -EINVAL, "scores: row 4, column 0 is", "allowed: 0 to 1", "");
    }
    t = good_teacher(5);
    t.embedding_width = 0;
    write_teacher("bad.safetensors", &t);
    refused(c, -EINVAL, "embedding is [5, 0]", "expected", "");
    t = good_teacher(6);
    t.scores_width = 1;
    struct place other = write_teacher("farm.safetensors", &t);
    t = good_teacher(5);
    write_teacher("bad.safetensors", &t);
    sets[0].teacher = other.path;
    refused(c, -EINVAL, "bad.safetensors", "3 values and 2 scores", "has 3 and 1");
    const struct safetensors_entry integers[] = {{"embedding", DTYPE_I32, 2, {5, 1}},
                                                 {"scores", DTYPE_F32, 2, {5, S}}};
    struct error error;
    int fd = open(path.path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    t = good_teacher(5);
    assert_int_equal(safetensors_write(fd, path.path, integers, 2, give, &t, &error), 0);
    close(fd);
    refused(c, -EINVAL, "embedding is I32", "F16, F32", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_teacher_s_rows_go_with_the_clips_they_are_of),
        cmocka_unit_test(a_standardised_teacher_says_how_far_from_the_mean_each_clip_is),
        cmocka_unit_test(clips_without_a_label_train_only_where_a_teacher_speaks_of_them),
        cmocka_unit_test(a_teacher_that_does_not_fit_its_set_is_refused),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
