/* SPDX-License-Identifier: Apache-2.0
 * safetensors files, honest and hostile, and the weights that are taken from them. */
#include "tests/model/places.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <sys/wait.h>

#include "model/weights/provider.h"
#include "model/weights/safetensors.h"

/* Writes length, header and n data bytes (their own index) as scratch/t.safetensors. */
static struct place write_file(const char *header, size_t n)
{
    struct place p = in_scratch("t.safetensors");
    size_t length = strlen(header);
    unsigned char *bytes = malloc(8 + length + n);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)length >> (8 * i));
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < n; i++)
        bytes[8 + length + i] = (unsigned char)i;
    write_bytes(p.path, bytes, 8 + length + n);
    free(bytes);
    return p;
}

/* The same with spaces behind the header, so that the data begins at a multiple of 4. */
static struct place write_aligned(const char *header, size_t n)
{
    char padded[500];
    snprintf(padded, sizeof padded, "%s%*s", header, (int)(4 - strlen(header) % 4), "");
    return write_file(padded, n);
}

static void assert_refused(const char *path, int code, const char *piece)
{
    struct safetensors *const untouched = (struct safetensors *)(void *)&scratch;
    struct safetensors *f = untouched;
    struct error error = {""};
    int r = safetensors_open(&f, path, &error);
    if (r != code)
        fail_msg("%s (%s): %d, not %d", path, piece, r, code);
    assert_ptr_equal(f, untouched);
    assert_line(&error, path, piece, NULL);
}

/* Hostile files */

#define A "{\"a\":{\"dtype\":"
#define A4 A "\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}"

