/* SPDX-License-Identifier: Apache-2.0
 * The configuration: files in their order, values and units, and the line a mistake gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <math.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "daemon/config.h"

static char dir[64], file[128];
static struct config config; /* large */

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/focald-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/focald.conf", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void load(const char *text)
{
    struct error error = {""};
    write_text(file, text);
    if (config_load(&config, file, NULL, 0, &error) < 0)
        fail_msg("%s", error.text);
}

/* The error line must hold all of these. */
static void refuse(const char *text, const char *a, const char *b)
{
    struct error error = {""};
    write_text(file, text);
    assert_true(config_load(&config, file, NULL, 0, &error) < 0);
    if (strstr(error.text, a) == NULL || strstr(error.text, b) == NULL ||
        strstr(error.text, file) == NULL || strchr(error.text, '\n') != NULL)
        fail_msg("\"%s\" should name %s, %s and %s", error.text, file, a, b);
}

static void values_and_units_are_read(void **state)
{
    (void)state;
    load("[analysis]\nquantile = 0.75\nhop = 0.5 s\nsilence_gate = -50 dBFS\n"
         "[events]\nmin_length = 250 ms\n[audio]\ndelay = 1.5 s\n"
         "[stream door]\nsource = file:/tmp/x.wav\nloop = yes\n; a comment\n");
    assert_true(config.live.quantile == 0.75);
    assert_int_equal(config.live.hop_frames, 43);
    assert_true(config.live.silence_gate_db == -50);
    assert_true(config.live.event_min_s == 0.25);
    assert_true(config.audio_delay_s == 1.5);
    assert_int_equal(config.n_streams, 1);
    assert_string_equal(config.streams[0].name, "door");
    assert_string_equal(config.streams[0].source, "file:/tmp/x.wav");
    assert_true(config.streams[0].loop);
    assert_true(isnan(config.live.reject)); /* auto */
    load("[model]\nreject = off\n");
    assert_true(isinf(config.live.reject) && config.live.reject < 0);
    load("[model]\nreject = -0.25\n");
    assert_true(config.live.reject == -0.25);
    load("[analysis]\nhop = 20 frames\n[audio]\ndelay = hop\n");
    assert_int_equal(config.live.hop_frames, 20);
    assert_true(config.audio_delay_s < 0);
    assert_int_equal(config.n_streams, 1);
    assert_string_equal(config.streams[0].name, "main");
    assert_string_equal(config.streams[0].source, "auto");
}

static void lines_may_be_indented_and_end_in_a_comment(void **state)
{
    (void)state;
    load("  [events]\n    on = 0.85\n\toff = 0.6 # less\n[ipc]\n  name = cellar\t; of the house\n"
         "  [stream door]\n  source = file:/tmp/a#1;2.wav\n  # loop = yes\n"
         "  [stream yard]\n  source = file:/tmp/x.wav #1\n");
    assert_true(config.live.event_on == 0.85);
    assert_true(config.live.event_off == 0.6);
    assert_string_equal(config.ipc_name, "cellar");
    assert_int_equal(config.n_streams, 2);
    assert_string_equal(config.streams[0].source, "file:/tmp/a#1;2.wav");
    assert_false(config.streams[0].loop);
    assert_string_equal(config.streams[1].source, "file:/tmp/x.wav");
}

static void a_mistake_names_file_line_key_and_what_is_allowed(void **state)
{
    (void)state;
    refuse("[analysis]\nquantile = 2\n", ":2: quantile", "from 0 to 1");
    refuse("[analysis]\nquantile = 0.5 Hz\n", "\"0.5 Hz\"", "from 0 to 1");
    refuse("[analysis]\nquantile =\n", ":2: quantile", "from 0 to 1");
    refuse("[analysis]\n\n\nhop = 3 parsec\n", ":4: hop", "frames");
    refuse("[analysis]\nhop = 2.5 frames\n", "hop", "frames");
    refuse("[analysis]\nhop = 1 h\n", "hop", "0.5 s");
    refuse("[analysis]\nsilence_gate = loud\n", "silence_gate", "dBFS");
    refuse("[analysis]\nsilence_gate = nan\n", "silence_gate", "dBFS");
    refuse("[analysis]\ntop_k = 1e9\n", "top_k", "1 to 20");
    refuse("[analysis]\nquantil = 0.5\n", "unknown key \"quantil\"", "did you mean \"quantile\"");
    refuse("[nonsense]\nxyzzyx = 0.5\n", ":2:", "unknown section");
    refuse("[model]\nbackend = abacus\n", "backend", "auto cpu");
    refuse("[model]\nbackend = o c\n", "backend", "auto cpu");
    refuse("[model]\nreject = never\n", "reject", "\"auto\", \"off\", or a number from -1 to 20");
    refuse("[model]\nreject = 21\n", "reject", "-1 to 20");
    refuse("[model]\nreject = inf\n", "reject", "-1 to 20");
    refuse("[stream a]\nloop = maybe\n", "loop", "yes or no");
    refuse("[stream]\nloop = yes\n", ":2", "[stream NAME]");
    refuse("[stream a/b]\nloop = yes\n", "a/b", "allowed");
    refuse("[stream a-name-of-fourty-three-characters-and-not-1]\nloop = yes\n", ":1:", "49 bytes");
    refuse("[events]\non = 0.3\noff = 0.5\n", "off = 0.5", "on = 0.3");
    refuse("hello\n", ":1:", "key = value");
    char line[9000] = "[model]\ndir = ";
    memset(line + strlen(line), 'x', 8500);
    refuse(line, ":2:", "longer than");
}

