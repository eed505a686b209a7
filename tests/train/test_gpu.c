/* SPDX-License-Identifier: Apache-2.0
 * Training where parameters lie in a GPU's memory: the CPU's steps within rounding, and what was
 * saved goes on bit for bit. */
#include "tests/train/published.h"
#include "tests/train/make_trainer.h"

#include "model/backends.h"
#include "model/nets/piq.h"
#include "model/train/random.h"

/* Of two images a batch norm leaves only their order, and its gradient is rounding noise. */
enum { B = 5, INTERPRETED = 2, CLASSES = 3, IMAGE = 16, CELLS = PIQ_FRAMES * PIQ_BINS, STEPS = 3 };

static const uint64_t SEED = 11;

static const struct backend_ops *gpu(void)
{
    const struct backend_ops *ops;
    struct error error;
    if (backend_find("cuda", &ops, &error) < 0)
        fail_msg("%s", error.text);
    return ops;
}

static void assert_close(const char *what, double a, double b, double limit)
{
    if (!(fabs(a - b) <= limit))
        fail_msg("%s: %.9g on the GPU, %.9g on the CPU", what, a, b);
}

/* The optimizer alone */

enum { P = 3 * BACKEND_SPAN + 77 };

static const struct optimizer_range ranges[] = {
    {3, BACKEND_SPAN + 5, 1, false, true},
    {BACKEND_SPAN + 8, 40, 0.5, true, true},
    {BACKEND_SPAN + 100, 2 * BACKEND_SPAN - 30, 0.25, false, false}};

struct moving {
    struct store store;
    struct optimizer optimizer;
    float *w, *g;
};

static void begin(struct moving *m, const struct optimizer_options *options,
                  const struct backend_ops *ops, const float *w, const float *g)
{
    const struct backend_config config = {1, PRECISION_FLOAT32, DEPTHWISE_KERNELS};
    m->store.ops = ops;
    assert_int_equal(ops->open(&m->store.backend, &config, NULL), 0);
    assert_int_equal(optimizer_init(&m->optimizer, options, &m->store, P, ranges,
                                    sizeof ranges / sizeof *ranges, NULL),
                     0);
    m->w = store_floats(&m->store, P, NULL);
    m->g = store_floats(&m->store, P, NULL);
    assert_true(m->w != NULL && m->g != NULL);
    assert_int_equal(store_put(&m->store, m->w, w, P, NULL), 0);
    assert_int_equal(store_put(&m->store, m->g, g, P, NULL), 0);
}

static void end(struct moving *m)
{
    optimizer_finish(&m->optimizer);
    store_free(&m->store, m->w);
    store_free(&m->store, m->g);
    m->store.ops->close(m->store.backend);
}

static double step(struct moving *m)
{
    double norm = NAN;
    assert_int_equal(optimizer_norm(&m->optimizer, m->g, &norm, NULL), 0);
    assert_int_equal(optimizer_step(&m->optimizer, m->w, m->g, norm, 1e-2, NULL), 0);
    return norm;
}

/* Every operation of a step rounds once: some 2^-24 of the values, which are about 1. */
static void compare_arrays(const char *what, struct moving *there, const float *a, const float *b)
{
    static float here[P];
    assert_int_equal(store_get(&there->store, here, a, P, NULL), 0);
    for (size_t i = 0; i < P; i++)
        assert_close(what, (double)here[i], (double)b[i], 1e-6);
}

