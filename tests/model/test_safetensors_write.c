/* SPDX-License-Identifier: Apache-2.0
 * What is written is read again: names, types, shapes and bytes, each tensor aligned; and what
 * cannot be written is said. */
#include "tests/model/places.h"

#include <fcntl.h>

#include "model/weights/safetensors.h"
#include "model/weights/safetensors_write.h"

enum { MAX_TENSORS = 40, MAX_BYTES = 4096 };

struct content {
    struct safetensors_entry entries[MAX_TENSORS];
    char names[MAX_TENSORS][32];
    unsigned char bytes[MAX_TENSORS][MAX_BYTES];
    size_t n;
    size_t fails_at; /* the tensor that cannot be read */
};

static int give(void *context, size_t i, void *ret, size_t size, struct error *error)
{
    const struct content *c = context;
    if (i == c->fails_at)
        return error_set(error, EIO, "%s: cannot be read", c->names[i]);
    assert_true(size <= MAX_BYTES);
    memcpy(ret, c->bytes[i], size);
    return 0;
}

/* Random types and shapes, wide types first. */
static void fill(struct content *c, uint64_t *seed)
{
    c->n = random_next(seed) % MAX_TENSORS;
    c->fails_at = MAX_TENSORS;
    for (size_t i = 0; i < c->n; i++) {
        struct safetensors_entry *e = &c->entries[i];
        snprintf(c->names[i], sizeof c->names[i], "tensor %zu \"\\/", i);
        *e = (struct safetensors_entry){.name = c->names[i]};
        e->dtype = (enum safetensors_dtype)(random_next(seed) % DTYPE_COUNT);
        e->rank = (int)(random_next(seed) % 5);
        for (int d = 0; d < e->rank; d++)
            e->shape[d] = (int64_t)(random_next(seed) % 5);
        for (size_t k = 0; k < MAX_BYTES; k++)
            c->bytes[i][k] = (unsigned char)random_next(seed);
    }
    for (size_t i = 1; i < c->n; i++) /* types by insertion; names and bytes may be anyone's */
        for (size_t k = i;
             k > 0 && dtype_size(c->entries[k - 1].dtype) < dtype_size(c->entries[k].dtype); k--) {
            enum safetensors_dtype swap = c->entries[k].dtype;
            c->entries[k].dtype = c->entries[k - 1].dtype;
            c->entries[k - 1].dtype = swap;
        }
}

static int write_content(struct content *c, const char *path, struct error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    int r = safetensors_write(fd, path, c->entries, c->n, give, c, error);
    close(fd);
    return r;
}

static void what_is_written_is_read_again(void **state)
{
    static struct content c;
    uint64_t seed = 0x5eed5afe;
    struct place file = in_scratch("some.safetensors");
    print_message("seed %#llx\n", (unsigned long long)seed);
    for (int round = 0; round < 50; round++) {
        struct safetensors *f;
        struct error error = {""};
        fill(&c, &seed);
        if (write_content(&c, file.path, &error) < 0 || safetensors_open(&f, file.path, &error) < 0)
            fail_msg("%s", error.text);
        assert_int_equal(safetensors_count(f), c.n);
        assert_string_equal(safetensors_metadata(f, "format"), "pt");
        for (size_t i = 0; i < c.n; i++) {
            const struct safetensors_tensor *t = safetensors_at(f, i);
            const struct safetensors_entry *e = &c.entries[i];
            assert_string_equal(t->name, e->name);
            assert_int_equal(t->dtype, e->dtype);
            assert_int_equal(t->rank, e->rank);
            assert_memory_equal(t->shape, e->shape, sizeof(int64_t) * (size_t)e->rank);
            assert_memory_equal(t->data, c.bytes[i], t->cells * dtype_size(t->dtype));
            assert_int_equal((uintptr_t)t->data % dtype_size(t->dtype), 0);
        }
        safetensors_close(f);
    }
}

static void what_no_file_can_hold_is_refused(void **state)
{
    static struct content c;
    struct error error = {""};
    struct place file = in_scratch("bad.safetensors");
    c = (struct content){.n = 2, .fails_at = MAX_TENSORS};
    c.entries[0] = (struct safetensors_entry){"a", DTYPE_F32, 1, {2}};
    c.entries[1] = (struct safetensors_entry){"a", DTYPE_F32, 1, {2}};
    assert_int_equal(write_content(&c, file.path, &error), -EINVAL);
    assert_line(&error, file.path, "a", "twice", NULL);
    c.entries[1] = (struct safetensors_entry){"b", DTYPE_F32, 3, {1 << 30, 1 << 30, 1 << 30}};
    assert_int_equal(write_content(&c, file.path, &error), -EINVAL);
    assert_line(&error, file.path, "b", "too large", NULL);
    c.entries[1] = (struct safetensors_entry){"b", DTYPE_F32, 2, {-1, -1}};
    assert_int_equal(write_content(&c, file.path, &error), -EINVAL);
    c.entries[1] = (struct safetensors_entry){"\xff", DTYPE_F32, 1, {1}};
    assert_int_equal(write_content(&c, file.path, &error), -EINVAL);
    assert_line(&error, file.path, "UTF-8", NULL);
}

static void errors_of_reading_and_writing_come_through(void **state)
{
    static struct content c;
    struct error error = {""};
    struct place file = in_scratch("cut.safetensors");
    c = (struct content){.n = 1, .fails_at = 0, .names = {"gone"}};
    c.entries[0] = (struct safetensors_entry){c.names[0], DTYPE_U8, 1, {100}};
    assert_int_equal(write_content(&c, file.path, &error), -EIO);
    assert_line(&error, "gone", NULL);
    c.fails_at = MAX_TENSORS;
    if (access("/dev/full", W_OK) != 0)
        return;
    int fd = open("/dev/full", O_WRONLY);
    assert_int_equal(safetensors_write(fd, "/dev/full", c.entries, c.n, give, &c, &error), -ENOSPC);
    assert_line(&error, "/dev/full", "No space left", NULL);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(what_no_file_can_hold_is_refused),
        cmocka_unit_test(errors_of_reading_and_writing_come_through),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