static void a_long_name_is_read_whole(void **state)
{
    (void)state;
    load("[stream a-name-of-forty-two-characters-and-not-one]\nloop = yes\n");
    assert_string_equal(config.streams[0].name, "a-name-of-forty-two-characters-and-not-one");
}

static void a_long_line_is_read_whole(void **state)
{
    (void)state;
    char line[600] = "[model]\ndir = ";
    memset(line + strlen(line), 'x', 500);
    load(line);
    assert_int_equal(strlen(config.model_dir), 500);
}

static void a_missing_or_wrong_file_is_named(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(config_load(&config, "/nowhere/focald.conf", NULL, 0, &error), -ENOENT);
    assert_non_null(strstr(error.text, "/nowhere/focald.conf"));
    assert_true(config_load(&config, dir, NULL, 0, &error) < 0);
    assert_non_null(strstr(error.text, "directory"));
}

static void drop_ins_that_cannot_be_read_are_named(void **state)
{
    (void)state;
    struct error error;
    char drop_ins[160];
    write_text(file, "[analysis]\nquantile = 0.5\n");
    snprintf(drop_ins, sizeof drop_ins, "%s.d", file);
    assert_int_equal(config_load(&config, file, NULL, 0, &error), 0); /* there are none */
    assert_int_equal(symlink(drop_ins, drop_ins), 0);                 /* root reads all but this */
    assert_int_equal(config_load(&config, file, NULL, 0, &error), -ELOOP);
    assert_non_null(strstr(error.text, drop_ins));
    assert_int_equal(unlink(drop_ins), 0);
    write_text(drop_ins, "no directory");
    assert_int_equal(config_load(&config, file, NULL, 0, &error), 0);
}

static void later_files_and_options_win(void **state)
{
    (void)state;
    char path[256];
    struct error error;
    const struct config_option options[] = {{"analysis", "top_k", "9", "top-k"},
                                            {"stream", "source", "jack:2", "source"},
                                            {"stream", "source", "b=stdin:44100:1", "source"},
                                            {"stream", "loop", "yes", "loop"}};
    write_text(file, "[analysis]\nquantile = 0.1\nhop = 10 frames\ntop_k = 2\n"
                     "[stream a]\nsource = pipewire\n");
    snprintf(path, sizeof path, "%s.d", file);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s.d/10-a.conf", file);
    write_text(path, "[analysis]\nquantile = 0.2\nhop = 11 frames\n");
    snprintf(path, sizeof path, "%s.d/20-b.conf", file);
    write_text(path, "[analysis]\nquantile = 0.3\n");
    snprintf(path, sizeof path, "%s.d/ignored.txt", file);
    write_text(path, "[analysis]\nquantile = 0.4\n");
    assert_int_equal(config_load(&config, file, options, (int)ARRAY_LEN(options), &error), 0);
    assert_true(config.live.quantile == 0.3);
    assert_int_equal(config.live.hop_frames, 11);
    assert_int_equal(config.live.top_k, 9);
    assert_int_equal(config.n_streams, 2);
    assert_string_equal(config.streams[0].name, "main");
    assert_string_equal(config.streams[0].source, "jack:2");
    assert_string_equal(config.streams[1].name, "b");
    assert_true(config.streams[0].loop && config.streams[1].loop);
}

static void the_users_file_follows_the_systems(void **state)
{
    (void)state;
    char path[256];
    struct error error = {""};
    setenv("XDG_CONFIG_HOME", dir, 1);
    snprintf(path, sizeof path, "%s/system", dir);
    assert_int_equal(mkdir(path, 0755), 0);
    setenv("FOCALD_SYSCONFDIR", path, 1);
    static const char *const files[][2] = {
        {"system/focald/focald.conf", "quantile = 0.1\nhop = 10 frames\ntop_k = 2\n"},
        {"system/focald/focald.conf.d/mine.conf", "quantile = 0.2\nhop = 11 frames\n"},
        {"focald/focald.conf", "quantile = 0.55\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char text[100];
        snprintf(path, sizeof path, "%s/%s", dir, files[i][0]);
        *strrchr(path, '/') = '\0';
        assert_int_equal(mkdir(path, 0755), 0);
        snprintf(path, sizeof path, "%s/%s", dir, files[i][0]);
        snprintf(text, sizeof text, "[analysis]\n%s", files[i][1]);
        write_text(path, text);
    }
    if (config_load(&config, NULL, NULL, 0, &error) < 0)
        fail_msg("%s", error.text);
    assert_true(config.live.quantile == 0.55);
    assert_int_equal(config.live.hop_frames, 11);
    assert_int_equal(config.live.top_k, 2);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("FOCALD_SYSCONFDIR");
}

static char *read_text(const char *relative)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", getenv("FOCALD_SOURCE"), relative);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *text = calloc(1, 1 << 16);
    assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    return text;
}

