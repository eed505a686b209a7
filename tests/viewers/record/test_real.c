/* SPDX-License-Identifier: Apache-2.0
 * The real focald plays the demo clips, and the recorder keeps them: what is in its files is what
 * focald published, to the sample, and what was lost on the way is nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/daemon/system/focald_process.h"
#include "tests/viewers/record/pretender.h"

enum { KEEP_S = 60, KEEP = KEEP_S * 16000 };

/* What focald said beside the recorder's hearing it. */
struct heard {
    float *samples; /* [KEEP] by position */
    bool known[KEEP];
};

static void hear(struct heard *h, struct focal *focal)
{
    struct focal_message m;
    while (focal_next(focal, &m, 0) == 1)
        for (uint64_t i = 0; i < m.count && m.first + i < KEEP; i++) {
            h->samples[m.first + i] = ((const float *)m.payload)[i];
            h->known[m.first + i] = true;
        }
}

static void compare(const struct recorder *r, const char *column, const struct heard *h)
{
    char sql[128];
    size_t n, compared = 0;
    snprintf(sql, sizeof sql, "SELECT %s FROM event ORDER BY id LIMIT 1", column);
    char *file = recorder_text(r, sql);
    float *samples = recorder_samples(r, file, &n);
    uint64_t first = (uint64_t)recorder_number(r, "SELECT first FROM event ORDER BY id LIMIT 1");
    for (size_t i = 0; i < n && first + i < KEEP; i++) {
        float x = h->samples[first + i];
        if (!h->known[first + i])
            continue;
        x = x > 32767.0f / 32768 ? 32767.0f / 32768 : x < -1 ? -1 : x;
        if (!(fabsf(samples[i] - x) <= 1.0f / 32768))
            fail_msg("%s: sample %zu is %g, focald said %g", file, i, (double)samples[i],
                     (double)x);
        compared++;
    }
    if (compared * 2 < n)
        fail_msg("%s: only %zu of %zu samples could be compared", file, compared, n);
    free(samples);
    free(file);
}

static void what_focald_hears_is_kept_to_the_sample(void **state)
{
    char config[700];
    struct focald_process f;
    struct recorder r;
    struct heard *input = calloc(1, sizeof *input), *audio = calloc(1, sizeof *audio);
    assert_non_null(input);
    assert_non_null(audio);
    input->samples = calloc(KEEP, sizeof(float));
    audio->samples = calloc(KEEP, sizeof(float));
    snprintf(config, sizeof config,
             "[events]\non = 0.5\noff = 0.4\n[stream demo]\nsource = file:%s\nloop = yes\n",
             demo_dir());
    focald_start(&f, config);
    recorder_prepare(&r, NULL, NULL, f.data, "");
    recorder_start(&r, 0);
    struct focal *in = focald_client(&f, "input/"), *out = focald_client(&f, "audio/");
    double until = seconds() + 90;
    while (recorder_number(&r, "SELECT count(*) FROM event") < 2) {
        hear(input, in);
        hear(audio, out);
        if (seconds() > until) {
            recorder_print_log(&r);
            fail_msg("no two events in 90 s");
        }
        usleep(20000);
    }
    hear(input, in);
    hear(audio, out);
    focal_close(in);
    focal_close(out);
    assert_int_equal(recorder_stop(&r), 0);
    focald_stop(&f, NULL);

    compare(&r, "input_file", input);
    compare(&r, "audio_file", audio);
    assert_int_equal(recorder_number(&r, "SELECT count(*) FROM loss"), 0);
    assert_int_equal(recorder_number(&r, "SELECT count(*) FROM event WHERE scores IS NULL OR"
                                         " picture_file IS NULL OR length(model_hash) <> 64"),
                     0);
    /* the label is the one that its scores say */
    char *text = recorder_run(&r, NULL, "show --json %lld",
                              (long long)recorder_number(&r, "SELECT min(id) FROM event"));
    json_t *json = json_loads(text, 0, NULL);
    json_t *best = json_array_get(json_object_get(json, "scores"), 0);
    assert_string_equal(json_string_value(json_object_get(best, "label")),
                        json_string_value(json_object_get(json, "label")));
    assert_true(fabs(json_number_value(json_object_get(best, "p")) -
                     json_number_value(json_object_get(json, "p_peak"))) <= 1e-6);
    json_decref(json);
    free(text);
    recorder_must_be_whole(&r);
    recorder_clean(&r);
    focald_clean(&f);
    free(input->samples);
    free(audio->samples);
    free(input);
    free(audio);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_focald_hears_is_kept_to_the_sample)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
