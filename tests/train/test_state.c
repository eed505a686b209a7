/* SPDX-License-Identifier: Apache-2.0
 * The state of a training run: it comes back to the last bit, it is on the disk whole or not at
 * all, and what was damaged or is of another run is never resumed. */
#include "tests/train/published.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "model/train/state.h"
#include "model/weights/safetensors_write.h"

enum { PARAMETERS = 5003 };

static const uint64_t SEED = 11;
static const char digits[] = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";

struct arrays {
    float weights[PARAMETERS], m[PARAMETERS], v[PARAMETERS], average[PARAMETERS];
};

/* Any finite bits: subnormals and minus zero among them. */
static void fill(float *x, uint64_t *seed)
{
    for (size_t i = 0; i < PARAMETERS; i++)
        do {
            uint32_t bits = (uint32_t)(random_next(seed) >> 32);
            bits = i % 97 == 0 ? 0x80000000u : i % 89 == 0 ? bits & 0x807fffffu : bits;
            memcpy(&x[i], &bits, sizeof bits);
        } while (!isfinite(x[i]));
}

/* Every other one is of float16, with a loss scale. */
static struct train_state made(struct arrays *arrays, uint64_t seed)
{
    const bool scaled = seed % 2 != 0;
    fill(arrays->weights, &seed);
    fill(arrays->m, &seed);
    fill(arrays->v, &seed);
    fill(arrays->average, &seed);
    struct train_state s = {.parameters = PARAMETERS,
                            .weights = arrays->weights,
                            .m = arrays->m,
                            .v = arrays->v,
                            .average = arrays->average,
                            .optimizer_step = UINT64_MAX - seed % 1000,
                            .schedule = {.rate = 0.1, .anchor = (double)INFINITY, .bad = -3},
                            .scale = {scaled ? 0x1p13 : 0, scaled ? 199 : 0},
                            .epoch = (uint32_t)seed | 1,
                            .best_score = 0.1 + 0.2,
                            .best_epoch = UINT32_MAX};
    memcpy(s.fingerprint, digits, sizeof digits);
    return s;
}

static struct train_state empty(struct arrays *arrays)
{
    memset(arrays, 0x55, sizeof *arrays);
    return (struct train_state){.parameters = PARAMETERS,
                                .weights = arrays->weights,
                                .m = arrays->m,
                                .v = arrays->v,
                                .average = arrays->average,
                                .scale = {4, 5},
                                .epoch = 77,
                                .best_score = 7,
                                .fingerprint = "as before"};
}

static bool same(const struct train_state *a, const struct train_state *b)
{
    size_t bytes = PARAMETERS * sizeof(float);
    return memcmp(a->weights, b->weights, bytes) == 0 && memcmp(a->m, b->m, bytes) == 0 &&
           memcmp(a->v, b->v, bytes) == 0 && memcmp(a->average, b->average, bytes) == 0 &&
           a->optimizer_step == b->optimizer_step &&
           memcmp(&a->schedule, &b->schedule, sizeof a->schedule) == 0 && a->epoch == b->epoch &&
           a->scale.factor == b->scale.factor && a->scale.good == b->scale.good &&
           memcmp(&a->best_score, &b->best_score, sizeof a->best_score) == 0 &&
           a->best_epoch == b->best_epoch && strcmp(a->fingerprint, b->fingerprint) == 0;
}

static void write_good(const char *path, const struct train_state *state)
{
    struct error error = {""};
    if (train_state_write(path, state, &error) < 0)
        fail_msg("%s", error.text);
}

static void holds(const char *path, const struct train_state *expected)
{
    static struct arrays arrays;
    struct error error = {""};
    struct train_state s = empty(&arrays);
    if (train_state_read(path, &s, &error) < 0)
        fail_msg("%s", error.text);
    assert_true(same(&s, expected));
}

/* Refused with nothing touched. */
static void refused(const char *path, int code, const char *piece)
{
    static struct arrays arrays, kept;
    struct error error = {""};
    struct train_state s = empty(&arrays), before = empty(&kept);
    int r = train_state_read(path, &s, &error);
    if (r != code)
        fail_msg("%d (%s), expected %d", r, error.text, code);
    assert_line(&error, path, piece, NULL);
    assert_true(same(&s, &before));
}

