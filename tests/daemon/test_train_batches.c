/* SPDX-License-Identifier: Apache-2.0
 * Images of a batch, with what they are to be taken for. Clips are tones in the middle of a bin, so
 * that an image as large as the spectrogram tells how loud each of them is in it: a tone of
 * amplitude 1 has the magnitude sum(window) / 2 there, of a Hamming window 0.54 * 372 / 2. */
#include "tests/model/places.h"

#include <math.h>

#include "base/memory.h"
#include "daemon/train_batches.h"
#include "dsp/stft.h"

enum { CLIPS = 4, WINDOW = 80000, FRAMES = 431, BINS = 513, EMBEDDING = 2, SCORES = 3, EPOCHS = 6 };

static const double full = 0.54 * 372 / 2;
/* The window's side lobes, -43 dB and falling, bring less than this of a tone to the next one's
 * bin.
 */
static const double near = 2e-3;
/* Their periods fit into the window, and their peaks fall on samples. */
static const int bins[CLIPS] = {64, 128, 320, 448};
static const float amplitudes[CLIPS] = {0.5f, 0.125f, 0.25f, 0.75f};

static float embeddings[CLIPS * EMBEDDING] = {1, -2, 3, 5, -7, 11, 13, -17};
static float scores[CLIPS * SCORES] = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f,
                                       0.7f, 0.8f, 0.9f, 0,    1,    0.5f};
static bool taught[CLIPS];
static struct train_clip clips[CLIPS];
static struct cache *cache;

static const struct model_info info = {.image_rows = FRAMES,
                                       .image_cols = BINS,
                                       .preprocess = {.sample_rate = 16000,
                                                      .window_samples = WINDOW,
                                                      .n_fft = 1024,
                                                      .win_length = 372,
                                                      .hop_length = 186}};

static int tone(void *context, size_t i, float **ret_samples, size_t *ret_n, struct error *error)
{
    float *x = malloc(WINDOW * sizeof *x);
    (void)context;
    if (x == NULL)
        return error_set(error, ENOMEM, "out of memory");
    for (int k = 0; k < WINDOW; k++)
        x[k] = amplitudes[i] * (float)cos(2 * M_PI * ((double)bins[i] * k / 1024));
    *ret_samples = x;
    *ret_n = WINDOW;
    return 0;
}

static int make_clips(void **state)
{
    static struct place places[CLIPS];
    const char *sources[CLIPS];
    struct error error = {""};
    if (make_scratch(state) < 0)
        return -1;
    for (int i = 0; i < CLIPS; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d", i);
        places[i] = in_scratch(name);
        write_bytes(places[i].path, name, 1);
        sources[i] = places[i].path;
    }
    const struct cache_list list = {sources, CLIPS, 16000};
    return cache_ready(&cache, in_scratch("cache").path, &list, tone, NULL, NULL, &error);
}

static int remove_clips(void **state)
{
    cache_close(cache);
    return remove_scratch(state);
}

/* All have their own label and a teacher. */
static struct train_data all_known(void)
{
    for (int i = 0; i < CLIPS; i++) {
        clips[i] = (struct train_clip){.label = i};
        taught[i] = true;
    }
    return (struct train_data){.n_classes = CLIPS,
                               .clips = clips,
                               .n = CLIPS,
                               .embeddings = embeddings,
                               .scores = scores,
                               .taught = taught,
                               .embedding_width = EMBEDDING,
                               .scores_width = SCORES};
}

static struct train_batches *batches_of(const struct train_data *data, struct train_changes changes)
{
    const struct train_batches_config config = {.data = data,
                                                .cache = cache,
                                                .info = &info,
                                                .changes = changes,
                                                .seed = 3,
                                                .batch = CLIPS,
                                                .ranks = 1,
                                                .workers = 2};
    struct train_batches *batches;
    struct error error = {""};
    if (train_batches_create(&batches, &config, &error) < 0)
        fail_msg("%s", error.text);
    return batches;
}

