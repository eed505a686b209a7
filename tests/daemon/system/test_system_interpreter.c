/* SPDX-License-Identifier: Apache-2.0
 * The four systems of the paper live: FocalNet and ViT, each with its own map and with PIQ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/daemon/system/focald_process.h"
#include "tests/model/made_model.h"

enum { FRAMES = 431, BINS = 513, CLASSES = 6, KEYS = 24 };

static struct focald_process focald;
static char models[2][64]; /* FocalNet, ViT; both with PIQ */

static int make_models(void **state)
{
    (void)state;
    struct error error;
    for (int i = 0; i < 2; i++) {
        snprintf(models[i], sizeof models[i], "/tmp/focald-system-%s-XXXXXX", i ? "vit" : "focal");
        if (mkdtemp(models[i]) == NULL ||
            made_model(models[i], i ? made_vit : made_focalnet, CLASSES, KEYS, &error) < 0)
            return -1;
    }
    return 0;
}

static int remove_models(void **state)
{
    (void)state;
    static const char *const files[] = {"model.safetensors", "config.json", "labels.txt"};
    char path[256];
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
            snprintf(path, sizeof path, "%s/%s", models[i], files[k]);
            unlink(path);
        }
        rmdir(models[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    focald_clean(&focald);
    return 0;
}

static char *config(int model, const char *interpreter)
{
    static char text[1024];
    snprintf(text, sizeof text,
             "[stream demo]\nsource = file:%s\nloop = yes\n[model]\ndir = %s\ninterpreter = %s\n",
             demo_dir(), models[model], interpreter);
    return text;
}

static struct focal_message next(struct focal *focal, const char *topic)
{
    struct focal_message m;
    double end = seconds_now() + 30;
    while (seconds_now() < end)
        if (focal_next(focal, &m, 1000) == 1 && strcmp(m.topic, topic) == 0)
            return m;
    fail_msg("nothing came on %s", topic);
    return m;
}

/* What is published is of this interpreter, and its map is within [0, most]. */
static void check(int model, const char *asked, const char *interpreter, int maps, int rows,
                  int cols, float most)
{
    focald_start(&focald, config(model, asked));
    struct focal *focal = focald_client(&focald, "");
    const char *said;
    double number;
    char path[64];
    next(focal, "info");
    assert_int_equal(focal_string(focal, "model.interpreter", &said), 0);
    assert_string_equal(said, interpreter);

    struct focal_message m = next(focal, "map");
    snprintf(path, sizeof path, "maps.%d.rows", maps);
    assert_int_equal(focal_number(focal, path, &number), -ENOENT);
    snprintf(path, sizeof path, "maps.%d.rows", maps - 1);
    assert_int_equal(focal_number(focal, path, &number), 0);
    assert_true(number == rows);
    snprintf(path, sizeof path, "maps.%d.offset", maps - 1);
    assert_int_equal(focal_number(focal, path, &number), 0);
    const float *map = (const float *)m.payload + (size_t)number;
    size_t cells = (size_t)rows * (size_t)cols;
    assert_int_equal(m.payload_bytes, ((size_t)number + cells) * sizeof(float));
    for (size_t i = 0; i < cells; i++)
        assert_true(map[i] >= 0 && map[i] <= most);

    m = next(focal, "mask");
    assert_int_equal(m.payload_bytes, (FRAMES * BINS + 7) / 8);
    assert_int_equal(focal_number(focal, "threshold", &number), 0);
    assert_true(strcmp(interpreter, "piq") == 0 ? number == 0.5 : number > 0);
    m = next(focal, "audio");
    const float *pcm = m.payload;
    for (size_t i = 0; i < m.count; i++)
        assert_true(isfinite(pcm[i]));
    focal_close(focal);
    assert_int_equal(focald_stop(&focald, NULL), 0);
}

static void focalnet_shows_its_modulation(void **state)
{
    (void)state;
    check(0, "auto", "modulation", 4, 2, 2, INFINITY);
}

static void vit_shows_its_attention(void **state)
{
    (void)state;
    check(1, "attention", "attention", 1, 4, 4, 1);
}

static void focalnet_is_interpreted_by_piq(void **state)
{
    (void)state;
    check(0, "piq", "piq", 5, FRAMES, BINS, 1);
}

static void vit_is_interpreted_by_piq(void **state)
{
    (void)state;
    check(1, "piq", "piq", 2, FRAMES, BINS, 1);
}

static void reload_in_vain(const char *text, const char *answer, const char *logged)
{
    focald_configure(&focald, text);
    char *reply = focald_request(&focald, "{\"cmd\":\"reload\"}", false);
    assert_non_null(strstr(reply, answer));
    free(reply);
    double end = seconds_now() + 10;
    while (!focald_logged(&focald, logged) && seconds_now() < end)
        usleep(20000);
    if (!focald_logged(&focald, logged))
        fail_msg("not logged: %s", logged);
}

/* Back from PIQ is a reload; to PIQ, whose maps are larger, it takes a restart, and is told so. */
static void a_reload_takes_another_interpreter_or_says_why_not(void **state)
{
    (void)state;
    focald_start(&focald, config(1, "piq"));
    struct focal *focal = focald_client(&focald, "info/");
    const char *said = "";
    focald_configure(&focald, config(1, "attention"));
    free(focald_request(&focald, "{\"cmd\":\"reload\"}", true));
    for (int i = 0; i < 10 && strcmp(said, "attention") != 0; i++) {
        next(focal, "info");
        assert_int_equal(focal_string(focal, "model.interpreter", &said), 0);
    }
    assert_string_equal(said, "attention");
    reload_in_vain(config(1, "modulation"), "allowed: attention, piq",
                   "allowed: attention, piq; everything stays as it was");
    reload_in_vain(config(1, "piq"), "restart focald to use it",
                   "restart focald to use it; everything stays as it was");
    focal_close(focal);
    assert_int_equal(focald_stop(&focald, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(focalnet_shows_its_modulation, teardown),
        cmocka_unit_test_teardown(vit_shows_its_attention, teardown),
        cmocka_unit_test_teardown(focalnet_is_interpreted_by_piq, teardown),
        cmocka_unit_test_teardown(vit_is_interpreted_by_piq, teardown),
        cmocka_unit_test_teardown(a_reload_takes_another_interpreter_or_says_why_not, teardown),
    };
    return cmocka_run_group_tests(tests, make_models, remove_models);
}
