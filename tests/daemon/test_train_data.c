/* SPDX-License-Identifier: Apache-2.0
 * What a training reads: several sets under one list of classes, whole clips in the cache, and
 * every way in which all that can be wrong. */
#include "tests/daemon/made_sets.h"

#include <signal.h>

#include "base/memory.h"
#include "daemon/eval_window.h"
#include "daemon/stop.h"
#include "daemon/train_files.h"

/* Sets and classes */

static void several_sets_come_under_one_list_of_classes(void **state)
{
    make_sets();
    const struct train_set sets[] = {{farm.path, FOLD1 | FOLD2, FOLD4, NULL},
                                     {kitchen.path, FOLD2 | 1 << 6, FOLD4, NULL}};
    const struct train_data_config config = config_of(sets, 2);
    struct train_data data = read_well(&config);
    const char *const classes[] = {"chirping birds", "dog", "plates"};
    assert_int_equal(data.n_classes, 3);
    for (int c = 0; c < 3; c++)
        assert_string_equal(data.labels[c], classes[c]);
    const struct {
        const char *name;
        int label, set, row, fold;
    } want[] = {{"farm/audio/a.wav", 1, 0, 0, 1},    {"farm/audio/b.wav", 0, 0, 1, 1},
                {"farm/audio/c.wav", 1, 0, 2, 2},    {"kitchen/audio/b.wav", 0, 1, 1, 2},
                {"kitchen/audio/c.wav", 2, 1, 2, 2}, {"kitchen/audio/e.wav", 2, 1, 4, 6}};
    assert_true(data.n == ARRAY_LEN(want) && data.n_labelled == data.n);
    for (int i = 0; i < data.n; i++) {
        const struct train_clip *clip = &data.clips[i];
        assert_string_equal(clip->path, in_scratch(want[i].name).path);
        assert_int_equal(clip->label, want[i].label);
        assert_int_equal(clip->set, want[i].set);
        assert_int_equal(clip->row, want[i].row);
        assert_int_equal(clip->fold, want[i].fold);
    }
    assert_int_equal(data.n_valid, 4);
    assert_true(data.valid[0].n == 2 && data.valid[1].n == 2);
    assert_true(data.valid[1].clips[0].label == 0 && data.valid[1].clips[1].label == 2);
    assert_true(data.valid[1].present[0] && !data.valid[1].present[1] && data.valid[1].present[2]);
    assert_null(data.embeddings);
    assert_null(data.taught);
    train_data_finish(&data);
    train_data_finish(&data);
}

static void a_set_may_only_train_or_only_validate(void **state)
{
    make_sets();
    const struct train_set sets[] = {{farm.path, FOLD1 | FOLD2, 0, NULL},
                                     {farm.path, 0, FOLD4, NULL}};
    struct train_data_config config = config_of(sets, 2);
    config.n_aliases = 0;
    struct train_data data = read_well(&config);
    assert_int_equal(data.n, 3);
    assert_int_equal(data.valid[0].n, 0);
    assert_int_equal(data.valid[1].n, 2);
    train_data_finish(&data);
}

static void a_list_of_labels_keeps_its_order_and_what_it_leaves_out_is_told(void **state)
{
    make_sets();
    const struct train_set sets[] = {{farm.path, FOLD1 | FOLD2, FOLD4, NULL},
                                     {kitchen.path, FOLD2 | 1 << 6, FOLD4, NULL}};
    const char *const labels[] = {"plates", "Dog"};
    struct train_data_config config = config_of(sets, 2);
    config.labels = labels;
    config.n_labels = 2;
    refused(&config, -EINVAL, "farm/meta/esc50.csv", "chirping_birds (1 clip)",
            "classes.skip_unknown");
    config.skip_unknown = true;
    struct train_data data = read_well(&config);
    assert_string_equal(data.labels[1], "Dog");
    assert_int_equal(data.n, 4); /* dogs a and c, plates c and e */
    assert_int_equal(data.clips[0].label, 1);
    assert_int_equal(data.clips[2].label, 0);
    assert_int_equal(data.n_valid, 2);
    assert_int_equal(data.skipped_unknown, 4);
    train_data_finish(&data);
    const char *const twice[] = {"dog", "plates", "DOG"}, *const empty[] = {"dog", ""};
    config.labels = twice;
    config.n_labels = 3;
    refused(&config, -EINVAL, "dog", "DOG", "same class");
    config.labels = empty;
    config.n_labels = 2;
    refused(&config, -EINVAL, "labels", "number 2", "allowed");
    config.n_labels = 1;
    refused(&config, -EINVAL, "1 class;", "allowed: 2", "");
}

