/* SPDX-License-Identifier: Apache-2.0
 * An interpreter's training: what moves and what stays, what a saved one goes on with, and what is
 * refused. */
#include "tests/train/published.h"
#include "tests/train/make_trainer.h"

#include <pthread.h>

#include "model/nets/piq.h"
#include "model/train/random.h"

enum { B = 2, CLASSES = 3, CELLS = PIQ_FRAMES * PIQ_BINS, RANKS = 2, STEPS = 3 };

static uint8_t marks[B][CELLS];

static struct trainer_config config_of(void)
{
    return (struct trainer_config){.net = {.kind = NET_FOCALNET,
                                           .focalnet = {.image_rows = 16,
                                                        .image_cols = 16,
                                                        .patch_size = 4,
                                                        .num_channels = 3,
                                                        .embed_dim = 4,
                                                        .n_stages = 1,
                                                        .depths = {2},
                                                        .focal_levels = {2},
                                                        .focal_windows = {3},
                                                        .mlp_ratio = 2,
                                                        .layer_norm_eps = 1e-5f,
                                                        .head = {8, CLASSES, false}},
                                           .piq = {.keys = 12, .adapter = true, .reduce = true}},
                                   .batch = B,
                                   .optimizer = OPTIMIZER_PAPER,
                                   .seed = 5,
                                   .ops = &backend_cpu,
                                   .threads = 1};
}

/* The same images and marks for the same number. */
static int step(struct trainer *t, uint64_t number, struct trainer_losses *ret)
{
    struct random random;
    struct error error;
    random_seed(&random, number);
    for (int i = 0; i < B; i++) {
        float *plane = trainer_plane(t, i);
        for (int k = 0; k < 16 * 16; k++)
            plane[k] = (float)random_uniform(&random);
        for (int k = 0; k < CELLS; k++)
            marks[i][k] = k / PIQ_BINS < 100 * (i + 1);
    }
    const struct trainer_batch batch = {.marks = &marks[0][0]};
    return trainer_step(t, &batch, 1e-2, ret, &error);
}

static bool is_interpreter(const char *name)
{
    return strncmp(name, "psi.", 4) == 0;
}

static size_t cells_of(const struct weights_array *a)
{
    size_t n = 1;
    for (int i = 0; i < a->rank; i++)
        n *= (size_t)a->shape[i];
    return n;
}

