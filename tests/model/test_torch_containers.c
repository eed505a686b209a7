/* SPDX-License-Identifier: Apache-2.0
 * The two containers of checkpoints, made by hand: zip files and streams that lie about themselves,
 * and large ones that must cost neither memory nor time. */
#include "tests/model/checkpoints.h"

#include <time.h>

#include "model/weights/torch_file.h"

static struct bytes pickle;

static struct torch_file *open_torch(const char *path)
{
    struct torch_file *f = NULL;
    struct error error = {""};
    if (torch_open(&f, path, &error) < 0)
        fail_msg("%s", error.text);
    return f;
}

static void assert_refused(const char *path, const char *piece)
{
    struct torch_file *const untouched = (struct torch_file *)(void *)&scratch;
    struct torch_file *f = untouched;
    struct error error = {""};
    int r = torch_open(&f, path, &error);
    if (r != -EINVAL)
        fail_msg("%s (%s): %d, not %d", path, piece, r, -EINVAL);
    assert_ptr_equal(f, untouched);
    assert_line(&error, path, piece, NULL);
}

static void assert_values(const struct torch_file *f, const char *name, size_t n,
                          const unsigned char *expected)
{
    unsigned char got[64];
    struct error error = {""};
    const struct torch_tensor *t = torch_find(f, name);
    assert_non_null(t);
    assert_int_equal(t->cells * dtype_size(t->dtype), n);
    if (torch_read(f, t, got, &error) < 0)
        fail_msg("%s", error.text);
    assert_memory_equal(got, expected, n);
}

static void make_vector(const char *storage, const char *key, int64_t cells)
{
    const struct made_tensor t = {.name = "x",
                                  .storage = storage,
                                  .key = key,
                                  .numel = cells,
                                  .rank = 1,
                                  .shape = {cells},
                                  .stride = {1}};
    pickle.n = 0;
    put_tensors(&pickle, &t, 1);
}

static const unsigned char eight[] = {3, 1, 4, 1, 5, 9, 2, 6};

#define END                                                                                        \
    {                                                                                              \
        NULL, NULL, 0, false, false                                                                \
    }

static struct place zip_with(const struct member *members)
{
    struct place p = in_scratch("made.ckpt");
    write_zip(p.path, members);
    return p;
}

/* Zip files */

static void a_zip_files_folder_may_have_any_name(void **state)
{
    static const char *const folders[] = {"archive", "a", "pytorch model \xc3\xa4", "data"};
    make_vector("ByteStorage", "0", 8);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char names[5][64];
        static const char *const files[] = {"data.pkl", "byteorder", "data/0", "version",
                                            ".data/serialization_id"};
        for (size_t k = 0; k < 5; k++)
            snprintf(names[k], sizeof names[k], "%s/%s", folders[i], files[k]);
        const struct member members[] = {{names[0], pickle.at, pickle.n, false, false},
                                         {names[1], "little", 6, false, false},
                                         {names[2], eight, 8, false, false},
                                         {names[3], "3\n", 2, false, false},
                                         {names[4], "1", 1, true, false},
                                         END};
        struct torch_file *f = open_torch(zip_with(members).path);
        assert_values(f, "x", 8, eight);
        torch_close(f);
    }
}

static void another_byte_order_is_refused(void **state)
{
    static const char *const orders[] = {"big", "", "middle", "littler", "a byte order"};
    make_vector("ByteStorage", "0", 8);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        const struct member members[] = {
            {"a/data.pkl", pickle.at, pickle.n, false, false},
            {"a/byteorder", orders[i], strlen(orders[i]), false, false},
            {"a/data/0", eight, 8, false, false},
            END};
        assert_refused(zip_with(members).path,
                       i == 0 ? "its byte order is big-endian" : "its byte order is unknown");
    }
}

static void a_zip_file_needs_one_pickle_in_a_folder(void **state)
{
    make_vector("ByteStorage", "0", 8);
    assert_refused(zip_with((struct member[]){{"a/b.txt", "", 0, false, false}, END}).path,
                   "has no FOLDER/data.pkl");
    assert_refused(
        zip_with((struct member[]){{"data.pkl", pickle.at, pickle.n, false, false}, END}).path,
        "has no FOLDER/data.pkl");
    assert_refused(
        zip_with((struct member[]){{"a/b/data.pkl", pickle.at, pickle.n, false, false}, END}).path,
        "has no FOLDER/data.pkl");
    assert_refused(zip_with((struct member[]){{"a/data.pkl", pickle.at, pickle.n, false, false},
                                              {"b/data.pkl", pickle.at, pickle.n, false, false},
                                              END})
                       .path,
                   "b/data.pkl in the zip file is the second data.pkl");
    assert_refused(
        zip_with((struct member[]){{"a/data.pkl", pickle.at, pickle.n, false, false}, END}).path,
        "has no storage 0");
    PUT(&pickle, "N");
    assert_refused(zip_with((struct member[]){{"a/data.pkl", pickle.at, pickle.n, false, false},
                                              {"a/data/0", eight, 8, false, false},
                                              END})
                       .path,
                   "goes on behind the end of its pickle");
    assert_refused(zip_with((struct member[]){{"a\n\x1b/data.pkl", "x", 1, true, false}, END}).path,
                   "a?" /* no trigraph */ "?/data.pkl in the zip file is compressed");
}