static void what_cannot_be_learnt_is_told_before_the_work_begins(void **state)
{
    make_sets();
    struct train_set set = {farm.path, FOLD2, FOLD4, NULL};
    struct train_data_config config = config_of(&set, 1);
    config.n_aliases = 0;
    refused(&config, -EINVAL, "class chirping_birds has no clip", "2 of ", "farm");
    set.train_folds = FOLD1 | FOLD3;
    refused(&config, -EINVAL, "no fold 3", "1-2,4-5", "farm");
    set.train_folds = 0;
    refused(&config, -EINVAL, "no clip of a class in the training folds", "none", "");
    set = (struct train_set){farm.path, FOLD1, 0, NULL};
    refused(&config, -EINVAL, "no clip of a class in the validation folds", "none", "");
    set.valid_folds = FOLD4;
    const char *const labels[] = {"dog", "wolf", "bear"};
    config.labels = labels;
    config.n_labels = 3;
    config.skip_unknown = true;
    refused(&config, -EINVAL, "class wolf has no clip", "1 of", "1 more");
    config.labels = &labels[1]; /* none of them */
    config.n_labels = 2;
    refused(&config, -EINVAL, "no clip of a class in the training folds", "1 of", "farm");
    config.labels = NULL;
    const char *const mistyped[] = {"brid=chirping_birds"};
    config.aliases = mistyped;
    config.n_aliases = 1;
    refused(&config, -EINVAL, "--alias brid=chirping_birds", "no set has", "");
    config.n_aliases = 0;
    config.n_sets = 0;
    refused(&config, -EINVAL, "--data", "", "");
    set.dir = "/nowhere";
    config.n_sets = 1;
    refused(&config, -ENOENT, "/nowhere", "meta/esc50.csv", "");
}

/* Files */

static void a_clip_that_both_trains_and_validates_is_refused_by_any_name(void **state)
{
    make_sets();
    const struct train_set same[] = {{farm.path, FOLD1 | FOLD2, FOLD4, NULL},
                                     {farm.path, FOLD4, 0, NULL}};
    struct train_data_config config = config_of(same, 2);
    config.n_aliases = 0;
    refused(&config, -EINVAL, "farm/audio/d.wav is a training clip", "validates", "folds");
    struct place alias = in_scratch("farm-by-link");
    assert_int_equal(symlink(farm.path, alias.path), 0);
    struct train_set by_link[] = {same[0], {alias.path, FOLD4, 0, NULL}};
    config.sets = by_link;
    refused(&config, -EINVAL, "farm-by-link/audio/d.wav is a training clip", "farm/audio/d.wav",
            "");
    for (int hard = 0; hard < 2; hard++) {
        const char *name = hard ? "hard" : "soft";
        struct place own = in_scratch(name), clip = in_set(name, "dog", "other name.wav");
        struct place from = in_set("farm", "audio", "d.wav");
        mkdir(own.path, 0777);
        mkdir(in_set(name, "dog", "").path, 0777);
        assert_int_equal((hard ? link : symlink)(from.path, clip.path), 0);
        by_link[1] = (struct train_set){own.path, FOLD1, 0, NULL};
        refused(&config, -EINVAL, "other name.wav", "farm/audio/d.wav", "");
    }
}

static void a_clip_shorter_than_a_frame_is_named_or_left_out(void **state)
{
    static const struct {
        const char *name;
        int rate, n;
        bool enough;
    } cases[] = {{"short.wav", RATE, FRAME - 1, false},
                 {"just.wav", RATE, FRAME, true},
                 {"fast.wav", 3 * RATE, 3 * FRAME - 3, false},
                 {"slow.wav", RATE / 2, FRAME / 2, true},
                 {"none.wav", RATE, 0, false}};
    struct place dir =
        SET("short", "short.wav 1 dog", "just.wav 1 dog", "fast.wav 1 dog", "slow.wav 1 cat",
            "none.wav 1 cat", "v.wav 2 dog", "text.wav 2 cat", "gone.wav 2 cat");
    struct place path;
    struct error error = {""};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        path = in_set("short", "audio", cases[i].name);
        write_sound(path.path, cases[i].rate, 1, SF_FORMAT_WAV | SF_FORMAT_PCM_16, cases[i].n);
        int r = train_file_check(path.path, RATE, FRAME, false, &error);
        assert_int_equal(r, cases[i].enough ? 0 : -EINVAL);
        if (!cases[i].enough)
            assert_line(&error, cases[i].name, "needs 372", "classes.keep_going", NULL);
    }
    const struct train_set set = {dir.path, FOLD1, FOLD2, NULL};
    struct train_data_config config = config_of(&set, 1);
    config.n_aliases = 0;
    refused(&config, -EINVAL, "short.wav", "371 samples", "372");
    write_bytes(in_set("short", "audio", "text.wav").path, "no sound", 8);
    path = in_set("short", "audio", "gone.wav");
    unlink(path.path);
    config.keep_going = true;
    struct train_data data = read_well(&config);
    assert_int_equal(data.n, 2);
    assert_int_equal(data.clips[1].row, 3);
    assert_int_equal(data.n_valid, 1);
    assert_true(data.valid[0].present[1] && !data.valid[0].present[0]); /* cat, dog */
    assert_int_equal(data.left_out, 5);
    train_data_finish(&data);
    config.keep_going = false;
    refused(&config, -ENOENT, "line 9", "gone.wav", "classes.keep_going");
    assert_int_equal(mkfifo(path.path, 0666), 0); /* which would be waited for for ever */
    assert_int_equal(train_file_check(path.path, RATE, FRAME, false, &error), -EINVAL);
    assert_line(&error, "gone.wav", "not a file", NULL);
}

