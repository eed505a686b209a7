/* SPDX-License-Identifier: Apache-2.0
 * A whole focald and sounds that score less than the threshold: they have no name and begin no
 * event, while their scores and candidates are still published. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/daemon/system/focald_process.h"

static struct focald_process focald;

static int teardown(void **state)
{
    (void)state;
    focald_clean(&focald);
    return 0;
}

/* Events as soon as anything has a name. */
static char *config(const char *model)
{
    static char text[2048];
    snprintf(text, sizeof text,
             "[stream demo]\nsource = file:%s\nloop = yes\n[analysis]\nhop = 0.25 s\n"
             "[events]\non = 0.01\noff = 0.005\nmin_length = 0 s\n[model]\n%s\n",
             demo_dir(), model);
    return text;
}

static void set_reject(const char *value)
{
    char request[128];
    snprintf(request, sizeof request, "{\"cmd\":\"set\",\"key\":\"reject\",\"value\":\"%s\"}",
             value);
    free(focald_request(&focald, request, true));
}

static double number(struct focal *focal, const char *path)
{
    double value;
    return focal_number(focal, path, &value) == 0 ? value : (double)NAN;
}

static bool next(struct focal *focal, struct focal_message *m, double end_s)
{
    while (seconds_now() < end_s)
        if (focal_next(focal, m, 500) == 1)
            return true;
    return false;
}

/* The next label of a sound that is, or is not, unknown. */
static void wait_for_label(struct focal *focal, bool unknown)
{
    struct focal_message m;
    const double end = seconds_now() + 30;
    while (next(focal, &m, end))
        if (strcmp(m.topic, "label") == 0 && number(focal, "silence") == 0 &&
            number(focal, "unknown") == unknown)
            return;
    fail_msg("no label that is %sunknown", unknown ? "" : "not ");
}

static void an_unknown_sound_has_candidates_and_begins_no_event(void **state)
{
    (void)state;
    struct focal_message m;
    int labels = 0;
    focald_start(&focald, config("reject = 1")); /* which no cosine reaches */
    struct focal *focal = focald_client(&focald, "label/");
    assert_int_equal(focal_subscribe(focal, "event/"), 0);
    const double end = seconds_now() + 60;
    while (labels < 16 && next(focal, &m, end)) {
        if (strcmp(m.topic, "event") == 0)
            fail_msg("an event of an unknown sound");
        if (number(focal, "silence") != 0) {
            assert_true(number(focal, "unknown") == 0);
            assert_true(isnan(number(focal, "score")));
            continue;
        }
        const float *scores = m.payload;
        const int classes = (int)number(focal, "shape.1");
        float best = -2;
        for (int i = 0; i < classes; i++)
            best = fmaxf(best, scores[2 * classes + i]);
        assert_true(number(focal, "unknown") == 1);
        assert_true((float)number(focal, "score") == best);
        assert_true((float)number(focal, "top.0.cosine") == best);
        assert_true(number(focal, "top.0.p") > 0.01); /* the event would have begun */
        labels++;
    }
    assert_int_equal(labels, 16);
    focal_close(focal);
    assert_int_equal(focald_stop(&focald, NULL), 0);
}

static void what_becomes_unknown_ends_its_event(void **state)
{
    (void)state;
    struct focal_message m;
    int running = 0;
    focald_start(&focald, config("reject = off"));
    struct focal *focal = focald_client(&focald, "label/");
    assert_int_equal(focal_subscribe(focal, "event/"), 0);
    double end = seconds_now() + 30;
    while (running == 0 && next(focal, &m, end))
        if (strcmp(m.topic, "event") == 0)
            running += number(focal, "ended") == 0 ? 1 : -1;
    assert_true(running > 0);
    set_reject("1");
    end = seconds_now() + 30;
    bool unknown = false;
    /* in the order in which it is published: label, then the events that its window ends */
    while (!(unknown && running == 0) && next(focal, &m, end)) {
        if (strcmp(m.topic, "event") == 0) {
            const bool ended = number(focal, "ended") != 0;
            assert_true(ended || !unknown);
            running += ended ? -1 : 1;
        } else if (number(focal, "unknown") == 1) {
            unknown = true;
        }
    }
    assert_true(unknown);
    assert_int_equal(running, 0);
    set_reject("off");
    wait_for_label(focal, false);
    focal_close(focal);
    assert_int_equal(focald_stop(&focald, NULL), 0);
}