/* Of clip `clip` in image i, 1 where it is alone. */
static double loudness(const struct train_batch *batch, int i, int clip)
{
    const float *middle = batch->planes + ((size_t)i * FRAMES + FRAMES / 2) * BINS;
    return expm1((double)middle[bins[clip]]) / full;
}

static void assert_near(double found, double expected, double within)
{
    if (!(fabs(found - expected) <= within))
        fail_msg("%.9g, expected %.9g within %g", found, expected, within);
}

/* What the teacher says of a and, by 1 - weight, of b. */
static void check_teacher(const struct train_batch *batch, int i, int a, int b, double weight)
{
    for (int k = 0; k < EMBEDDING; k++)
        assert_near((double)batch->embeddings[i * EMBEDDING + k],
                    weight * (double)embeddings[a * EMBEDDING + k] +
                        (1 - weight) * (double)embeddings[b * EMBEDDING + k],
                    1e-5);
    for (int k = 0; k < SCORES; k++)
        assert_near((double)batch->scores[i * SCORES + k],
                    weight * (double)scores[a * SCORES + k] +
                        (1 - weight) * (double)scores[b * SCORES + k],
                    1e-6);
}

static void a_mixture_is_of_both_by_the_same_weight(void **state)
{
    const struct train_data data = all_known();
    struct train_batches *batches =
        batches_of(&data, (struct train_changes){.mixup_probability = 1, .mixup_alpha = 1});
    int mixed = 0;
    bool seen[CLIPS] = {false};
    (void)state;
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        train_batches_epoch(batches, epoch);
        const struct train_batch *batch = train_batches_next(batches);
        for (int i = 0; i < CLIPS; i++) {
            const struct loss_target *t = &batch->targets[i].classes;
            const int a = t->label_a, b = t->label_b;
            const double weight = (double)t->weight_a;
            assert_int_equal(a, batch->clips[i]);
            assert_true(weight >= 0.5 && weight <= 1 && batch->targets[i].taught);
            for (int clip = 0; clip < CLIPS; clip++)
                assert_near(loudness(batch, i, clip),
                            (clip == a ? weight : 0) + (clip == b ? 1 - weight : 0), near);
            check_teacher(batch, i, a, b, weight);
            mixed += a != b && weight < 0.99;
            seen[b] = true;
        }
    }
    assert_true(mixed >= EPOCHS * CLIPS / 2);
    for (int clip = 0; clip < CLIPS; clip++)
        assert_true(seen[clip]);
    train_batches_destroy(batches);
}

/* A label beside none, or a teacher beside none, has no mean. */
static void only_what_has_the_same_to_be_learnt_by_is_mixed(void **state)
{
    struct train_data data = all_known();
    int mixed = 0;
    (void)state;
    clips[2].label = -1;
    taught[3] = false;
    struct train_batches *batches =
        batches_of(&data, (struct train_changes){.mixup_probability = 1, .mixup_alpha = 1});
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        train_batches_epoch(batches, epoch);
        const struct train_batch *batch = train_batches_next(batches);
        for (int i = 0; i < CLIPS; i++) {
            const struct trainer_target *t = &batch->targets[i];
            const int clip = batch->clips[i];
            assert_int_equal(t->taught, taught[clip]);
            mixed += t->classes.label_a != t->classes.label_b;
            if (clip < 2) {
                assert_true(t->classes.label_b == 0 || t->classes.label_b == 1);
                continue;
            }
            assert_int_equal(t->classes.label_a, clips[clip].label);
            assert_int_equal(t->classes.label_b, clips[clip].label);
            assert_near(loudness(batch, i, clip), 1, near);
            check_teacher(batch, i, clip, clip, 1);
        }
    }
    assert_true(mixed > 0);
    train_batches_destroy(batches);
}