/* The cache */

static void clips_are_cached_whole_and_as_eval_hears_them(void **state)
{
    struct place dir =
        SET("long", "a.wav 1 dog", "b.wav 1 cat", "c.wav 1 dog", "d.flac 1 cat", "v.wav 2 dog");
    const struct {
        const char *name;
        int rate, channels, format, n, want;
    } sounds[] = {{"a.wav", 44100, 2, SF_FORMAT_WAV | SF_FORMAT_PCM_16, 30011, 10889},
                  {"b.wav", RATE, 1, SF_FORMAT_WAV | SF_FORMAT_FLOAT, 90001, 90001},
                  {"c.wav", 8000, 1, SF_FORMAT_WAV | SF_FORMAT_FLOAT, 186, 372},
                  {"d.flac", 48000, 1, SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 48000, 16000}};
    for (size_t i = 0; i < ARRAY_LEN(sounds); i++) {
        struct place path = in_set("long", "audio", sounds[i].name);
        unlink(path.path);
        write_sound(path.path, sounds[i].rate, sounds[i].channels, sounds[i].format, sounds[i].n);
    }
    const struct train_set set = {dir.path, FOLD1, FOLD2, NULL};
    struct train_data_config config = config_of(&set, 1);
    config.n_aliases = 0;
    struct train_data data = read_well(&config);
    struct place file = in_scratch("cache");
    struct cache *cache;
    struct error why = {""}, error = {""};
    if (train_data_cache(&cache, &data, file.path, &why, &error) != 0)
        fail_msg("%s", error.text);
    assert_true(why.text[0] != '\0'); /* there was none */
    struct model *model;
    struct eval_maker *maker;
    assert_int_equal(model_open(&model, in_source("tests/data/baseline").path, &error), 0);
    assert_int_equal(eval_maker_create(&maker, model_info(model), EVAL_RESAMPLER_PAPER, &error), 0);
    size_t window = (size_t)model_info(model)->preprocess.window_samples;
    float *heard = calloc(window, sizeof *heard);
    for (size_t i = 0; i < ARRAY_LEN(sounds); i++) {
        size_t n;
        uint64_t bad;
        const float *samples = cache_clip(cache, i, &n);
        assert_int_equal(n, sounds[i].want);
        assert_int_equal(eval_read_samples(maker, data.clips[i].path, heard, &bad, &error), 0);
        assert_memory_equal(samples, heard, (n < window ? n : window) * sizeof *heard);
    }
    free(heard);
    eval_maker_destroy(maker);
    model_close(model);
    cache_close(cache);
    assert_int_equal(train_data_cache(&cache, &data, file.path, &why, &error), 0);
    assert_string_equal(why.text, "");
    cache_close(cache);
    train_data_finish(&data);
}

static void a_clip_that_ends_early_or_a_signal_ends_the_making_of_a_cache(void **state)
{
    struct place dir = SET("cut", "a.flac 1 dog", "b.wav 1 cat", "v.wav 2 dog");
    struct place path = in_set("cut", "audio", "a.flac"), file = in_scratch("cut-cache");
    unlink(path.path);
    write_sound(path.path, RATE, 1, SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 60000);
    size_t n;
    char *bytes = read_bytes(path.path, &n);
    const struct train_set set = {dir.path, FOLD1, FOLD2, NULL};
    struct train_data_config config = config_of(&set, 1);
    config.n_aliases = 0;
    struct train_data data = read_well(&config);
    struct cache *cache;
    struct error why = {""}, error = {""};
    stop_signal = SIGINT;
    assert_int_equal(train_data_cache(&cache, &data, file.path, &why, &error), -EINTR);
    stop_signal = 0;
    assert_line(&error, "interrupted", NULL);
    write_bytes(path.path, bytes, n / 2); /* its header stays as it was */
    free(bytes);
    assert_int_equal(train_data_cache(&cache, &data, file.path, &why, &error), -EINVAL);
    assert_line(&error, "cut/audio/a.flac", NULL);
    assert_true(access(file.path, F_OK) != 0);
    train_data_finish(&data);
}