static void the_optimizer_makes_the_cpus_steps(void **state)
{
    static float w[P], g[P];
    struct random random;
    (void)state;
    random_seed(&random, SEED);
    for (size_t i = 0; i < P; i++) {
        w[i] = (float)random_normal(&random);
        g[i] = (float)random_normal(&random);
    }
    for (int kind = 0; kind < 2; kind++) {
        struct optimizer_options options = OPTIMIZER_PAPER;
        struct moving there = {.w = NULL}, here = {.w = NULL};
        options.kind = kind == 0 ? OPTIMIZER_ADAM : OPTIMIZER_ADAMW;
        options.weight_decay = 0.1;
        begin(&there, &options, gpu(), w, g);
        begin(&here, &options, &backend_cpu, w, g);
        for (int i = 0; i < STEPS; i++) {
            const double norm = step(&here);
            assert_close("norm", step(&there), norm, 1e-6 * norm);
        }
        compare_arrays("w", &there, there.w, here.w);
        compare_arrays("m", &there, there.optimizer.m, here.optimizer.m);
        compare_arrays("v", &there, there.optimizer.v, here.optimizer.v);
        for (size_t i = 0; i < 3; i++) /* before the first range */
            assert_true(here.w[i] == w[i]);
        end(&there);
        end(&here);
    }
}

static void a_gradient_that_is_not_finite_changes_nothing(void **state)
{
    static float w[P], g[P], after[P];
    const struct optimizer_options options = OPTIMIZER_PAPER;
    struct moving m = {.w = NULL};
    struct error error;
    double norm = 0;
    (void)state;
    for (size_t i = 0; i < P; i++)
        w[i] = 1;
    g[2 * BACKEND_SPAN] = NAN;
    begin(&m, &options, gpu(), w, g);
    assert_int_equal(optimizer_norm(&m.optimizer, m.g, &norm, NULL), 0);
    assert_true(isnan(norm));
    assert_int_equal(optimizer_step(&m.optimizer, m.w, m.g, norm, 1e-2, &error), -EDOM);
    assert_int_equal(store_get(&m.store, after, m.w, P, NULL), 0);
    assert_memory_equal(after, w, sizeof w);
    end(&m);
}

/* Trainers */

static struct trainer_config config_of(const struct backend_ops *ops, bool interpreter)
{
    return (struct trainer_config){
        .net = {.kind = NET_FOCALNET,
                .focalnet = {.image_rows = IMAGE,
                             .image_cols = IMAGE,
                             .patch_size = 4,
                             .num_channels = 3,
                             .embed_dim = 12,
                             .n_stages = 2,
                             .depths = {1, 1},
                             .focal_levels = {2, 1},
                             .focal_windows = {3, 3},
                             .mlp_ratio = 2,
                             .layer_norm_eps = 1e-5f,
                             .use_layerscale = true,
                             .head = {8, CLASSES, false}},
                .piq = {.keys = interpreter ? 12 : 0, .adapter = true, .reduce = true}},
        .batch = interpreter ? INTERPRETED : B,
        .loss = LOSS_PAPER,
        .optimizer = OPTIMIZER_PAPER,
        .class_gradient = 1,
        .average = 0.9,
        .seed = 5,
        .ops = ops,
        .threads = 1};
}

/* spoil: its first image holds infinity. */
static int try_step(struct trainer *t, int n, uint64_t number, bool spoil,
                    struct trainer_losses *ret, struct error *error)
{
    static uint8_t marks[B][CELLS];
    struct trainer_target targets[B] = {{{0, 1, 0.75f}, false}, {{2, 2, 1}, false}};
    struct random random;
    random_seed(&random, number);
    for (int i = 0; i < n; i++) {
        float *plane = trainer_plane(t, i);
        for (int k = 0; k < IMAGE * IMAGE; k++)
            plane[k] = (float)random_uniform(&random);
        for (int k = 0; k < CELLS; k++)
            marks[i][k] = k / PIQ_BINS < 100 * (i + 1);
    }
    if (spoil)
        trainer_plane(t, 0)[0] = INFINITY;
    const struct trainer_batch batch = {.targets = targets, .marks = &marks[0][0]};
    return trainer_step(t, &batch, 1e-3, ret, error);
}

static struct trainer_losses take_step(struct trainer *t, int n, uint64_t number)
{
    struct trainer_losses losses;
    struct error error;
    if (try_step(t, n, number, false, &losses, &error) < 0)
        fail_msg("%s", error.text);
    return losses;
}

/* All that a trainer is: weights, moments and averages. */
struct saved {
    size_t n;
    float *all; /* [4][n] weights, m, v, average */
    struct loss_scale scale;
    uint64_t steps;
};

