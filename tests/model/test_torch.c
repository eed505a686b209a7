/* SPDX-License-Identifier: Apache-2.0
 * PyTorch checkpoints as published, and the same files hurt in every way. */
#include "tests/model/checkpoints.h"

#include "model/weights/torch_file.h"

static struct torch_file *open_torch(const char *path)
{
    struct torch_file *f = NULL;
    struct error error = {""};
    if (torch_open(&f, path, &error) < 0)
        fail_msg("%s", error.text);
    assert_string_equal(torch_path(f), path);
    return f;
}

static struct safetensors *open_reference(const char *name)
{
    struct safetensors *f = NULL;
    struct error error = {""};
    if (safetensors_open(&f, golden(name).path, &error) < 0)
        fail_msg("%s", error.text);
    return f;
}

static void *read_tensor(const struct torch_file *f, const struct torch_tensor *t)
{
    struct error error = {""};
    void *data = malloc(t->cells * dtype_size(t->dtype) + 1);
    assert_non_null(data);
    if (torch_read(f, t, data, &error) < 0)
        fail_msg("%s: %s", t->name, error.text);
    return data;
}

static void assert_refused(const char *path, int code, const char *piece)
{
    struct torch_file *const untouched = (struct torch_file *)(void *)&scratch;
    struct torch_file *f = untouched;
    struct error error = {""};
    int r = torch_open(&f, path, &error);
    if (r != code)
        fail_msg("%s (%s): %d, not %d", path, piece, r, code);
    assert_ptr_equal(f, untouched);
    assert_line(&error, path, piece, NULL);
}

/* Honest files */

/* Every tensor of path, named prefix + x, is the reference's tensor named reference_prefix + x. */
static void assert_same(const char *path, const char *prefix, const char *reference_path,
                        const char *reference_prefix, size_t count)
{
    struct torch_file *f = open_torch(golden(path).path);
    struct safetensors *reference = open_reference(reference_path);
    assert_int_equal(torch_count(f), count);
    for (size_t i = 0; i < count; i++) {
        const struct torch_tensor *t = torch_at(f, i);
        char name[300];
        assert_true(strncmp(t->name, prefix, strlen(prefix)) == 0);
        assert_ptr_equal(torch_find(f, t->name), t);
        snprintf(name, sizeof name, "%s%s", reference_prefix, t->name + strlen(prefix));
        const struct safetensors_tensor *e = safetensors_find(reference, name);
        assert_non_null(e);
        assert_int_equal(t->dtype, e->dtype);
        assert_int_equal(t->rank, e->rank);
        assert_int_equal(t->cells, e->cells);
        assert_memory_equal(t->shape, e->shape, (size_t)t->rank * sizeof *t->shape);
        void *data = read_tensor(f, t);
        assert_memory_equal(data, e->data, e->cells * dtype_size(e->dtype));
        free(data);
    }
    assert_null(torch_find(f, "no such tensor"));
    assert_null(torch_find(f, ""));
    torch_close(f);
    torch_close(NULL);
    safetensors_close(reference);
}

static void a_backbone_is_the_same_in_every_format(void **state)
{
    assert_same("checkpoints/pytorch_model.bin", "", "focalnet_tiny.safetensors", "", 98);
    assert_same("checkpoints/pytorch_model_legacy.bin", "", "focalnet_tiny.safetensors", "", 98);
}

static void speechbrains_backbone_is_that_of_the_hub(void **state)
{
    assert_same("checkpoints/embedding_model.ckpt", "", "checkpoints/model.safetensors", "", 98);
    assert_same("checkpoints/pytorch_model_legacy.bin", "", "checkpoints/model.safetensors", "",
                98);
}

static void a_classifier_is_found_under_any_prefix(void **state)
{
    const char *tiny = "focalnet_tiny.safetensors", *prefix = "classifier.";
    assert_same("checkpoints/classifier.ckpt", "", tiny, prefix, 8);
    assert_same("checkpoints/classifier_legacy.ckpt", "", tiny, prefix, 8);
    assert_same("checkpoints/classifier_module_prefix.ckpt", "module.", tiny, prefix, 8);
    assert_same("checkpoints/nested.ckpt", "model.", tiny, prefix, 8);
}