static const struct {
    const char *header;
    size_t data;
    const char *piece;
} hostile[] = {
    {"", 0, "the header is not JSON"},
    {"{", 0, "the header is not JSON"},
    {"{}x", 0, "the header is not JSON"},
    {"\xff\xfe{}", 0, "the header is not JSON"},
    {"{\"\xc3\x28\":{}}", 0, "the header is not JSON"},
    {"[]", 0, "not a JSON object"},
    {"{\"a\":1}", 0, "the entry of tensor a is not an object"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a has dtype (none)"},
    {A "5,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a has dtype (none)"},
    {A "\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a has dtype F31; allowed: F64"},
    {A "\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a has dtype f32"},
    {A "\"\\u001b[2J\\n\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a has dtype ?[2J?"},
    {A "\"F32\",\"data_offsets\":[0,4]}}", 4, "tensor a has no shape"},
    {A "\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "tensor a has no shape"},
    {A "\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "dimension 0 of tensor a"},
    {A "\"F32\",\"shape\":[1,1.0],\"data_offsets\":[0,4]}}", 4, "dimension 1 of tensor a"},
    {A "\"F32\",\"shape\":[true],\"data_offsets\":[0,4]}}", 4, "dimension 0 of tensor a"},
    {A "\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
     "tensor a has 9 dimensions; allowed: up to 8"},
    {A "\"F32\",\"shape\":[9223372036854775807,3],\"data_offsets\":[0,4]}}", 4,
     "dimension 1 of tensor a"},
    {A "\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}", 4,
     "tensor a has 4 bytes of data, but F32 [4611686018427387905]"},
    {A "\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}", 4, "not JSON"},
    {A "\"F32\",\"shape\":[1]}}", 4, "data_offsets of tensor a"},
    {A "\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "data_offsets of tensor a"},
    {A "\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4, "data_offsets of tensor a"},
    {A "\"F32\",\"shape\":[1],\"data_offsets\":[\"0\",\"4\"]}}", 4, "data_offsets of tensor a"},
    {A "\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "data_offsets of tensor a"},
    {A "\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "are [4, 0]"},
    {A "\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, "within the file's 3 bytes"},
    {A "\"F32\",\"shape\":[1],\"data_offsets\":[9223372036854775803,9223372036854775807]}}", 4,
     "within the file's 4 bytes"},
    {A "\"F32\",\"shape\":[2,3],\"data_offsets\":[0,20]}}", 20,
     "tensor a has 20 bytes of data, but F32 [2, 3]"},
    {A "\"I8\",\"shape\":[],\"data_offsets\":[0,4]}}", 4,
     "tensor a has 4 bytes of data, but I8 []"},
    {A4 ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}", 6,
     "the data of tensor b overlaps"},
    {A4 ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "overlaps"},
    {A4 ",\"b\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[2,2]}}", 4,
     "the data of tensor b overlaps"},
    {A4 ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}", 12,
     "the data of tensor b begins behind bytes that belong to no tensor"},
    {A "\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}", 5, "the data of tensor a begins behind"},
    {A4 "}", 5, "1 bytes at the end belong to no tensor"},
    {"{}", 16, "16 bytes at the end belong to no tensor"},
    {A4 ",\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "duplicate"},
    {A "\"F32\",\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "duplicate"},
    {"{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "not JSON"},
    {"{\"a\\nb\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
     "the name of tensor a?b"},
    {"{\"\\u001b]0;x\":{\"dtype\":\"F99\"}}", 0, "the name of tensor ?]0;x"},
    {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
    {"{\"__metadata__\":{\"version\":3}}", 0, "version of __metadata__ is not a string"},
    {"{\"__metadata__\":{\"a\\tb\":null}}", 0, "a?b of __metadata__ is not a string"},
};

static void a_hostile_header_is_refused_with_its_place(void **state)
{
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct place p = write_file(hostile[i].header, hostile[i].data);
        assert_refused(p.path, -EINVAL, hostile[i].piece);
    }
}

static void a_name_without_end_is_refused(void **state)
{
    static char header[4000], name[3001];
    memset(name, 'n', sizeof name - 1);
    snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\"}}", name);
    struct place p = write_file(header, 0);
    assert_refused(p.path, -EINVAL, "is longer than 200 bytes");
}

static void deep_nesting_is_refused(void **state)
{
    static char header[300001];
    memset(header, '[', sizeof header - 1);
    struct place p = write_file(header, 0);
    assert_refused(p.path, -EINVAL, "not JSON");
}

static void a_header_beyond_the_file_is_refused(void **state)
{
    static const unsigned char huge[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, '{', '}'};
    static const unsigned char all[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
    static const unsigned char one[] = {3, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    struct place p = in_scratch("t.safetensors");
    write_bytes(p.path, huge, sizeof huge);
    assert_refused(p.path, -EINVAL, "said to be 9223372036854775807 bytes, the file has 10");
    write_bytes(p.path, all, sizeof all);
    assert_refused(p.path, -EINVAL, "said to be 18446744073709551615 bytes");
    write_bytes(p.path, one, sizeof one);
    assert_refused(p.path, -EINVAL, "said to be 3 bytes, the file has 10");
}

static void a_header_over_100_MB_is_not_even_read(void **state)
{
    static const unsigned char length[] = {0x01, 0xe1, 0xf5, 0x05, 0, 0, 0, 0}; /* 100000001 */
    struct place p = in_scratch("large.safetensors");
    write_bytes(p.path, length, sizeof length);
    assert_int_equal(truncate(p.path, 200000000), 0); /* sparse */
    assert_refused(p.path, -EINVAL, "the header is 100000001 bytes; allowed: up to 100000000");
    unlink(p.path);
}

static void every_cut_of_a_file_is_refused(void **state)
{
    struct place p =
        write_file(A4 ",\"b\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[4,10]}}", 10);
    size_t n;
    char *bytes = read_bytes(p.path, &n);
    for (size_t cut = 0; cut < n; cut++) {
        write_bytes(p.path, bytes, cut);
        assert_refused(p.path, -EINVAL, "");
    }
    free(bytes);
}

static void what_is_no_file_is_refused(void **state)
{
    struct place p = in_scratch("fifo");
    assert_refused(scratch, -EINVAL, "not a regular file");
    assert_refused("/dev/null", -EINVAL, "not a regular file");
    assert_int_equal(mkfifo(p.path, 0600), 0);
    alarm(20); /* a pipe without a writer would hang a careless reader */
    assert_refused(p.path, -EINVAL, "not a regular file");
    alarm(0);
    p = in_scratch("absent.safetensors");
    assert_refused(p.path, -ENOENT, "No such file");
    p = in_scratch("link.safetensors");
    assert_int_equal(symlink(p.path, p.path), 0);
    assert_refused(p.path, -ELOOP, "symbolic links");
}

/* As another user where the test runs as root, whom no mode stops. */
static void an_unreadable_file_is_refused(void **state)
{
    struct place p = write_file("{}", 0);
    assert_int_equal(chmod(p.path, 0), 0);
    assert_int_equal(chmod(scratch, 0755), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct safetensors *f;
        struct error error;
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
            _exit(77);
        if (safetensors_open(&f, p.path, &error) != -EACCES)
            _exit(1);
        _exit(strstr(error.text, p.path) != NULL && strstr(error.text, "Permission") != NULL ? 0
                                                                                             : 2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    chmod(p.path, 0600);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("skipped: cannot become another user\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void damaged_reference_files_are_refused(void **state)
{
    static const char *const files[][2] = {
        {"huge_header", "said to be 9223372036854775807 bytes"},
        {"bad_offsets", "tensor a has 16 bytes of data, but F32 [1000, 1000]"},
        {"overflow_shape", "dimension 1 of tensor a"},
        {"truncated", "is cut short"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[100];
        snprintf(name, sizeof name, "checkpoints/%s.safetensors", files[i][0]);
        assert_refused(golden(name).path, -EINVAL, files[i][1]);
    }
}

/* Whatever bytes are changed: refused in one line, or a file whose tensors lie inside it. */
static void changed_bytes_never_lead_outside_the_file(void **state)
{
    const char *header = A4 ",\"b\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[4,10]},"
                            "\"__metadata__\":{\"k\":\"v\"}}";
    struct place p = write_file(header, 10);
    size_t n, opened = 0;
    char *bytes = read_bytes(p.path, &n), *changed = malloc(n);
    uint64_t seed = 20260101, s = seed;
    print_message("seed %" PRIu64 "\n", seed);
    for (int round = 0; round < 20000; round++) {
        memcpy(changed, bytes, n);
        for (uint64_t k = random_next(&s) % 3 + 1; k > 0; k--) {
            static const char likely[] = "0123456789[]{},:\"-\\F";
            uint64_t r = random_next(&s);
            changed[(r >> 8) % n] =
                r & 1 ? likely[(r >> 1) % (sizeof likely - 1)] : (char)(r >> 40);
        }
        write_bytes(p.path, changed, n);
        struct safetensors *f;
        struct error error;
        if (safetensors_open(&f, p.path, &error) < 0) {
            assert_line(&error, p.path, NULL);
            continue;
        }
        size_t size, covered = 0;
        const char *map = safetensors_bytes(f, &size);
        for (size_t i = 0; i < safetensors_count(f); i++) {
            const struct safetensors_tensor *t = safetensors_at(f, i);
            size_t len = t->cells * dtype_size(t->dtype);
            assert_true((const char *)t->data >= map && (const char *)t->data + len <= map + size);
            covered += len;
        }
        assert_true(covered <= size - 8);
        opened++;
        safetensors_close(f);
    }
    print_message("%zu of 20000 still open\n", opened);
    assert_true(opened > 0);
    free(bytes);
    free(changed);
}

/* Honest files */

static void odd_but_honest_files_open(void **state)
{
    struct safetensors *f;
    struct error error;
    assert_int_equal(safetensors_open(&f, write_file("{}", 0).path, &error), 0);
    assert_int_equal(safetensors_count(f), 0);
    assert_null(safetensors_find(f, "a"));
    assert_null(safetensors_metadata(f, "format"));
    safetensors_close(f);
    /* an empty tensor, a scalar, data in another order than the header's, padding, odd places */
    const char *header = "{\"z\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[1,5]},"
                         "\"__metadata__\":{\"format\":\"pt\",\"config\":\"{}\"},"
                         "\"a\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[0,1]},"
                         "\"e\":{\"dtype\":\"F64\",\"shape\":[0,7],\"data_offsets\":[5,5]}}  ";
    assert_int_equal(safetensors_open(&f, write_file(header, 5).path, &error), 0);
    assert_int_equal(safetensors_count(f), 3);
    assert_string_equal(safetensors_at(f, 0)->name, "z");
    assert_string_equal(safetensors_at(f, 1)->name, "a");
    assert_string_equal(safetensors_at(f, 2)->name, "e");
    assert_string_equal(safetensors_metadata(f, "format"), "pt");
    assert_null(safetensors_metadata(f, "other"));
    assert_null(safetensors_find(f, "__metadata__"));
    float values[2];
    safetensors_float(safetensors_find(f, "z"), values);
    assert_true(values[0] == 0x0201 && values[1] == 0x0403);
    assert_int_equal(safetensors_find(f, "a")->rank, 0);
    assert_int_equal(safetensors_find(f, "a")->cells, 1);
    assert_int_equal(safetensors_find(f, "e")->cells, 0);
    safetensors_close(f);
}

static void reference_files_open(void **state)
{
    static const char *const names[] = {"focalnet_tiny", "focalnet_options",
                                        "checkpoints/odd_tensors_expected", "checkpoints/model"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[100];
        struct safetensors *f;
        struct error error = {""};
        snprintf(name, sizeof name, "%s.safetensors", names[i]);
        if (safetensors_open(&f, golden(name).path, &error) < 0)
            fail_msg("%s", error.text);
        assert_true(safetensors_count(f) > 4);
        safetensors_close(f);
    }
}

/* Values */

static float convert(enum safetensors_dtype dtype, const void *value)
{
    float x = -1;
    struct safetensors_tensor t = {.dtype = dtype, .rank = 0, .cells = 1, .data = value};
    safetensors_float(&t, &x);
    return x;
}

static bool same(float a, double b)
{
    return isnan(b) ? isnan(a) : (double)a == b && !signbit(a) == !signbit(b);
}

/* IEEE 754 binary16: sign, 5 bits of exponent (bias 15), 10 of fraction. */
static void every_half_float_has_its_value(void **state)
{
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        uint16_t half = (uint16_t)bits;
        int exponent = half >> 10 & 31, fraction = half & 1023;
        double value = exponent == 31  ? (fraction != 0 ? (double)NAN : (double)INFINITY)
                       : exponent == 0 ? ldexp(fraction, -24)
                                       : ldexp(1024 + fraction, exponent - 25);
        assert_true(same(convert(DTYPE_F16, &half), half & 0x8000 ? -value : value));
    }
}

/* bfloat16: the upper half of binary32, 8 bits of exponent (bias 127), 7 of fraction. */
static void every_bfloat_has_its_value(void **state)
{
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        uint16_t b = (uint16_t)bits;
        int exponent = b >> 7 & 255, fraction = b & 127;
        double value = exponent == 255 ? (fraction != 0 ? (double)NAN : (double)INFINITY)
                       : exponent == 0 ? ldexp(fraction, -133)
                                       : ldexp(128 + fraction, exponent - 134);
        assert_true(same(convert(DTYPE_BF16, &b), b & 0x8000 ? -value : value));
    }
}

static void other_types_convert_by_value(void **state)
{
    assert_true(convert(DTYPE_F64, &(double){-0.1}) == -0.1f);
    assert_true(convert(DTYPE_F32, &(float){0.3f}) == 0.3f);
    assert_true(convert(DTYPE_I64, &(int64_t){-5000000000}) == -5e9f);
    assert_true(convert(DTYPE_I32, &(int32_t){-70000}) == -70000);
    assert_true(convert(DTYPE_I16, &(int16_t){-300}) == -300);
    assert_true(convert(DTYPE_I8, &(int8_t){-3}) == -3);
    assert_true(convert(DTYPE_U8, &(uint8_t){253}) == 253);
    assert_true(convert(DTYPE_BOOL, &(uint8_t){1}) == 1);
}

/* The provider */

/* Tensors of three parts of the loop and a rest, at an odd address. */
static void assert_values(const char *name, enum safetensors_dtype dtype, const void *good,
                          const void *odd, bool refused)
{
    enum { CELLS = 3 * 4096 + 5 };
    static const size_t places[] = {0, 4095, 4096, 10000, CELLS - 1};
    static char data[CELLS * sizeof(double) + 1];
    const size_t size = dtype_size(dtype);
    struct safetensors_tensor t = {.name = name, .dtype = dtype, .cells = CELLS, .data = data + 1};
    struct error error;
    for (size_t i = 0; i < CELLS; i++)
        memcpy(data + 1 + i * size, good, size);
    assert_int_equal(safetensors_check_values("a file", &t, &error), 0);
    for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
        char place[64];
        memcpy(data + 1 + places[k] * size, odd, size);
        assert_int_equal(safetensors_check_values("a file", &t, &error), refused ? -EINVAL : 0);
        snprintf(place, sizeof place, "value %zu of tensor", places[k]);
        if (refused)
            assert_line(&error, "a file", place, name, NULL);
        memcpy(data + 1 + places[k] * size, good, size);
    }
}

static void what_a_network_cannot_compute_with_is_refused(void **state)
{
    const float one = 1, floats[] = {NAN, -NAN, INFINITY, -INFINITY}, least = -3e38f,
                below = -1e-30f;
    const double wide_one = 1, doubles[] = {(double)NAN, -(double)INFINITY, 1e39};
    const uint16_t half_one = 0x3c00, halves[] = {0x7c00, 0xfc00, 0x7e01};
    const uint16_t bfloat_one = 0x3f80, bfloats[] = {0x7f80, 0xff80, 0x7fc1};
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_values("w", DTYPE_F32, &one, &floats[i], true);
    for (int i = 0; i < 3; i++) {
        assert_values("w", DTYPE_F64, &wide_one, &doubles[i], true);
        assert_values("w", DTYPE_F16, &half_one, &halves[i], true);
        assert_values("w", DTYPE_BF16, &bfloat_one, &bfloats[i], true);
    }
    assert_values("w", DTYPE_F32, &one, &least, false);
    assert_values("norm.running_mean", DTYPE_F32, &one, &below, false);
    assert_values("norm.running_var", DTYPE_F32, &one, &(float){0}, false);
    assert_values("norm.running_var", DTYPE_F32, &one, &below, true);
    assert_values("norm.running_var", DTYPE_F32, &one, &floats[0], true);
}

static void weights_come_from_the_file_or_say_what_is_wrong(void **state)
{
    const char *header = "{\"half\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[24,28]},"
                         "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                         "\"odd\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[28,29]},"
                         "\"far\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[29,33]}}";
    struct place p = write_aligned(header, 33);
    struct safetensors *f;
    struct weights *w;
    struct error error = {""};
    assert_int_equal(safetensors_open(&f, p.path, &error), 0);
    assert_int_equal(weights_from_file(&w, f, &error), 0);
    const int64_t two_three[] = {2, 3}, three_two[] = {3, 2}, two[] = {2}, one[] = {1};
    for (int round = 0; round < 2; round++) { /* and again after weights_done */
        const float *x = weights_get(w, "w", 2, two_three, &error);
        assert_ptr_equal(x, safetensors_find(f, "w")->data); /* no copy */
        float expected[6];
        safetensors_float(safetensors_find(f, "w"), expected);
        assert_memory_equal(x, expected, sizeof expected);
        x = weights_get(w, "half", 1, two, &error);
        assert_non_null(x);
        assert_true(same(x[0], ldexp(1024 + 0x118, 6 - 25))); /* 0x1918 */
        x = weights_get(w, "far", 1, one, &error);
        assert_int_equal((uintptr_t)x % sizeof(float), 0);
        const unsigned char bytes[] = {29, 30, 31, 32};
        assert_memory_equal(x, bytes, 4);
        weights_done(w);
    }
    assert_null(weights_get(w, "gone", 2, two_three, &error));
    assert_line(&error, p.path, "no tensor gone", "[2, 3]", NULL);
    assert_null(weights_get(w, "w", 2, three_two, &error));
    assert_line(&error, p.path, "tensor w is F32 [2, 3]", "expected: float [3, 2]", NULL);
    assert_null(weights_get(w, "w", 1, two, &error));
    assert_line(&error, "tensor w is F32 [2, 3]", "expected: float [2]", NULL);
    assert_null(weights_get(w, "odd", 1, one, &error));
    assert_line(&error, "tensor odd is U8 [1]", "expected: float [1]", NULL);
    assert_int_equal(weights_check(w, "w", 2, two_three, &error), 0);
    assert_int_equal(weights_check(w, "w", 2, three_two, &error), -EINVAL);
    weights_destroy(w);
    weights_destroy(NULL);
    safetensors_close(f);
    safetensors_close(NULL);
}

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static long resident_mb(void)
{
    long size, resident;
    FILE *f = fopen("/proc/self/statm", "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &size, &resident), 2);
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE) >> 20;
}

/* 64 MB taken from a file, and 64 MB made by hash. */
static void weights_done_gives_the_memory_back(void **state)
{
    const int64_t shape[] = {4096, 4096};
    struct place p = write_aligned(
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[4096,4096],\"data_offsets\":[0,67108864]}}",
        67108864);
    struct safetensors *f;
    struct error error;
    assert_int_equal(safetensors_open(&f, p.path, &error), 0);
    for (int hashed = 0; hashed < 2; hashed++) {
        struct weights *w;
        assert_int_equal(hashed ? weights_hashed(&w, &error) : weights_from_file(&w, f, &error), 0);
        long before = resident_mb();
        const float *x = weights_get(w, "w", 2, shape, &error);
        assert_non_null(x);
        volatile float sum = 0;
        for (size_t i = 0; i < 4096 * 4096; i += 512)
            sum += x[i];
        long during = resident_mb();
        weights_done(w);
        long after = resident_mb();
        print_message("%s: %ld, %ld, %ld MB\n", hashed ? "hashed" : "file", before, during, after);
        assert_true(during >= before + 60);
        if (!(hashed && SANITIZED)) /* sanitizers keep freed memory for a while */
            assert_true(after <= before + (SANITIZED ? 16 : 4)); /* shadow memory */
        weights_destroy(w);
    }
    safetensors_close(f);
    unlink(p.path);
}

/* The vectors of golden/README, made by an independent program. */
static void hashed_weights_are_those_of_the_reference(void **state)
{
    static const struct {
        const char *name;
        int rank;
        int64_t shape[4];
        float values[8];
    } vectors[] = {
        {"focalnet.embeddings.patch_embeddings.projection.weight",
         4,
         {128, 3, 4, 4},
         {0.149697095f, -0.155308694f, 0.0193904042f, 0.10135752f, 0.226819456f, 0.0157174468f,
          0.0249062479f, 0.115646601f}},
        {"focalnet.encoder.stages.2.layers.17.modulation.projection_in.bias",
         1,
         {1027},
         {-0.0129439402f, -0.0108166672f, 0.0198691003f, 0.0192377791f, 0.0104090162f,
          0.0069208527f, -0.0150403976f, -0.00627098791f}},
        {"classifier.blocks.0.norm.running_var",
         1,
         {1024},
         {1.36273575f, 0.899918616f, 1.33282328f, 1.08845758f, 0.945608377f, 1.08759856f,
          1.21687973f, 1.03644252f}},
    };
    struct weights *w;
    struct error error;
    assert_int_equal(weights_hashed(&w, &error), 0);
    for (size_t k = 0; k < sizeof vectors / sizeof *vectors; k++) {
        const float *x = weights_get(w, vectors[k].name, vectors[k].rank, vectors[k].shape, &error);
        assert_non_null(x);
        assert_memory_equal(x, vectors[k].values, sizeof vectors[k].values);
        size_t cells = 1;
        for (int i = 0; i < vectors[k].rank; i++)
            cells *= (size_t)vectors[k].shape[i];
        for (size_t i = 0; i < cells; i++)
            assert_true(x[i] == weights_hashed_value(vectors[k].name, vectors[k].rank,
                                                     vectors[k].shape, i));
    }
    weights_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hostile_header_is_refused_with_its_place),
        cmocka_unit_test(a_name_without_end_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(a_header_beyond_the_file_is_refused),
        cmocka_unit_test(a_header_over_100_MB_is_not_even_read),
        cmocka_unit_test(every_cut_of_a_file_is_refused),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(an_unreadable_file_is_refused),
        cmocka_unit_test(damaged_reference_files_are_refused),
        cmocka_unit_test(changed_bytes_never_lead_outside_the_file),
        cmocka_unit_test(odd_but_honest_files_open),
        cmocka_unit_test(reference_files_open),
        cmocka_unit_test(every_half_float_has_its_value),
        cmocka_unit_test(every_bfloat_has_its_value),
        cmocka_unit_test(other_types_convert_by_value),
        cmocka_unit_test(what_a_network_cannot_compute_with_is_refused),
        cmocka_unit_test(weights_come_from_the_file_or_say_what_is_wrong),
        cmocka_unit_test(weights_done_gives_the_memory_back),
        cmocka_unit_test(hashed_weights_are_those_of_the_reference),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