static void shell(const char *format, const char *a, const char *b)
{
    char command[1024];
    snprintf(command, sizeof command, format, a, b);
    assert_int_equal(system(command), 0);
}

/* What info tells within ten seconds. */
static void wait_for_threshold(struct focal *focal, const char *score, double below)
{
    struct focal_message m;
    const double end = seconds_now() + 20;
    while (next(focal, &m, end)) {
        const char *got = "";
        const bool none = focal_string(focal, "analysis.reject.score", &got) != 0;
        if (score == NULL ? none
                          : !none && strcmp(got, score) == 0 &&
                                number(focal, "analysis.reject.below") == below)
            return;
    }
    fail_msg("info never told %s below %g", score != NULL ? score : "no threshold", below);
}

static void the_models_threshold_counts_and_a_reload_takes_a_new_one(void **state)
{
    (void)state;
    char dir[] = "/tmp/focald-unknown-XXXXXX", model[128];
    assert_non_null(mkdtemp(dir));
    shell("cp -r %s/model/pretrained/home/. %s/", getenv("FOCALD_SOURCE"), dir);
    shell("/usr/bin/python3 -c 'import json; p = \"%s/preprocess.json\"; o = json.load(open(p)); "
          "o[\"reject\"] = {\"score\": \"margin\", \"below\": %s}; json.dump(o, open(p, \"w\"))'",
          dir, "1.5");
    snprintf(model, sizeof model, "dir = %s", dir);
    focald_start(&focald, config(model));
    struct focal *focal = focald_client(&focald, "info/");
    struct focal *labels = focald_client(&focald, "label/");
    wait_for_threshold(focal, "margin", 1.5);
    wait_for_label(labels, true);
    shell("sed -i 's/1\\.5/0/' %s/preprocess.json%s", dir, "");
    free(focald_request(&focald, "{\"cmd\":\"reload\"}", true));
    wait_for_threshold(focal, "margin", 0);
    wait_for_label(labels, false);
    /* a number is of the model's score; auto is what the model says */
    set_reject("1.25");
    wait_for_threshold(focal, "margin", 1.25);
    set_reject("off");
    wait_for_threshold(focal, NULL, 0);
    set_reject("auto");
    wait_for_threshold(focal, "margin", 0);
    free(focald_request(&focald, "{\"cmd\":\"set\",\"key\":\"reject\",\"value\":\"all\"}", false));
    char *reply = focald_request(&focald, "{\"cmd\":\"get\",\"key\":\"reject\"}", true);
    assert_non_null(strstr(reply, "\"auto\""));
    free(reply);
    /* a threshold that cannot be leaves all as it was */
    shell("sed -i 's/margin/magic/' %s/preprocess.json%s", dir, "");
    reply = focald_request(&focald, "{\"cmd\":\"reload\"}", false);
    assert_non_null(strstr(reply, "magic"));
    free(reply);
    const double end = seconds_now() + 10;
    while (!focald_logged(&focald, "stays as it was") && seconds_now() < end)
        usleep(20000);
    assert_true(focald_logged(&focald, "magic"));
    focal_close(labels);
    focal_close(focal);
    assert_int_equal(focald_stop(&focald, NULL), 0);
    shell("rm -r %s%s", dir, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_unknown_sound_has_candidates_and_begins_no_event, teardown),
        cmocka_unit_test_teardown(what_becomes_unknown_ends_its_event, teardown),
        cmocka_unit_test_teardown(the_models_threshold_counts_and_a_reload_takes_a_new_one,
                                  teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