/* libzip writes no name twice: written as two, one is renamed. */
static void a_member_that_is_there_twice_is_refused(void **state)
{
    make_vector("ByteStorage", "0", 8);
    struct place p = zip_with((struct member[]){{"a/data.pkl", pickle.at, pickle.n, false, false},
                                                {"a/data/0", eight, 8, false, false},
                                                {"a/data/1", eight, 8, false, false},
                                                END});
    size_t n, renamed = 0;
    char *bytes = read_bytes(p.path, &n);
    for (size_t i = 0; i + 8 < n; i++)
        if (memcmp(bytes + i, "a/data/1", 8) == 0) {
            bytes[i + 7] = '0';
            renamed++;
        }
    assert_int_equal(renamed, 2);
    write_bytes(p.path, bytes, n);
    free(bytes);
    assert_refused(p.path, "a/data/0 in the zip file is there twice");
}

static void an_encrypted_member_is_refused(void **state)
{
    make_vector("ByteStorage", "0", 8);
    assert_refused(zip_with((struct member[]){{"a/data.pkl", pickle.at, pickle.n, false, true},
                                              {"a/data/0", eight, 8, false, false},
                                              END})
                       .path,
                   "a/data.pkl in the zip file is encrypted");
    assert_refused(zip_with((struct member[]){{"a/data.pkl", pickle.at, pickle.n, false, false},
                                              {"a/data/0", eight, 8, false, true},
                                              END})
                       .path,
                   "a/data/0 in the zip file is encrypted");
}