static struct saved save(const struct trainer *t)
{
    const size_t n = trainer_parameters(t);
    struct saved s = {n, calloc(4 * n, sizeof *s.all), trainer_loss_scale(t), trainer_steps(t)};
    assert_non_null(s.all);
    assert_int_equal(trainer_save(t, s.all, s.all + n, s.all + 2 * n, s.all + 3 * n, NULL), 0);
    return s;
}

static void restore(struct trainer *t, const struct saved *s)
{
    assert_int_equal(trainer_restore(t, s->steps, &s->scale, s->all, s->all + s->n,
                                     s->all + 2 * s->n, s->all + 3 * s->n, NULL),
                     0);
}

static void assert_same(struct saved *a, struct saved *b)
{
    assert_memory_equal(a->all, b->all, 4 * a->n * sizeof *a->all);
    assert_true(a->steps == b->steps && a->scale.factor == b->scale.factor &&
                a->scale.good == b->scale.good);
    free(a->all);
    free(b->all);
}

/* What was learnt in a step is in the next one's loss. */
static void a_classifier_learns_what_it_learns_on_the_cpu(void **state)
{
    const struct trainer_config here_config = config_of(&backend_cpu, false),
                                there_config = config_of(gpu(), false);
    struct trainer *here = make_trainer(&here_config), *there = make_trainer(&there_config);
    double first = 0;
    (void)state;
    for (uint64_t i = 0; i < STEPS; i++) {
        const struct trainer_losses a = take_step(there, B, i % 2), b = take_step(here, B, i % 2);
        assert_close("loss", a.loss, b.loss, 2e-5 * fabs(b.loss));
        assert_close("norm", a.norm, b.norm, 2e-4 * b.norm);
        if (i == 0)
            first = b.loss;
        else if (i == 2)
            assert_true(fabs(b.loss - first) > 1e-3 * fabs(first));
    }
    assert_int_equal(trainer_fetch(there, NULL), 0);
    assert_int_equal(trainer_fetch(here, NULL), 0);
    for (int i = 0; i < trainer_weights(here); i++) {
        const struct weights_array a = trainer_weight(there, i), b = trainer_weight(here, i);
        assert_string_equal(a.name, b.name);
        assert_close(a.name, (double)a.data[0], (double)b.data[0], 2e-3);
    }
    trainer_destroy(here);
    trainer_destroy(there);
}

/* A kernel's gradient lies where the weights before it end, aligned to one number; cuDNN writes to
 * what is aligned to 16 bytes alone. By planes its order is the published one. */
static void gradients_by_planes_are_learnt_from_wherever_they_lie(void **state)
{
    static const int channels[] = {5, 7, 8, 12};
    (void)state;
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
        struct trainer_config config = config_of(&backend_cpu, false);
        config.net.focalnet.embed_dim = channels[i];
        struct trainer *here = make_trainer(&config);
        config.ops = gpu();
        setenv("FAKE_CUDA_CUDNN_LAYOUT", "planar", 1);
        struct trainer *there = make_trainer(&config);
        const struct trainer_losses a = take_step(there, B, 0), b = take_step(here, B, 0);
        unsetenv("FAKE_CUDA_CUDNN_LAYOUT");
        assert_close("loss", a.loss, b.loss, 2e-5 * fabs(b.loss));
        assert_close("norm", a.norm, b.norm, 2e-4 * b.norm);
        trainer_destroy(here);
        trainer_destroy(there);
    }
}

/* Half of the digits: the losses are near those of float32, and not the same. */
static void a_training_has_the_precision_that_it_was_given(void **state)
{
    struct trainer_config config = config_of(gpu(), false);
    struct trainer *whole = make_trainer(&config);
    config.precision = PRECISION_BFLOAT16;
    struct trainer *half = make_trainer(&config);
    (void)state;
    for (uint64_t i = 0; i < 2; i++) {
        const struct trainer_losses a = take_step(half, B, i), b = take_step(whole, B, i);
        assert_true(a.loss != b.loss);
        if (!(fabs(a.loss - b.loss) <= 0.05 * fabs(b.loss)))
            fail_msg("loss %g in bfloat16, %g in float32", a.loss, b.loss);
    }
    trainer_destroy(whole);
    trainer_destroy(half);
}