/* What a header cannot tell: of a clip that validates, and, to leave it out, of one that trains. */
static void a_damaged_clip_is_named_or_left_out_before_the_work_begins(void **state)
{
    struct place dir =
        SET("torn", "a.flac 1 dog", "b.wav 1 cat", "c.wav 1 dog", "v.flac 2 dog", "w.wav 2 cat");
    static const char *const torn[] = {"a.flac", "v.flac"};
    for (size_t i = 0; i < ARRAY_LEN(torn); i++) {
        struct place path = in_set("torn", "audio", torn[i]);
        size_t n;
        unlink(path.path);
        write_sound(path.path, RATE, 1, SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 60000);
        char *bytes = read_bytes(path.path, &n);
        write_bytes(path.path, bytes, n / 2);
        free(bytes);
    }
    const struct train_set set = {dir.path, FOLD1, FOLD2, NULL};
    struct train_data_config config = config_of(&set, 1);
    config.n_aliases = 0;
    refused(&config, -EINVAL, "torn/audio/v.flac", "damaged", "classes.keep_going");
    config.keep_going = true;
    struct train_data data = read_well(&config);
    assert_true(data.n == 2 && data.n_valid == 1 && data.left_out == 2);
    struct place file = in_scratch("torn-cache");
    struct cache *cache;
    struct error why = {""}, error = {""};
    if (train_data_cache(&cache, &data, file.path, &why, &error) != 0)
        fail_msg("%s", error.text);
    cache_close(cache);
    train_data_finish(&data);
}

/* The real sets */

static void the_real_sets_are_the_home_model_s_lesson(void **state)
{
    static const char *const names[] = {"esc50", "kitchen20", "animals-home"};
    struct place dirs[3], teachers[3];
    struct train_set sets[3];
    char name[64];
    for (int s = 0; s < 3; s++) {
        snprintf(name, sizeof name, "data/%s", names[s]);
        dirs[s] = in_shared(name);
        snprintf(name, sizeof name, "data/%s/yamnet.safetensors", names[s]);
        teachers[s] = in_shared(name);
        if (access(teachers[s].path, R_OK) != 0) {
            print_message("skipped: no %s (FOCALD_SHARED names the directory)\n", teachers[s].path);
            skip();
        }
        sets[s] = (struct train_set){dirs[s].path, FOLD1 | FOLD2 | FOLD3, FOLD4, teachers[s].path};
    }
    sets[1].train_folds |= 0xf << 6;
    const char *const bird[] = {"bird=chirping_birds"};
    struct train_data_config config = config_of(sets, 3);
    config.aliases = bird;
    struct train_data data = read_well(&config);
    /* Counted in the tables by other means. */
    assert_int_equal(data.n_classes, 74);
    assert_int_equal(data.n, 2691);
    assert_int_equal(data.n_valid, 400 + 160 + 213);
    assert_int_equal(data.embedding_width, 1024);
    assert_int_equal(data.scores_width, 521);
    for (int i = 0; i < data.n; i++)
        assert_true(data.taught[i]);
    assert_int_equal(data.left_out, 0);
    train_data_finish(&data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_sets_come_under_one_list_of_classes),
        cmocka_unit_test(a_set_may_only_train_or_only_validate),
        cmocka_unit_test(a_list_of_labels_keeps_its_order_and_what_it_leaves_out_is_told),
        cmocka_unit_test(what_cannot_be_learnt_is_told_before_the_work_begins),
        cmocka_unit_test(a_clip_that_both_trains_and_validates_is_refused_by_any_name),
        cmocka_unit_test(a_clip_shorter_than_a_frame_is_named_or_left_out),
        cmocka_unit_test(clips_are_cached_whole_and_as_eval_hears_them),
        cmocka_unit_test(a_clip_that_ends_early_or_a_signal_ends_the_making_of_a_cache),
        cmocka_unit_test(a_damaged_clip_is_named_or_left_out_before_the_work_begins),
        cmocka_unit_test(the_real_sets_are_the_home_model_s_lesson),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