static long resident_mb(void)
{
    long size, resident;
    FILE *f = fopen("/proc/self/statm", "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &size, &resident), 2);
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE) >> 20;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void a_zip_bomb_is_refused_unread(void **state)
{
    enum { BOMB = 64 << 20 };
    char *zeros = calloc(1, BOMB);
    assert_non_null(zeros);
    make_vector("ByteStorage", "0", BOMB);
    struct place p = zip_with((struct member[]){{"a/data.pkl", pickle.at, pickle.n, false, false},
                                                {"a/data/0", zeros, BOMB, true, false},
                                                END});
    struct stat st;
    assert_int_equal(stat(p.path, &st), 0);
    print_message("%d bytes in %lld\n", BOMB, (long long)st.st_size);
    assert_true(st.st_size < BOMB / 100);
    long before = resident_mb();
    clock_t begin = clock();
    assert_refused(p.path, "a/data/0 in the zip file is compressed; expected: stored");
    p = zip_with((struct member[]){{"a/data.pkl", zeros, BOMB, true, false}, END});
    assert_refused(p.path, "a/data.pkl in the zip file is compressed; expected: stored");
    assert_true(clock() - begin < CLOCKS_PER_SEC);
    assert_true(resident_mb() <= before + 8);
    free(zeros);
}

/* A member that claims to be 4 GB in a file of some hundred bytes. */
static void a_member_larger_than_the_file_is_refused(void **state)
{
    make_vector("ByteStorage", "0", 0xfffffff0);
    struct place p = zip_with((struct member[]){{"a/data.pkl", pickle.at, pickle.n, false, false},
                                                {"a/data/0", eight, 8, false, false},
                                                END});
    size_t n;
    char *bytes = read_bytes(p.path, &n);
    for (size_t i = 0; i + 54 < n; i++) /* sizes in the central directory */
        if (memcmp(bytes + i, "PK\1\2", 4) == 0 && memcmp(bytes + i + 46, "a/data/0", 8) == 0) {
            memcpy(bytes + i + 20, "\xf0\xff\xff\xff\xf0\xff\xff\xff", 8);
            break;
        }
    write_bytes(p.path, bytes, n);
    free(bytes);
    assert_refused(p.path, "a/data/0 in the zip file is said to be larger than it can be");
}

/* libzip alone would read its way through them all. */
static void a_directory_of_millions_is_not_even_read(void **state)
{
    struct place p = in_scratch("many.ckpt");
    pickle.n = 0;
    PUT(&pickle, "PK\3\4PK\6\6");
    put_little(&pickle, 44, 8); /* what follows, versions, disks */
    put_little(&pickle, 0, 12);
    put_little(&pickle, 131073, 8);
    put_little(&pickle, 131073, 8);
    put_little(&pickle, 131073 * 46, 8); /* size and offset */
    put_little(&pickle, 4, 8);
    PUT(&pickle, "PK\6\7");
    put_little(&pickle, 0, 4);
    put_little(&pickle, 4, 8);
    put_little(&pickle, 1, 4);
    PUT(&pickle, "PK\5\6");
    put_little(&pickle, 0, 4);
    put_little(&pickle, UINT64_MAX, 8);
    put_little(&pickle, UINT32_MAX, 6);
    write_bytes(p.path, pickle.at, pickle.n);
    assert_refused(p.path, "a zip file of 131073 members; allowed: up to 131072");
    assert_int_equal(truncate(p.path, 40), 0);
    assert_refused(p.path, "cut short or damaged");
}

static void a_zip_file_with_many_ends_is_refused(void **state)
{
    make_vector("ByteStorage", "0", 8);
    struct place p = zip_with((struct member[]){{"a/data.pkl", pickle.at, pickle.n, false, false},
                                                {"a/data/0", eight, 8, false, false},
                                                END});
    size_t n;
    char *bytes = read_bytes(p.path, &n);
    pickle.n = 0;
    put(&pickle, bytes, n);
    for (int i = 0; i < 4; i++) { /* the last end once more */
        torch_close(open_torch(p.path));
        put(&pickle, bytes + n - 22, 22);
        write_bytes(p.path, pickle.at, pickle.n);
    }
    assert_refused(p.path, "the zip file has many ends");
    free(bytes);
}

/* Streams */

static const struct made_tensor stream_tensors[] = {
    {"whole", "ShortStorage", "701", 4, 0, 1, {4}, {1}, NULL, 0, 0, true},
    {"part", "ShortStorage", "701", 4, 1, 1, {1}, {1}, "702", 1, 2, true},
    {"other", "ByteStorage", "65", 3, 0, 1, {3}, {1}, NULL, 0, 0, true},
};

struct stream {
    unsigned version;
    bool little;
    const char *keys; /* the pickle of the list, '@' for each key */
    int64_t counts[2];
    size_t last_bytes; /* of the 3 of storage 65 */
    size_t beyond;     /* bytes behind the end */
};

static const struct stream honest = {1001, true, "](@@e", {4, 3}, 3, 0};

static struct place write_stream(const struct stream *s)
{
    static const char *const keys[] = {"701", "65"};
    static struct bytes b;
    struct place p = in_scratch("stream.ckpt");
    size_t k = 0;
    b.n = 0;
    put_stream_head(&b, s->version, s->little);
    put_tensors(&b, stream_tensors, 3);
    PUT(&b, "\x80\x02");
    for (const char *c = s->keys; *c != '\0'; c++)
        if (*c == '@')
            put_string(&b, keys[k++ % 2]);
        else if (*c == '=')
            put_string(&b, keys[0]);
        else
            put(&b, c, 1);
    PUT(&b, ".");
    put_little(&b, (uint64_t)s->counts[0], 8);
    put(&b, eight, 8);
    put_little(&b, (uint64_t)s->counts[1], 8);
    put(&b, eight + 5, s->last_bytes);
    for (size_t i = 0; i < s->beyond; i++)
        PUT(&b, "z");
    write_bytes(p.path, b.at, b.n);
    return p;
}

static void a_streams_storages_and_their_parts_have_their_values(void **state)
{
    struct torch_file *f = open_torch(write_stream(&honest).path);
    assert_values(f, "whole", 8, eight);
    assert_values(f, "part", 2, eight + 4);
    assert_values(f, "other", 3, eight + 5);
    torch_close(f);
}

static void a_stream_that_lies_is_refused(void **state)
{
    static const struct {
        struct stream s;
        const char *piece;
    } lies[] = {
        {{1002, true, "](@@e", {4, 3}, 3, 0}, "expected: 1001"},
        {{1001, false, "](@@e", {4, 3}, 3, 0}, "written on a big-endian machine"},
        {{1001, true, "](@@e", {5, 3}, 3, 0}, "storage 701 has 5 values, its tensors count on 4"},
        {{1001, true, "](@@e", {3, 3}, 3, 0}, "storage 701 has 3 values"},
        {{1001, true, "](@@e", {-1, 3}, 3, 0}, "storage 701 has 18446744073709551615 values"},
        {{1001, true, "](@@e", {INT64_MIN, 3}, 3, 0}, "storage 701 has 9223372036854775808"},
        {{1001, true, "](@@e", {4, 2}, 2, 0}, "storage 65 has 2 values"},
        {{1001, true, "](@@e", {4, 3}, 2, 0}, "ends within storage 65: it is cut short"},
        {{1001, true, "](@@e", {4, 3}, 3, 1}, "1 bytes at the end belong to no storage"},
        {{1001, true, "](@e", {4, 3}, 3, 0}, "does not name the 2 that its tensors use"},
        {{1001, true, "](@@@e", {4, 3}, 3, 0}, "does not name the 2"},
        {{1001, true, "](==e", {4, 4}, 3, 0}, "names 701, which no tensor uses or which came"},
        {{1001, true, "](=Ne", {4, 3}, 3, 0}, "names , which no tensor uses"},
        {{1001, true, "](=X\x02\x01\x01\x01", {4, 3}, 3, 0}, "bytes of text"},
        {{1001, true, "(@@t", {4, 3}, 3, 0}, "does not name the 2"},
        {{1001, true, "}", {4, 3}, 3, 0}, "does not name the 2"},
        {{1001, true, "cposix\nsystem\n", {4, 3}, 3, 0}, "it wants to call posix.system"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        assert_refused(write_stream(&lies[i].s).path, lies[i].piece);
}

/* Large files */

enum { LARGE = 64 << 20 };

static struct place write_large(bool stream, const char *storage_values)
{
    struct place p = in_scratch(stream ? "large_stream.ckpt" : "large.ckpt");
    struct made_tensor t[] = {{.name = "half",
                               .storage = "ByteStorage",
                               .key = "0",
                               .numel = LARGE,
                               .offset = LARGE / 2,
                               .rank = 1,
                               .shape = {LARGE / 2},
                               .stride = {1},
                               .stream = stream},
                              {.name = "x",
                               .storage = "ByteStorage",
                               .key = "0",
                               .numel = LARGE,
                               .rank = 1,
                               .shape = {LARGE},
                               .stride = {1},
                               .stream = stream}};
    pickle.n = 0;
    if (!stream) {
        put_tensors(&pickle, t, 2);
        write_zip(p.path, (struct member[]){{"a/data.pkl", pickle.at, pickle.n, false, false},
                                            {"a/data/0", storage_values, LARGE, false, false},
                                            END});
        return p;
    }
    put_stream_head(&pickle, 1001, true);
    put_tensors(&pickle, t, 2);
    PUT(&pickle, "\x80\x02]");
    put_string(&pickle, "0");
    PUT(&pickle, "a.");
    put_little(&pickle, LARGE, 8);
    FILE *f = fopen(p.path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(pickle.at, 1, pickle.n, f), pickle.n);
    assert_int_equal(fwrite(storage_values, 1, LARGE, f), LARGE);
    assert_int_equal(fclose(f), 0);
    return p;
}

static void dense_tensors_are_read_without_a_copy(void **state)
{
    char *values = malloc(LARGE), *got = malloc(LARGE);
    assert_true(values != NULL && got != NULL);
    for (size_t i = 0; i < LARGE; i++)
        values[i] = (char)(i * 2654435761u >> 13);
    memset(got, 1, LARGE); /* so that its pages are there */
    for (int stream = 0; stream < 2; stream++) {
        struct place p = write_large(stream, values);
        struct error error;
        long before = resident_mb();
        double begin = seconds();
        struct torch_file *f = open_torch(p.path);
        double opened = seconds();
        long open_mb = resident_mb();
        assert_int_equal(torch_read(f, torch_find(f, "x"), got, &error), 0);
        double read = seconds();
        assert_memory_equal(got, values, LARGE);
        assert_int_equal(torch_read(f, torch_find(f, "half"), got, &error), 0);
        assert_memory_equal(got, values + LARGE / 2, LARGE / 2);
        long after = resident_mb();
        print_message("%s: %.1f ms to open, %.1f ms to read 64 MiB; %ld, %ld, %ld MB\n",
                      stream ? "stream" : "zip", 1e3 * (opened - begin), 1e3 * (read - opened),
                      before, open_mb, after);
        assert_true(open_mb <= before + 4 && after <= before + 4);
        torch_close(f);
        unlink(p.path);
    }
    free(values);
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zip_files_folder_may_have_any_name),
        cmocka_unit_test(another_byte_order_is_refused),
        cmocka_unit_test(a_zip_file_needs_one_pickle_in_a_folder),
        cmocka_unit_test(a_member_that_is_there_twice_is_refused),
        cmocka_unit_test(an_encrypted_member_is_refused),
        cmocka_unit_test(a_zip_bomb_is_refused_unread),
        cmocka_unit_test(a_member_larger_than_the_file_is_refused),
        cmocka_unit_test(a_directory_of_millions_is_not_even_read),
        cmocka_unit_test(a_zip_file_with_many_ends_is_refused),
        cmocka_unit_test(a_streams_storages_and_their_parts_have_their_values),
        cmocka_unit_test(a_stream_that_lies_is_refused),
        cmocka_unit_test(dense_tensors_are_read_without_a_copy),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