static void goes_on_bit_for_bit(const struct trainer_config *config, struct loss_scale scale)
{
    struct trainer *whole = make_trainer(config), *stopped = make_trainer(config);
    take_step(whole, B, 0);
    struct saved s = save(whole);
    s.scale = scale;
    restore(whole, &s);
    restore(stopped, &s);
    free(s.all);
    for (uint64_t i = 1; i < 4; i++) {
        const struct trainer_losses a = take_step(whole, B, i), b = take_step(stopped, B, i);
        assert_true(a.loss == b.loss && a.norm == b.norm && a.skipped == b.skipped);
    }
    struct saved a = save(whole), b = save(stopped);
    if (scale.factor > 0) /* doubled when it had been good for long, as the stopped one knew */
        assert_true(a.scale.factor == 2 * scale.factor && a.steps == s.steps + 3);
    assert_same(&a, &b);
    trainer_destroy(whole);
    trainer_destroy(stopped);
}

static void what_was_saved_goes_on_bit_for_bit(void **state)
{
    struct trainer_config config = config_of(gpu(), false);
    (void)state;
    goes_on_bit_for_bit(&config, (struct loss_scale){.factor = 0});
    config.precision = PRECISION_FLOAT16;
    goes_on_bit_for_bit(&config, (struct loss_scale){0x1p9, LOSS_SCALE_GROWS_AFTER - 2});
}

/* float16 */

static const double rounding = 42 * 0x1p-11; /* of a gradient's length: docs/gpu.md, Precision */

/* The backbone's gradients, which are by far most of all: the first moments of the first step. They
 * are so small that without a scale float16 would hold none of them. */
static void gradients_smaller_than_float16_are_learnt_from(void **state)
{
    struct trainer_config config = config_of(&backend_cpu, false);
    double difference = 0, length = 0;
    (void)state;
    config.class_gradient = 1e-6;
    config.optimizer.weight_decay = 0;
    struct trainer *here = make_trainer(&config);
    config.ops = gpu();
    config.precision = PRECISION_FLOAT16;
    struct trainer *there = make_trainer(&config);
    const struct trainer_losses b = take_step(here, B, 0), a = take_step(there, B, 0);
    assert_false(a.skipped);
    assert_close("loss", a.loss, b.loss, rounding * fabs(b.loss));
    assert_close("norm", a.norm, b.norm, rounding * b.norm);
    struct saved s = save(there), want = save(here);
    for (size_t i = want.n; i < want.n + want.n / 2; i++) {
        difference += pow((double)s.all[i] - (double)want.all[i], 2);
        length += pow((double)want.all[i], 2);
    }
    assert_true(length > 0);
    assert_close("gradient", sqrt(difference / length), 0, rounding);
    free(s.all);
    free(want.all);
    trainer_destroy(here);
    trainer_destroy(there);
}

/* What comes after it is as if the factor had been the lower one from the beginning. */
static void a_step_that_the_scale_spoils_is_skipped_and_halves_it(void **state)
{
    struct trainer_config config = config_of(gpu(), false);
    struct trainer_losses losses;
    int skipped = 0;
    (void)state;
    config.precision = PRECISION_FLOAT16;
    struct trainer *t = make_trainer(&config), *low = make_trainer(&config);
    take_step(t, B, 0);
    struct saved before = save(t);
    before.scale = (struct loss_scale){LOSS_SCALE_MOST, 7};
    restore(t, &before);
    while ((losses = take_step(t, B, 1)).skipped) {
        struct saved now = save(t);
        assert_true(isfinite(losses.loss) && losses.worst == -1);
        assert_memory_equal(now.all, before.all, 4 * now.n * sizeof *now.all);
        assert_true(now.steps == before.steps && now.scale.good == 0 &&
                    now.scale.factor == ldexp(LOSS_SCALE_MOST, -++skipped));
        free(now.all);
    }
    assert_true(skipped > 0);
    before.scale = (struct loss_scale){ldexp(LOSS_SCALE_MOST, -skipped), 0};
    restore(low, &before);
    free(before.all);
    assert_true(take_step(low, B, 1).norm == losses.norm);
    struct saved a = save(t), b = save(low);
    assert_int_equal(a.scale.good, 1);
    assert_same(&a, &b);
    trainer_destroy(t);
    trainer_destroy(low);
}

