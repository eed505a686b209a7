/* SPDX-License-Identifier: Apache-2.0
 * One list of tensors over every kind of source, with the bytes that each has. */
#include "tests/model/checkpoints.h"

#include "model/weights/checkpoint.h"

static struct checkpoint *open_or_fail(const char *path)
{
    struct checkpoint *c;
    struct error error;
    if (checkpoint_open(&c, path, &error) < 0)
        fail_msg("%s", error.text);
    return c;
}

static void copy_golden(const char *name, const char *to)
{
    char path[128];
    size_t n;
    snprintf(path, sizeof path, "checkpoints/%s", name);
    char *bytes = read_bytes(golden(path).path, &n);
    write_bytes(to, bytes, n);
    free(bytes);
}

static struct place in_new(const char *dir, const char *name)
{
    struct place d = in_scratch(dir), p;
    mkdir(d.path, 0755);
    snprintf(p.path, sizeof p.path, "%.4000s/%s", d.path, name);
    return p;
}

/* Each weight of the golden network that is in the checkpoint's list is so bit for bit. */
static size_t count_equal(const struct checkpoint *c, const char *prefix)
{
    struct safetensors *f;
    struct error error;
    size_t equal = 0;
    if (safetensors_open(&f, golden("focalnet_tiny.safetensors").path, &error) < 0)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < checkpoint_count(c); i++) {
        const struct checkpoint_tensor *t = checkpoint_at(c, i);
        char name[200];
        snprintf(name, sizeof name, "%s%s", t->part == PART_HEAD ? prefix : "", t->name);
        const struct safetensors_tensor *expected = safetensors_find(f, name);
        if (expected == NULL)
            fail_msg("%s is not one of the network's", name);
        size_t bytes = t->cells * dtype_size(t->dtype);
        assert_int_equal(t->dtype, expected->dtype);
        assert_int_equal(t->cells, expected->cells);
        void *data = malloc(bytes + 1);
        assert_int_equal(checkpoint_read(c, t, data, &error), 0);
        equal += memcmp(data, expected->data, bytes) == 0;
        free(data);
    }
    assert_int_equal(equal, checkpoint_count(c));
    safetensors_close(f);
    return equal;
}

static void a_speechbrain_directory_is_its_modules(void **state)
{
    copy_golden("pytorch_model.bin", in_new("sb", "embedding_model.ckpt").path);
    copy_golden("classifier_legacy.ckpt", in_new("sb", "classifier.ckpt").path);
    write_bytes(in_new("sb", "config.json").path, "{}", 2);
    struct checkpoint *c = open_or_fail(in_scratch("sb").path);
    char path[4200];
    assert_int_equal(checkpoint_layout(c), CHECKPOINT_SPEECHBRAIN);
    assert_int_equal(checkpoint_files(c), 2);
    assert_true(checkpoint_has(c, PART_HEAD));
    assert_false(checkpoint_has(c, PART_PSI));
    assert_null(checkpoint_whole(c));
    assert_true(checkpoint_beside(c, "config.json", path, sizeof path));
    assert_false(checkpoint_beside(c, "labels.txt", path, sizeof path));
    assert_true(count_equal(c, "classifier.") > 100);
    checkpoint_close(c);
}

static void a_file_knows_its_directory(void **state)
{
    struct place file = in_new("one", "pytorch_model.bin");
    char path[4200];
    copy_golden("pytorch_model_legacy.bin", file.path);
    write_bytes(in_new("one", "config.json").path, "{}", 2);
    struct checkpoint *c = open_or_fail(file.path);
    assert_int_equal(checkpoint_layout(c), CHECKPOINT_FILE);
    assert_string_equal(checkpoint_dir(c), in_scratch("one").path);
    assert_true(checkpoint_beside(c, "config.json", path, sizeof path));
    assert_true(count_equal(c, "") > 90);
    checkpoint_close(c);
    c = open_or_fail(in_scratch("one").path); /* the directory gives the same */
    assert_int_equal(checkpoint_layout(c), CHECKPOINT_HUGGING_FACE);
    assert_true(count_equal(c, "") > 90);
    checkpoint_close(c);
}

/* PyTorch's own shards, by their index; the one of safetensors goes before them. */
static void pytorch_shards_are_one_list(void **state)
{
    static const char index[] = "{\"weight_map\": {\"a\": \"x.bin\", \"b\": \"y.bin\"}}";
    static const float values[] = {1, 2, 3, 4, 5, 6};
    for (int i = 0; i < 2; i++) {
        static struct bytes pickle;
        struct made_tensor t = {.name = i == 0 ? "a" : "b",
                                .storage = "FloatStorage",
                                .key = "0",
                                .numel = 6,
                                .rank = 2,
                                .shape = {2, 3},
                                .stride = {1, 2}}; /* b is a transposed view */
        if (i == 0)
            memcpy(t.stride, (int64_t[]){3, 1}, 2 * sizeof(int64_t));
        pickle.n = 0;
        put_tensors(&pickle, &t, 1);
        struct member members[] = {{"archive/data.pkl", pickle.at, pickle.n, false, false},
                                   {"archive/data/0", values, sizeof values, false, false},
                                   {0}};
        write_zip(in_new("shards", i == 0 ? "x.bin" : "y.bin").path, members);
    }
    write_bytes(in_new("shards", "pytorch_model.bin.index.json").path, index, strlen(index));
    struct checkpoint *c = open_or_fail(in_scratch("shards").path);
    float a[6], b[6];
    struct error error;
    assert_int_equal(checkpoint_count(c), 2);
    assert_int_equal(checkpoint_read(c, checkpoint_at(c, 0), a, &error), 0);
    assert_int_equal(checkpoint_read(c, checkpoint_at(c, 1), b, &error), 0);
    assert_memory_equal(a, values, sizeof values);
    assert_memory_equal(b, ((float[]){1, 3, 5, 2, 4, 6}), sizeof b);
    checkpoint_close(c);
}

static void what_is_no_checkpoint_leaves_the_pointer_alone(void **state)
{
    struct checkpoint *const untouched = (struct checkpoint *)(void *)&scratch, *c = untouched;
    struct error error = {""};
    assert_int_equal(checkpoint_open(&c, in_scratch("nowhere").path, &error), -ENOENT);
    assert_line(&error, "nowhere", NULL);
    write_bytes(in_new("none", "README.md").path, "hello", 5);
    assert_int_equal(checkpoint_open(&c, in_scratch("none").path, &error), -ENOENT);
    assert_line(&error, "holds no checkpoint", NULL);
    assert_int_equal(checkpoint_open(&c, in_new("none", "README.md").path, &error), -EINVAL);
    assert_line(&error, "README.md", "unknown kind", NULL);
    copy_golden("truncated.ckpt", in_new("none", "pytorch_model.bin").path);
    assert_int_equal(checkpoint_open(&c, in_scratch("none").path, &error), -EINVAL);
    assert_line(&error, "pytorch_model.bin", NULL);
    assert_ptr_equal(c, untouched);
    checkpoint_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_speechbrain_directory_is_its_modules),
        cmocka_unit_test(a_file_knows_its_directory),
        cmocka_unit_test(pytorch_shards_are_one_list),
        cmocka_unit_test(what_is_no_checkpoint_leaves_the_pointer_alone),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
