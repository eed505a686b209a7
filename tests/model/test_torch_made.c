/* SPDX-License-Identifier: Apache-2.0
 * Checkpoints made by hand: honest but rare, and lying in one thing each. */
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

/* Bytes 0, 1, 2, … as every storage's values. */
static const unsigned char *rising(void)
{
    static unsigned char values[1 << 12];
    for (size_t i = 0; i < sizeof values; i++)
        values[i] = (unsigned char)i;
    return values;
}

/* A zip file of the pickle and a storage "0" of n bytes. */
static struct place zip_of_pickle(size_t n)
{
    struct place p = in_scratch("made.ckpt");
    const struct member members[] = {{"any name/data.pkl", pickle.at, pickle.n, false, false},
                                     {"any name/data/0", rising(), n, false, false},
                                     {NULL, NULL, 0, false, false}};
    write_zip(p.path, members);
    return p;
}

static struct place zip_of(const struct made_tensor *t, size_t n_tensors, size_t n)
{
    pickle.n = 0;
    put_tensors(&pickle, t, n_tensors);
    return zip_of_pickle(n);
}

/* "\x80\x02" body "." with a tensor of one value in place of every '@'. */
static void make_pickle(const char *body)
{
    static const struct made_tensor one = {"",  "ByteStorage", "0",  8, 3, 0,
                                           {0}, {0},           NULL, 0, 0, false};
    pickle.n = 0;
    PUT(&pickle, "\x80\x02");
    for (; *body != '\0'; body++)
        if (*body == '@')
            put_tensor(&pickle, &one);
        else if (*body == '~') /* a zero */
            put(&pickle, "", 1);
        else
            put(&pickle, body, 1);
    PUT(&pickle, ".");
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

/* Honest */

static void views_are_resolved(void **state)
{
    static const struct made_tensor t[] = {
        {"whole", "ByteStorage", "0", 12, 0, 2, {3, 4}, {4, 1}, NULL, 0, 0, false},
        {"turned", "ByteStorage", "0", 12, 0, 2, {4, 3}, {1, 4}, NULL, 0, 0, false},
        {"rows", "ByteStorage", "0", 12, 4, 2, {2, 4}, {4, 1}, NULL, 0, 0, false},
        {"corner", "ByteStorage", "0", 12, 6, 2, {2, 2}, {4, 1}, NULL, 0, 0, false},
        {"column", "ByteStorage", "0", 12, 3, 2, {3, 1}, {4, 77}, NULL, 0, 0, false},
        {"cube", "ByteStorage", "0", 12, 0, 3, {2, 2, 3}, {1, 6, 2}, NULL, 0, 0, false},
        {"spread", "ByteStorage", "0", 12, 11, 2, {2, 3}, {0, 0}, NULL, 0, 0, false},
        {"ones", "ByteStorage", "0", 12, 0, 3, {1, 12, 1}, {99, 1, 55}, NULL, 0, 0, false},
        {"last", "ByteStorage", "0", 12, 11, 0, {0}, {0}, NULL, 0, 0, false},
        {"none", "ByteStorage", "0", 12, 12, 2, {0, 5}, {5, 1}, NULL, 0, 0, false},
    };
    struct torch_file *f = open_torch(zip_of(t, sizeof t / sizeof *t, 12).path);
    for (int round = 0; round < 2; round++) {
        assert_values(f, "whole", 12, rising());
        assert_values(f, "turned", 12, (unsigned char[]){0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11});
        assert_values(f, "rows", 8, rising() + 4);
        assert_values(f, "corner", 4, (unsigned char[]){6, 7, 10, 11});
        assert_values(f, "column", 3, (unsigned char[]){3, 7, 11});
        assert_values(f, "cube", 12, (unsigned char[]){0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11});
        assert_values(f, "spread", 6, (unsigned char[]){11, 11, 11, 11, 11, 11});
        assert_values(f, "ones", 12, rising());
        assert_values(f, "last", 1, (unsigned char[]){11});
        assert_values(f, "none", 0, rising());
    }
    torch_close(f);
}

static void every_type_of_storage_has_its_width(void **state)
{
    static const struct {
        const char *storage;
        enum safetensors_dtype dtype;
    } types[] = {{"FloatStorage", DTYPE_F32},     {"HalfStorage", DTYPE_F16},
                 {"BFloat16Storage", DTYPE_BF16}, {"DoubleStorage", DTYPE_F64},
                 {"LongStorage", DTYPE_I64},      {"IntStorage", DTYPE_I32},
                 {"ShortStorage", DTYPE_I16},     {"CharStorage", DTYPE_I8},
                 {"ByteStorage", DTYPE_U8},       {"BoolStorage", DTYPE_BOOL}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct made_tensor t = {"x",  types[i].storage, "0", 3, 1, 1, {2}, {1}, NULL, 0, 0,
                                      false};
        size_t width = dtype_size(types[i].dtype);
        struct torch_file *f = open_torch(zip_of(&t, 1, 3 * width).path);
        assert_int_equal(torch_find(f, "x")->dtype, types[i].dtype);
        assert_values(f, "x", 2 * width, rising() + width);
        torch_close(f);
    }
}

static void names_are_made_of_keys_and_numbers(void **state)
{
    static const char *const names[] = {"a", "l.0", "l.2.1", "d.7.-1.x.y"};
    make_pickle("}(X\x01~~~a@X\x01~~~l](@N(K\x05@te"
                "X\x01~~~d}K\x07}(J\xff\xff\xff\xff}X\x03~~~x.y@sK\x01X\x02~~~hius"
                "X\x01~~~n}(X\x03~~~b\nc]K\x09"
                "aN}\x89\x88(KK)tKKuu");
    struct torch_file *f = open_torch(zip_of_pickle(8).path);
    assert_int_equal(torch_count(f), sizeof names / sizeof *names);
    for (size_t i = 0; i < torch_count(f); i++) {
        assert_string_equal(torch_at(f, i)->name, names[i]);
        assert_values(f, names[i], 1, rising() + 3);
    }
    torch_close(f);
}

static void one_tensor_may_have_two_names(void **state)
{
    make_pickle("}(X\x01~~~a@q\x01X\x01~~~bh\x01u");
    struct torch_file *f = open_torch(zip_of_pickle(8).path);
    assert_int_equal(torch_count(f), 2);
    assert_values(f, "a", 1, rising() + 3);
    assert_values(f, "b", 1, rising() + 3);
    torch_close(f);
}

static void a_file_without_tensors_is_an_empty_one(void **state)
{
    make_pickle("}X\x05~~~epochK\x03s");
    struct torch_file *f = open_torch(zip_of_pickle(8).path);
    assert_int_equal(torch_count(f), 0);
    assert_null(torch_find(f, "epoch"));
    torch_close(f);
}

/* Lying pickles */

static void a_tensor_that_lies_is_refused(void **state)
{
    const int64_t max = INT64_MAX;
    const char *beyond = "reaches beyond storage 0 of 8 values";
    const char *otherwise = "otherwise than PyTorch does";
    const struct {
        struct made_tensor t;
        const char *piece;
    } lies[] = {
        {{.storage = "FloatStorage", .numel = 8, .rank = 1, .shape = {9}, .stride = {1}}, beyond},
        {{.storage = "FloatStorage", .numel = 8, .offset = 8}, beyond},
        {{.storage = "FloatStorage", .numel = 8, .offset = max}, beyond},
        {{.storage = "FloatStorage", .numel = 8, .offset = 9, .rank = 1, .stride = {1}}, beyond},
        {{.storage = "FloatStorage", .numel = 8, .rank = 2, .shape = {2, 2}, .stride = {8, 1}},
         beyond},
        {{.storage = "FloatStorage", .numel = 8, .rank = 1, .shape = {2}, .stride = {max}}, beyond},
        {{.storage = "FloatStorage", .numel = 8, .rank = 1, .shape = {3}, .stride = {max}}, beyond},
        {{.storage = "FloatStorage", .numel = 8, .rank = 2, .shape = {max, max}}, beyond},
        {{.storage = "FloatStorage", .numel = 8, .rank = 1, .shape = {max}}, beyond},
        {{.storage = "FloatStorage", .numel = 8, .rank = 3, .shape = {0, max, max}}, beyond},
        {{.storage = "FloatStorage",
          .numel = 8,
          .offset = 2,
          .rank = 2,
          .shape = {3, 3},
          .stride = {max, max}},
         beyond},
        {{.storage = "FloatStorage", .numel = 8, .rank = 2, .shape = {1 << 20, 1 << 10}},
         "repeat their values"},
        {{.storage = "FloatStorage", .numel = 8, .rank = 1, .shape = {2}, .stride = {-1}},
         otherwise},
        {{.storage = "FloatStorage", .numel = 8, .rank = 1, .shape = {-1}, .stride = {1}},
         otherwise},
        {{.storage = "FloatStorage", .numel = 8, .offset = -1}, otherwise},
        {{.storage = "FloatStorage", .numel = -1}, otherwise},
        {{.storage = "DoubleStorage", .numel = max}, otherwise},
        {{.storage = "FloatStorage", .numel = 8, .rank = 9, .shape = {1, 1, 1, 1, 1, 1, 1, 1, 1}},
         "a tensor has 9 dimensions; allowed: up to 8"},
        {{.storage = "FloatStorage", .numel = 9}, "storage 0 has 32 bytes"},
        {{.storage = "FloatStorage", .numel = 7}, "storage 0 has 32 bytes"},
        {{.storage = "FloatStorage", .numel = 0, .rank = 1}, "storage 0 has 32 bytes"},
        {{.storage = "FloatStorage", .numel = 8, .key = "1"}, "has no storage 1"},
        {{.storage = "FloatStorage", .numel = 8, .key = "../0"}, "has no storage ../0"},
        {{.storage = "FloatStorage", .numel = 8, .key = ""}, otherwise},
        {{.storage = "FloatStorage", .numel = 8, .key = "0\n"}, otherwise},
        {{.storage = "ComplexFloatStorage", .numel = 4},
         "it wants to call torch.ComplexFloatStorage"},
        {{.storage = "storage.UntypedStorage", .numel = 4}, "torch.storage.UntypedStorage"},
        {{.storage = "Size", .numel = 8}, otherwise},
        {{.storage = "FloatStorage", .numel = 8, .part = "p", .part_first = 4, .part_cells = 5},
         otherwise},
        {{.storage = "FloatStorage", .numel = 8, .part = "p", .part_first = 9}, otherwise},
        {{.storage = "FloatStorage", .numel = 8, .part = "p", .part_first = -1}, otherwise},
        {{.storage = "FloatStorage", .numel = 8, .part = "p", .part_cells = max}, otherwise},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct made_tensor t = lies[i].t;
        t.name = "x";
        t.key = t.key != NULL ? t.key : "0";
        assert_refused(zip_of(&t, 1, 32).path, lies[i].piece);
    }
}

static void tensors_must_agree_on_their_storage(void **state)
{
    struct made_tensor t[2] = {
        {.name = "a", .storage = "FloatStorage", .key = "0", .numel = 8},
        {.name = "b", .storage = "IntStorage", .key = "0", .numel = 8},
    };
    assert_refused(zip_of(t, 2, 32).path, "storage 0 is said to be 8 F32 values and 8 I32 values");
    t[1].storage = "FloatStorage";
    t[1].numel = 7;
    assert_refused(zip_of(t, 2, 32).path, "storage 0 is said to be 8 F32 values and 7 F32 values");
}

static void what_has_no_single_plain_name_is_refused(void **state)
{
    static const struct {
        const char *body, *piece;
    } bodies[] = {
        {"@", "no name"},
        {"}X~~~~@s", "no name"},
        {"}N@s", "no name"},
        {"}K\x01\x85@s", "no name"},
        {"}X\x03~~~a\nb@s", "no name"},
        {"}X\x02~~~\xc2\x9b@s", "no name"},
        {"}X\x02~~~\xff\xfe@s", "no name"},
        {"}X\x02~~~\xc0\x80@s", "no name"},
        {"}X\x03~~~\xed\xa0\x80@s", "no name"},
        {"}X\x01~~~\xc3@s", "no name"},
        {"}X\x03~~~a~b@s", "no name"},
        {"}N}X\x01~~~a@ss", "no name"},
        {"}(X\x01~~~a@X\x01~~~a@u", "two tensors are named a"},
        {"}(X\x03~~~a.b@X\x01~~~a}X\x01~~~b@su", "two tensors are named a.b"},
        {"}(K\x01@X\x01~~~1@u", "two tensors are named 1"},
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        make_pickle(bodies[i].body);
        assert_refused(zip_of_pickle(8).path, bodies[i].piece);
    }
    char name[202];
    memset(name, 'n', sizeof name - 1);
    name[201] = '\0';
    struct made_tensor t = {.name = name, .storage = "ByteStorage", .key = "0", .numel = 8};
    assert_refused(zip_of(&t, 1, 8).path, "one of more than 200 bytes");
    name[200] = '\0';
    struct torch_file *f = open_torch(zip_of(&t, 1, 8).path);
    assert_non_null(torch_find(f, name));
    torch_close(f);
}

static void values_without_end_are_refused(void **state)
{
    make_pickle("]q\x01h\x01"
                "a");
    assert_refused(zip_of_pickle(8).path, "nested deeper than 64, or more than 1048576");
    make_pickle("]q\x01(h\x01h\x01h\x01h\x01"
                "e");
    assert_refused(zip_of_pickle(8).path, "nested deeper than 64");
    make_pickle("}q\x01X\x01~~~ah\x01s");
    assert_refused(zip_of_pickle(8).path, "nested deeper than 64");
    pickle.n = 0;
    PUT(&pickle, "\x80\x02NNN\x87");
    for (int i = 0; i < 60; i++) /* 3^60 values */
        PUT(&pickle, "q\x01h\x01h\x01\x87");
    PUT(&pickle, ".");
    clock_t begin = clock();
    assert_refused(zip_of_pickle(8).path, "or more than 1048576");
    assert_true(clock() - begin < 5 * CLOCKS_PER_SEC);
    make_pickle("N");
    pickle.n--;
    for (int i = 0; i < 10000; i++)
        PUT(&pickle, "\x85");
    PUT(&pickle, ".");
    assert_refused(zip_of_pickle(8).path, "nested deeper than 64");
}

static void calls_with_other_arguments_are_refused(void **state)
{
    static const char *const bodies[] = {
        "ctorch\nFloatStorage\n)R",
        "ctorch\nFloatStorage\nK\x08\x85R",
        "ctorch._utils\n_rebuild_tensor_v2\n)R",
        "ctorch._utils\n_rebuild_tensor_v2\n(NK~))\x89}tR",
        "ctorch._utils\n_rebuild_tensor_v2\n(@K~))\x89}tR",
        "ctorch._utils\n_rebuild_parameter\n)R",
        "ctorch._utils\n_rebuild_parameter\nN\x88}\x87R",
        "ctorch._utils\n_rebuild_parameter\n@N}\x87R",
        "ctorch._utils\n_rebuild_parameter\n@\x88)\x87R",
        "ctorch\nSize\n)R",
        "ctorch\nSize\n]\x85R",
        "NQ",
        ")Q",
        "X\x07~~~storageQ",
        "(X\x07~~~storageNX\x01~~~0X\x03~~~cpuK\x08tQ",
        "(X\x07~~~storageX\x0c~~~FloatStorageX\x01~~~0X\x03~~~cpuK\x08tQ",
        "(X\x07~~~storagectorch\nSize\nX\x01~~~0X\x03~~~cpuK\x08tQ",
        "(X\x07~~~storageccollections\nOrderedDict\nX\x01~~~0X\x03~~~cpuK\x08tQ",
        "(X\x06~~~modulectorch\nFloatStorage\nX\x01~~~0X\x03~~~cpuK\x08tQ",
        "(X\x07~~~storagectorch\nFloatStorage\nK~X\x03~~~cpuK\x08tQ",
        "(X\x07~~~storagectorch\nFloatStorage\nX\x01~~~0NK\x08tQ",
        "(X\x07~~~storagectorch\nFloatStorage\nX\x01~~~0X\x03~~~cpu\x88tQ",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        make_pickle(bodies[i]);
        assert_refused(zip_of_pickle(8).path, "otherwise than PyTorch does");
    }
    make_pickle("}(X\x01~~~actorch._utils\n_rebuild_parameter\n@\x88}\x87RX\x01~~~b"
                "ctorch\nSize\nK\x01K\x02\x86\x85Ru");
    struct torch_file *f = open_torch(zip_of_pickle(8).path);
    assert_int_equal(torch_count(f), 1);
    assert_values(f, "a", 1, rising() + 3);
    torch_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_are_resolved),
        cmocka_unit_test(every_type_of_storage_has_its_width),
        cmocka_unit_test(names_are_made_of_keys_and_numbers),
        cmocka_unit_test(one_tensor_may_have_two_names),
        cmocka_unit_test(a_file_without_tensors_is_an_empty_one),
        cmocka_unit_test(a_tensor_that_lies_is_refused),
        cmocka_unit_test(tensors_must_agree_on_their_storage),
        cmocka_unit_test(what_has_no_single_plain_name_is_refused),
        cmocka_unit_test(values_without_end_are_refused),
        cmocka_unit_test(calls_with_other_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