static void a_loss_that_is_not_finite_is_no_fault_of_the_scale(void **state)
{
    struct trainer_config config = config_of(gpu(), false);
    struct trainer_losses losses;
    struct error error;
    (void)state;
    config.precision = PRECISION_FLOAT16;
    struct trainer *t = make_trainer(&config);
    struct saved before = save(t);
    assert_int_equal(try_step(t, B, 0, true, &losses, &error), -EDOM);
    assert_non_null(strstr(error.text, "the loss is not finite"));
    assert_true(losses.worst == 0 && !losses.skipped);
    struct saved after = save(t);
    assert_same(&before, &after);
    trainer_destroy(t);
}

/* Where even the smallest scale does not help, the gradient is beyond float16. */
static void a_gradient_beyond_float16_ends_the_training(void **state)
{
    struct trainer_config config = config_of(gpu(), false);
    struct trainer_losses losses;
    struct error error;
    int r, skipped = 0;
    (void)state;
    config.precision = PRECISION_FLOAT16;
    config.class_gradient = 1e9;
    struct trainer *t = make_trainer(&config);
    struct saved before = save(t);
    while ((r = try_step(t, B, 0, false, &losses, &error)) == 0) {
        assert_true(losses.skipped);
        skipped++;
    }
    assert_int_equal(skipped, 16); /* from 2^16 to 1 */
    assert_int_equal(r, -EDOM);
    assert_non_null(strstr(error.text, "the gradient is not finite"));
    struct saved after = save(t);
    before.scale.factor = LOSS_SCALE_LEAST;
    assert_same(&before, &after);
    trainer_destroy(t);
}

/* Running statistics too: the second step is heard with the first one's codes. */
static void an_interpreter_learns_what_it_learns_on_the_cpu(void **state)
{
    const struct trainer_config here_config = config_of(&backend_cpu, true),
                                there_config = config_of(gpu(), true);
    struct trainer *here = make_trainer(&here_config), *there = make_trainer(&there_config);
    (void)state;
    for (uint64_t i = 0; i < 2; i++) {
        const struct trainer_losses a = take_step(there, INTERPRETED, i),
                                    b = take_step(here, INTERPRETED, i);
        assert_close("rec", a.rec, b.rec, 1e-4 * fabs(b.rec));
        assert_close("vq", a.vq, b.vq, 1e-3 * fabs(b.vq));
        assert_close("norm", a.norm, b.norm, 1e-3 * b.norm);
    }
    trainer_destroy(here);
    trainer_destroy(there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_optimizer_makes_the_cpus_steps),
        cmocka_unit_test(a_gradient_that_is_not_finite_changes_nothing),
        cmocka_unit_test(a_classifier_learns_what_it_learns_on_the_cpu),
        cmocka_unit_test(gradients_by_planes_are_learnt_from_wherever_they_lie),
        cmocka_unit_test(a_training_has_the_precision_that_it_was_given),
        cmocka_unit_test(what_was_saved_goes_on_bit_for_bit),
        cmocka_unit_test(gradients_smaller_than_float16_are_learnt_from),
        cmocka_unit_test(a_step_that_the_scale_spoils_is_skipped_and_halves_it),
        cmocka_unit_test(a_loss_that_is_not_finite_is_no_fault_of_the_scale),
        cmocka_unit_test(a_gradient_beyond_float16_ends_the_training),
        cmocka_unit_test(an_interpreter_learns_what_it_learns_on_the_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