static void tensors_come_in_the_files_order(void **state)
{
    static const char *const names[] = {"weight",
                                        "blocks.0.norm.weight",
                                        "blocks.0.norm.bias",
                                        "blocks.0.norm.running_mean",
                                        "blocks.0.norm.running_var",
                                        "blocks.0.norm.num_batches_tracked",
                                        "blocks.1.w.weight",
                                        "blocks.1.w.bias"};
    struct torch_file *f = open_torch(golden("checkpoints/classifier.ckpt").path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_string_equal(torch_at(f, i)->name, names[i]);
    torch_close(f);
}

static void assert_odd_values(const char *path)
{
    static const struct {
        const char *name;
        enum safetensors_dtype dtype;
    } types[] = {{"full", DTYPE_F32},   {"transposed", DTYPE_F32}, {"slice", DTYPE_F32},
                 {"half", DTYPE_F16},   {"bf16", DTYPE_BF16},      {"double", DTYPE_F64},
                 {"i64", DTYPE_I64},    {"u8", DTYPE_U8},          {"boolean", DTYPE_BOOL},
                 {"scalar", DTYPE_F32}, {"param", DTYPE_F32},      {"empty", DTYPE_F32}};
    struct torch_file *f = open_torch(golden(path).path);
    struct safetensors *expected = open_reference("checkpoints/odd_tensors_expected.safetensors");
    const size_t n = sizeof types / sizeof *types;
    assert_int_equal(torch_count(f), n);
    assert_int_equal(safetensors_count(expected), n);
    for (size_t i = 0; i < n; i++) {
        const struct torch_tensor *t = torch_find(f, types[i].name);
        const struct safetensors_tensor *e = safetensors_find(expected, types[i].name);
        assert_true(t != NULL && e != NULL);
        assert_int_equal(t->dtype, types[i].dtype);
        assert_int_equal(t->rank, e->rank);
        assert_memory_equal(t->shape, e->shape, (size_t)t->rank * sizeof *t->shape);
        void *data = read_tensor(f, t);
        float got[24], wanted[24];
        struct safetensors_tensor as = {.dtype = t->dtype, .cells = t->cells, .data = data};
        assert_true(t->cells <= 24 && t->cells == e->cells);
        safetensors_float(&as, got);
        safetensors_float(e, wanted);
        assert_memory_equal(got, wanted, t->cells * sizeof *got);
        free(data);
    }
    torch_close(f);
    safetensors_close(expected);
}

static void odd_tensors_have_the_values_that_pytorch_gave(void **state)
{
    assert_odd_values("checkpoints/odd_tensors.ckpt");
    assert_odd_values("checkpoints/odd_tensors_legacy.ckpt");
}

/* Hostile and damaged ones */

static bool evil_was_done(void)
{
    const char *tmp = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/focald-evil", tmp != NULL ? tmp : "/tmp");
    return access(path, F_OK) == 0 || access("/tmp/focald-evil", F_OK) == 0;
}

static void an_evil_pickle_is_refused_whole_and_nothing_runs(void **state)
{
    assert_false(evil_was_done());
    assert_refused(golden("checkpoints/evil.ckpt").path, -EINVAL,
                   "it wants to call posix.system; a file of weights needs only tensors: do not "
                   "use it");
    assert_refused(golden("checkpoints/evil_legacy.ckpt").path, -EINVAL,
                   "it wants to call posix.system;");
    assert_false(evil_was_done());
}

static void what_is_no_checkpoint_is_refused(void **state)
{
    struct place p = in_scratch("fifo");
    assert_refused(golden("checkpoints/truncated.ckpt").path, -EINVAL, "cut short");
    assert_refused(golden("checkpoints/config.json").path, -EINVAL, "no PyTorch checkpoint");
    assert_refused(golden("focalnet_tiny.safetensors").path, -EINVAL, "no PyTorch checkpoint");
    assert_refused(scratch, -EINVAL, "not a regular file");
    assert_refused("/dev/null", -EINVAL, "not a regular file");
    assert_int_equal(mkfifo(p.path, 0600), 0);
    alarm(20); /* a pipe without a writer would hang a careless reader */
    assert_refused(p.path, -EINVAL, "not a regular file");
    alarm(0);
    p = in_scratch("absent.ckpt");
    assert_refused(p.path, -ENOENT, "No such file");
    p = in_scratch("empty.ckpt");
    write_bytes(p.path, "", 0);
    assert_refused(p.path, -EINVAL, "no PyTorch checkpoint");
    write_bytes(p.path, "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);
    assert_refused(p.path, -EINVAL, "no PyTorch checkpoint");
    write_bytes(p.path, "PK\3\4", 4);
    assert_refused(p.path, -EINVAL, "cut short");
}

/* The file as it was, and what it holds. */
struct original {
    char *bytes;
    size_t n;
    struct torch_file *f;
    void **data;
};

static struct original take_original(const char *name)
{
    struct original o;
    struct place p = golden(name);
    o.bytes = read_bytes(p.path, &o.n);
    o.f = open_torch(p.path);
    o.data = calloc(torch_count(o.f), sizeof(*o.data));
    assert_non_null(o.data);
    for (size_t i = 0; i < torch_count(o.f); i++)
        o.data[i] = read_tensor(o.f, torch_at(o.f, i));
    return o;
}

static void leave_original(struct original *o)
{
    for (size_t i = 0; i < torch_count(o->f); i++)
        free(o->data[i]);
    free(o->data);
    torch_close(o->f);
    free(o->bytes);
}

struct tally {
    size_t refused, unreadable, same, other;
};

/* Opens and reads a hurt file: it is refused with one line, or can be read within its bounds. */
static void judge(const char *path, const struct original *o, struct tally *tally)
{
    struct torch_file *f;
    struct error error = {""};
    int r = torch_open(&f, path, &error);
    if (r < 0) {
        assert_int_equal(r, -EINVAL);
        assert_line(&error, path, NULL);
        tally->refused++;
        return;
    }
    bool same = torch_count(f) == torch_count(o->f);
    for (size_t i = 0; i < torch_count(f) && r == 0; i++) {
        const struct torch_tensor *t = torch_at(f, i);
        const struct torch_tensor *e = torch_find(o->f, t->name);
        size_t n = t->cells * dtype_size(t->dtype);
        unsigned char *data = malloc(n + 1);
        assert_non_null(data);
        r = torch_read(f, t, data, &error);
        if (r == 0)
            same &= e != NULL && e->cells == t->cells && e->dtype == t->dtype &&
                    memcmp(data, o->data[e - torch_at(o->f, 0)], n) == 0;
        free(data);
    }
    torch_close(f);
    if (r < 0)
        assert_line(&error, path, NULL);
    if (r < 0)
        tally->unreadable++;
    else if (same)
        tally->same++;
    else
        tally->other++;
}

static struct tally cut_everywhere(const char *name)
{
    enum { LAST = 3072, SPREAD = 500 };
    struct original o = take_original(name);
    struct place p = in_scratch("cut.ckpt");
    struct tally tally = {0};
    write_bytes(p.path, o.bytes, o.n);
    for (size_t i = 1; i <= LAST; i++) {
        assert_int_equal(truncate(p.path, (off_t)(o.n - i)), 0);
        judge(p.path, &o, &tally);
    }
    for (size_t i = SPREAD; i-- > 0;) {
        assert_int_equal(truncate(p.path, (off_t)((o.n - LAST) * i / SPREAD)), 0);
        judge(p.path, &o, &tally);
    }
    leave_original(&o);
    print_message("%s: %zu refused, %zu unreadable, %zu the same, %zu others\n", name,
                  tally.refused, tally.unreadable, tally.same, tally.other);
    return tally;
}

static void every_cut_of_a_file_is_refused(void **state)
{
    assert_int_equal(cut_everywhere("checkpoints/classifier.ckpt").refused, 3572);
    assert_int_equal(cut_everywhere("checkpoints/classifier_legacy.ckpt").refused, 3572);
}

/* step 0: every byte */
static struct tally change_bytes(const char *name, size_t step, uint64_t seed)
{
    struct original o = take_original(name);
    struct place p = in_scratch("changed.ckpt");
    struct tally tally = {0};
    print_message("%s, seed %llu: ", name, (unsigned long long)seed);
    write_bytes(p.path, o.bytes, o.n);
    FILE *f = fopen(p.path, "r+e");
    assert_non_null(f);
    for (size_t i = 0; i<o.n; i += step> 0 ? 1 + random_next(&seed) % (2 * step) : 1) {
        for (int round = 0; round < (step > 0 ? 1 : 2); round++) {
            char flip = round == 0 ? (char)(1 + random_next(&seed) % 255) : 1;
            assert_int_equal(pwrite(fileno(f), &(char){o.bytes[i] ^ flip}, 1, (off_t)i), 1);
            judge(p.path, &o, &tally);
        }
        assert_int_equal(pwrite(fileno(f), &o.bytes[i], 1, (off_t)i), 1);
    }
    judge(p.path, &o, &tally);
    fclose(f);
    leave_original(&o);
    print_message("%zu refused, %zu unreadable, %zu the same, %zu others\n", tally.refused,
                  tally.unreadable, tally.same, tally.other);
    return tally;
}

static void a_changed_byte_never_leads_astray(void **state)
{
    struct tally zip = change_bytes("checkpoints/odd_tensors.ckpt", 0, 20260724);
    change_bytes("checkpoints/odd_tensors_legacy.ckpt", 0, 20260725);
    struct tally large = change_bytes("checkpoints/classifier.ckpt", 200, 20260726);
    change_bytes("checkpoints/classifier_legacy.ckpt", 200, 20260727);
    /* a zip file's checksums find what the stream cannot */
    assert_true(large.other == 0 && zip.other == 0);
    assert_true(zip.same >= 1 && zip.refused > 0 && zip.unreadable > 0);
}

static void a_changed_value_fails_its_checksum(void **state)
{
    struct place p = in_scratch("value.ckpt");
    size_t n;
    char *bytes = read_bytes(golden("checkpoints/classifier.ckpt").path, &n);
    bytes[n / 2] ^= 1;
    write_bytes(p.path, bytes, n);
    free(bytes);
    struct torch_file *f = open_torch(p.path);
    size_t failed = 0;
    for (size_t i = 0; i < torch_count(f); i++) {
        const struct torch_tensor *t = torch_at(f, i);
        struct error error = {""};
        void *data = malloc(t->cells * dtype_size(t->dtype));
        assert_non_null(data);
        if (torch_read(f, t, data, &error) < 0) {
            failed++;
            assert_line(&error, p.path, "CRC", NULL);
        }
        free(data);
    }
    assert_int_equal(failed, 1);
    torch_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backbone_is_the_same_in_every_format),
        cmocka_unit_test(speechbrains_backbone_is_that_of_the_hub),
        cmocka_unit_test(a_classifier_is_found_under_any_prefix),
        cmocka_unit_test(tensors_come_in_the_files_order),
        cmocka_unit_test(odd_tensors_have_the_values_that_pytorch_gave),
        cmocka_unit_test(an_evil_pickle_is_refused_whole_and_nothing_runs),
        cmocka_unit_test(what_is_no_checkpoint_is_refused),
        cmocka_unit_test(every_cut_of_a_file_is_refused),
        cmocka_unit_test(a_changed_byte_never_leads_astray),
        cmocka_unit_test(a_changed_value_fails_its_checksum),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
