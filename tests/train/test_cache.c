/* SPDX-License-Identifier: Apache-2.0
 * The clip cache: what the decoder gave comes back to the last bit, and a cache that is of
 * something else, out of date, cut short or damaged is never taken for a good one. */
#include "tests/train/published.h"

#include <fcntl.h>
#include <inttypes.h>
#include <omp.h>
#include <signal.h>
#include <dirent.h>
#include <sys/resource.h>

#include "model/train/cache.h"

enum { CLIPS = 150, RATE_HZ = 16000 };

static const uint64_t SEED = 5;

static struct place places[CLIPS];
static const char *sources[CLIPS];
static int decoded[CLIPS];

/* Clip i: any bits, NaN among them, of a length of its own; some have none. */
static size_t length_of(size_t i)
{
    return i % 37 == 3 ? 0 : 1 + i * 71 % 997;
}

static uint32_t bits_of(size_t i, size_t k)
{
    uint64_t s = SEED + 1000003 * i + k + 1;
    random_next(&s);
    return (uint32_t)(random_next(&s) >> 32);
}

struct decoder {
    int fail_at; /* -1: nowhere */
};

static int decode(void *context, size_t i, float **ret_samples, size_t *ret_n, struct error *error)
{
    struct decoder *d = context;
    if (d->fail_at >= 0 && i >= (size_t)d->fail_at)
        return error_set(error, EINVAL, "%s: is not a sound file", sources[i]);
    float *samples = malloc(length_of(i) * sizeof *samples + 1);
    if (samples == NULL)
        return error_set(error, ENOMEM, "out of memory");
    for (size_t k = 0; k < length_of(i); k++) {
        uint32_t bits = bits_of(i, k);
        memcpy(&samples[k], &bits, sizeof bits);
    }
    decoded[i]++;
    *ret_samples = samples;
    *ret_n = length_of(i);
    return 0;
}

static struct decoder honest = {-1};
static const struct cache_list list = {sources, CLIPS, RATE_HZ};

static int make_sources(void **state)
{
    if (make_scratch(state) < 0)
        return -1;
    for (int i = 0; i < CLIPS; i++) {
        char name[32];
        snprintf(name, sizeof name, "clip%d.wav", i);
        places[i] = in_scratch(name);
        sources[i] = places[i].path;
        write_bytes(sources[i], name, strlen(name));
    }
    return 0;
}

static void make(const char *path)
{
    struct error error = {""};
    memset(decoded, 0, sizeof decoded);
    if (cache_make(path, &list, decode, &honest, &error) < 0)
        fail_msg("%s", error.text);
    for (int i = 0; i < CLIPS; i++)
        assert_int_equal(decoded[i], 1);
}

static void check_contents(const struct cache *cache)
{
    for (size_t i = 0; i < CLIPS; i++) {
        size_t n = 12345;
        const float *samples = cache_clip(cache, i, &n);
        assert_int_equal(n, length_of(i));
        assert_true((uintptr_t)samples % 64 == 0);
        for (size_t k = 0; k < n; k++) {
            uint32_t bits = bits_of(i, k);
            assert_memory_equal(&samples[k], &bits, sizeof bits);
        }
    }
}

static void open_good(const char *path)
{
    struct cache *cache = NULL;
    struct error error = {""};
    if (cache_open(&cache, path, &list, &error) < 0)
        fail_msg("%s", error.text);
    check_contents(cache);
    cache_close(cache);
}

static void refused(const char *path, const struct cache_list *by, int code, const char *piece)
{
    struct cache *untouched = (struct cache *)&list, *cache = untouched;
    struct error error = {""};
    int r = cache_open(&cache, path, by, &error);
    if (r != code)
        fail_msg("%d (%s), expected %d", r, error.text, code);
    assert_line(&error, piece, NULL);
    assert_ptr_equal(cache, untouched);
}

static void nothing_temporary_is_left(void)
{
    DIR *d = opendir(scratch);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strncmp(e->d_name, ".focald-", 8) == 0)
            fail_msg("%s is left over", e->d_name);
    closedir(d);
}

static void what_was_decoded_comes_back_to_the_last_bit(void **state)
{
    struct place p = in_scratch("good");
    print_message("seed %" PRIu64 "\n", SEED);
    make(p.path);
    open_good(p.path);
    open_good(p.path);
    nothing_temporary_is_left();
    cache_close(NULL);
}

static void the_file_does_not_depend_on_the_number_of_threads(void **state)
{
    struct place one = in_scratch("one"), four = in_scratch("four");
    int kept = omp_get_max_threads();
    size_t n = 0, m = 0;
    omp_set_num_threads(1);
    make(one.path);
    omp_set_num_threads(4);
    make(four.path);
    omp_set_num_threads(kept);
    char *a = read_bytes(one.path, &n), *b = read_bytes(four.path, &m);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    free(a);
    free(b);
}

