/* SPDX-License-Identifier: Apache-2.0
 * Which backend a name gives, on this machine and on those that lack a part of what a GPU wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "model/backends.h"

static char directory[] = "/tmp/focald-test-XXXXXX";

static void assert_names(const struct error *error, const char *what)
{
    if (strstr(error->text, what) == NULL || strchr(error->text, '\n') != NULL)
        fail_msg("\"%s\" does not name \"%s\"", error->text, what);
}

static void assert_no_gpu(const char *modules, const char *reason)
{
    const struct backend_ops *ops = NULL;
    struct error error = {""};
    setenv("FOCALD_MODULES", modules, 1);
    assert_int_equal(backend_find("cuda", &ops, &error), -ENODEV);
    assert_null(ops);
    assert_names(&error, "backend cuda: no GPU: ");
    assert_names(&error, reason);
    assert_int_equal(backend_find("auto", &ops, &error), 0);
    assert_ptr_equal(ops, &backend_cpu);
    assert_int_equal(backend_gpu(&ops, NULL, 0, &error), -ENODEV);
    assert_names(&error, reason);
}

/* These come first: what is loaded once stays. */

static void without_a_module_auto_is_the_cpu_and_cuda_names_the_file(void **state)
{
    char file[128];
    (void)state;
    snprintf(file, sizeof file, "%s/libfocald-cuda.so", directory);
    assert_no_gpu(directory, file);
    assert_no_gpu("relative", "FOCALD_MODULES=relative");
}

static void a_file_that_is_no_module_is_named(void **state)
{
    char file[128];
    (void)state;
    snprintf(file, sizeof file, "%s/libfocald-cuda.so", directory);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs("no library\n", f);
    fclose(f);
    assert_no_gpu(directory, file);
    unlink(file);
}

static void a_module_of_another_version_is_refused(void **state)
{
    (void)state;
    setenv("FOCALD_BROKEN_ABI", "1", 1);
    assert_no_gpu(BROKEN_MODULE, "another version");
    unsetenv("FOCALD_BROKEN_ABI");
}

static void a_module_is_loaded_once_and_taken_by_auto(void **state)
{
    const struct backend_ops *ops = NULL, *again = NULL;
    struct backend_choice choice;
    struct error error = {""};
    char device[8];
    (void)state;
    setenv("FOCALD_MODULES", BROKEN_MODULE, 1);
    if (backend_find("cuda", &ops, &error) < 0)
        fail_msg("%s", error.text);
    assert_string_equal(ops->name, "cuda");
    setenv("FOCALD_MODULES", directory, 1);
    assert_int_equal(backend_find("auto", &again, &error), 0);
    assert_ptr_equal(ops, again);
    assert_int_equal(backend_gpu(&again, device, sizeof device, &error), 0);
    assert_string_equal(device, "");
    assert_int_equal(backend_choose("auto", PRECISION_AUTO, &choice, &error), 0);
    assert_ptr_equal(choice.ops, ops);
    assert_int_equal(choice.precision, PRECISION_TF32);
    assert_int_equal(backend_choose("cuda", PRECISION_FLOAT16, &choice, &error), 0);
    assert_int_equal(choice.precision, PRECISION_FLOAT16);
    assert_int_equal(backend_find("cpu", &again, &error), 0);
    assert_ptr_equal(again, &backend_cpu);
}

static void the_cpu_computes_in_float32_alone(void **state)
{
    static const enum precision others[] = {PRECISION_TF32, PRECISION_BFLOAT16, PRECISION_FLOAT16};
    struct backend_choice choice;
    struct error error;
    (void)state;
    setenv("FOCALD_MODULES", directory, 1);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(backend_choose("cpu", others[i], &choice, &error), -EINVAL);
        assert_names(&error, precision_name(others[i]));
        assert_names(&error, "allowed");
        assert_int_equal(backend_choose("auto", others[i], &choice, &error), 0);
        assert_ptr_equal(choice.ops, &backend_cpu);
        assert_int_equal(choice.precision, PRECISION_FLOAT32);
    }
    assert_int_equal(backend_choose("cpu", PRECISION_AUTO, &choice, &error), 0);
    assert_int_equal(choice.precision, PRECISION_FLOAT32);
}

static void names_that_nothing_has_are_refused_with_those_allowed(void **state)
{
    const struct backend_ops *ops = NULL;
    enum precision precision = PRECISION_TF32;
    struct error error;
    (void)state;
    assert_int_equal(backend_find("abacus", &ops, &error), -EINVAL);
    assert_names(&error, "allowed: auto, cpu, cuda");
    assert_null(ops);
    assert_int_equal(precision_parse("float64", &precision, &error), -EINVAL);
    assert_names(&error, "allowed: auto, float32, tf32, bfloat16, float16");
    assert_int_equal(precision, PRECISION_TF32);
    for (int i = 0; i <= PRECISION_AUTO; i++) {
        assert_int_equal(precision_parse(precision_name((enum precision)i), &precision, &error), 0);
        assert_int_equal(precision, i);
    }
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_module_auto_is_the_cpu_and_cuda_names_the_file),
        cmocka_unit_test(a_file_that_is_no_module_is_named),
        cmocka_unit_test(a_module_of_another_version_is_refused),
        cmocka_unit_test(the_cpu_computes_in_float32_alone),
        cmocka_unit_test(names_that_nothing_has_are_refused_with_those_allowed),
        cmocka_unit_test(a_module_is_loaded_once_and_taken_by_auto),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
