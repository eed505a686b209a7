/* SPDX-License-Identifier: Apache-2.0
 * Reading a labelled set: tables as spreadsheets write them, folds, classes by name, quantiles, and
 * every way in which they can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "daemon/eval_csv.h"
#include "daemon/eval_data.h"
#include "daemon/eval_quantiles.h"

static const char *const labels[] = {"airplane", "chirping_birds", "boiling-water", "dog"};
static const struct model_info info = {.name = "small", .n_classes = 4, .labels = labels};

static char place[64];

static int make_place(void **state)
{
    char path[128];
    snprintf(place, sizeof place, "/tmp/focald-eval-XXXXXX");
    if (mkdtemp(place) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/meta", place);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/audio", place);
    return mkdir(path, 0777);
}

static int remove_place(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", place);
    return system(command);
}

static void write_table(const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/meta/esc50.csv", place);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void write_clip(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/audio/%s", place, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
}

/* One line that says all of these. */
static void says(const struct error *error, const char *const *parts, size_t n)
{
    assert_null(strchr(error->text, '\n'));
    for (size_t i = 0; i < n; i++)
        if (strstr(error->text, parts[i]) == NULL)
            fail_msg("\"%s\" does not say %s", error->text, parts[i]);
}

#define SAYS(error, ...)                                                                           \
    says(error, (const char *const[]){__VA_ARGS__},                                                \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* Tables */

static void parse(struct csv *csv, const char *text)
{
    struct error error = {""};
    if (csv_parse(csv, text, strlen(text), "t.csv", &error) != 0)
        fail_msg("%s", error.text);
}

static void a_table_is_read_as_spreadsheets_write_it(void **state)
{
    struct csv csv;
    parse(&csv, "\xef\xbb\xbf"
                "name,\"fold\",what\r\n"
                "\"a, \"\"b\"\"\",1,\r\n"
                "\r\n"
                "\"two\nlines\",2,x");
    assert_int_equal(csv.n_rows, 3);
    assert_int_equal(csv.n_cols, 3);
    assert_int_equal(csv_column(&csv, "name"), 0);
    assert_int_equal(csv_column(&csv, "what"), 2);
    assert_int_equal(csv_column(&csv, "other"), -1);
    assert_string_equal(csv_cell(&csv, 0, 0), "a, \"b\"");
    assert_string_equal(csv_cell(&csv, 0, 2), "");
    assert_string_equal(csv_cell(&csv, 1, 0), "two\nlines");
    assert_string_equal(csv_cell(&csv, 1, 2), "x");
    assert_int_equal(csv.lines[1], 2);
    assert_int_equal(csv.lines[2], 4);
    csv_finish(&csv);
    parse(&csv, "a,b\n1,\n"); /* a line's last field may be empty */
    assert_string_equal(csv_cell(&csv, 0, 1), "");
    csv_finish(&csv);
}

static void a_damaged_table_is_refused_with_its_line(void **state)
{
    const struct {
        const char *text, *says;
    } bad[] = {
        {"a,b\n1,2\n3\n", "line 3 has 1 fields; its heading has 2"},
        {"a,b\n1,2,3\n", "line 2 has 3 fields"},
        {"a,b\n\"1,2\n3,4\n", "line 2: a quote"},
        {"a,b\n\"1\"2,3\n", "line 2: text follows"},
        {"", "is empty"},
        {"\n\r\n", "is empty"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct csv csv;
        struct error error = {""};
        int r = csv_parse(&csv, bad[i].text, strlen(bad[i].text), "t.csv", &error);
        assert_int_equal(r, -EINVAL);
        SAYS(&error, "t.csv", bad[i].says);
    }
    struct csv csv;
    struct error error = {""};
    assert_int_equal(csv_parse(&csv, "a\0b", 3, "t.csv", &error), -EINVAL);
    SAYS(&error, "zero bytes");
}

/* Fields of any bytes but zero, printed and read again. */
static void what_is_printed_is_read_back(void **state)
{
    const char *const fields[] = {"plain", "a,b", "a \"quoted\" word", "two\r\nlines", "", "ü"};
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    fputs("a,b\n", f);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        csv_print(f, fields[i]);
        fprintf(f, ",%zu\n", i);
    }
    fclose(f);
    struct csv csv;
    parse(&csv, text);
    assert_int_equal(csv.n_rows, 1 + ARRAY_LEN(fields));
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        assert_string_equal(csv_cell(&csv, (int)i, 0), fields[i]);
    csv_finish(&csv);
    free(text);
}

/* Folds and quantiles */

static void folds_are_numbers_and_spans(void **state)
{
    struct error error;
    uint64_t folds;
    char text[64];
    assert_int_equal(eval_folds_parse("--folds", "4", &folds, &error), 0);
    assert_true(folds == 0x10);
    assert_int_equal(eval_folds_parse("--folds", "4,6-9,1", &folds, &error), 0);
    assert_true(folds == 0x3d2);
    eval_folds_text(folds, text, sizeof text);
    assert_string_equal(text, "1,4,6-9");
    const char *const bad[] = {"", "x", "1,", "2-1", "1-", "64", "-1", "1 2", "1-2-3"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(eval_folds_parse("--some-folds", bad[i], &folds, &error), -EINVAL);
        SAYS(&error, "--some-folds", "allowed");
    }
}

static void a_sweep_is_a_list_of_numbers_and_spans(void **state)
{
    struct eval_quantiles q;
    struct error error;
    assert_int_equal(eval_quantiles_make(&q, 0.9, NULL, &error), 0);
    assert_true(q.n == 1 && q.n_sweep == 0 && q.values[0] == 0.9);
    eval_quantiles_finish(&q);
    assert_int_equal(eval_quantiles_make(&q, 0.9, "0.05:0.95:0.05", &error), 0);
    assert_int_equal(q.n_sweep, 19);
    assert_int_equal(q.n, 19); /* 0.9 is not computed twice */
    for (int i = 0; i < 19; i++)
        assert_true(fabs(q.values[q.sweep[i]] - 0.05 * (i + 1)) < 1e-9);
    eval_quantiles_finish(&q);
    assert_int_equal(eval_quantiles_make(&q, 0.9, "0.5,0.8:0.9:0.05,1", &error), 0);
    assert_int_equal(q.n_sweep, 5);
    assert_int_equal(q.n, 5);
    eval_quantiles_finish(&q);
    const char *const bad[] = {"",           "1.1",     "-0.1",        "a",
                               "0.1,",       "0.1:0.5", "0.5:0.1:0.1", "0:1:0",
                               "0:1:0.0001", "nan",     "0.1:0.5:-0.1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(eval_quantiles_make(&q, 0.9, bad[i], &error), -EINVAL);
        SAYS(&error, "--sweep", "allowed");
    }
}

/* Sets */

static const char heading[] = "filename,fold,target,category\n";

static int read_set(struct eval_data *data, struct eval_data_config config, struct error *error)
{
    config.dir = place;
    error->text[0] = '\0';
    return eval_data_read(data, &config, &info, error);
}

static void classes_are_found_by_name_and_never_by_number(void **state)
{
    struct eval_data data;
    struct error error;
    write_clip("a.wav");
    write_clip("b.wav");
    write_clip("c.wav");
    write_table("category,esc10,target,fold,filename\n"
                "Chirping Birds,x,3,2,a.wav\nboiling_water,x,0,1,b.wav\ndog,x,0,3,c.wav\n");
    if (read_set(&data, (struct eval_data_config){0}, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(data.n, 3);
    assert_int_equal(data.clips[0].label, 1);
    assert_int_equal(data.clips[1].label, 2);
    assert_int_equal(data.clips[2].label, 3);
    assert_int_equal(data.clips[0].fold, 2);
    assert_string_equal(data.clips[1].file, "b.wav");
    assert_true(data.folds == 0xe);
    assert_true(!data.present[0] && data.present[1] && data.present[2] && data.present[3]);
    eval_data_finish(&data);
    assert_int_equal(read_set(&data, (struct eval_data_config){.folds = 0xa}, &error), 0);
    assert_int_equal(data.n, 2);
    assert_string_equal(data.clips[0].file, "b.wav");
    eval_data_finish(&data);
}

static void an_unknown_class_is_told_with_its_clips_unless_it_is_to_be_skipped(void **state)
{
    struct eval_data data;
    struct error error;
    write_clip("a.wav");
    write_table("filename,fold,target,category\n"
                "a.wav,1,0,bird\na.wav,1,0,dog\na.wav,1,0,bird\na.wav,2,0,wolf\n");
    assert_int_equal(read_set(&data, (struct eval_data_config){.folds = 2}, &error), -EINVAL);
    SAYS(&error, "esc50.csv", "small", "bird (2 clips)", "--alias", "--skip-unknown");
    assert_null(strstr(error.text, "wolf")); /* of another fold */
    assert_int_equal(read_set(&data, (struct eval_data_config){.skip_unknown = true}, &error), 0);
    assert_int_equal(data.n, 1);
    assert_int_equal(data.skipped_unknown, 3);
    eval_data_finish(&data);
    const char *const aliases[] = {"bird=chirping birds", "wolf=dog"};
    const struct eval_data_config named = {.aliases = aliases, .n_aliases = 2};
    assert_int_equal(read_set(&data, named, &error), 0);
    assert_int_equal(data.n, 4);
    assert_int_equal(data.clips[0].label, 1);
    assert_int_equal(data.clips[3].label, 3);
    eval_data_finish(&data);
    const char *const bad[] = {"bird", "=dog", "bird=", "bird=wolf"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct eval_data_config wrong = {.aliases = &bad[i], .n_aliases = 1};
        assert_int_equal(read_set(&data, wrong, &error), -EINVAL);
        SAYS(&error, "--alias", bad[i]);
    }
}

static void what_a_set_lacks_is_named(void **state)
{
    struct eval_data data;
    struct error error;
    const struct eval_data_config all = {0};
    write_clip("a.wav");
    write_table("filename,fold,category\na.wav,1,dog\nno.wav,2,dog\nnone.wav,2,dog\n");
    assert_int_equal(read_set(&data, all, &error), -ENOENT);
    SAYS(&error, "line 3", "no.wav", "1 more", "--keep-going");
    assert_int_equal(read_set(&data, (struct eval_data_config){.keep_going = true}, &error), 0);
    assert_int_equal(data.n, 3);
    eval_data_finish(&data);
    assert_int_equal(read_set(&data, (struct eval_data_config){.folds = 0x26}, &error), -EINVAL);
    SAYS(&error, "no fold 5", "it has 1-2");
    write_table("filename,fold,category\na.wav,one,dog\n");
    assert_int_equal(read_set(&data, all, &error), -EINVAL);
    SAYS(&error, "line 2", "fold is one");
    write_table("filename,fold,target\na.wav,1,0\n");
    assert_int_equal(read_set(&data, all, &error), -EINVAL);
    SAYS(&error, "no column category");
    write_table(heading);
    assert_int_equal(read_set(&data, all, &error), -EINVAL);
    SAYS(&error, "no clips");
    struct eval_data_config nowhere = {.dir = "/nowhere/at/all"};
    assert_int_equal(eval_data_read(&data, &nowhere, &info, &error), -ENOENT);
    SAYS(&error, "/nowhere/at/all", "meta/esc50.csv");
}

/* One folder a class */

static void write_in(const char *dir, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", place, dir);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s", place, dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
}

static int read_folders(struct eval_data *data, const char *name, struct eval_data_config config,
                        struct error *error)
{
    char dir[128];
    snprintf(dir, sizeof dir, "%s/%s", place, name);
    config.dir = dir;
    error->text[0] = '\0';
    return eval_data_read(data, &config, &info, error);
}

static void make_folders(void)
{
    char name[32], path[128];
    snprintf(path, sizeof path, "%s/own", place);
    mkdir(path, 0777);
    for (int i = 11; i >= 0; i--) {
        snprintf(name, sizeof name, "%c.%s", 'a' + i, i % 2 == 0 ? "wav" : "FLAC");
        write_in("own/dog", name);
    }
    write_in("own/Chirping Birds", "z.ogg");
    write_in("own/Chirping Birds", "B.mp3");
    write_in("own/dog", ".hidden.wav");
    write_in("own/dog", "notes.txt");
    write_in("own/dog", "wav");
    write_in("own/.git", "a.wav");
    write_in("own", "beside.wav");
    write_in("own/dog/deeper.wav", "a.wav"); /* a folder, whatever it is called */
}

static void folders_are_classes_and_their_files_are_dealt_to_five_folds(void **state)
{
    struct eval_data data;
    struct error error;
    char path[256];
    make_folders();
    if (read_folders(&data, "own", (struct eval_data_config){0}, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(data.n, 14);
    assert_int_equal(data.rows, 14);
    assert_true(data.folds == 0x3e);
    assert_string_equal(data.clips[0].file, "Chirping Birds/B.mp3");
    assert_string_equal(data.clips[1].file, "Chirping Birds/z.ogg");
    assert_int_equal(data.clips[0].label, 1);
    for (int i = 0; i < 12; i++) {
        const struct eval_clip *clip = &data.clips[2 + i];
        snprintf(path, sizeof path, "%s/own/dog/%c.%s", place, 'a' + i,
                 i % 2 == 0 ? "wav" : "FLAC");
        assert_string_equal(clip->path, path);
        assert_int_equal(clip->label, 3);
        assert_int_equal(clip->fold, i % 5 + 1);
        assert_int_equal(clip->row, 2 + i);
    }
    eval_data_finish(&data);
    const struct eval_data_config third = {.folds = 1 << 3};
    assert_int_equal(read_folders(&data, "own", third, &error), 0);
    assert_int_equal(data.n, 2); /* dogs c and h */
    assert_int_equal(data.clips[1].row, 9);
    assert_int_equal(data.rows, 14);
    eval_data_finish(&data);
    const struct eval_data_config none = {.folds = 1 << 6};
    assert_int_equal(read_folders(&data, "own", none, &error), -EINVAL);
    SAYS(&error, "no fold 6", "it has 1-5");
}

static void what_folders_lack_is_named(void **state)
{
    struct eval_data data;
    struct error error;
    const struct eval_data_config all = {0};
    char path[128];
    write_in("bare", "a.wav");
    assert_int_equal(read_folders(&data, "bare", all, &error), -ENOENT);
    SAYS(&error, "bare", "meta/esc50.csv", "folder of sound files for each class");
    assert_int_equal(read_folders(&data, "bare/a.wav", all, &error), -ENOTDIR);
    snprintf(path, sizeof path, "%s/half", place);
    mkdir(path, 0777);
    write_in("half/dog", "a.wav");
    write_in("half/cat", "readme.txt");
    assert_int_equal(read_folders(&data, "half", all, &error), -EINVAL);
    SAYS(&error, "half/cat", "class cat has no clip");
    snprintf(path, sizeof path, "%s/lost", place);
    mkdir(path, 0777);
    write_in("lost/audio", "a.wav"); /* ESC-50's layout without its table */
    assert_int_equal(read_folders(&data, "lost", all, &error), -ENOENT);
    SAYS(&error, "lost", "has no meta/esc50.csv");
    snprintf(path, sizeof path, "%s/gone", place);
    mkdir(path, 0777);
    write_in("gone/dog", "a.wav");
    snprintf(path, sizeof path, "%s/gone/dog/b.wav", place);
    assert_int_equal(symlink("/nowhere.wav", path), 0);
    assert_int_equal(read_folders(&data, "gone", all, &error), -ENOENT);
    SAYS(&error, "dog/b.wav", "cannot be read");
    assert_null(strstr(error.text, "line"));
}

/* Classes before there is a model */

static void the_classes_of_a_set_are_sorted_and_each_once(void **state)
{
    char **classes;
    int n;
    struct error error;
    const char *const aliases[] = {"bird=chirping_birds"};
    struct eval_data_config config = {.dir = place, .aliases = aliases, .n_aliases = 1};
    write_table("filename,fold,category\n"
                "a.wav,1,dog\nb.wav,1,bird\nc.wav,2,Dog\nd.wav,7,wolf\ne.wav,1,chirping_birds\n"
                "f.wav,1,a_b\ng.wav,1,a1\nh.wav,1,bird\ni.wav,1,a b\n");
    assert_int_equal(eval_data_classes(&config, &classes, &n, &error), 0);
    const char *const want[] = {"Dog", "a b", "a1", "chirping_birds", "wolf"};
    assert_int_equal(n, ARRAY_LEN(want));
    for (int i = 0; i < n; i++)
        assert_string_equal(classes[i], want[i]);
    eval_classes_free(classes, n);
    const char *const bad[] = {"a.wav,1,\n", "a.wav,1,a\tb\n", "a.wav,1,\xff\n", "a.wav,1,\" \"\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char table[128];
        snprintf(table, sizeof table, "filename,fold,category\n%s", bad[i]);
        write_table(table);
        assert_int_equal(eval_data_classes(&config, &classes, &n, &error), -EINVAL);
        SAYS(&error, "a.wav", "allowed");
    }
    const char *const half[] = {"bird"};
    config.aliases = half;
    assert_int_equal(eval_data_classes(&config, &classes, &n, &error), -EINVAL);
    SAYS(&error, "--alias bird");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_read_as_spreadsheets_write_it),
        cmocka_unit_test(a_damaged_table_is_refused_with_its_line),
        cmocka_unit_test(what_is_printed_is_read_back),
        cmocka_unit_test(folds_are_numbers_and_spans),
        cmocka_unit_test(a_sweep_is_a_list_of_numbers_and_spans),
        cmocka_unit_test(classes_are_found_by_name_and_never_by_number),
        cmocka_unit_test(an_unknown_class_is_told_with_its_clips_unless_it_is_to_be_skipped),
        cmocka_unit_test(what_a_set_lacks_is_named),
        cmocka_unit_test(folders_are_classes_and_their_files_are_dealt_to_five_folds),
        cmocka_unit_test(what_folders_lack_is_named),
        cmocka_unit_test(the_classes_of_a_set_are_sorted_and_each_once),
    };
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