static void only_file_in_scratch(const char *name)
{
    DIR *d = opendir(scratch);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.' && strcmp(e->d_name, name) != 0)
            fail_msg("%s is left over", e->d_name);
    closedir(d);
}

static void what_was_written_comes_back_to_the_last_bit(void **state)
{
    static struct arrays arrays;
    struct place p = in_scratch("state.safetensors");
    print_message("seed %" PRIu64 "\n", SEED);
    struct train_state s = made(&arrays, SEED);
    write_good(p.path, &s);
    holds(p.path, &s);
    s = made(&arrays, SEED + 1);
    s.best_score = (double)NAN; /* none yet */
    s.best_epoch = 0;
    write_good(p.path, &s);
    holds(p.path, &s);
    only_file_in_scratch("state.safetensors");
    unlink(p.path);
}

static void a_state_that_is_not_finite_leaves_the_last_good_one(void **state)
{
    static struct arrays arrays, others;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct place p = in_scratch("finite");
    struct train_state good = made(&arrays, SEED), s = made(&others, SEED + 2);
    float *const places[] = {&others.weights[0], &others.m[2501], &others.v[PARAMETERS - 1]};
    static const char *const names[] = {"weight 0 of 5003", "first moment 2501 of",
                                        "second moment 5002 of"};
    write_good(p.path, &good);
    for (int k = 0; k < 3; k++) {
        struct error error = {""};
        float kept = *places[k];
        *places[k] = bad[k];
        assert_int_equal(train_state_write(p.path, &s, &error), -EDOM);
        assert_line(&error, p.path, names[k], "kept", NULL);
        *places[k] = kept;
        holds(p.path, &good);
    }
    only_file_in_scratch("finite");
    unlink(p.path);
}

static void a_fingerprint_that_is_none_is_refused(void **state)
{
    static struct arrays arrays;
    static const char *const bad[] = {"", "0123",
                                      "g0112233445566778899aabbccddeeff0123456789abcdef"
                                      "0123456789abcdef"};
    struct place p = in_scratch("fingerprint");
    struct train_state s = made(&arrays, SEED);
    for (size_t k = 0; k < 3; k++) {
        struct error error = {""};
        snprintf(s.fingerprint, sizeof s.fingerprint, "%s", bad[k]);
        assert_int_equal(train_state_write(p.path, &s, &error), -EINVAL);
        assert_line(&error, p.path, "fingerprint", NULL);
        assert_int_not_equal(access(p.path, F_OK), 0);
    }
}

static void a_state_of_something_else_is_refused(void **state)
{
    static struct arrays arrays, into;
    struct place p = in_scratch("other");
    struct error error = {""};
    struct train_state s = made(&arrays, SEED), back = empty(&into);
    refused(p.path, -ENOENT, "no run's state");
    s.parameters = PARAMETERS - 1;
    write_good(p.path, &s);
    refused(p.path, -ESTALE, "5002 parameters and the network 5003");
    back.parameters = PARAMETERS - 1;
    assert_int_equal(train_state_read(p.path, &back, &error), 0);
    /* a model's weights are not a run's state */
    const struct safetensors_entry none[] = {{"x", DTYPE_F32, 1, {0}}};
    FILE *f = fopen(p.path, "we");
    assert_non_null(f);
    assert_int_equal(safetensors_write(fileno(f), p.path, none, 1, NULL, NULL, NULL), 0);
    fclose(f);
    refused(p.path, -EBADMSG, "does not hold");
    write_bytes(p.path, "hello", 5);
    refused(p.path, -EBADMSG, "damaged");
    unlink(p.path);
    refused(scratch, -EBADMSG, "regular file");
}

static void a_loss_scale_that_cannot_be_is_refused(void **state)
{
    static struct arrays arrays;
    static const struct loss_scale bad[] = {
        {3, 0}, {0.5, 0}, {0x1p25, 0}, {(double)INFINITY, 0}, {1, LOSS_SCALE_GROWS_AFTER}};
    struct place p = in_scratch("scale");
    struct train_state s = made(&arrays, SEED);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        s.scale = bad[k];
        write_good(p.path, &s);
        refused(p.path, -EBADMSG, "out of range");
    }
    unlink(p.path);
}