static void only_the_interpreter_learns_and_its_losses_fall(void **state)
{
    (void)state;
    const struct trainer_config config = config_of();
    struct trainer *t = make_trainer(&config), *before = make_trainer(&config);
    struct trainer_losses first, last;
    assert_int_equal(step(t, 1, &first), 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(step(t, 1, &last), 0);
    assert_true(isnan(first.classes) && isnan(first.teacher) && first.right == -1);
    assert_near("the loss", first.loss, first.rec + 2 * first.vq, 1e-12);
    assert_true(last.rec < first.rec && last.vq < first.vq);
    int stayed = 0, moved = 0;
    for (int i = 0; i < trainer_weights(t); i++) {
        const struct weights_array a = trainer_weight(t, i), b = trainer_weight(before, i);
        const bool same = memcmp(a.data, b.data, cells_of(&a) * sizeof *a.data) == 0;
        assert_string_equal(a.name, b.name);
        if (!is_interpreter(a.name))
            assert_true(same);
        stayed += same;
        moved += !same;
    }
    assert_true(stayed > 20 && moved > 30);
    trainer_destroy(t);
    trainer_destroy(before);
}

static void a_restored_one_takes_the_steps_that_would_have_come(void **state)
{
    (void)state;
    const struct trainer_config config = config_of();
    struct trainer *whole = make_trainer(&config), *stopped = make_trainer(&config);
    struct trainer_losses a, b;
    struct error error;
    const size_t n = trainer_parameters(whole);
    float *saved = malloc(4 * n * sizeof *saved), *other = malloc(4 * n * sizeof *other);
    assert_true(saved != NULL && other != NULL);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(step(whole, i, &a), 0);
    assert_int_equal(trainer_save(whole, saved, saved + n, saved + 2 * n, saved + 3 * n, NULL), 0);
    const struct loss_scale scale = trainer_loss_scale(whole);
    assert_int_equal(trainer_restore(stopped, trainer_steps(whole), &scale, saved, saved + n,
                                     saved + 2 * n, saved + 3 * n, &error),
                     0);
    for (uint64_t i = 3; i < 5; i++) {
        assert_int_equal(step(whole, i, &a), 0);
        assert_int_equal(step(stopped, i, &b), 0);
        assert_true(a.loss == b.loss && a.norm == b.norm);
    }
    assert_int_equal(trainer_save(whole, saved, saved + n, saved + 2 * n, saved + 3 * n, NULL), 0);
    assert_int_equal(trainer_save(stopped, other, other + n, other + 2 * n, other + 3 * n, NULL),
                     0);
    assert_memory_equal(saved, other, 4 * n * sizeof *saved);
    free(saved);
    free(other);
    trainer_destroy(whole);
    trainer_destroy(stopped);
}

static void an_image_that_is_not_finite_is_named_and_changes_nothing(void **state)
{
    (void)state;
    const struct trainer_config config = config_of();
    struct trainer *t = make_trainer(&config);
    struct trainer_losses losses;
    struct error error;
    const size_t n = trainer_parameters(t);
    float *before = malloc(4 * n * sizeof *before), *after = malloc(4 * n * sizeof *after);
    assert_true(before != NULL && after != NULL);
    assert_int_equal(step(t, 1, &losses), 0);
    assert_int_equal(trainer_save(t, before, before + n, before + 2 * n, before + 3 * n, NULL), 0);
    trainer_plane(t, 1)[77] = NAN;
    const struct trainer_batch batch = {.marks = &marks[0][0]};
    assert_int_equal(trainer_step(t, &batch, 1e-2, &losses, &error), -EDOM);
    assert_int_equal(trainer_save(t, after, after + n, after + 2 * n, after + 3 * n, NULL), 0);
    assert_memory_equal(before, after, 4 * n * sizeof *before);
    assert_in_range(losses.worst, 0, 1); /* batch norms spread it over the batch */
    free(before);
    free(after);
    trainer_destroy(t);
}

/* Two processes, as threads: each waits for the other, and takes what it has. */
static struct {
    pthread_barrier_t all;
    const float *mine[RANKS];
} meeting;

struct process {
    struct trainer_ranks ranks;
    struct trainer *trainer;
    struct trainer_losses losses;
};

static int gather(void *user, const float *mine, size_t n, float *all, struct error *error)
{
    const struct process *p = user;
    (void)error;
    meeting.mine[p->ranks.rank] = mine;
    pthread_barrier_wait(&meeting.all);
    for (int i = 0; i < RANKS; i++)
        memcpy(all + (size_t)i * n, meeting.mine[i], n * sizeof *all);
    pthread_barrier_wait(&meeting.all);
    return 0;
}

static int sum(void *user, float *x, size_t n, struct error *error)
{
    float *all = malloc(RANKS * n * sizeof *all);
    assert_non_null(all);
    gather(user, x, n, all, error);
    for (size_t i = 0; i < n; i++)
        x[i] = all[i] + all[n + i];
    free(all);
    return 0;
}

/* Images [first, first + n) of the batch with this number. */
static void take(struct trainer *t, int first, int n, uint64_t number, uint8_t *ret_marks,
                 struct trainer_losses *ret)
{
    struct random random;
    struct error error;
    random_seed(&random, number);
    for (int i = 0; i < RANKS; i++)
        for (int k = 0; k < 16 * 16; k++) {
            float x = (float)random_uniform(&random) * (float)(i + 1);
            if (i >= first && i < first + n)
                trainer_plane(t, i - first)[k] = x;
        }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < CELLS; k++)
            ret_marks[i * CELLS + k] = k / PIQ_BINS < 100 * (first + i + 1);
    const struct trainer_batch batch = {.marks = ret_marks};
    if (trainer_step(t, &batch, 1e-4, ret, &error) < 0)
        fail_msg("%s", error.text);
}