/* "#key =" of the shipped file becomes "key =". */
static void uncomment(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++)
        if (!(*from == '#' && (from == text || from[-1] == '\n') && from[1] != ' '))
            *to++ = *from;
    *to = '\0';
}

static void the_shipped_file_lists_every_key_with_its_default(void **state)
{
    (void)state;
    static struct config shipped;
    char *text = read_text("daemon/focald.conf"), *page = read_text("man/focald.conf.5");
    const char *key, *section, *difference;
    uncomment(text);
    load(text);
    shipped = config;
    load("");
    difference = config_difference(&config, &shipped, 0);
    if (difference != NULL)
        fail_msg("the shipped %s is not the default", difference);
    for (int i = 0; (key = config_key(i, &section)) != NULL; i++) {
        char wanted[128];
        snprintf(wanted, sizeof wanted, "[%s%s]", section,
                 strcmp(section, "stream") == 0 ? " main" : "");
        const char *at = strstr(text, wanted);
        snprintf(wanted, sizeof wanted, "\n%s =", key);
        const char *end = at != NULL ? strstr(at + 1, "\n[") : NULL;
        const char *line = at != NULL ? strstr(at, wanted) : NULL;
        if (line == NULL || (end != NULL && line > end))
            fail_msg("focald.conf does not list %s in [%s]", key, section);
        snprintf(wanted, sizeof wanted, ".It Cm %s =", key);
        if (strstr(page, wanted) == NULL)
            fail_msg("focald.conf(5) does not name %s", key);
    }
    free(text);
    free(page);
}

static void live_values_are_checked_like_the_files(void **state)
{
    (void)state;
    struct error error;
    char text[64];
    load("");
    struct config_live live = config.live, before = live;
    assert_int_equal(config_live_set(&live, "quantile", "0.5", &error), 0);
    assert_int_equal(config_live_get(&live, "quantile", text, sizeof text), 0);
    assert_string_equal(text, "0.5");
    assert_int_equal(config_live_set(&live, "hop", "250 ms", &error), 0);
    assert_int_equal(live.hop_frames, 22);
    before = live;
    assert_true(config_live_set(&live, "quantile", "1.5", &error) < 0);
    assert_true(config_live_set(&live, "event_off", "0.99", &error) < 0);
    assert_int_equal(config_live_set(&live, "dir", "x", &error), -ENOENT);
    assert_non_null(strstr(error.text, "quantile"));
    assert_memory_equal(&live, &before, sizeof live);
    for (const char *const *key = config_live_keys(); *key != NULL; key++) {
        struct config_live again = live;
        assert_int_equal(config_live_get(&live, *key, text, sizeof text), 0);
        assert_int_equal(config_live_set(&again, *key, text, &error), 0);
        assert_memory_equal(&again, &live, sizeof live);
    }
}

static void a_reload_knows_what_needs_a_restart(void **state)
{
    (void)state;
    static struct config other;
    load("");
    other = config;
    assert_null(config_difference(&config, &other, 0));
    other.live.quantile = 0.5;
    other.threads = 7;
    snprintf(other.streams[0].source, sizeof other.streams[0].source, "jack");
    assert_string_equal(config_difference(&config, &other, 0), "model.threads");
    assert_true(config_key_needs_restart("model.threads"));
    assert_string_equal(config_difference(&config, &other, 1), "analysis.quantile");
    assert_false(config_key_needs_restart("analysis.quantile"));
    assert_string_equal(config_difference(&config, &other, 2), "stream main");
    assert_true(config_key_needs_restart("stream main"));
    assert_null(config_difference(&config, &other, 3));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(values_and_units_are_read),
        TEST(lines_may_be_indented_and_end_in_a_comment),
        TEST(a_mistake_names_file_line_key_and_what_is_allowed),
        TEST(a_long_line_is_read_whole),
        TEST(a_long_name_is_read_whole),
        TEST(drop_ins_that_cannot_be_read_are_named),
        TEST(a_missing_or_wrong_file_is_named),
        TEST(later_files_and_options_win),
        TEST(the_users_file_follows_the_systems),
        TEST(the_shipped_file_lists_every_key_with_its_default),
        TEST(live_values_are_checked_like_the_files),
        TEST(a_reload_knows_what_needs_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