static void a_background_is_heard_and_does_not_count(void **state)
{
    const struct train_data data = all_known();
    struct train_batches *batches =
        batches_of(&data, (struct train_changes){.mixup_alpha = 1,
                                                 .background_probability = 1,
                                                 .background_low_db = 20,
                                                 .background_high_db = 20});
    int heard = 0;
    (void)state;
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        train_batches_epoch(batches, epoch);
        const struct train_batch *batch = train_batches_next(batches);
        for (int i = 0; i < CLIPS; i++) {
            const struct loss_target *t = &batch->targets[i].classes;
            const int own = batch->clips[i];
            int others = 0;
            for (int clip = 0; clip < CLIPS; clip++)
                if (clip != own && loudness(batch, i, clip) > 0.01) {
                    assert_near(loudness(batch, i, clip), 0.1, near);
                    others++;
                }
            assert_true(others <= 1);
            /* its own sound under it may fall in with it, or against it */
            assert_near(loudness(batch, i, own), 1, others > 0 ? near : 0.1 + near);
            assert_true(t->label_a == own && t->label_b == own && t->weight_a == 1);
            check_teacher(batch, i, own, own, 1);
            heard += others;
        }
    }
    assert_true(heard >= EPOCHS * CLIPS / 3);
    train_batches_destroy(batches);
}

/* As long as a window and a half, and behind the first window of it another tone. */
static int two_tones(void *context, size_t i, float **ret_samples, size_t *ret_n,
                     struct error *error)
{
    float *x = malloc(3 * WINDOW / 2 * sizeof *x);
    (void)context;
    (void)i;
    if (x == NULL)
        return error_set(error, ENOMEM, "out of memory");
    for (int k = 0; k < 3 * WINDOW / 2; k++)
        x[k] = 0.5f * (float)cos(2 * M_PI * ((double)bins[k < WINDOW ? 0 : 3] * k / 1024));
    *ret_samples = x;
    *ret_n = 3 * WINDOW / 2;
    return 0;
}

/* What is behind the first window, at the end of the image. */
static bool hears_end(const struct train_batch *batch, int i)
{
    const float *late = batch->planes + ((size_t)i * FRAMES + FRAMES - 20) * BINS;
    return expm1((double)late[bins[3]]) / full > 0.5;
}

static void a_teacher_speaks_of_the_window_that_is_heard(void **state)
{
    static struct place place;
    const struct train_data all = all_known();
    struct error error = {""};
    struct cache *shorter = cache;
    const char *sources[CLIPS];
    int ends = 0, others = 0;
    (void)state;
    place = in_scratch("long");
    write_bytes(place.path, "long", 4);
    for (int i = 0; i < CLIPS; i++)
        sources[i] = place.path;
    const struct cache_list list = {sources, CLIPS, 16000};
    assert_int_equal(
        cache_ready(&cache, in_scratch("cache.long").path, &list, two_tones, NULL, NULL, &error),
        0);
    taught[2] = taught[3] = false;
    struct train_batches *batches =
        batches_of(&all, (struct train_changes){.mixup_probability = 1, .mixup_alpha = 1});
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        train_batches_epoch(batches, epoch);
        const struct train_batch *batch = train_batches_next(batches);
        for (int i = 0; i < CLIPS; i++) {
            if (taught[batch->clips[i]])
                assert_false(hears_end(batch, i));
            else
                ends += hears_end(batch, i);
            others += !taught[batch->clips[i]];
        }
    }
    assert_true(ends > others / 2);
    train_batches_destroy(batches);
    cache_close(cache);
    cache = shorter;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mixture_is_of_both_by_the_same_weight),
        cmocka_unit_test(only_what_has_the_same_to_be_learnt_by_is_mixed),
        cmocka_unit_test(a_background_is_heard_and_does_not_count),
        cmocka_unit_test(a_teacher_speaks_of_the_window_that_is_heard),
    };
    return cmocka_run_group_tests(tests, make_clips, remove_clips);
}