static void an_empty_list_has_an_empty_cache(void **state)
{
    const struct cache_list none = {NULL, 0, RATE_HZ};
    struct place p = in_scratch("empty");
    struct cache *cache = NULL;
    assert_int_equal(cache_make(p.path, &none, decode, &honest, NULL), 0);
    assert_int_equal(cache_open(&cache, p.path, &none, NULL), 0);
    cache_close(cache);
    refused(p.path, &list, -ESTALE, "has 0 clips, not 150");
}

static void a_cache_of_something_else_is_out_of_date(void **state)
{
    struct place p = in_scratch("stale");
    const char *swapped[CLIPS], *kept = sources[7];
    make(p.path);
    refused(in_scratch("nowhere").path, &list, -ENOENT, "no clip cache");
    refused(p.path, &(struct cache_list){sources, CLIPS - 1, RATE_HZ}, -ESTALE, "clips");
    refused(p.path, &(struct cache_list){sources, CLIPS, 44100}, -ESTALE, "44100");
    memcpy(swapped, sources, sizeof swapped);
    swapped[7] = sources[8];
    swapped[8] = kept;
    refused(p.path, &(struct cache_list){swapped, CLIPS, RATE_HZ}, -ESTALE, "clip8.wav");
    open_good(p.path);
    /* the same length, written a moment later */
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1, .tv_nsec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, sources[7], times, 0), 0);
    refused(p.path, &list, -ESTALE, "clip7.wav has changed");
    make(p.path);
    open_good(p.path);
    write_bytes(sources[9], "longer than before", 18);
    refused(p.path, &list, -ESTALE, "clip9.wav has changed");
    make(p.path);
    assert_int_equal(unlink(sources[3]), 0);
    refused(p.path, &list, -ENOENT, "clip3.wav");
    struct error error = {""};
    assert_int_equal(cache_make(p.path, &list, decode, &honest, &error), -ENOENT);
    assert_line(&error, "clip3.wav", NULL);
    write_bytes(sources[3], "again", 5);
    make(p.path);
    open_good(p.path);
}

static void every_damaged_byte_is_found(void **state)
{
    struct place p = in_scratch("whole"), q = in_scratch("damaged");
    uint64_t s = SEED;
    size_t n;
    make(p.path);
    char *bytes = read_bytes(p.path, &n);
    const size_t head = 64 + 64 * CLIPS;
    int found = 0, unseen = 0;
    for (int round = 0; round < 400; round++) {
        size_t at =
            round < 64 ? (size_t)round : (round % 2 ? random_next(&s) % head : random_next(&s) % n);
        char kept = bytes[at];
        bytes[at] ^= (char)(1 << random_next(&s) % 8);
        write_bytes(q.path, bytes, n);
        bytes[at] = kept;
        struct cache *cache = NULL;
        struct error error = {""};
        int r = cache_open(&cache, q.path, &list, &error);
        bool version = at >= 8 && at < 12;
        if (r == 0) { /* only what fills up to 64 bytes behind a clip's samples is not a sample */
            check_contents(cache);
            cache_close(cache);
            assert_true(at >= head);
            unseen++;
        } else {
            assert_int_equal(r, version ? -ESTALE : -EBADMSG);
            assert_line(&error, q.path, version ? "version" : "damaged", NULL);
            found++;
        }
    }
    print_message("%d of 400 damaged files refused, %d damaged between clips\n", found, unseen);
    assert_true(found > 350);
    free(bytes);
}

static void a_cache_that_was_cut_or_is_none_is_refused(void **state)
{
    struct place p = in_scratch("uncut"), q = in_scratch("cut");
    size_t n;
    make(p.path);
    char *bytes = read_bytes(p.path, &n);
    const size_t lengths[] = {0, 1, 63, 64, 65, 1000, n / 2, n - 64, n - 1};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        write_bytes(q.path, bytes, lengths[k]);
        refused(q.path, &list, -EBADMSG, "damaged");
    }
    char *more = malloc(n + 64);
    assert_non_null(more);
    memcpy(more, bytes, n);
    memset(more + n, 0, 64);
    write_bytes(q.path, more, n + 64);
    refused(q.path, &list, -EBADMSG, "length");
    refused(sources[9], &list, -EBADMSG, "damaged");
    refused(scratch, &list, -EINVAL, "not a file");
    free(more);
    free(bytes);
}

static void a_clip_that_cannot_be_decoded_leaves_the_old_cache(void **state)
{
    struct place p = in_scratch("kept"), q = in_scratch("never");
    const int at[] = {0, 63, 64, CLIPS - 1};
    make(p.path);
    for (size_t k = 0; k < 4; k++) {
        struct decoder bad = {at[k]};
        struct error error = {""};
        char name[32];
        snprintf(name, sizeof name, "clip%d.wav", at[k]); /* the first, whoever was faster */
        assert_int_equal(cache_make(p.path, &list, decode, &bad, &error), -EINVAL);
        assert_line(&error, name, "not a sound file", NULL);
        assert_int_equal(cache_make(q.path, &list, decode, &bad, NULL), -EINVAL);
        assert_int_not_equal(access(q.path, F_OK), 0);
        nothing_temporary_is_left();
    }
    open_good(p.path);
}