static void find_every_damage(uint64_t state_seed)
{
    static struct arrays arrays, into;
    struct place p = in_scratch("whole"), q = in_scratch("damaged");
    uint64_t seed = SEED;
    struct train_state s = made(&arrays, state_seed);
    size_t n;
    int found = 0, unseen = 0;
    write_good(p.path, &s);
    char *bytes = read_bytes(p.path, &n);
    size_t head = n - 3 * PARAMETERS * sizeof(float);
    for (int round = 0; round < 1500; round++) {
        size_t at = round % 3 == 0 ? random_next(&seed) % n : random_next(&seed) % head;
        char kept = bytes[at];
        bytes[at] ^= (char)(1 << random_next(&seed) % 8);
        write_bytes(q.path, bytes, n);
        bytes[at] = kept;
        struct error error = {""};
        struct train_state back = empty(&into);
        int r = train_state_read(q.path, &back, &error);
        if (r == 0) { /* a space of the header, or what it says of its format */
            assert_true(at < head);
            assert_true(same(&back, &s));
            unseen++;
        } else {
            assert_int_equal(r, -EBADMSG);
            assert_line(&error, q.path, "damaged", NULL);
            found++;
        }
    }
    print_message("%d of 1500 damaged states refused, %d the same in spite of it\n", found, unseen);
    assert_true(found > 1300);
    const size_t lengths[] = {0, 7, 8, 9, head / 2, head, n / 2, n - 32, n - 1};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        write_bytes(q.path, bytes, lengths[k]);
        refused(q.path, -EBADMSG, "damaged");
    }
    free(bytes);
    unlink(p.path);
    unlink(q.path);
}

static void every_damage_is_found(void **state)
{
    (void)state;
    find_every_damage(SEED);
    find_every_damage(SEED + 1);
}

/* A limit of the file's length stands for a full disk. */
static void a_full_disk_leaves_the_old_state(void **state)
{
    static struct arrays arrays, others;
    struct place p = in_scratch("full");
    struct train_state old = made(&arrays, SEED), s = made(&others, SEED + 3);
    struct rlimit kept, small;
    write_good(p.path, &old);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit < 60000; limit += 20000) {
        struct error error = {""};
        small = kept;
        small.rlim_cur = limit;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        int r = train_state_write(p.path, &s, &error);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
        assert_int_equal(r, -EFBIG);
        assert_line(&error, p.path, "cannot be written", NULL);
        only_file_in_scratch("full");
        holds(p.path, &old);
    }
    signal(SIGXFSZ, handler);
    struct error error = {""};
    assert_int_equal(train_state_write("/nowhere/at/all", &s, &error), -ENOENT);
    assert_line(&error, "/nowhere/at/all", "cannot be written", NULL);
    unlink(p.path);
}

/* Whenever it is killed, one of the two states is there, and the next to write is not in the way of
 * what it left. */
static void a_killed_writer_leaves_a_whole_state(void **state)
{
    static struct arrays arrays, others, into;
    struct place p = in_scratch("killed");
    struct train_state a = made(&arrays, SEED), b = made(&others, SEED + 4);
    uint64_t seed = SEED;
    int as[2] = {0, 0};
    write_good(p.path, &a);
    for (int round = 0; round < 40; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            for (;;) {
                train_state_write(p.path, &b, NULL);
                train_state_write(p.path, &a, NULL);
            }
        nanosleep(&(struct timespec){.tv_nsec = 1000000 + (long)(random_next(&seed) % 3000000)},
                  NULL);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        struct error error = {""};
        struct train_state back = empty(&into);
        if (train_state_read(p.path, &back, &error) < 0)
            fail_msg("%s", error.text);
        assert_true(same(&back, &a) || same(&back, &b));
        as[same(&back, &a)]++;
    }
    print_message("%d and %d times one state or the other\n", as[0], as[1]);
    write_good(p.path, &b);
    holds(p.path, &b);
    only_file_in_scratch("killed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_comes_back_to_the_last_bit),
        cmocka_unit_test(a_state_that_is_not_finite_leaves_the_last_good_one),
        cmocka_unit_test(a_fingerprint_that_is_none_is_refused),
        cmocka_unit_test(a_state_of_something_else_is_refused),
        cmocka_unit_test(a_loss_scale_that_cannot_be_is_refused),
        cmocka_unit_test(every_damage_is_found),
        cmocka_unit_test(a_full_disk_leaves_the_old_state),
        cmocka_unit_test(a_killed_writer_leaves_a_whole_state),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
