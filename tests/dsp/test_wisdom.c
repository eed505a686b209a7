/* SPDX-License-Identifier: Apache-2.0
 * FFTW's wisdom in a file, and its planner among threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fftw3.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dsp/stft.h"

static const struct stft_shape shape = {64, 32, 16}; /* soon planned */
static char dir[] = "/tmp/focald-wisdom-XXXXXX", path[64];

static void plan_once(void)
{
    struct stft *stft = NULL;
    struct error e;
    assert_int_equal(stft_create(&stft, &shape, &e), 0);
    stft_destroy(stft);
}

/* FFTW would plan the shape's transform without measuring. */
static bool is_known(void)
{
    float *time = fftwf_alloc_real(64);
    fftwf_complex *spectrum = fftwf_alloc_complex(33);
    fftwf_plan plan = fftwf_plan_dft_r2c_1d(64, time, spectrum, FFTW_MEASURE | FFTW_WISDOM_ONLY);
    fftwf_free(time);
    fftwf_free(spectrum);
    if (plan != NULL)
        fftwf_destroy_plan(plan);
    return plan != NULL;
}

static int entries(void)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void write_file(const char *text, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

static void wisdom_comes_back_and_leaves_no_other_file(void **state)
{
    (void)state;
    struct error e;
    assert_true(stft_wisdom_load(path) < 0); /* not there yet: no matter */
    plan_once();
    assert_int_equal(stft_wisdom_save(path, &e), 0);
    assert_int_equal(entries(), 1);
    assert_true(is_known());
    fftwf_forget_wisdom();
    assert_false(is_known());
    assert_int_equal(stft_wisdom_load(path), 0);
    assert_true(is_known());
}

static void spoiled_wisdom_does_no_harm(void **state)
{
    (void)state;
    struct error e;
    static char text[1 << 16];
    plan_once();
    assert_int_equal(stft_wisdom_save(path, &e), 0);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    assert_in_range(n, 10, sizeof text - 1);
    for (size_t cut = 0; cut < n; cut += n / 16 + 1) {
        fftwf_forget_wisdom();
        write_file(text, cut);
        assert_true(stft_wisdom_load(path) < 0);
        plan_once();
    }
    write_file("\xff\x00(((((fftw", 11);
    assert_true(stft_wisdom_load(path) < 0);
    assert_true(stft_wisdom_load(dir) < 0); /* a folder */
    plan_once();
    assert_int_equal(stft_wisdom_save(path, &e), 0); /* and is replaced */
    assert_int_equal(stft_wisdom_load(path), 0);
}

static void wisdom_that_cannot_be_kept_is_an_error_with_the_path(void **state)
{
    (void)state;
    struct error e;
    char nowhere[128];
    snprintf(nowhere, sizeof nowhere, "%s/none/wisdom", dir);
    assert_true(stft_wisdom_save(nowhere, &e) < 0);
    assert_non_null(strstr(e.text, nowhere));
    /* a folder under the final name: the temporary file goes again */
    char taken[128];
    snprintf(taken, sizeof taken, "%s/taken", dir);
    assert_int_equal(mkdir(taken, 0700), 0);
    int before = entries();
    assert_true(stft_wisdom_save(taken, &e) < 0);
    assert_int_equal(entries(), before);
    rmdir(taken);
}

static void *create_and_run(void *arg)
{
    float x[32] = {1}, out[128];
    struct error e;
    for (int i = 0; i < 20; i++) {
        struct stft *stft = NULL;
        struct stft_shape own = {64 + 2 * (i % 5), 32, 16};
        if (stft_create(&stft, &own, &e) < 0)
            return arg;
        stft_frame(stft, x, out);
        stft_destroy(stft);
    }
    return NULL;
}

static void threads_may_plan_at_the_same_time(void **state)
{
    (void)state;
    pthread_t threads[4];
    int any;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, create_and_run, &any), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/wisdom", dir);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wisdom_comes_back_and_leaves_no_other_file),
        cmocka_unit_test(spoiled_wisdom_does_no_harm),
        cmocka_unit_test(wisdom_that_cannot_be_kept_is_an_error_with_the_path),
        cmocka_unit_test(threads_may_plan_at_the_same_time),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(dir);
    return failed;
}