static void *run_process(void *user)
{
    static uint8_t of_processes[RANKS][CELLS];
    struct process *p = user;
    struct trainer_config config = config_of();
    config.ranks = &p->ranks;
    config.batch = 1;
    p->trainer = make_trainer(&config);
    for (uint64_t i = 0; i < STEPS; i++)
        take(p->trainer, p->ranks.rank, 1, i, of_processes[p->ranks.rank], &p->losses);
    return NULL;
}

/* What is added to every position before a batch norm has no effect: the gradient of these biases
 * is rounding noise, which Adam makes steps of, and the running means follow it. */
static bool is_noise(const char *name)
{
    static const char *const names[] = {"adapter.block.0.bias", "adapter.block.1.running_mean",
                                        "adapter.block.3.bias", "adapter.block.4.running_mean"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(name, names[i]) != NULL)
            return true;
    return false;
}

static void two_processes_give_the_weights_of_one_with_twice_the_batch(void **state)
{
    struct trainer_config config = config_of();
    struct process processes[RANKS];
    struct trainer_losses losses;
    pthread_t threads[RANKS];
    (void)state;
    assert_int_equal(pthread_barrier_init(&meeting.all, NULL, RANKS), 0);
    for (int i = 0; i < RANKS; i++) {
        processes[i] = (struct process){.ranks = {i, RANKS, gather, sum, &processes[i]}};
        assert_int_equal(pthread_create(&threads[i], NULL, run_process, &processes[i]), 0);
    }
    for (int i = 0; i < RANKS; i++)
        pthread_join(threads[i], NULL);
    config.batch = RANKS;
    struct trainer *one = make_trainer(&config);
    for (uint64_t i = 0; i < STEPS; i++)
        take(one, 0, RANKS, i, &marks[0][0], &losses);
    for (int p = 0; p < RANKS; p++) {
        assert_near("the loss", processes[p].losses.loss, losses.loss, 1e-5 * losses.loss);
        assert_near("the norm", processes[p].losses.norm, losses.norm, 1e-4 * losses.norm);
        for (int i = 0; i < trainer_weights(one); i++) {
            const struct weights_array a = trainer_weight(processes[p].trainer, i),
                                       b = trainer_weight(one, i);
            if (!is_noise(b.name))
                assert_all_near(b.name, a.data, b.data, cells_of(&b), 2e-6);
        }
        trainer_destroy(processes[p].trainer);
    }
    trainer_destroy(one);
    pthread_barrier_destroy(&meeting.all);
}

static void several_processes_are_refused_where_values_are_a_devices(void **state)
{
    const struct backend_device device = {0};
    const struct trainer_ranks ranks = {.ranks = RANKS};
    struct backend_ops ops = backend_cpu;
    struct trainer_config config = config_of();
    struct trainer *t;
    struct error error;
    (void)state;
    ops.name = "elsewhere";
    ops.device = &device;
    config.ops = &ops;
    config.ranks = &ranks;
    assert_int_equal(trainer_create(&t, &config, &error), -ENOTSUP);
    assert_line(&error, "elsewhere", "cpu", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_interpreter_learns_and_its_losses_fall),
        cmocka_unit_test(a_restored_one_takes_the_steps_that_would_have_come),
        cmocka_unit_test(an_image_that_is_not_finite_is_named_and_changes_nothing),
        cmocka_unit_test(two_processes_give_the_weights_of_one_with_twice_the_batch),
        cmocka_unit_test(several_processes_are_refused_where_values_are_a_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