/* A limit of the file's length stands for a full disk. */
static void a_full_disk_leaves_the_old_cache(void **state)
{
    struct place p = in_scratch("full");
    struct rlimit kept, small;
    struct error error = {""};
    make(p.path);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    small = kept;
    small.rlim_cur = 100000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int r = cache_make(p.path, &list, decode, &honest, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(r, -EFBIG);
    assert_line(&error, p.path, "cannot be written", NULL);
    nothing_temporary_is_left();
    open_good(p.path);
    assert_int_equal(cache_make("/nowhere/at/all", &list, decode, &honest, &error), -ENOENT);
    assert_line(&error, "/nowhere/at/all", NULL);
}

static void ready_says_why_it_made_a_cache(void **state)
{
    struct place p = in_scratch("ready");
    struct cache *cache = NULL;
    struct error why = {"x"}, error = {""};
    assert_int_equal(cache_ready(&cache, p.path, &list, decode, &honest, &why, &error), 0);
    assert_line(&why, "no clip cache", NULL);
    check_contents(cache);
    cache_close(cache);
    memset(decoded, 0, sizeof decoded);
    assert_int_equal(cache_ready(&cache, p.path, &list, decode, &honest, &why, &error), 0);
    assert_string_equal(why.text, "");
    assert_int_equal(decoded[0], 0);
    cache_close(cache);
    write_bytes(p.path, "x", 1);
    assert_int_equal(cache_ready(&cache, p.path, &list, decode, &honest, &why, &error), 0);
    assert_line(&why, "damaged", NULL);
    check_contents(cache);
    cache_close(cache);
    struct decoder bad = {5};
    write_bytes(p.path, "x", 1);
    assert_int_equal(cache_ready(&cache, p.path, &list, decode, &bad, &why, &error), -EINVAL);
    assert_line(&error, "clip5.wav", NULL);
    assert_int_equal(cache_ready(&cache, scratch, &list, decode, &honest, NULL, &error), -EINVAL);
    assert_line(&error, "not a file", NULL);
}

static void hash_of(const struct cache_list *of, const char *path, uint8_t *ret)
{
    struct cache *cache = NULL;
    struct error error = {""};
    assert_int_equal(cache_make(path, of, decode, &honest, &error), 0);
    assert_int_equal(cache_open(&cache, path, of, &error), 0);
    cache_hash(cache, ret);
    cache_close(cache);
}

static void its_hash_is_that_of_the_samples_alone(void **state)
{
    struct place p = in_scratch("hashed");
    uint8_t first[CACHE_HASH_BYTES], again[CACHE_HASH_BYTES], fewer[CACHE_HASH_BYTES];
    const char *other[2] = {sources[1], sources[0]};
    const struct timespec long_ago[2] = {{1, 0}, {1, 0}};
    const struct cache_list two = {sources, 2, RATE_HZ}, renamed = {other, 2, RATE_HZ},
                            one = {sources, 1, RATE_HZ};
    hash_of(&two, p.path, first);
    assert_int_equal(utimensat(AT_FDCWD, sources[0], long_ago, 0), 0);
    hash_of(&renamed, p.path, again);
    assert_memory_equal(first, again, sizeof first);
    hash_of(&one, p.path, fewer);
    assert_memory_not_equal(first, fewer, sizeof first);
}

static void only_a_cache_is_replaced(void **state)
{
    struct place p = in_scratch("replaced");
    assert_true(cache_replaces(p.path));
    make(p.path);
    assert_true(cache_replaces(p.path));
    write_bytes(p.path, "focalclp, and then something else", 33); /* a damaged one */
    assert_true(cache_replaces(p.path));
    write_bytes(p.path, "a letter to my mother", 21);
    assert_false(cache_replaces(p.path));
    write_bytes(p.path, "x", 1);
    assert_false(cache_replaces(p.path));
    assert_false(cache_replaces(scratch));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_decoded_comes_back_to_the_last_bit),
        cmocka_unit_test(the_file_does_not_depend_on_the_number_of_threads),
        cmocka_unit_test(an_empty_list_has_an_empty_cache),
        cmocka_unit_test(a_cache_of_something_else_is_out_of_date),
        cmocka_unit_test(every_damaged_byte_is_found),
        cmocka_unit_test(a_cache_that_was_cut_or_is_none_is_refused),
        cmocka_unit_test(a_clip_that_cannot_be_decoded_leaves_the_old_cache),
        cmocka_unit_test(a_full_disk_leaves_the_old_cache),
        cmocka_unit_test(ready_says_why_it_made_a_cache),
        cmocka_unit_test(its_hash_is_that_of_the_samples_alone),
        cmocka_unit_test(only_a_cache_is_replaced),
    };
    return cmocka_run_group_tests(tests, make_sources, remove_scratch);
}
