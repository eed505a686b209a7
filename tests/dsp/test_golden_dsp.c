/* SPDX-License-Identifier: Apache-2.0
 * dsp/ against the published code's results, and the comparison itself against spoiled results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "golden_dsp.h"
#include "model/weights/safetensors.h"

static char golden[4000];

struct lookup {
    struct safetensors *file;
    const char *spoiled; /* a name whose tensor is not found, or holds NaN */
    bool nan;
    float *copy;
    int comparisons;
};

static const void *find(void *user, const char *name, size_t *ret_bytes)
{
    struct lookup *l = user;
    const struct safetensors_tensor *t = safetensors_find(l->file, name);
    bool spoiled = l->spoiled != NULL && strcmp(name, l->spoiled) == 0;
    if (t == NULL || (spoiled && !l->nan))
        return NULL;
    *ret_bytes = t->cells * dtype_size(t->dtype);
    if (!spoiled)
        return t->data;
    free(l->copy);
    l->copy = malloc(*ret_bytes);
    assert_non_null(l->copy);
    memcpy(l->copy, t->data, *ret_bytes);
    l->copy[t->cells / 2] = NAN;
    return l->copy;
}

static void report(void *user, const char *name, double error, double limit)
{
    struct lookup *l = user;
    l->comparisons++;
    if (l->spoiled == NULL)
        printf("%-48s %10.3g  limit %g\n", name, error, limit);
}

static struct lookup open_golden(void)
{
    char path[4096];
    struct lookup l = {0};
    struct error e;
    snprintf(path, sizeof path, "%s/dsp.safetensors", golden);
    int r = safetensors_open(&l.file, path, &e);
    if (r < 0)
        print_message("%s\n", e.text);
    assert_int_equal(r, 0);
    return l;
}

static void every_step_is_that_of_the_published_code(void **state)
{
    (void)state;
    char clips[4096];
    snprintf(clips, sizeof clips, "%s/clips", golden);
    struct lookup l = open_golden();
    assert_int_equal(golden_dsp_check(find, &l, clips, report), 0);
    /* two tables; of each clip 7 isolated steps, and in the chain 9 */
    assert_int_equal(l.comparisons, 2 + 2 * (7 + 9));
    safetensors_close(l.file);
}

static void a_missing_or_spoiled_tensor_does_not_pass(void **state)
{
    (void)state;
    static const char *const names[] = {"clip1.wav16k", "clip2.logspec", "clip1.istft_masked_log",
                                        "stft_window"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int nan = 0; nan <= 1; nan++) {
            struct lookup l = open_golden();
            l.spoiled = names[i];
            l.nan = nan;
            assert_true(golden_dsp_check(find, &l, NULL, report) >= 1);
            safetensors_close(l.file);
            free(l.copy);
        }
}

int main(void)
{
    const char *shared = getenv("FOCALD_SHARED");
    snprintf(golden, sizeof golden, "%s/golden",
             shared != NULL ? shared : SOURCE_ROOT "/../shared");
    char path[4096];
    snprintf(path, sizeof path, "%s/dsp.safetensors", golden);
    if (access(path, R_OK) < 0) {
        printf("skipped: %s is not there; FOCALD_SHARED names the folder that holds golden/\n",
               path);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_is_that_of_the_published_code),
        cmocka_unit_test(a_missing_or_spoiled_tensor_does_not_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
